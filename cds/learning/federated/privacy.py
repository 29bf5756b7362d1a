"""The Gaussian mechanism and its accountant.

Renyi differential privacy of the sampled Gaussian mechanism at integer orders: Mironov, Talwar and Zhang, "Renyi
Differential Privacy of the Sampled Gaussian Mechanism", arXiv 1908.10530 (2019), section 3.3; without sampling
alpha / (2 sigma^2), Mironov, CSF 2017. To (epsilon, delta): Canonne, Kamath and Steinke, NeurIPS 2020, proposition 12.

The bound holds for data sets that differ by one unit added or removed, for batches in which every unit takes part
independently with chance q (Poisson sampling), and for the noise drawn here from a cryptographically seeded generator;
floating-point attacks on the noise (Mironov, CCS 2012) are not covered.
"""

import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cds.learning.federated.errors import FederationError

ORDERS: tuple[int, ...] = (*range(2, 65), 72, 80, 96, 128, 192, 256, 384, 512)
"""Integer orders over which the bound is minimised."""

Floats = npt.NDArray[np.float64]


class BudgetSpentError(FederationError):
    """Another round would spend more epsilon than this hospital allows."""

    code = "cds.federation.budget"


@lru_cache(maxsize=4096)
def renyi(order: int, noise_multiplier: float, sampling: float = 1.0) -> float:
    """Renyi divergence bound of one step.

    Args:
        order: alpha, an integer of at least 2.
        noise_multiplier: sigma, noise over sensitivity, positive.
        sampling: q, chance of a unit to take part in the step, 0..1.

    Returns:
        Nats; 0 where nobody takes part.
    """
    if sampling <= 0:
        return 0.0
    if sampling >= 1:
        return order / (2 * noise_multiplier**2)
    terms = [
        math.lgamma(order + 1)
        - math.lgamma(k + 1)
        - math.lgamma(order - k + 1)
        + (order - k) * math.log1p(-sampling)
        + k * math.log(sampling)
        + (k * k - k) / (2 * noise_multiplier**2)
        for k in range(order + 1)
    ]
    top = max(terms)
    return (top + math.log(math.fsum(math.exp(term - top) for term in terms))) / (order - 1)


def to_epsilon(spent: Sequence[float], delta: float) -> float:
    """Smallest epsilon over `ORDERS`.

    Args:
        spent: total Renyi divergence at each order, nats.
        delta: chance that the bound does not hold, in (0, 1).
    """
    return max(
        0.0,
        min(
            divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
            for order, divergence in zip(ORDERS, spent, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps of one mechanism."""

    noise_multiplier: float
    sampling: float
    count: int


def epsilon_of(steps: Sequence[Steps], delta: float) -> float:
    """Epsilon of all steps together; 0 for none."""
    if not any(step.count for step in steps):
        return 0.0
    spent = [sum(step.count * renyi(order, step.noise_multiplier, step.sampling) for step in steps) for order in ORDERS]
    return to_epsilon(spent, delta)


class Accountant:
    """What a hospital has spent, kept on its own disk so that a restart forgets nothing."""

    def __init__(self, path: Path | None, *, limit: float | None = None) -> None:
        """Read what was spent.

        Args:
            path: JSON file; None keeps nothing.
            limit: largest epsilon that may ever be spent; None for no limit.
        """
        self._path, self._limit = path, limit
        self._steps: list[Steps] = []
        if path is not None and path.is_file():
            self._steps = [Steps(**row) for row in json.loads(path.read_text(encoding="utf-8"))]

    def epsilon(self, delta: float) -> float:
        """Spent so far."""
        return epsilon_of(self._steps, delta)

    def spend(self, steps: Steps, delta: float) -> float:
        """Write steps down before they are done.

        Args:
            steps: to be done.
            delta: the hospital's own, in (0, 1), and always the same: a limit on epsilon at a delta that the server
                chooses would be none.

        Returns:
            Epsilon with them, at `delta`.

        Raises:
            BudgetSpentError: that would be more than the limit; nothing was written.
        """
        after = epsilon_of([*self._steps, steps], delta)
        if self._limit is not None and after > self._limit:
            raise BudgetSpentError(
                "another round would spend more epsilon than this hospital allows",
                remedy="Leave the federation, or decide anew on --most-epsilon.",
            )
        self._steps.append(steps)
        if self._path is not None:
            rows = [
                {"noise_multiplier": one.noise_multiplier, "sampling": one.sampling, "count": one.count}
                for one in self._steps
            ]
            fresh = self._path.with_suffix(".new")
            fresh.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(rows), encoding="utf-8")
            fresh.replace(self._path)
        return after


def secret_generator() -> np.random.Generator:
    """A generator nobody can foresee: noise from a public seed could be subtracted again."""
    return np.random.default_rng(secrets.randbits(256))


def clip_factor(norm: float, limit: float) -> float:
    """What a vector of this norm is multiplied with, so that its norm is at most `limit`; 0 for one not finite."""
    if not math.isfinite(norm):
        return 0.0
    return min(1.0, limit / norm) if norm > 0 else 1.0


def noisy_sum(rows: Floats, *, clip_norm: float, noise_multiplier: float, generator: np.random.Generator) -> Floats:
    """Sum of clipped rows, plus Gaussian noise: one step of DP-SGD (Abadi et al., CCS 2016).

    Args:
        rows: one unit's contribution a row, shape (n, d); n may be 0.
        clip_norm: largest norm of a row.
        noise_multiplier: noise's standard deviation over `clip_norm`.
        generator: of the noise.

    Returns:
        Shape (d,).
    """
    norms = np.linalg.norm(rows, axis=1)
    factors = np.minimum(1.0, clip_norm / np.maximum(norms, 1e-300))
    total: Floats = (rows * factors[:, None]).sum(axis=0)
    return total + generator.normal(0.0, noise_multiplier * clip_norm, size=rows.shape[1])
