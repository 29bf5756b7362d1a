"""The heads for pattern, limb, view and hardware go on learning, on the features of the current detector."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cds.learning.digests import file_digests
from cds.learning.retraining.cases import IMAGES_TABLE, Export, read_exports
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.detector import WORK_NAME, next_version
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.record import Record, SourceCount, write_record

COMMAND: Final = "cds learn retrain --kind fracture-type --feedback EXPORT --replay DATA --out CANDIDATE"
TYPE_COLUMNS: Final = ("image", "type", "displaced", "source", "group")

Report = Callable[[str], None]
Row = dict[str, str]


def retrain_fracture_type(
    feedback: Sequence[Path],
    replay: Path,
    out: Path,
    *,
    parent: Path | None = None,
    config: RetrainConfig | None = None,
    report: Report = print,
) -> Path:
    """Fit the heads anew on old and new types together; the detector stays as it is.

    The heads are small, so they learn from every old case and every new one whose type somebody stated; groups of one
    patient stay in one fold. How well they do is measured by cross-validation, as ``cds train fracture-type`` does.

    Args:
        feedback: folders of ``cds feedback export``.
        replay: folder that holds ``fracatlas``, ``hip`` and ``fracture_types``, or some of them.
        out: folder of the candidate, new or empty.
        parent: folder of the current detector; the shipped one by default.
        config: settings; the seed counts.
        report: receives one line per stage and per row that is left out.

    Returns:
        `out`: the current detector with the new heads.

    Raises:
        RetrainingError: no export states a type, or `out` is not empty.
        TrainingDataError: the old data cannot be used.
        ModelFilesError: the current model cannot be used.
    """
    from imaging.manifest import SHIPPED_WEIGHTS, read_manifest
    from imaging.training.attributes import AttributeConfig, run

    config = (config or RetrainConfig()).checked()
    if out.is_dir() and any(out.iterdir()):
        raise RetrainingError(f"the folder {out.name} is not empty", "name a new folder")
    parent = SHIPPED_WEIGHTS if parent is None else parent
    manifest = read_manifest(parent)
    exports = read_exports(feedback, report=report)
    typed = {one.name: _typed(one) for one in exports}
    if not any(typed.values()):
        raise RetrainingError("no export states the type of a fracture", "let readers name types, and export again")
    data = out / WORK_NAME / "data"
    old = _write_data(data, replay, exports, typed)
    _copy_detector(parent, out)
    settings = AttributeConfig()
    run(data, out, model=out, config=settings, report=report)
    digests = _digests(data, settings.split)
    record = Record(
        kind="detector",
        parent_id=manifest.model_id,
        parent_sha256=manifest.sha256,
        why=f"{sum(map(len, typed.values()))} fractures whose type clinicians stated came in.",
        method="Heads fitted anew on the unchanged detector's features, from every old case and every new one.",
        command=COMMAND,
        seed=config.seed,
        config=asdict(config),
        sources=(
            SourceCount(name="replay", role="replay", n=old),
            *(
                SourceCount(name=one.name, role="new", n=len(typed[one.name]), left_out=one.left_out, sha256=one.sha256)
                for one in exports
            ),
        ),
        digests=digests,
        problems=tuple(line for one in exports for line in one.problems),
        notes=("The detector's own weights are those of the parent; only the heads changed.",),
    )
    write_record(record, out, parent=parent)
    return out


def _typed(export: Export) -> list[Row]:
    """Rows of the table of images whose type is stated and known, of images that can be used."""
    from imaging.training.attributes_data import HEALTHY, pattern_of

    usable = {one.image_id for one in export.samples}
    with (export.folder / IMAGES_TABLE).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, restval=""))
    return [
        row
        for row in rows
        if row["image"] in usable and row.get("type") not in ("", None, HEALTHY) and pattern_of(row["type"]) is not None
    ]


def _write_data(data: Path, replay: Path, exports: Sequence[Export], typed: dict[str, list[Row]]) -> int:
    """Old collections as they are, but for the types: there the new rows stand after the old ones.

    Returns:
        How many old rows there are.
    """
    images = data / "fracture_types" / "images"
    images.mkdir(parents=True)
    for name in ("fracatlas", "hip"):
        if (replay / name).is_dir():
            (data / name).symlink_to((replay / name).resolve(), target_is_directory=True)
    rows: list[Row] = []
    old_types = replay / "fracture_types"
    if (old_types / IMAGES_TABLE).is_file():
        with (old_types / IMAGES_TABLE).open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, restval=""))
        for row in rows:
            _link(old_types / "images" / row["image"], images / row["image"])
    old = len(rows)
    for export in exports:
        for row in typed[export.name]:
            source = export.folder / "images" / row["image"]
            name = f"{export.sha256[:8]}-{row['image']}"
            _link(source, images / name)
            rows.append({**row, "image": name, "source": f"feedback {row.get('source') or export.name}"})
    with (data / "fracture_types" / IMAGES_TABLE).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, TYPE_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return old


def _link(source: Path, target: Path) -> None:
    if not source.is_file():
        return  # the reader of the table reports it
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copyfile(source, target)


def _copy_detector(parent: Path, out: Path) -> None:
    """Detector and scope model of the parent, under a version of their own."""
    from imaging.manifest import MANIFEST_NAME, read_manifest

    manifest = read_manifest(parent)
    document: dict[str, Any] = dict(manifest.document)
    document["version"] = next_version(manifest.version)
    names = {manifest.weights.name, "scope.json", "scope.safetensors"}
    for name in sorted(names):
        if (parent / name).is_file():
            shutil.copyfile(parent / name, out / name)
    (out / MANIFEST_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _digests(data: Path, split: str) -> frozenset[str]:
    from imaging.training.attributes_data import read_samples

    samples = read_samples(data, split, lambda _: None)
    return frozenset(digest for some in samples.values() for one in some for digest in file_digests(one.path))
