"""Discrimination and calibration with intervals that respect the survey's design."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tabular.formula import FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure with its 95 % bootstrap interval and the number of people behind it."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        """Plain content, four decimals."""
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4), "n": self.n}


def auc(scores: FloatArray, events: FloatArray, weights: FloatArray) -> float:
    """Weighted area under the ROC curve: the chance that a case scores above a non-case, ties counting half.

    Args:
        scores: Any real numbers, shape (n,).
        events: 1.0 for a case, 0.0 otherwise, shape (n,).
        weights: Non-negative, shape (n,).

    Returns:
        0..1; NaN without cases or without non-cases.
    """
    values, rank = np.unique(scores, return_inverse=True)
    cases = np.bincount(rank, weights * events, minlength=len(values))
    others = np.bincount(rank, weights * (1 - events), minlength=len(values))
    total = cases.sum() * others.sum()
    if total <= 0:
        return float("nan")
    below = np.cumsum(others) - others
    return float((cases * (below + others / 2)).sum() / total)


def explained_variance(truth: FloatArray, estimate: FloatArray, weights: FloatArray) -> float:
    """Weighted coefficient of determination; 1 is perfect."""
    mean = np.average(truth, weights=weights)
    error = np.average((truth - estimate) ** 2, weights=weights)
    return float(1 - error / np.average((truth - mean) ** 2, weights=weights))


def brier(truth: FloatArray, estimate: FloatArray, weights: FloatArray) -> float:
    """Weighted mean squared difference of two probabilities, or of a probability and an outcome."""
    return float(np.average((truth - estimate) ** 2, weights=weights))


def slope(truth: FloatArray, estimate: FloatArray, weights: FloatArray) -> float:
    """Weighted least-squares slope of the truth's log-odds on the estimate's log-odds; 1 is perfect."""
    x = estimate - np.average(estimate, weights=weights)
    y = truth - np.average(truth, weights=weights)
    return float(np.average(x * y, weights=weights) / np.average(x * x, weights=weights))


def median_absolute_error(truth: FloatArray, estimate: FloatArray, weights: FloatArray) -> float:
    """Weighted median of the absolute difference."""
    error = np.abs(truth - estimate)
    order = np.argsort(error, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return float(error[order][min(int(np.searchsorted(share, 0.5)), len(error) - 1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyBootstrap:
    """Bootstrap of primary sampling units within strata (Rao and Wu 1988): m - 1 of m units drawn, weights rescaled."""

    stratum: IntArray
    psu: IntArray
    replicates: int
    seed: int

    def multipliers(self) -> FloatArray:
        """Weight multipliers, shape (replicates, n)."""
        rng = np.random.default_rng(self.seed)
        result = np.zeros((self.replicates, len(self.stratum)))
        for stratum in np.unique(self.stratum):
            inside = self.stratum == stratum
            units, position = np.unique(self.psu[inside], return_inverse=True)
            m = len(units)
            if m == 1:  # a lone unit cannot be resampled: it stays as it is
                result[:, inside] = 1.0
                continue
            draws = rng.integers(0, m, size=(self.replicates, m - 1))
            counts = np.stack([np.bincount(row, minlength=m) for row in draws])
            result[:, inside] = (counts * (m / (m - 1)))[:, position]
        return result

    def measure(self, statistic: Callable[[FloatArray], float], weights: FloatArray) -> Metric:
        """A statistic of the weights, with the 2.5 and 97.5 percentiles of its replicates.

        Args:
            statistic: Takes weights, shape (n,), gives the figure.
            weights: Survey weights, or ones, shape (n,).
        """
        draws = np.array([statistic(weights * row) for row in self.multipliers()])
        low, high = np.nanpercentile(draws, [2.5, 97.5])
        return Metric(value=statistic(weights), low=float(low), high=float(high), n=len(weights))


def person_bootstrap(n: int, *, replicates: int, seed: int) -> SurveyBootstrap:
    """Bootstrap of single people, for data without a sampling design."""
    return SurveyBootstrap(
        stratum=np.zeros(n, dtype=np.int64), psu=np.arange(n, dtype=np.int64), replicates=replicates, seed=seed
    )
