"""What one model says of every item of a locked set: all that the gate needs, whatever kind of model it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HIGH_SENSITIVITY: Final = "high_sensitivity"
HIGH_SPECIFICITY: Final = "high_specificity"


def no_boxes() -> Floats:
    """[0, 4]."""
    return np.zeros((0, 4))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a model says of one image or person, and what is true; what does not apply is left out."""

    id: str
    """The same for both models; a file name or a number of the set, never a patient's."""
    group: str
    """Items of one group (patient, limb, block of neighbouring ids, sampling unit) are drawn together."""
    positive: bool | None = None
    """The truth of a yes-or-no question; None where it is not known."""
    score: float | None = None
    """What ranks: higher means more likely positive."""
    probability: float | None = None
    """Calibrated probability of the truth, 0..1; None where the model gives none."""
    truth: Floats = field(default_factory=no_boxes)
    """[m, 4] xyxy of what is there."""
    boxes_known: bool = False
    """Whether `truth` is all that is there; only such images count for the average precision."""
    boxes: Floats = field(default_factory=no_boxes)
    """[n, 4] xyxy of what the model found, in the same pixels."""
    box_scores: Floats = field(default_factory=lambda: np.zeros(0))
    """[n], falling."""
    label: str | None = None
    """The true class of a question with several (the type of a fracture); None where it is not known."""
    named: str | None = None
    """The class that the model names."""
    class_probabilities: Mapping[str, float] = field(default_factory=dict)
    """Class to the probability that the model gives it, 0..1; empty where it gives none."""
    further: Mapping[str, tuple[bool, float]] = field(default_factory=dict)
    """Further yes-or-no questions (``displaced``): the truth, and what ranks."""
    target: float | None = None
    """The true amount of a question for an amount (log-odds, log weeks, months); None where it is not known."""
    estimate: float | None = None
    """The amount that the model gives, in the same unit."""
    log_score: float | None = None
    """Natural logarithm of the probability, or density, that the model gave to what was found; higher is better."""
    inside: bool | None = None
    """Whether the truth lies in the interval that the model gives; None where either is not known."""
    subgroups: Mapping[str, str] = field(default_factory=dict)
    """Column (region, age band, sex, hardware, site) to value."""
    digests: tuple[str, ...] = ()
    """SHA-256 of the item (of an image: of its file and of its pixels), by which training data are recognised."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """One model on one locked set."""

    model_id: str
    answers: tuple[Answer, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Operating point (`HIGH_SENSITIVITY`, `HIGH_SPECIFICITY`) to the model's own threshold of `Answer.score`."""
    data_sha256: str = ""
    """Of the locked set."""
    data_name: str = ""
