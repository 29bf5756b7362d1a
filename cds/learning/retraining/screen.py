"""Before anything is learnt: do this round's labels contradict the current model more than earlier labels did?

Every model is wrong now and then, and feedback comes most readily where it was. So a round is not held against
perfection but against how the model and the labels agree on old cases that it did not learn from. Scores become ranks
among those (share of old intact ones below, plus half the ties). Old fractures have the mean rank m1, intact ones
1/2. If a share r of the new "fractured" labels is wrong, their mean rank is (1 - r) m1 + r / 2, hence

    r = (m1 - mean) / (m1 - 1/2)

and likewise for "not fractured". Both are estimates under the assumption that new fractures look like old ones; a
hospital with other fractures looks like a noisy one. So the screen stops nothing; but the gate refuses what learned
from a suspicious round until somebody has looked at its labels.

Intervals: percentile bootstrap over groups (patients), old and new drawn anew in every resample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 500
TAIL: Final = 0.025
FEWEST: Final = 8
"""Of either class among the old cases, and in all among the new ones, from which on an estimate is made."""
WEAKEST_RANK: Final = 0.55
"""With a mean rank of old fractures below this the model can contradict nobody."""

_SUSPICIOUS: Final = "Suspicious round: look at its labels; until then the gate refuses what learned from them."

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A label and what the current model says of the same radiograph."""

    group: str
    fractured: bool
    score: float
    """Highest score of a box, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the labels of a round look like to the current model."""

    n: int
    n_fractured: int
    contradictions: int
    """"Fractured" below the high-sensitivity point, or "not fractured" at or above the high-specificity point."""
    contradictions_before: float | None
    """Share of the same among the old held-out cases, 0..1."""
    noise: float | None
    """Estimated share of wrong labels, 0..1; None where it cannot be estimated."""
    noise_low: float | None
    noise_high: float | None
    """95 % interval."""
    noise_earlier: float | None
    """The highest estimate of earlier rounds, 0..1; None for the first."""
    suspicious: bool
    words: str

    def as_entry(self) -> dict[str, Any]:
        """For ``provenance.json``."""
        return {name: _rounded(getattr(self, name)) for name in self.__dataclass_fields__}


def screen(
    new: Sequence[Scored],
    old: Sequence[Scored],
    *,
    thresholds: tuple[float, float],
    earlier: Sequence[float] = (),
    limit: float,
    excess: float,
    seed: int,
) -> Screen:
    """Judge the labels of a round.

    Args:
        new: the round.
        old: labelled radiographs that the model did not learn from.
        thresholds: of the high-sensitivity and of the high-specificity point.
        earlier: estimates of earlier rounds, 0..1.
        limit: share of wrong labels above which, for certain, a round is suspicious ...
        excess: ... if it also lies this much above every earlier estimate.
        seed: of the resamples.
    """
    wrong = sum(_contradicts(one, thresholds) for one in new)
    before = sum(_contradicts(one, thresholds) for one in old) / len(old) if old else None
    interval = _noise(new, old, seed)
    highest = max(earlier, default=None)
    suspicious = interval is not None and interval[1] > max(limit, (highest or 0.0) + excess)
    value, low, high = interval or (None, None, None)
    return Screen(
        n=len(new),
        n_fractured=sum(one.fractured for one in new),
        contradictions=wrong,
        contradictions_before=before,
        noise=value,
        noise_low=low,
        noise_high=high,
        noise_earlier=highest,
        suspicious=suspicious,
        words=_words(len(new), wrong, before, interval, highest, suspicious),
    )


def _contradicts(one: Scored, thresholds: tuple[float, float]) -> bool:
    sensitive, specific = thresholds
    return one.score < sensitive if one.fractured else one.score >= specific


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Labels:
    """Labels and scores as columns."""

    score: Floats
    fractured: NDArray[np.bool_]
    group: NDArray[np.int64]
    """Number of each case's group, from 0."""

    @classmethod
    def of(cls, cases: Sequence[Scored]) -> "_Labels":
        _, group = np.unique([one.group for one in cases], return_inverse=True)
        return cls(
            score=np.array([one.score for one in cases], dtype=np.float64),
            fractured=np.array([one.fractured for one in cases], dtype=bool),
            group=group.astype(np.int64),
        )

    def resampled(self, rng: np.random.Generator) -> "_Labels":
        """As many groups as there are, drawn with replacement."""
        groups = int(self.group.max()) + 1
        counts = np.bincount(rng.integers(groups, size=groups), minlength=groups)
        rows = np.repeat(np.arange(len(self.score)), counts[self.group])
        return _Labels(score=self.score[rows], fractured=self.fractured[rows], group=self.group[rows])


def _noise(new: Sequence[Scored], old: Sequence[Scored], seed: int) -> tuple[float, float, float] | None:
    """(estimate, lower, upper end) of the share of wrong labels; None where the data cannot tell."""
    fractured = sum(one.fractured for one in old)
    if min(fractured, len(old) - fractured) < FEWEST or len(new) < FEWEST:
        return None
    labels, reference = _Labels.of(new), _Labels.of(old)
    value = _estimate(labels, reference)
    if value is None:
        return None
    rng = np.random.default_rng(seed)
    drawn = [_estimate(labels.resampled(rng), reference.resampled(rng)) for _ in range(RESAMPLES)]
    usable = [one for one in drawn if one is not None]
    if len(usable) < RESAMPLES / 2:
        return None
    low, high = np.quantile(usable, [TAIL, 1 - TAIL])
    return value, min(float(low), value), max(float(high), value)


def _estimate(new: _Labels, old: _Labels) -> float | None:
    intact = np.sort(old.score[~old.fractured])
    if not len(intact) or len(intact) == len(old.score):
        return None

    def ranks(scores: Floats) -> Floats:
        below, not_above = np.searchsorted(intact, scores, "left"), np.searchsorted(intact, scores, "right")
        return (below + not_above) / (2 * len(intact))

    reach = float(ranks(old.score[old.fractured]).mean()) - 0.5
    if reach < WEAKEST_RANK - 0.5:
        return None
    found = ranks(new.score)
    wrong = 0.0
    if new.fractured.any():
        wrong += new.fractured.sum() * _share((0.5 + reach - float(found[new.fractured].mean())) / reach)
    if not new.fractured.all():
        wrong += (~new.fractured).sum() * _share((float(found[~new.fractured].mean()) - 0.5) / reach)
    return float(wrong) / len(new.score)


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _words(
    n: int,
    wrong: int,
    before: float | None,
    interval: tuple[float, float, float] | None,
    earlier: float | None,
    suspicious: bool,
) -> str:
    said = f"{wrong} of {n} new labels contradict the current model"
    if before is not None:
        said += f" ({wrong / max(n, 1):.0%}; {before:.0%} among old cases that it did not learn from)"
    if interval is None:
        return f"{said}; the share of wrong labels cannot be estimated from so few cases, or with so weak a model."
    value, low, high = interval
    said += f"; estimated share of wrong labels {value:.0%} ({low:.0%} to {high:.0%})"
    if earlier is not None:
        said += f", in earlier rounds at most {earlier:.0%}"
    return f"{said}. {_SUSPICIOUS if suspicious else 'Not suspicious.'}"


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def earlier_estimates(details: Mapping[str, Any]) -> tuple[float, ...]:
    """Estimates of the rounds that a model went through, from the details of its provenance."""
    return tuple(float(one) for one in details.get("noise_of_rounds", ()) if one is not None)
