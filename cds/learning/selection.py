"""The studies whose labels would teach most: those that the detector is unsure of, and unlike each other.

Uncertainty is how even the odds are, how near the score lies to an operating point, and whether a shadow model says
otherwise. Diversity is the distance to everything chosen before or judged already, on the detector's pooled features
(greedy k-centre, Sener & Savarese, Active learning for convolutional neural networks: a core-set approach, 2018,
weighted by uncertainty). Neither promises that the labels help: `tests.benchmarks.learning_selection` measures it.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DEFAULT_SECONDS: Final = 120.0
"""Assumed time to read and mark one study, where too few own reads were timed here."""
LEAST_TIMED: Final = 10
"""Timed own reads from which their median is used instead."""
LONGEST_SECONDS: Final = 900.0
"""A longer read was interrupted, and is left out of the median."""
DIMENSIONS: Final = 32
"""Principal components on which distances are measured."""
_EVEN: Final = 0.8
"""Bits of doubt from which odds are called nearly even: a probability of 0.24 to 0.76."""
_NEAR: Final = 0.6
_DIFFERENT: Final = 0.2
_FAR: Final = 1.25
"""Distance to what is chosen, in medians, from which a study counts as unlike."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """An unlabelled study."""

    id: str
    vector: NDArray[np.float32]
    """[D], the detector's pooled features."""
    score: float
    """Highest detector score, 0..1."""
    probability: float | None = None
    """Calibrated probability of a fracture; None without calibration, then the score stands for it."""
    shadow_probability: float | None = None
    """The same by a model that runs in the shadow; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A study to label."""

    id: str
    worth: float
    """What it was chosen by: uncertainty times distance, 0 and more, larger is better."""
    uncertainty: float
    """0..1."""
    distance: float
    """To the nearest study chosen before or judged already, in medians of the distance between two studies."""
    reasons: tuple[str, ...]
    """Why, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """How many studies fit into the time."""

    studies: int
    seconds_per_study: float
    measured: bool
    """From timed own reads here rather than assumed."""


def hour(*, count: int, minutes: float, timed_seconds: Sequence[float]) -> Hour:
    """How many studies to suggest.

    Args:
        count: so many at most.
        minutes: the radiologist's time.
        timed_seconds: what own reads took here.
    """
    usable = [one for one in timed_seconds if 0 < one <= LONGEST_SECONDS]
    measured = len(usable) >= LEAST_TIMED
    seconds = statistics.median(usable) if measured else DEFAULT_SECONDS
    return Hour(studies=min(count, int(minutes * 60 / seconds)), seconds_per_study=seconds, measured=measured)


def suggest(
    candidates: Sequence[Candidate],
    *,
    points: tuple[float, float],
    count: int,
    judged: NDArray[np.float32] | None = None,
) -> tuple[Suggestion, ...]:
    """Choose studies, the most useful first.

    Args:
        candidates: unlabelled studies that were judged fit to be read.
        points: scores of the high-sensitivity and the high-specificity operating point, 0..1.
        count: so many at most.
        judged: [m, D] features of studies that are labelled already.
    """
    if not candidates or count < 1:
        return ()
    doubts = np.array([uncertainty(one, points) for one in candidates])
    vectors = np.stack([one.vector for one in candidates])
    order, distances = spread(vectors, doubts, count=count, judged=judged)
    return tuple(
        Suggestion(
            id=candidates[row].id,
            worth=float(doubts[row] * distance),
            uncertainty=float(doubts[row]),
            distance=distance,
            reasons=_reasons(candidates[row], points, distance, first=place == 0 and judged is None),
        )
        for place, (row, distance) in enumerate(zip(order, distances, strict=True))
    )


def uncertainty(one: Candidate, points: tuple[float, float]) -> float:
    """How unsure the answer is, 0..1: odds, nearness to an operating point, disagreement of a shadow model."""
    own = (entropy(_probability(one)) + nearness(one.score, points)) / 2
    return min(1.0, own + _disagreement(one))


def entropy(probability: float) -> float:
    """Doubt in bits, 0..1: 1 for even odds."""
    parts = (probability, 1 - probability)
    return -sum(part * math.log2(part) for part in parts if part > 0)


def nearness(score: float, points: tuple[float, float]) -> float:
    """How near a score lies to the nearer of two operating points, 0..1: halved by a factor of 2 in odds."""
    return max(math.pow(2.0, -abs(_log2_odds(score) - _log2_odds(point))) for point in points)


def spread(
    vectors: NDArray[np.float32],
    weights: NDArray[np.float64],
    *,
    count: int,
    judged: NDArray[np.float32] | None = None,
) -> tuple[list[int], list[float]]:
    """Greedy choice by weight times distance to everything chosen before or judged.

    Args:
        vectors: [n, D] features.
        weights: [n], not negative.
        count: so many at most.
        judged: [m, D] features that count as chosen.

    Returns:
        Rows in the order of choice, and the distance that each had then, in medians; 1 where there was nothing yet.
    """
    everything = vectors if judged is None or not len(judged) else np.concatenate((vectors, judged))
    places = principal(everything)
    own, known = places[: len(vectors)], places[len(vectors) :]
    unit = _typical_distance(places)
    distances = np.full(len(own), np.inf)
    for one in known:
        distances = np.minimum(distances, np.linalg.norm(own - one, axis=1) / unit)
    left = np.ones(len(own), dtype=bool)
    order: list[int] = []
    taken: list[float] = []
    while len(order) < min(count, len(own)):
        reach = np.where(np.isinf(distances), 1.0, distances)
        row = int(np.argmax(np.where(left, weights * reach, -1.0)))
        order.append(row)
        taken.append(float(reach[row]))
        left[row] = False
        distances = np.minimum(distances, np.linalg.norm(own - own[row], axis=1) / unit)
    return order, taken


def principal(vectors: NDArray[np.float32], dimensions: int = DIMENSIONS) -> NDArray[np.float64]:
    """Standardised features [n, D] on their first principal components, [n, at most `dimensions`]."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    deviations = centred.std(axis=0)
    scaled = centred / np.where(deviations > 1e-9, deviations, 1.0)
    left, strengths, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(left[:, :dimensions] * strengths[:dimensions], dtype=np.float64)


def _typical_distance(places: NDArray[np.float64]) -> float:
    """Median distance between neighbours in the list, in place of all pairs; 1 where all are alike.

    A list in order of time may hold like studies side by side: the unit is smaller then, the order of choice the same.
    """
    if len(places) < 2:
        return 1.0
    middle = float(np.median(np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)))
    return middle if middle > 1e-9 else 1.0


def _probability(one: Candidate) -> float:
    return one.score if one.probability is None else one.probability


def _disagreement(one: Candidate) -> float:
    return 0.0 if one.shadow_probability is None else abs(_probability(one) - one.shadow_probability)


def _log2_odds(share: float) -> float:
    inside = min(max(share, 1e-6), 1 - 1e-6)
    return math.log2(inside / (1 - inside))


def _reasons(one: Candidate, points: tuple[float, float], distance: float, *, first: bool) -> tuple[str, ...]:
    low, high = points
    share = _probability(one)
    named = "score" if one.probability is None else "probability"
    near_low = nearness(one.score, (low, low)) >= _NEAR
    found = (
        (entropy(share) >= _EVEN, f"nearly even odds ({named} {share:.2f})"),
        (low <= one.score < high, "between the two operating points"),
        (near_low, "close to where a fracture is first suspected"),
        (nearness(one.score, (high, high)) >= _NEAR, "close to where a fracture is called definite"),
        (_disagreement(one) >= _DIFFERENT, f"the shadow model says {one.shadow_probability or 0:.2f} instead"),
        (not first and distance >= _FAR, "unlike the studies chosen before or judged already"),
    )
    reasons = tuple(words for true, words in found if true)
    return reasons or (f"some doubt is left ({named} {share:.2f}), and it is not yet covered",)
