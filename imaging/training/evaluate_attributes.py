"""Radiographs with a known fracture pattern to a table of figures, through the application's own reader and engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imaging.attributes.model import AttributeModel
from imaging.engine import FractureEngine
from imaging.errors import ModelFilesError
from imaging.results import PatternEstimate
from imaging.runtime import RuntimeName
from imaging.training.attributes_data import AttributeSample, digest, read_types
from imaging.training.attributes_features import Report, Track, extract_for_patterns
from imaging.training.attributes_metrics import interval, pattern_metrics
from imaging.training.metrics import area_under_curve

_ANY_BOX = torch.zeros(1, 4)


def run(
    data: Path,
    *,
    model: Path | None = None,
    runtime: RuntimeName | str = RuntimeName.AUTO,
    rounds: int = 1000,
    cache: Path | None = None,
    report: Report = lambda _: None,
    track: Track = lambda samples: samples,
) -> dict[str, Any]:
    """Measure the pattern head on ``images.csv`` (image, type; where recorded displaced, source, group).

    Radiographs without a fracture, those whose pattern the head does not know, and pictures that the fit left out as no
    limb radiographs are left out and counted. A radiograph that the application refuses counts as not answered and
    wrong.

    Args:
        data: the data set's folder.
        model: folder of the detector and its attribute heads; the shipped one by default.
        runtime: what runs the network.
        rounds: bootstrap resamples, by image.
        cache: folder to keep features in.
        report: receives one line per image that could not be used.
        track: wraps the samples, for a progress bar.

    Returns:
        ``{"dataset", "n", "trained_on", "metrics": {"macro_auc", "macro_f1", "accuracy", "coverage", ...}, ...}``.
        ``trained_on`` counts images that the head was fitted on. ``metrics`` never rests on these: it holds the figures
        of the others or, where there are none, those of the fit's own cross-validation; ``metrics_from`` says which,
        and ``resubstitution`` holds the figures on all, which flatter.

    Raises:
        TrainingDataError: the data set cannot be read.
        ModelFilesError: there are no attribute heads, no pattern head, or they cannot be used.
    """
    engine = FractureEngine.load(model, runtime=runtime, boxes_only=True)
    heads = AttributeModel.of(engine.manifest)
    if heads is None or not heads.manifest.patterns:
        raise ModelFilesError(
            "This model folder has no head for fracture patterns.", remedy="Fit one with `cds train fracture-type`."
        )
    told = read_types(data, report)
    outside_scope = frozenset(heads.manifest.document.get("outside_scope", ()))
    read = [sample for sample in told if sample.sha256() not in outside_scope]
    known = [sample for sample in read if sample.pattern in heads.manifest.patterns]
    table = extract_for_patterns(known, engine, heads, cache=cache, report=report, track=track)
    estimates = dict(
        zip(
            (sample.image_id for sample in table.samples),
            (heads.patterns(torch.from_numpy(vector), _ANY_BOX)[0] for vector in table.vectors),
            strict=True,
        )
    )
    learnt = [sample.sha256() in heads.manifest.training_images for sample in known]
    unseen = [sample for sample, one in zip(known, learnt, strict=True) if not one]
    result: dict[str, Any] = {
        "dataset": data.resolve().name,
        "n": len(known),
        "n_unknown_pattern": len(read) - len(known),
        "n_refused": len(table.refused),
        "n_outside_scope": len(told) - len(read),
        "model": heads.manifest.model_id,
        "detector": engine.model_id,
        "runtime": engine.runtime.name,
        "undetermined_below": heads.manifest.undetermined_below,
        "interval": f"95 % percentile bootstrap over images, {rounds} resamples",
        "data_sha256": digest(known),
        "trained_on": sum(learnt),
        "metrics_from": "these images",
        "metrics": _figures(heads, unseen, estimates, rounds) if unseen else {},
    }
    if any(learnt):
        result |= _of_known_images(heads, sum(learnt), _figures(heads, known, estimates, rounds))
        if unseen:
            result["metrics_from"] = f"the {len(unseen)} images that the head was not fitted on"
        else:
            result |= {"metrics_from": "cross-validation of the fit", "metrics": _cross_validated(heads)}
        report(result["note"])
    return result


def _of_known_images(heads: AttributeModel, count: int, figures: dict[str, Any]) -> dict[str, Any]:
    words = (
        f"{count} of {figures['n']} images are those the head was fitted on: the figures under resubstitution flatter "
        "it; metrics does not rest on these images, see metrics_from"
    )
    known = heads.manifest.document.get("cross_validation", {}).get("pattern")
    return {"note": words, "resubstitution": figures, "cross_validation": known}


def _cross_validated(heads: AttributeModel) -> dict[str, Any]:
    """The fit's own figures; of a head that names nothing, with the coverage that this has."""
    figures = dict(heads.manifest.document.get("cross_validation", {}).get("pattern") or {})
    if heads.manifest.undetermined_below > 1.0 and figures:
        figures.pop("accuracy_answered", None)
        figures |= {"n_answered": 0, "coverage": {"value": 0.0, "low": 0.0, "high": 0.0}}
    return figures


def _figures(
    heads: AttributeModel,
    samples: Sequence[AttributeSample],
    estimates: dict[str, PatternEstimate],
    rounds: int,
) -> dict[str, Any]:
    patterns = heads.manifest.patterns
    labels = np.array([patterns.index(sample.pattern) for sample in samples if sample.pattern is not None])
    probabilities = np.full((len(samples), len(patterns)), 1 / len(patterns))
    answered = np.zeros(len(samples), dtype=bool)
    for row, sample in enumerate(samples):
        estimate = estimates.get(sample.image_id)
        if estimate is None:
            # A refused image gets no credit: the true pattern is ranked last.
            probabilities[row, labels[row]] = 0.0
            continue
        ranked = dict(estimate.probabilities)
        probabilities[row] = [ranked[pattern] for pattern in patterns]
        answered[row] = estimate.pattern in patterns
    figures = pattern_metrics(patterns, labels, probabilities, answered, rounds)
    displaced = [
        (sample.displaced, estimate.displaced_probability)
        for sample in samples
        if sample.displaced is not None
        and (estimate := estimates.get(sample.image_id)) is not None
        and estimate.displaced_probability is not None
    ]
    if displaced:
        truth = np.array([bool(one) for one, _ in displaced])
        if truth.any() and not truth.all():
            scores = np.array([float(score or 0.0) for _, score in displaced])
            figures["displaced_auc"] = interval(truth, scores, area_under_curve, rounds)
            figures["n_displaced_known"] = len(displaced)
    return figures
