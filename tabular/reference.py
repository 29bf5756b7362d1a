"""The model's risk in the survey's population by age and sex: what re-anchoring to another population starts from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tabular.calibration import weighted_quantile
from tabular.errors import ManifestError
from tabular.formula import FloatArray

REFERENCE_NAME = "reference.json"
BAND_YEARS = 5
YOUNGEST_BAND, OLDEST_BAND = 40, 80
BANDS: tuple[int, ...] = tuple(range(YOUNGEST_BAND, OLDEST_BAND + 1, BAND_YEARS))
"""First year of each age band; the last is open."""
_POINTS = 20


def band_of(age_years: float) -> int:
    """First year of the age band, 40..80."""
    return int(min(OLDEST_BAND, max(YOUNGEST_BAND, age_years // BAND_YEARS * BAND_YEARS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePopulation:
    """Log-odds of the survey's people of 40 and more, as answered, by outcome, sex and age band."""

    margins: Mapping[str, Mapping[tuple[bool, int], tuple[float, ...]]]
    """By outcome, then by (female, first year of the band): equally weighted points of the distribution."""
    shares: Mapping[tuple[bool, int], float]
    """Share of the population by (female, first year of the band); adds up to 1."""

    def to_json(self) -> dict[str, Any]:
        """Plain content for a JSON file."""
        return {
            "shares": {_key(cell): round(share, 6) for cell, share in self.shares.items()},
            "margins": {
                head: {_key(cell): [round(point, 3) for point in points] for cell, points in cells.items()}
                for head, cells in self.margins.items()
            },
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "ReferencePopulation":
        """Inverse of `to_json`.

        Raises:
            ManifestError: The content is of another form.
        """
        try:
            return ReferencePopulation(
                shares={_cell(key): float(share) for key, share in content["shares"].items()},
                margins={
                    head: {_cell(key): tuple(float(point) for point in points) for key, points in cells.items()}
                    for head, cells in content["margins"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ManifestError(f"{REFERENCE_NAME} is of another form") from error


def describe_population(cohort: pd.DataFrame, margins: Mapping[str, FloatArray]) -> ReferencePopulation:
    """Gather the reference population.

    Args:
        cohort: Cohort rows of 40 years or more with positive weights.
        margins: Log-odds by outcome, each of shape (n,).
    """
    bands = cohort["age_years"].map(band_of).to_numpy()
    female = (cohort["female"] == 1.0).to_numpy()
    weights = cohort["weight"].to_numpy(dtype=np.float64)
    levels = (np.arange(_POINTS) + 0.5) / _POINTS
    shares: dict[tuple[bool, int], float] = {}
    points: dict[str, dict[tuple[bool, int], tuple[float, ...]]] = {head: {} for head in margins}
    for sex in (True, False):
        for band in BANDS:
            rows = (female == sex) & (bands == band)
            if not rows.any():
                continue
            shares[sex, band] = float(weights[rows].sum() / weights.sum())
            for head, values in margins.items():
                points[head][sex, band] = tuple(
                    weighted_quantile(values[rows], weights[rows], float(level)) for level in levels
                )
    return ReferencePopulation(margins=points, shares=shares)


def _key(cell: tuple[bool, int]) -> str:
    return f"{'female' if cell[0] else 'male'}/{cell[1]}"


def _cell(key: str) -> tuple[bool, int]:
    sex, _, band = key.partition("/")
    if sex not in ("female", "male") or int(band) not in BANDS:
        raise ValueError(key)
    return sex == "female", int(band)
