"""A score to the probability that the radiograph shows a fracture, with its interval.

The detector's score ranks; it is no probability. A line in log odds, fitted on radiographs that had no part in the
training (Platt 1999), makes it one, and a hundred refits on resampled radiographs say how well that line is known.

A probability holds at one share of fractures only. Where fractures are rarer or more frequent than in the fitted data,
the log odds shift by a known amount (Saerens, Latinne & Decaestecker 2002): see `ScoreCalibration.reanchored`.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from imaging.errors import ModelFilesError
from imaging.results import Measurement

CALIBRATION_KEY = "calibration"
"""Entry of a model's manifest."""
INTERVAL = 0.90
"""Coverage of the intervals."""
SMALLEST_SCORE = 1e-4
"""Detector scores are kept this far from 0 and 1 before their log odds are taken."""


class ScoreKind(StrEnum):
    """Which scalar a calibration was fitted on."""

    DETECTOR_SCORE = "detector_score"
    """The highest box score in the image, 0..1; its log odds enter the line."""
    LOGIT = "logit"
    """Any real number that grows with the odds of a fracture; it enters the line as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCalibration:
    """Probability = logistic(slope * x + intercept), x being the score or its log odds."""

    kind: ScoreKind
    slope: float
    intercept: float
    prevalence: float
    """Share of radiographs with a fracture at which the probabilities hold, 0..1."""
    refits: tuple[tuple[float, float], ...]
    """(slope, intercept) of every refit on resampled radiographs, at the same share of fractures."""
    n: int
    """Radiographs it was fitted on."""
    n_fractured: int

    @classmethod
    def from_manifest(cls, document: dict[str, Any]) -> Self | None:
        """The calibration in a model's manifest; None when the model carries none.

        Raises:
            ModelFilesError: the entry is there but malformed.
        """
        entry = document.get(CALIBRATION_KEY)
        if entry is None:
            return None
        try:
            found = cls(
                kind=ScoreKind(entry["kind"]),
                slope=float(entry["slope"]),
                intercept=float(entry["intercept"]),
                prevalence=float(entry["prevalence"]),
                refits=tuple((float(slope), float(intercept)) for slope, intercept in entry["refits"]),
                n=int(entry["n"]),
                n_fractured=int(entry["n_fractured"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFilesError(f"The calibration in the model's manifest is malformed: {error}.") from error
        if not 0 < found.prevalence < 1 or not math.isfinite(found.slope + found.intercept):
            raise ModelFilesError("The calibration in the model's manifest holds values that cannot be.")
        return found

    def as_entry(self) -> dict[str, Any]:
        """The manifest's entry, rounded to what its uncertainty warrants."""
        return {
            "kind": self.kind.value,
            "slope": round(self.slope, 5),
            "intercept": round(self.intercept, 5),
            "prevalence": round(self.prevalence, 5),
            "n": self.n,
            "n_fractured": self.n_fractured,
            "refits": [[round(slope, 4), round(intercept, 4)] for slope, intercept in self.refits],
        }

    def probability(self, score: float) -> Measurement:
        """Probability that the radiograph shows a fracture, 0..1, with its 90 % interval.

        The interval tells how well the line is known, not how probable a fracture is in one patient.

        Args:
            score: of the kind the calibration was fitted on.
        """
        x = log_odds(score) if self.kind is ScoreKind.DETECTOR_SCORE else score
        value = logistic(self.slope * x + self.intercept)
        drawn = sorted(logistic(slope * x + intercept) for slope, intercept in self.refits) or [value]
        tail = (1 - INTERVAL) / 2
        low, high = _quantile(drawn, tail), _quantile(drawn, 1 - tail)
        return Measurement(value=value, low=min(low, value), high=max(high, value))

    def reanchored(self, prevalence: float) -> Self:
        """The same evidence where another share of radiographs shows a fracture.

        Right as long as the fractures themselves, and the intact limbs, look alike in both places.

        Args:
            prevalence: share of radiographs with a fracture, strictly between 0 and 1.

        Raises:
            ValueError: outside that range.
        """
        if not 0 < prevalence < 1:
            raise ValueError("the share of fractures must lie between 0 and 1")
        shift = _odds_of(prevalence) - _odds_of(self.prevalence)
        return replace(
            self,
            prevalence=prevalence,
            intercept=self.intercept + shift,
            refits=tuple((slope, intercept + shift) for slope, intercept in self.refits),
        )


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def log_odds(score: float) -> float:
    """Log odds of a score 0..1, with scores within `SMALLEST_SCORE` of the ends drawn in."""
    return _odds_of(min(max(score, SMALLEST_SCORE), 1 - SMALLEST_SCORE))


def _odds_of(share: float) -> float:
    return math.log(share / (1 - share))


def _quantile(ordered: list[float], share: float) -> float:
    """Linear interpolation between the two nearest of some sorted values."""
    place = share * (len(ordered) - 1)
    lower = math.floor(place)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (place - lower)
