"""Honest intervals: how far the official probability was from ours, for people of whom as much was known.

Split-conformal quantiles of ``official log-odds - our log-odds`` over people that the trees had not seen, one pair of
quantiles for each pattern of information (Vovk's Mondrian form: each pattern keeps its own promise).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tabular.errors import IntervalsError, ManifestError
from tabular.formula import FloatArray

PATTERN_FEATURES: tuple[str, ...] = (
    "bmi_kg_m2",
    "prior_fragility_fracture",
    "parental_hip_fracture",
    "current_smoker",
    "glucocorticoids",
    "rheumatoid_arthritis",
    "alcohol_3_or_more_units_per_day",
)
"""Features whose number of known values sorts people into patterns, beside bone density and age."""
_ENOUGH_KNOWN = 5
_AGE_EDGES = (60.0, 80.0)
_AGE_NAMES = ("40-59", "60-79", "80+")
SMALLEST_GROUP = 60
"""Patterns with fewer people share the quantiles of the whole level."""


def pattern_of(*, t_score_known: bool, known: int, age_years: float) -> str:
    """Name of the pattern of information.

    Args:
        t_score_known: Whether a femoral neck T-score was given.
        known: How many of `PATTERN_FEATURES` were given.
        age_years: Age in years.
    """
    level = "with_density" if t_score_known else "without_density"
    answers = "most_known" if known >= _ENOUGH_KNOWN else "few_known"
    return f"{level}/{answers}/{_AGE_NAMES[int(np.searchsorted(_AGE_EDGES, age_years, side='right'))]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalTable:
    """Offsets from our log-odds to the ends of the interval."""

    coverage: float
    """Share of people whose official probability lay inside, 0..1."""
    offsets: Mapping[str, Mapping[str, tuple[float, float]]]
    """By outcome and pattern: (lower, upper) log-odds; the bare level, such as ``with_density``, is the default."""

    def bounds(self, head: str, pattern: str, margin: float) -> tuple[float, float]:
        """Log-odds of the interval's ends; a pattern without offsets of its own uses those of its level.

        Raises:
            IntervalsError: The table has neither the pattern nor its level.
        """
        by_pattern = self.offsets.get(head, {})
        offsets = by_pattern.get(pattern) or by_pattern.get(pattern.partition("/")[0])
        if offsets is None:
            raise IntervalsError(head, pattern.partition("/")[0])
        return margin + offsets[0], margin + offsets[1]

    def require(self, heads: Iterable[str], levels: Sequence[str]) -> None:
        """Make sure that every pattern has offsets to fall back on.

        Raises:
            IntervalsError: A level of an outcome has none.
        """
        for head in heads:
            for level in levels:
                if level not in self.offsets.get(head, {}):
                    raise IntervalsError(head, level)

    def to_json(self) -> dict[str, Any]:
        """Plain content for a JSON file."""
        return {
            "coverage": self.coverage,
            "offsets": {
                head: {pattern: [round(low, 4), round(high, 4)] for pattern, (low, high) in by_pattern.items()}
                for head, by_pattern in self.offsets.items()
            },
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "IntervalTable":
        """Inverse of `to_json`.

        Raises:
            ManifestError: The content is of another form.
        """
        try:
            return IntervalTable(
                coverage=float(content["coverage"]),
                offsets={
                    head: {pattern: (float(low), float(high)) for pattern, (low, high) in by_pattern.items()}
                    for head, by_pattern in content["offsets"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ManifestError("the table of intervals is of another form") from error


def fit_offsets(
    residuals: FloatArray, patterns: list[str], weights: FloatArray, *, coverage: float
) -> dict[str, tuple[float, float]]:
    """Weighted conformal quantiles by pattern.

    Args:
        residuals: Official less our log-odds, shape (n,), of people the trees had not seen.
        patterns: One name a row.
        weights: Survey weights, shape (n,).
        coverage: Share to be held between the two quantiles, 0..1.

    Returns:
        Offsets by pattern, and by level for patterns that are too rare.
    """
    names = np.array(patterns)
    levels = np.array([name.partition("/")[0] for name in patterns])
    tail = (1 - coverage) / 2
    groups = {str(name): names == name for name in sorted(set(patterns))}
    groups = {name: rows for name, rows in groups.items() if rows.sum() >= SMALLEST_GROUP}
    groups |= {str(level): levels == level for level in sorted(set(levels.tolist()))}
    return {
        name: (
            min(0.0, weighted_quantile(residuals[rows], weights[rows], tail)),
            max(0.0, weighted_quantile(residuals[rows], weights[rows], 1 - tail)),
        )
        for name, rows in groups.items()
    }


def weighted_quantile(values: FloatArray, weights: FloatArray, level: float) -> float:
    """Smallest value below which at least `level` of the weight lies."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, level)), len(values) - 1)])
