"""Each attribute head with its cross-validated figures."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from imaging.attributes.heads import AffineHead
from imaging.calibration import log_odds
from imaging.labels import FracturePattern
from imaging.training.attributes_data import AttributeSample
from imaging.training.attributes_features import FeatureTable
from imaging.training.attributes_fit import (
    Floats,
    Ints,
    Line,
    Standard,
    answering_threshold,
    balanced,
    binary_line,
    final_head,
    folds_of,
    held_out_scores,
    one_hot,
    sigmoid,
    softmax,
    softmax_line,
)
from imaging.training.attributes_metrics import interval, measured, pattern_metrics
from imaging.training.errors import TrainingDataError
from imaging.training.metrics import area_under_curve
from imaging.training.settings import Count, Folds, Positive, Range, Seed, Share, Whole

Bools = NDArray[np.bool_]

CHANCE = 0.5
"""AUC of an answer that knows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """What decides a fit, but the data. The penalties were chosen once by cross-validation on the shipped data."""

    folds: Folds = 5
    pattern_penalty: Positive = 2.0
    """For each view of an image that is learnt from."""
    flag_penalty: Positive = 1.0
    fracture_penalty: Positive = 1.0
    wanted_accuracy: Share = 0.6
    """Of the patterns that are named, at least this share is right on held-out images."""
    rounds: Whole = 500
    """Bootstrap resamples."""
    seed: Seed = 20261122
    fewest: Annotated[int, Range(2)] = 8
    """A flag with fewer images on either side gets no head."""
    fewest_across: Count = 5
    """A pattern with fewer images in a source is not measured there by a head fitted on the other sources."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedHead:
    """A head and what cross-validation says of it."""

    head: AffineHead
    metrics: dict[str, Any]
    held_out: Floats = field(default_factory=lambda: np.zeros(0))
    """Cross-validated probabilities of the images used."""
    undetermined_below: float = 0.0


NEVER_ANSWERS = 1.01
"""A threshold that no probability reaches."""


def _cross_calibrated(scores: Floats, folds: Ints, fit: Callable[[Bools], Line]) -> Floats:
    """Logits [n, K] of each image by a line fitted on the held-out scores of the other folds; `fit` gets their mask."""
    logits = np.zeros(scores.shape)
    for fold in np.unique(folds):
        inside = folds == fold
        logits[inside] = fit(~inside)(scores[inside])
    return logits


def check_patterns(samples: Sequence[AttributeSample], folds: int) -> None:
    """Refuse radiographs on which a pattern head cannot be cross-validated.

    Raises:
        TrainingDataError: fewer than two patterns have radiographs of as many groups as there are folds.
    """
    groups: dict[FracturePattern, set[str]] = {}
    for sample in samples:
        if sample.pattern is not None:
            groups.setdefault(sample.pattern, set()).add(sample.group)
    if sum(len(some) >= folds for some in groups.values()) >= 2:
        return
    counts = ", ".join(f"{pattern.value} {len(some)}" for pattern, some in sorted(groups.items())) or "none"
    raise TrainingDataError(
        f"too few radiographs to cross-validate fracture patterns in {folds} folds; groups of each pattern: {counts}",
        f"have at least two patterns with radiographs of {folds} groups (patients) or more each, or set folds lower "
        "(2 or more) in the settings",
    )


def fit_patterns(
    table: FeatureTable, settings: HeadSettings, *, mirrored: FeatureTable | None = None
) -> tuple[tuple[FracturePattern, ...], FittedHead]:
    """The pattern head: patterns of the data in the order of its answers, and the head.

    A pattern is named only where the promised accuracy held on folds that had no part in the threshold, and where a
    head fitted without a source was better than chance on it, for every source that can be measured so.

    Args:
        table: the images.
        settings: of the fit.
        mirrored: the same images mirrored; they are learnt from too, and not measured.

    Raises:
        TrainingDataError: too few images, see `check_patterns`.
    """
    check_patterns(table.samples, settings.folds)
    found = [sample.pattern for sample in table.samples]
    patterns = tuple(pattern for pattern in FracturePattern if pattern in found)
    labels = np.array([patterns.index(pattern) for pattern in found if pattern is not None])
    sources = np.array([sample.source for sample in table.samples])
    groups = [sample.group for sample in table.samples]
    strata: list[object] = list(zip(labels.tolist(), sources.tolist(), strict=True))
    if max(Counter(strata).values()) < settings.folds:  # many small sources: spread the patterns alone
        strata = labels.tolist()
    folds = folds_of(groups, strata, settings.folds, settings.seed)
    views = [table.vectors] if mirrored is None else [table.vectors, mirrored.vectors]
    raw, repeated = np.concatenate(views), len(views)
    targets, weights = np.tile(one_hot(labels, len(patterns)), (repeated, 1)), np.ones(len(raw))
    vectors, penalty = Standard.of(raw)(raw), settings.pattern_penalty * repeated
    scores = held_out_scores(vectors, targets, weights, np.tile(folds, repeated), penalty)[: len(labels)]
    probabilities = softmax(_cross_calibrated(scores, folds, lambda mask: softmax_line(scores[mask], labels[mask])))
    answered = np.zeros(len(labels), dtype=bool)
    for fold in np.unique(folds):
        inside = folds == fold
        threshold = answering_threshold(probabilities[~inside], labels[~inside], settings.wanted_accuracy)
        answered[inside] = probabilities[inside].max(axis=1) >= threshold
    metrics = pattern_metrics(patterns, labels, probabilities, answered, settings.rounds)
    metrics["within_source"] = {
        source: pattern_metrics(
            patterns, labels[sources == source], probabilities[sources == source], answered[sources == source], 0
        )
        for source in np.unique(sources).tolist()
    }
    metrics["across_sources"] = {}
    if len(names := np.unique(sources)) > 1:
        by_source = np.tile(np.searchsorted(names, sources), repeated)
        strange = held_out_scores(vectors, targets, weights, by_source, penalty)[: len(labels)]
        found_across = {name: _across(patterns, labels, strange, sources == name, settings) for name in names.tolist()}
        metrics["across_sources"] = {name: one for name, one in found_across.items() if one is not None}
    carried = all(one["macro_auc"].get("low", 1.0) > CHANCE for one in metrics["across_sources"].values())
    kept = metrics.get("accuracy_answered", {"value": 0.0})["value"] >= settings.wanted_accuracy
    head = final_head(raw, targets, weights, penalty, softmax_line(scores, labels))
    threshold = answering_threshold(probabilities, labels, settings.wanted_accuracy)
    return patterns, FittedHead(
        head=head,
        metrics=metrics,
        held_out=probabilities,
        undetermined_below=threshold if kept and carried else NEVER_ANSWERS,
    )


def _across(
    patterns: Sequence[FracturePattern], labels: Ints, scores: Floats, inside: Bools, settings: HeadSettings
) -> dict[str, Any] | None:
    """How well scores [n, K] of a head fitted on the other sources rank one source's images; None with too few."""
    labels_inside, scores_inside = labels[inside], scores[inside]
    counts = {k: int((labels_inside == k).sum()) for k in range(len(patterns))}
    measurable = [
        k
        for k, count in counts.items()
        if min(count, len(labels_inside) - count) >= settings.fewest_across and (labels[~inside] == k).any()
    ]
    if not measurable:
        return None

    def mean_auc(rows: Ints) -> float:
        each = [area_under_curve(labels_inside[rows] == k, scores_inside[rows, k]) for k in measurable]
        return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")

    return {
        "n": len(labels_inside),
        "macro_auc": measured(len(labels_inside), mean_auc, settings.rounds),
        "per_class": {
            patterns[k].value: {
                "n": counts[k],
                "auc": round(area_under_curve(labels_inside == k, scores_inside[:, k]), 4),
            }
            for k in measurable
        },
    }


def fit_flag(
    table: FeatureTable,
    labels: Sequence[bool | None],
    settings: HeadSettings,
    *,
    measured_in: str | None = None,
) -> FittedHead | None:
    """A yes-or-no head on the images whose label is known.

    None when there are too few images on either side, in all or outside one of the folds, or when cross-validation
    cannot tell the head from chance: an answer worth nothing is not given.

    Args:
        table: the images.
        labels: one per image, None where it is not recorded.
        settings: of the fit.
        measured_in: collection whose images alone are measured: telling collections apart is no merit.
    """
    known = np.array([label is not None for label in labels], dtype=bool)
    positive = np.array([bool(label) for label in labels], dtype=bool)[known]
    if min(positive.sum(), (~positive).sum()) < settings.fewest:
        return None
    samples = [sample for sample, one in zip(table.samples, known, strict=True) if one]
    if len({one.group for one in samples}) < 2:
        return None
    raw = table.vectors[known]
    folds = folds_of([one.group for one in samples], positive.tolist(), settings.folds, settings.seed)
    if any(len(np.unique(positive[folds != fold])) < 2 for fold in np.unique(folds)):
        return None
    targets, weights = np.where(positive, 1.0, -1.0)[:, None], balanced(positive)
    scores = held_out_scores(Standard.of(raw)(raw), targets, weights, folds, settings.flag_penalty)
    logits = _cross_calibrated(scores, folds, lambda mask: binary_line(scores[mask, 0], positive[mask]))
    counted = np.array([measured_in is None or one.collection == measured_in for one in samples])
    metrics: dict[str, Any] = {
        "n": int(counted.sum()),
        "n_positive": int(positive[counted].sum()),
        "auc": interval(positive[counted], logits[counted, 0], area_under_curve, settings.rounds),
        "log_loss": round(_log_loss(positive[counted], sigmoid(logits[counted, 0])), 4),
    }
    head = final_head(raw, targets, weights, settings.flag_penalty, binary_line(scores[:, 0], positive))
    fitted = FittedHead(head=head, metrics=metrics, held_out=sigmoid(logits[:, 0]))
    return fitted if metrics["auc"].get("low", 1.0) > CHANCE else None


def stack(heads: Sequence[AffineHead]) -> AffineHead:
    """Several one-answer heads as one with an answer each."""
    return AffineHead(weight=torch.cat([head.weight for head in heads]), bias=torch.cat([head.bias for head in heads]))


def fit_fracture(
    table: FeatureTable, unseen: Bools, settings: HeadSettings, *, outside: FeatureTable | None = None
) -> FittedHead | None:
    """Does the radiograph show a fracture: pooled features and the detector's best score in one logit.

    The features' share is learnt on all images; how much it and the score count is learnt only where the detector was
    not trained, since its scores on its own training images are over-confident. None when there are too few such images
    on either side, in all or outside one of the folds.

    Args:
        table: images whose fracture is known.
        unseen: [n], those that the detector was not trained on.
        settings: of the fit.
        outside: further images that have no part in the fit, to measure on.
    """
    positive = np.array([bool(sample.fractured) for sample in table.samples])
    collections = np.array([sample.collection for sample in table.samples])
    judged = positive[unseen]
    if min(judged.sum(), (~judged).sum()) < settings.fewest or len({sample.group for sample in table.samples}) < 2:
        return None
    strata = [f"{one}{flag}" for one, flag in zip(collections, positive, strict=True)]
    folds = folds_of([sample.group for sample in table.samples], strata, settings.folds, settings.seed)
    weights = np.zeros(len(positive))
    for collection in np.unique(collections):
        inside = collections == collection
        weights[inside] = balanced(positive[inside]) / inside.sum()
    targets = np.where(positive, 1.0, -1.0)[:, None]
    standard = Standard.of(table.vectors)
    scores = held_out_scores(standard(table.vectors), targets, weights, folds, settings.fracture_penalty)[:, 0]
    evidence = np.stack([scores, np.array([log_odds(one) for one in table.max_scores])], axis=1)
    logits = np.zeros(len(positive))
    for fold in np.unique(folds):
        others = unseen & (folds != fold)
        if len(np.unique(positive[others])) < 2:
            return None
        logits[folds == fold] = _combine(evidence[others], positive[others]).decision_function(evidence[folds == fold])
    metrics: dict[str, Any] = {}
    for collection in np.unique(collections[unseen]).tolist():
        inside = unseen & (collections == collection)
        metrics[collection] = _compared(positive[inside], logits[inside], table.max_scores[inside], settings.rounds)
    model = _combine(evidence[unseen], judged)
    slope, share, offset = (float(one) for one in (*model.coef_[0], model.intercept_[0]))
    head = final_head(
        table.vectors, targets, weights, settings.fracture_penalty, Line(slope=slope, offset=np.array([offset]))
    )
    head = AffineHead(weight=torch.cat((head.weight, torch.tensor([[share]])), dim=1), bias=head.bias)
    metrics["weights"] = {"feature_score": round(slope, 4), "detector_log_odds": round(share, 4)}
    if outside is not None and len(outside):
        odds = np.array([log_odds(one) for one in outside.max_scores], dtype=np.float32)[:, None]
        final = head(torch.from_numpy(np.concatenate((outside.vectors, odds), axis=1)))[:, 0].double().numpy()
        truth = np.array([bool(sample.fractured) for sample in outside.samples])
        metrics["outside_the_fit"] = _compared(truth, final, outside.max_scores, settings.rounds)
    return FittedHead(head=head, metrics=metrics, held_out=sigmoid(logits))


def _combine(evidence: Floats, positive: Bools) -> LogisticRegression:
    return LogisticRegression(C=10.0).fit(evidence, positive)


def _compared(positive: Bools, logits: Floats, max_scores: Floats, rounds: int) -> dict[str, Any]:
    """The logit beside the detector's score alone, on the same images and the same resamples."""
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(rounds):
        drawn = rng.integers(0, len(positive), len(positive))
        gains.append(
            area_under_curve(positive[drawn], logits[drawn]) - area_under_curve(positive[drawn], max_scores[drawn])
        )
    gain = area_under_curve(positive, logits) - area_under_curve(positive, max_scores)
    low, high = np.nanpercentile(gains, [2.5, 97.5]) if gains else (gain, gain)
    return {
        "n": len(positive),
        "n_fractured": int(positive.sum()),
        "auc": interval(positive, logits, area_under_curve, rounds),
        "auc_of_max_score": interval(positive, max_scores, area_under_curve, rounds),
        "gain": {"value": round(gain, 4), "low": round(float(low), 4), "high": round(float(high), 4)},
    }


def _log_loss(positive: Bools, probabilities: Floats) -> float:
    clipped = np.clip(np.where(positive, probabilities, 1 - probabilities), 1e-6, 1.0)
    return float(-np.log(clipped).mean())


def macro(metrics: Mapping[str, dict[str, Any]]) -> float:
    """Mean AUC of several flags."""
    return round(float(np.mean([one["auc"]["value"] for one in metrics.values()])), 4)
