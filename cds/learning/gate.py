"""The gate: is a candidate no worse than the current model, beyond margins, on a set that neither has learned from?

Both models answer the same items; whole groups (patients, blocks of neighbouring ids, sampling units) are drawn with
replacement, the same draws for both, and the difference of each metric is taken within each draw. A candidate passes
where, for every metric with a margin, the one-sided lower bound of its gain lies above minus the margin
(non-inferiority), its probabilities are calibrated, no subgroup is shown to be harmed, and no item of the set is among
its training data. With few groups the percentiles are taken further out (expanded percentile interval, Hesterberg
2015), since a bootstrap of few groups is too narrow.

Every metric must hold at once, so a truly worse candidate passes with a probability of at most 1 - confidence, however
many metrics there are (intersection-union test, Berger 1982). What this does not cover is a locked set that decides
again and again: candidates that are chosen by their result on it come to fit it, which is why its uses are counted.

>>> verdict = compare(current, candidate, read_margins("detector"))  # doctest: +SKIP
>>> verdict.promoted, verdict.reasons  # doctest: +SKIP
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Final

import numpy as np

from cds.errors import InputError
from cds.learning.gate_metrics import SLOPE_DRAWS, Floats, Measures, gain, group_weights
from cds.learning.gate_words import METRIC_WORDS, TYPES_UNJUDGED, UNKNOWN_ORIGIN, Contents, notes_of, reasons_of
from cds.learning.margins import Margins, read_margins
from cds.learning.model_kinds import ModelKind
from cds.learning.provenance import Provenance
from cds.learning.scored import HIGH_SENSITIVITY, HIGH_SPECIFICITY, Answer, Scored
from cds.learning.verdict import CalibrationCheck, Difference, Standing, SubgroupResult, Verdict

__all__ = [
    "HIGH_SENSITIVITY",
    "HIGH_SPECIFICITY",
    "METRIC_WORDS",
    "Answer",
    "Margins",
    "Scored",
    "Verdict",
    "compare",
    "read_margins",
]

ROUNDS: Final = 1000
IN_OWN_UNIT: Final = frozenset({"absolute_error", "log_score"})
"""Metrics that are no shares: a subgroup's loss is then counted in margins, not in points."""
LOSSES_IN_OWN_UNIT: Final = 2.0
"""So many margins."""
SUBGROUP_DRAWS: Final = 400
TYPE_METRICS: Final = frozenset({"type_accuracy", "type_auc", "log_score", "displaced_auc"})
"""Of the heads beside a detector; a set of radiographs need not state types."""
FEWEST_CLASSES: Final = 2
"""So many types must each have enough items; one alone is no question."""
TABLES: Final = frozenset({ModelKind.RISK.value, ModelKind.HEALING.value})
"""Kinds whose items are rows, of which no digest is kept."""


def compare(
    current: Scored,
    candidate: Scored,
    margins: Margins,
    *,
    kind: str = "detector",
    provenance: Provenance | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
    looks: int | None = None,
    needs_provenance: bool = False,
    labels_checked: bool = False,
) -> Verdict:
    """Compare two models that answered the same items; deterministic by seed.

    Args:
        current: the model in use; groups, truths and subgroups are taken from here.
        candidate: the model that would replace it, with the same items in any order.
        margins: what it must keep.
        kind: of the models, for the verdict.
        provenance: of the candidate; None leaves unchecked whether it learned from this very set.
        rounds: bootstrap draws.
        seed: of the draws.
        looks: how many candidates this set has decided on, this one included.
        needs_provenance: refuse a candidate that does not say what it learned from.
        labels_checked: somebody has looked at the labels of a round that was called suspicious, and they are right.
            Without, what learned from such a round is refused: a replay of good cases can hide on a locked set what a
            third of wrong labels did.

    Raises:
        InputError: the two do not hold the same items with the same truth, or there is nothing to compare.
    """
    candidate = _in_order(current, candidate)
    contents = contents_of(current.answers, margins)
    untold = kind == ModelKind.DETECTOR and not contents.types_tell
    if untold:
        margins = replace(margins, by_metric={k: v for k, v in margins.by_metric.items() if k not in TYPE_METRICS})
    groups = [one.group for one in current.answers]
    n_groups = len(set(groups))
    weights = group_weights(groups, rounds=rounds, seed=seed)
    pair = _Pair(current, candidate, margins, weights)
    differences = tuple(pair.differences(np.ones((1, len(groups)))))
    if not differences:
        raise InputError("The locked set gives nothing to compare by.", remedy="Give a set with labels.")
    subgroups = tuple(_subgroups(current.answers, pair, margins))
    calibration = pair.calibration(n_groups)
    shared = _shared(current.answers, provenance, kind)
    fewest = min((pair.groups_of(one.metric) for one in differences if one.margin is not None), default=n_groups)
    reasons = tuple(reasons_of(differences, subgroups, calibration, shared, fewest, margins, contents))
    if needs_provenance and provenance is None:
        reasons = (UNKNOWN_ORIGIN, *reasons)
    doubt = _doubtful_labels(provenance)
    if doubt is not None and not labels_checked:
        reasons = (f"It learned from labels that nobody has confirmed. {doubt}", *reasons)
    positives = [one.positive for one in current.answers if one.positive is not None]
    return Verdict(
        kind=kind,
        current_id=current.model_id,
        candidate_id=candidate.model_id,
        promoted=not reasons,
        reasons=reasons,
        notes=(
            *notes_of(differences, subgroups, n_groups, looks, shared),
            *((TYPES_UNJUDGED,) if untold and contents.by_class else ()),
            *((f"Labels called suspicious were looked at and kept. {doubt}",) if doubt and labels_checked else ()),
        ),
        n=len(groups),
        n_positive=sum(positives) if positives else None,
        n_groups=n_groups,
        differences=differences,
        subgroups=subgroups,
        calibration=calibration,
        shared_items=shared,
        confidence=margins.confidence,
        rounds=rounds,
        seed=seed,
        data_sha256=current.data_sha256,
        data_name=current.data_name,
        looks=looks,
    )


class _Pair:
    """Both models on the same draws."""

    def __init__(self, current: Scored, candidate: Scored, margins: Margins, weights: Floats) -> None:
        self._current, self._candidate = Measures(current), Measures(candidate)
        self._margins = margins
        self._weights = weights
        self._groups = np.unique(np.array([one.group for one in current.answers]), return_inverse=True)[1]

    def groups_of(self, name: str, members: Floats | None = None) -> int:
        """Independent groups that a metric rests on; not every item tells every metric."""
        counted = self._current.counted[name]
        return len(np.unique(self._groups[counted if members is None else counted & (members[0] > 0)]))

    def differences(self, members: Floats, *, judged: bool = True) -> Iterator[Difference]:
        """Each metric of the items in `members` [1, items]; metrics that these cannot give are left out."""
        for name in self._current.statistics:
            before = float(self._current.at(name, members)[0])
            margin = self._margins.by_metric.get(name) if judged else None
            if not math.isfinite(before):
                if margin is not None:
                    yield _without_figures(name, before, margin, Standing.UNTOLD)
                continue
            given = name in self._candidate.statistics
            after = float(self._candidate.at(name, members)[0]) if given else math.nan
            if not math.isfinite(after):
                missing = Standing.MISSING if margin is not None else Standing.SHOWN_ONLY
                yield _without_figures(name, before, margin, missing)
                continue
            drawn = (self._weights if judged else self._weights[:SUBGROUP_DRAWS]) * members
            gains = gain(name, self._current.at(name, drawn), self._candidate.at(name, drawn))
            estimate = float(gain(name, np.array([before]), np.array([after]))[0])
            low, high = bounds(gains, estimate, self._margins.confidence, self.groups_of(name, members))
            yield Difference(
                metric=name,
                current=before,
                candidate=after,
                gain=estimate,
                low=low,
                high=high,
                margin=margin,
                standing=_standing(estimate, low, margin),
            )

    def calibration(self, n_groups: int) -> CalibrationCheck | None:
        """Whether the candidate's probabilities are neither too extreme nor too flat, or at least no more so."""
        if not (self._candidate.has_slope and self._current.has_slope):
            return None
        everyone = np.ones((1, self._candidate.n))
        before = float(self._current.slope(everyone)[0])
        after = float(self._candidate.slope(everyone)[0])
        if not math.isfinite(before):
            return None
        draws = self._candidate.slope(self._weights[:SLOPE_DRAWS])
        low, high = bounds(draws, after, self._margins.confidence, n_groups)
        wanted = (self._margins.slope_low, self._margins.slope_high)
        overlaps = low <= wanted[1] and high >= wanted[0]
        no_worse = after == before or (before > 0 and after > 0 and abs(math.log(after)) <= abs(math.log(before)))
        return CalibrationCheck(
            current=before,
            candidate=after,
            low=low,
            high=high,
            allowed_low=wanted[0],
            allowed_high=wanted[1],
            holds=math.isfinite(after) and (overlaps or no_worse),
        )


def _without_figures(metric: str, current: float, margin: float | None, standing: Standing) -> Difference:
    """A metric that one of the models or the set does not give."""
    nothing = math.nan
    return Difference(
        metric=metric,
        current=current,
        candidate=nothing,
        gain=nothing,
        low=nothing,
        high=nothing,
        margin=margin,
        standing=standing,
    )


def bounds(draws: Floats, estimate: float, confidence: float, n_groups: int) -> tuple[float, float]:
    """One-sided lower and upper bound of a value from its bootstrap draws, each at `confidence`.

    The percentiles lie further out the fewer groups there are: at Phi(-sqrt(G / (G - 1)) t(G - 1)) for G groups
    (Hesterberg 2015, "What teachers should know about the bootstrap"). NaN draws are left out.
    """
    finite = draws[np.isfinite(draws)]
    if not len(finite) or n_groups < 2:
        return float("-inf"), float("inf")
    tail = NormalDist().cdf(-math.sqrt(n_groups / (n_groups - 1)) * student(confidence, n_groups - 1))
    low, high = np.quantile(finite, [tail, 1 - tail])
    return min(float(low), estimate), max(float(high), estimate)


def student(level: float, freedom: int) -> float:
    """Quantile of Student's t by the Cornish-Fisher expansion; off by less than 0.02 from four degrees of freedom on.

    Args:
        level: probability below the quantile, 0.5..1.
        freedom: degrees of freedom.
    """
    z = NormalDist().inv_cdf(level)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / float(freedom) ** power for power, term in enumerate(terms))


def _doubtful_labels(provenance: Provenance | None) -> str | None:
    """What the label screen said where it called the newest round suspicious."""
    screen = None if provenance is None else provenance.details.get("screen")
    if not isinstance(screen, Mapping) or screen.get("suspicious") is not True:
        return None
    return str(screen.get("words", ""))


def contents_of(answers: Sequence[Answer], margins: Margins) -> Contents:
    """What a locked set holds, as far as the fewest-each rule counts it."""
    known = [one.positive for one in answers if one.positive is not None]
    by_class = Counter(one.label for one in answers if one.label is not None)
    enough = sum(n >= margins.fewest_each for n in by_class.values())
    return Contents(
        positives=sum(known) if known else None,
        negatives=len(known) - sum(known) if known else None,
        by_class=dict(by_class),
        types_tell=enough >= FEWEST_CLASSES,
        amounts=sum(one.target is not None for one in answers) or None,
    )


def _in_order(current: Scored, candidate: Scored) -> Scored:
    by_id = {one.id: one for one in candidate.answers}
    same = len(by_id) == len(candidate.answers) == len(current.answers)
    if not same or any(one.id not in by_id for one in current.answers):
        raise InputError(
            "The two models did not answer the same items.", remedy="Score both on one locked set, each item once."
        )
    ordered = tuple(by_id[one.id] for one in current.answers)
    for first, second in zip(current.answers, ordered, strict=True):
        if _truth(first) != _truth(second):
            raise InputError("The two models were scored against different truths.", remedy="Score both anew.")
    return Scored(
        model_id=candidate.model_id,
        answers=ordered,
        thresholds=candidate.thresholds,
        data_sha256=candidate.data_sha256,
        data_name=candidate.data_name,
    )


def _truth(one: Answer) -> tuple[object, ...]:
    return one.positive, one.label, one.target, {name: truth for name, (truth, _) in one.further.items()}


def _standing(estimate: float, low: float, margin: float | None) -> Standing:
    if margin is None:
        return Standing.SHOWN_ONLY
    if low > -margin:
        return Standing.HELD
    return Standing.NOT_SHOWN if estimate >= -margin else Standing.FELL


def _subgroups(answers: Sequence[Answer], pair: _Pair, margins: Margins) -> Iterator[SubgroupResult]:
    for column in sorted({name for one in answers for name in one.subgroups}):
        values = {one.subgroups[column] for one in answers if column in one.subgroups}
        for value in sorted(values) if len(values) > 1 else ():  # one value alone is the set itself
            member = np.array([one.subgroups.get(column) == value for one in answers])
            inside = [one for one, here in zip(answers, member, strict=True) if here]
            truths = [one.positive for one in inside if one.positive is not None]
            positives = sum(truths)
            n_groups = len({one.group for one in inside})
            enough = min(positives, len(truths) - positives) >= margins.subgroup_each if truths else True
            judged = len(inside) >= margins.subgroup_items and enough and n_groups >= margins.fewest_groups
            found = tuple(pair.differences(member[None, :].astype(np.float64), judged=False))
            yield SubgroupResult(
                column=column,
                value=value,
                n=len(inside),
                n_positive=positives if truths else None,
                judged=judged,
                differences=found,
                harmed=tuple(one.metric for one in found if _harmed(one, margins)) if judged else (),
            )


def _harmed(one: Difference, margins: Margins) -> bool:
    """An estimate beyond the subgroup's margin, and an interval that leaves no doubt of the direction."""
    margin = margins.by_metric.get(one.metric)
    if margin is None:
        return False
    loss = LOSSES_IN_OWN_UNIT * margin if one.metric in IN_OWN_UNIT else max(margins.subgroup_loss, margin)
    return one.gain < -loss and one.high < 0


def _shared(answers: Sequence[Answer], provenance: Provenance | None, kind: str) -> int | None:
    """Items that the candidate learned from; None where that is not known: of tables only whole files are compared."""
    if provenance is None:
        return None
    found = sum(not provenance.digests.isdisjoint(one.digests) for one in answers)
    return None if not found and kind in TABLES else found
