"""The heads for pattern, limb, view and hardware go on learning, on the features of the current detector."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cds.learning.model_kinds import sha256_of_file
from cds.learning.retraining.cases import read_exports
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.detector import WORK_NAME, next_version
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.heads import digests_of, left_out_of, typed_rows, write_data
from cds.learning.retraining.record import Record, SourceCount, write_record

COMMAND: Final = "cds learn retrain --kind fracture-type --feedback EXPORT --replay DATA --out CANDIDATE"
HEADS_MARK: Final = "-h"
"""In a version, before the digest of its heads."""

Report = Callable[[str], None]


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
    typed = {one.name: typed_rows(one) for one in exports}
    if not any(typed.values()):
        raise RetrainingError("no export states the type of a fracture", "let readers name types, and export again")
    data = out / WORK_NAME / "data"
    old = write_data(data, replay, exports, typed)
    _copy_detector(parent, out)
    settings = AttributeConfig()
    run(data, out, model=out, config=settings, report=report)
    old -= left_out_of(out)
    _name_after_heads(out, manifest.version)
    digests = digests_of(data, settings.split)
    record = Record(
        kind="detector",
        parent_id=manifest.model_id,
        parent_sha256=manifest.sha256,
        why=f"{sum(map(len, typed.values()))} fractures whose type clinicians stated came in.",
        method="Heads fitted anew on the unchanged detector's features, from the old cases and the new ones.",
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


def _copy_detector(parent: Path, out: Path) -> None:
    """Detector, image classifier and scope model of the parent, under a version of their own."""
    from imaging.manifest import MANIFEST_NAME, read_manifest

    manifest = read_manifest(parent)
    document: dict[str, Any] = dict(manifest.document)
    document["version"] = _next(manifest.version)
    names = {manifest.weights.name, "scope.json", "scope.safetensors"}
    if manifest.image_classifier is not None:
        names.add(manifest.image_classifier.weights.name)
    for name in sorted(names):
        if (parent / name).is_file():
            shutil.copyfile(parent / name, out / name)
    (out / MANIFEST_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _next(version: str) -> str:
    """The next version of a line whose versions may name their heads."""
    return next_version(version.partition(HEADS_MARK)[0])


def _name_after_heads(out: Path, before: str) -> None:
    """Let the version name the heads: the detector is the same, and each model's id names one model."""
    from imaging.attributes.manifest import ATTRIBUTES_NAME
    from imaging.manifest import MANIFEST_NAME

    path = out / MANIFEST_NAME
    document = json.loads(path.read_text(encoding="utf-8"))
    document["version"] = f"{_next(before)}{HEADS_MARK}{sha256_of_file(out / ATTRIBUTES_NAME)[:8]}"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
