"""From labelled radiographs to ``attributes.safetensors`` and ``attributes.json``: one command fits every head."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from imaging.attributes.manifest import ATTRIBUTES_NAME, PatternNetworkEntry
from imaging.attributes.model import DISPLACED, FRACTURE, HARDWARE, LIMB, PATTERN, VIEW
from imaging.attributes.pooling import PATTERN_STATISTICS_ID, STATISTICS_ID
from imaging.engine import FractureEngine
from imaging.labels import LimbGroup, View
from imaging.manifest import MANIFEST_NAME, read_manifest
from imaging.runtime import RuntimeName
from imaging.training.attributes_data import (
    FRACATLAS,
    HIP,
    LICENCES,
    TYPES,
    AttributeSample,
    collection_folders,
    digest,
    read_fracatlas,
    read_samples,
    without_outside_scope,
)
from imaging.training.attributes_features import FeatureTable, Report, Track, extract, extract_for_patterns
from imaging.training.attributes_heads import (
    FittedHead,
    HeadSettings,
    check_patterns,
    fit_flag,
    fit_fracture,
    fit_patterns,
    macro,
    stack,
)
from imaging.training.errors import TrainingDataError
from imaging.training.pattern_network import NETWORK_NAME, NETWORKS, place_network
from imaging.training.settings import OneOf, read_settings
from imaging.training.splits import read_list, with_rest
from imaging.yolov7.checkpoint import save_weights

WEIGHTS_NAME = "attributes.safetensors"
NAME = "attribute-heads"
VERSION = "0.2.0"

LIMITS = (
    "The pattern labels come from web collections, are noisy and rest on 52 to 118 images a class; every transverse "
    "fracture comes from one collection, so its figure also tells collections apart: see within_source.",
    "Arrows, text and white borders of web images are not masked; they may carry part of the pattern's figures.",
    "The pattern follows region, projection and picture more than the fracture line: read in the same way, copies of "
    "48 px, which show no line, reach a macro AUC of .77, and heads fitted without a collection rank its patterns no "
    "better than chance: see across_sources. Where that is so, no pattern is named.",
    "The pattern is read from the whole radiograph and holds for all its boxes alike.",
    "In the hip collection radiographs with and without fracture were exported differently, which flatters its figure.",
    "The detector's own training images are among those of FracAtlas; limb, view and hardware were no part of it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeConfig:
    """All that decides the fit, but data and detector."""

    split: str = "train"
    """Part of FracAtlas' split list that the heads learn from; the rest is measured, never learnt."""
    pattern_network: Annotated[str, OneOf(NETWORKS)] = "shipped"
    """What the pattern head reads, a word of `NETWORKS`."""
    heads: HeadSettings = dataclasses.field(default_factory=HeadSettings)

    @classmethod
    def read(cls, path: Path) -> "AttributeConfig":
        """A YAML mapping of ``split``, ``pattern_network`` and the fields of `HeadSettings`.

        Raises:
            TrainingDataError: no YAML, an unknown setting, or a value that it cannot have.
        """
        return read_settings(path, cls)


def run(
    data: Path,
    out: Path,
    *,
    model: Path | None = None,
    config: AttributeConfig | None = None,
    cache: Path | None = None,
    runtime: RuntimeName | str = RuntimeName.AUTO,
    report: Report = print,
    track: Track = lambda samples: samples,
) -> Path:
    """Fit the attribute heads on the features of a detector.

    Args:
        data: folder that holds ``fracatlas``, ``hip`` and ``fracture_types``, or one of these; what is missing is left
            out and said so.
        out: folder for ``attributes.safetensors`` and ``attributes.json``; a failed fit adds nothing to it.
        model: the detector's folder; the shipped one by default.
        config: settings; the defaults are those of the shipped heads.
        cache: folder to keep features in for the next fit; none by default.
        runtime: what runs the network.
        report: receives one line per stage and per image left out.
        track: wraps the samples, for a progress bar.

    Raises:
        TrainingDataError: nothing to learn from, or `out` is the folder of another detector.
        ModelFilesError: the detector cannot be used.
    """
    config = config or AttributeConfig()
    engine = FractureEngine.load(model, runtime=runtime, boxes_only=True)
    if (out / MANIFEST_NAME).is_file() and read_manifest(out).digest != engine.manifest.digest:
        raise TrainingDataError(
            f"{out.name!r} is the folder of another detector, which could not be used with these heads beside it",
            "give the same folder as --model and as --out",
        )
    samples = read_samples(data, config.split, report)
    outside_scope = without_outside_scope(samples, report)
    if TYPES in samples:
        check_patterns(samples[TYPES], config.heads.folds)
    with _nothing_added(out):
        network = place_network(config.pattern_network, engine.manifest, out) if TYPES in samples else None
        tables = {
            name: extract(some, engine, cache=cache, report=report, track=track)
            if name != TYPES
            else extract_for_patterns(some, engine, network, cache=cache, report=report, track=track)
            for name, some in samples.items()
        }
        mirrored = (
            None
            if network is None
            else extract_for_patterns(samples[TYPES], engine, network, mirrored=True, cache=cache, track=track)
        )
        outside = _outside(data, config.split, samples, engine, cache, report)
        return fit(
            tables,
            out,
            engine=engine,
            config=config,
            network=network,
            mirrored=mirrored,
            outside=outside,
            outside_scope=outside_scope,
            report=report,
        )


@contextmanager
def _nothing_added(out: Path) -> Iterator[None]:
    """Take the pattern network, and the folder, away again when the fit that wanted them fails."""
    network = out / NETWORK_NAME
    there, folder_there = network.is_file(), out.is_dir()
    try:
        yield
    except BaseException:
        if not there:
            network.unlink(missing_ok=True)
        if not folder_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise


def _outside(
    data: Path,
    split: str,
    samples: Mapping[str, list[AttributeSample]],
    engine: FractureEngine,
    cache: Path | None,
    report: Report,
) -> FeatureTable | None:
    """FracAtlas' images outside the split, to measure on; None when there are none."""
    if split == "all" or FRACATLAS not in samples:
        return None
    learnt = {sample.image_id for sample in samples[FRACATLAS]}
    rest = [one for one in read_fracatlas(collection_folders(data)[FRACATLAS], "all") if one.image_id not in learnt]
    return extract(rest, engine, cache=cache, report=report) if rest else None


def fit(
    tables: Mapping[str, FeatureTable],
    out: Path,
    *,
    engine: FractureEngine,
    config: AttributeConfig,
    network: PatternNetworkEntry | None = None,
    mirrored: FeatureTable | None = None,
    outside: FeatureTable | None = None,
    outside_scope: Sequence[str] = (),
    report: Report = print,
) -> Path:
    """Every head that the tables can teach, written to `out`.

    Args:
        tables: features by collection.
        out: folder for the weights and ``attributes.json``.
        engine: the detector that the features are from.
        config: settings.
        network: what the features of the types are from; None for the detector.
        mirrored: those of the same radiographs mirrored.
        outside: radiographs that no head learns from, to measure the fracture head on.
        outside_scope: SHA-256 of pictures of the collections that were left out as no limb radiographs.
        report: receives a line per head.

    Raises:
        TrainingDataError: no head at all could be fitted.
    """
    settings = config.heads
    heads: dict[str, FittedHead] = {}
    answers: dict[str, list[str]] = {"pattern": [], "limb": [], "view": []}
    if TYPES in tables:
        patterns, heads[PATTERN] = fit_patterns(tables[TYPES], settings, mirrored=mirrored)
        answers["pattern"] = [pattern.value for pattern in patterns]
        _keep(heads, DISPLACED, fit_flag(tables[TYPES], _labels(tables[TYPES], lambda one: one.displaced), settings))
    flagged = _joined([table for name, table in tables.items() if name != TYPES])
    if flagged is not None:
        _fit_flags(flagged, settings, heads, answers)
        _keep(heads, FRACTURE, fit_fracture(flagged, unseen_by(engine, flagged), settings, outside=outside))
        if FRACTURE in heads and HIP in tables:
            alone = fit_fracture(tables[HIP], unseen_by(engine, tables[HIP]), settings)
            if alone is not None:
                heads[FRACTURE].metrics["hip_fitted_alone"] = alone.metrics[HIP]
    if not heads:
        raise TrainingDataError("no attribute could be learnt", "check that the label tables hold labels of both kinds")
    for name in (PATTERN, DISPLACED, LIMB, VIEW, HARDWARE, FRACTURE):
        report(_line(name, heads.get(name)))
    state = {key: tensor for name, one in heads.items() for key, tensor in one.head.state(name).items()}
    out.mkdir(parents=True, exist_ok=True)
    sha256 = save_weights(out / WEIGHTS_NAME, state, {"pooling": STATISTICS_ID})
    document = (
        _document(tables, heads, answers, engine, config, sha256)
        | _network_entry(out, network)
        | {"outside_scope": list(outside_scope)}
    )
    partial = out / f"{ATTRIBUTES_NAME}.partial"
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(out / ATTRIBUTES_NAME)
    return out


def _fit_flags(
    table: FeatureTable, settings: HeadSettings, heads: dict[str, FittedHead], answers: dict[str, list[str]]
) -> None:
    """Limb, view and hardware, each from the images that carry its label; figures from FracAtlas alone."""

    def limb(group: LimbGroup) -> Callable[[AttributeSample], bool | None]:
        return lambda one: None if one.limbs is None else one.limbs.get(group)

    def view(direction: View) -> Callable[[AttributeSample], bool | None]:
        return lambda one: None if one.views is None else one.views.get(direction)

    wanted: dict[str, dict[str, Callable[[AttributeSample], bool | None]]] = {
        LIMB: {group.value: limb(group) for group in LimbGroup},
        VIEW: {direction.value: view(direction) for direction in View},
    }
    for name, answer in wanted.items():
        fitted = {
            word: one
            for word, label in answer.items()
            if (one := fit_flag(table, _labels(table, label), settings, measured_in=FRACATLAS)) is not None
        }
        if fitted:
            answers[name] = list(fitted)
            figures = {word: one.metrics for word, one in fitted.items()}
            heads[name] = FittedHead(
                head=stack([one.head for one in fitted.values()]),
                metrics={"macro_auc": {"value": macro(figures)}, "per_answer": figures},
            )
    _keep(heads, HARDWARE, fit_flag(table, _labels(table, lambda one: one.hardware), settings, measured_in=FRACATLAS))


def _keep(heads: dict[str, FittedHead], name: str, head: FittedHead | None) -> None:
    if head is not None:
        heads[name] = head


def _labels(table: FeatureTable, label: Callable[[AttributeSample], bool | None]) -> list[bool | None]:
    return [label(sample) for sample in table.samples]


def _joined(tables: list[FeatureTable]) -> FeatureTable | None:
    if not tables:
        return None
    return FeatureTable(
        samples=tuple(sample for table in tables for sample in table.samples),
        vectors=np.concatenate([table.vectors for table in tables]),
        max_scores=np.concatenate([table.max_scores for table in tables]),
    )


def unseen_by(engine: FractureEngine, table: FeatureTable) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """[n]: whether the detector was not trained on a radiograph, as its manifest tells.

    Of FracAtlas that is the development fold only or, when the detector was trained by a split list, all that it did
    not learn from; a collection that the manifest names as extra data is seen. A pair has seen what either has.

    Raises:
        TrainingDataError: the split list that the manifest names cannot be read.
    """
    records = [engine.manifest.document.get(name, {}) for name in ("training", "companion_training")]
    settings = records[0].get("config", {})
    extra = {
        Path(str(one)).name
        for record in records
        for name in ("extra_data", "self_labelled")
        for one in record.get("config", {}).get(name) or ()
    }
    held_out = _held_out(settings, [sample for sample in table.samples if sample.collection == FRACATLAS])
    return np.array(
        [
            sample.image_id in held_out if sample.collection == FRACATLAS else sample.collection not in extra
            for sample in table.samples
        ],
        dtype=bool,
    )


def _held_out(settings: Mapping[str, Any], samples: Sequence[AttributeSample]) -> set[str]:
    """Which of the radiographs a detector trained with these settings did not learn from."""
    if settings.get("split_list"):
        split = str(settings["split"])
        listed = read_list(Path(str(settings["split_list"])))
        assignment = with_rest(listed, split, str(settings["development_split"]))
        return {sample.image_id for sample in samples if assignment.get(sample.image_id) != split}
    folds, fold = int(settings.get("folds", 10)), int(settings.get("development_fold", 7))
    blocks = sorted({sample.group for sample in samples})
    development = {block for rank, block in enumerate(blocks) if rank % folds == fold}
    return {sample.image_id for sample in samples if sample.group in development}


def _document(
    tables: Mapping[str, FeatureTable],
    heads: Mapping[str, FittedHead],
    answers: Mapping[str, list[str]],
    engine: FractureEngine,
    config: AttributeConfig,
    sha256: str,
) -> dict[str, Any]:
    threshold = heads[PATTERN].undetermined_below if PATTERN in heads else 1.01
    learnt = [sample.sha256() for sample in tables[TYPES].samples] if TYPES in tables else []
    return {
        "schema": "fracture-cds.attributes/1",
        "name": NAME,
        "version": VERSION,
        "weights": WEIGHTS_NAME,
        "sha256": sha256,
        "detector": engine.model_id,
        "detector_sha256": engine.manifest.digest,
        "pooling": STATISTICS_ID,
        "answers": dict(answers),
        "undetermined_below": round(threshold, 4),
        "created": datetime.now(UTC).date().isoformat(),
        "command": "cds train fracture-type --data DATA --model OUT --out OUT",
        "runtime": engine.runtime.name,
        "settings": {
            "split": config.split,
            "pattern_network": config.pattern_network,
            **dataclasses.asdict(config.heads),
        },
        "data": {
            name: {
                "n": len(table),
                "refused": list(table.refused),
                "sha256": digest(table.samples),
                "licence": LICENCES[name],
            }
            for name, table in tables.items()
        },
        "left_out": [name for name in (FRACATLAS, HIP, TYPES) if name not in tables],
        "cross_validation": {
            "folds": config.heads.folds,
            "grouping": "fracture_types by group, fracatlas by id block, hip by look-alike names",
            "interval": f"95 % percentile bootstrap by image, {config.heads.rounds} resamples",
            **{name: head.metrics for name, head in heads.items()},
        },
        "limits": list(LIMITS),
        "training_images": sorted(learnt),
    }


def _network_entry(out: Path, network: PatternNetworkEntry | None) -> dict[str, Any]:
    if network is None:
        return {}
    return {
        "pattern_network": {
            "weights": os.path.relpath(network.weights, out),
            "sha256": network.sha256,
            "sides": dict(network.sides),
            "pooling": PATTERN_STATISTICS_ID,
            "training": "ImageNet weights of EfficientNet-Lite (Apache-2.0), unchanged but for folded batch norms",
        }
    }


def _line(name: str, head: FittedHead | None) -> str:
    if head is None:
        return f"{name}: not fitted: too few labels, or no better than chance"
    figures = {
        key: one["value"]
        for key, one in head.metrics.items()
        if isinstance(one, dict) and isinstance(one.get("value"), float)
    }
    return f"{name}: cross-validated {figures or json.dumps(head.metrics)}"
