"""A folder of labelled radiographs to a table of metrics, through the application's own reader and engine."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.calibration import ScoreCalibration
from imaging.engine import FractureEngine
from imaging.errors import ImagingError
from imaging.preprocess import WORKING_SIDE_PX
from imaging.reader import read_radiograph
from imaging.results import FractureCall
from imaging.runtime import RuntimeName
from imaging.training.datasets import Collection, LabelledRadiograph, read_collection
from imaging.training.gallery.details import Details
from imaging.training.metrics import ImageRecord, Interval, Thresholds, measure
from imaging.training.splits import part_of, read_list

Report = Callable[[str], None]
Track = Callable[[Iterable[LabelledRadiograph]], Iterable[LabelledRadiograph]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured, and all that a report on it needs."""

    result: dict[str, Any]
    """The table that `run` returns."""
    records: tuple[ImageRecord, ...]
    collection: Collection
    thresholds: Thresholds


def run(
    data: Path,
    split: str = "all",
    *,
    model: Path | None = None,
    runtime: RuntimeName | str = RuntimeName.AUTO,
    rounds: int = 1000,
    split_list: Path | None = None,
    report_folder: Path | None = None,
    gallery: int = 24,
    report: Report = lambda _: None,
    track: Track = lambda samples: samples,
) -> dict[str, Any]:
    """Measure a detector on a data set in one of the documented layouts.

    Args:
        data: the data set's folder.
        split: ``all``, or a split of the data set's own list, or of `split_list`.
        model: folder of weights and manifest; the shipped one by default.
        runtime: what runs the network.
        rounds: bootstrap resamples, by image.
        split_list: CSV file of ``cds data split`` to take the split from.
        report_folder: where to write the evaluation folder with its page; None writes none.
        gallery: images in each gallery of that page.
        report: receives one line per image or label that could not be used.
        track: wraps the samples, for a progress bar.

    Returns:
        ``{"dataset", "split", "n", "metrics": {name: {"value", "low", "high"}}, "subgroups", "confusion", "froc",
        "calibration_groups", ...}``; metrics that the data cannot give are left out. Boxes and probabilities are the
        detector's on every radiograph that was read; ``cannot_judge`` is the share that the engine would not call,
        which is the share wrongly refused where all are limbs, and metrics in ``_judged`` are those of the others.

    Raises:
        TrainingDataError: the data set cannot be read.
        ModelFilesError: the weights cannot be used.
    """
    if split_list is None or split == "all":
        collection = read_collection(data, split)
    else:
        collection = part_of(read_collection(data), read_list(split_list), split)
    for problem in collection.problems:
        report(problem)
    evaluation = assess(collection, split, model=model, runtime=runtime, rounds=rounds, report=report, track=track)
    evaluation.result.update(Details.of(evaluation.records, evaluation.thresholds, data).as_entry())
    if report_folder is not None:
        from imaging.training.gallery.folder import write_evaluation  # matplotlib loads only when it is needed

        report(f"evaluation written: {write_evaluation(evaluation, report_folder, root=data, gallery=gallery)}")
    return evaluation.result


def assess(
    collection: Collection,
    split: str,
    *,
    model: Path | None = None,
    runtime: RuntimeName | str = RuntimeName.AUTO,
    rounds: int = 1000,
    report: Report = lambda _: None,
    track: Track = lambda samples: samples,
) -> Evaluation:
    """Measure a detector on radiographs that are read already; the arguments are those of `run`."""
    engine = FractureEngine.load(model, runtime=runtime)
    records, refused = records_of(collection, engine, report=report, track=track)
    manifest = engine.manifest
    thresholds = Thresholds(
        high_sensitivity=manifest.high_sensitivity.threshold, high_specificity=manifest.high_specificity.threshold
    )
    result = {
        "dataset": collection.name,
        "split": split,
        "n": len(records),
        "n_fractured": sum(record.fractured for record in records),
        "n_boxes": sum(len(record.truth) for record in records),
        "n_refused": refused,
        "n_cannot_judge": sum(not record.judged for record in records) - refused,
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
    return Evaluation(result=result, records=tuple(records), collection=collection, thresholds=thresholds)


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
    track: Track = lambda samples: samples,
) -> tuple[list[ImageRecord], int]:
    """What the engine finds in each radiograph, and how many radiographs it refused.

    A refused radiograph stays in the set as one in which nothing was found: leaving it out would flatter the engine.
    One that was read and that the engine would not judge keeps its boxes and its probability, since they are the
    detector's, and is marked.
    """
    calibration = ScoreCalibration.from_manifest(engine.manifest.document)
    records: list[ImageRecord] = []
    refused = 0
    for sample in track(collection.samples):
        try:
            radiograph = read_radiograph(sample.path)
        except ImagingError as error:
            report(f"{sample.image_id}: refused, {error}")
            refused += 1
            side = float(WORKING_SIDE_PX)
            shape, found, read, judged = (side, side), np.zeros((0, 6)), False, False
        else:
            height, width = radiograph.pixels.shape
            boxes, call = engine.call(radiograph)
            read, judged = True, call is not FractureCall.CANNOT_JUDGE
            shape, found = (float(height), float(width)), boxes.numpy().astype(float)
        scale = np.array([shape[1], shape[0], shape[1], shape[0]])
        records.append(
            ImageRecord(
                image_id=sample.image_id,
                fractured=sample.fractured,
                boxes_known=sample.boxes_known,
                truth=np.array(sample.boxes, dtype=float).reshape(-1, 4) * scale,
                boxes=found[:, :4],
                scores=found[:, 4],
                probability=_probability(calibration, found) if read else None,
                judged=judged,
            )
        )
    return records, refused


def _probability(calibration: ScoreCalibration | None, found: NDArray[np.float64]) -> float | None:
    if calibration is None:
        return None
    return calibration.probability(float(found[0, 4]) if len(found) else 0.0).value


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
