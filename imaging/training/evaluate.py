"""A folder of labelled radiographs to a table of metrics, through the application's own reader and engine."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from imaging.engine import FractureEngine
from imaging.errors import ImagingError
from imaging.preprocess import WORKING_SIDE_PX
from imaging.reader import read_radiograph
from imaging.runtime import RuntimeName
from imaging.training.datasets import Collection, LabelledRadiograph, read_collection
from imaging.training.metrics import ImageRecord, Interval, Thresholds, measure

Report = Callable[[str], None]


def run(
    data: Path,
    split: str = "all",
    *,
    model: Path | None = None,
    runtime: RuntimeName | str = RuntimeName.AUTO,
    rounds: int = 1000,
    report: Report = lambda _: None,
    track: Callable[[Iterable[LabelledRadiograph]], Iterable[LabelledRadiograph]] = lambda samples: samples,
) -> dict[str, Any]:
    """Measure a detector on a data set in one of the documented layouts.

    Args:
        data: the data set's folder.
        split: ``all``, or a split of the data set's own list.
        model: folder of weights and manifest; the shipped one by default.
        runtime: what runs the network.
        rounds: bootstrap resamples, by image.
        report: receives one line per image or label that could not be used.
        track: wraps the samples, for a progress bar.

    Returns:
        ``{"dataset", "split", "n", "metrics": {name: {"value", "low", "high"}}, ...}``; metrics that the data cannot
        give are left out.

    Raises:
        TrainingDataError: the data set cannot be read.
        ModelFilesError: the weights cannot be used.
    """
    collection = read_collection(data, split)
    for problem in collection.problems:
        report(problem)
    engine = FractureEngine.load(model, runtime=runtime)
    records, refused = records_of(collection, engine, report=report, track=track)
    manifest = engine.manifest
    thresholds = Thresholds(
        high_sensitivity=manifest.high_sensitivity.threshold, high_specificity=manifest.high_specificity.threshold
    )
    return {
        "dataset": collection.name,
        "split": split,
        "n": len(records),
        "n_fractured": sum(record.fractured for record in records),
        "n_boxes": sum(len(record.truth) for record in records),
        "n_refused": refused,
        "model": engine.model_id,
        "runtime": engine.runtime.name,
        "thresholds": {
            "high_sensitivity": thresholds.high_sensitivity,
            "high_specificity": thresholds.high_specificity,
        },
        "interval": f"95 % percentile bootstrap over images, {rounds} resamples",
        "data_sha256": collection.digest(),
        "problems": list(collection.problems),
        "metrics": as_table(measure(records, thresholds, rounds=rounds)),
    }


def as_table(metrics: dict[str, Interval]) -> dict[str, dict[str, float]]:
    """Plain numbers, rounded to four places."""
    return {
        name: {"value": round(one.value, 4), "low": round(one.low, 4), "high": round(one.high, 4)}
        for name, one in metrics.items()
    }


def records_of(
    collection: Collection,
    engine: FractureEngine,
    *,
    report: Report = lambda _: None,
    track: Callable[[Iterable[LabelledRadiograph]], Iterable[LabelledRadiograph]] = lambda samples: samples,
) -> tuple[list[ImageRecord], int]:
    """What the engine finds in each radiograph, and how many radiographs it refused.

    A refused radiograph stays in the set as one in which nothing was found: leaving it out would flatter the engine.
    """
    records: list[ImageRecord] = []
    refused = 0
    for sample in track(collection.samples):
        try:
            pixels = read_radiograph(sample.path).pixels
        except ImagingError as error:
            report(f"{sample.image_id}: refused, {error}")
            refused += 1
            side = float(WORKING_SIDE_PX)
            shape, found = (side, side), np.zeros((0, 6))
        else:
            shape, found = (float(pixels.shape[0]), float(pixels.shape[1])), engine.detect(pixels).numpy().astype(float)
        scale = np.array([shape[1], shape[0], shape[1], shape[0]])
        records.append(
            ImageRecord(
                image_id=sample.image_id,
                fractured=sample.fractured,
                boxes_known=sample.boxes_known,
                truth=np.array(sample.boxes, dtype=float).reshape(-1, 4) * scale,
                boxes=found[:, :4],
                scores=found[:, 4],
            )
        )
    return records, refused


def sentence(result: dict[str, Any]) -> str:
    """The figures of `run` in one sentence, for a manifest and a report."""
    parts = []
    for name, words in (
        ("map50", "mAP50"),
        ("image_auc", "image-level AUC"),
        ("sensitivity_high_sensitivity", "sensitivity at the high-sensitivity point"),
        ("specificity_high_specificity", "specificity at the high-specificity point"),
    ):
        metric = result["metrics"].get(name)
        if metric is not None and math.isfinite(metric["value"]):
            parts.append(f"{words} {metric['value']:.2f} ({metric['low']:.2f} to {metric['high']:.2f})")
    return (
        f"Measured on {result['n']} radiographs of {result['dataset']} ({result['split']}, {result['n_fractured']} "
        f"fractured): {', '.join(parts)}; 95 % bootstrap intervals by image."
    )
