"""The heads beside a retrained detector: where their data are found, and how they are fitted anew.

Heads and scope model read the detector's features, so a detector that went on learning needs new ones. Their data are
those of ``cds train fracture-type --data``: a folder that holds ``fracture_types``, ``fracatlas`` and ``hip``, or what
of them the heads in use need. It is looked for in the folder of the old data, beside it, and where the candidate of the
last round found it; types that clinicians stated in the feedback stand after the old ones. The scope model needs
radiographs alone: without ``fracatlas`` those that the detector learned from will do.
"""

import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cds.learning.digests import file_digests
from cds.learning.retraining.cases import IMAGES_TABLE, Export
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.record import SourceCount

if TYPE_CHECKING:
    from imaging.attributes.manifest import AttributeManifest

TYPE_COLUMNS: Final = ("image", "type", "displaced", "source", "group")
DATA_NAME: Final = "heads-data"
"""In a candidate's work folder: what its heads were fitted on."""
PLACE_NAME: Final = "heads.json"
"""In a candidate's work folder: where that was found, for the next round."""
LEAST_IN_SCOPE: Final = 40
"""Radiographs that a scope model needs (`imaging.training.scope`)."""
NEITHER: Final = "The model in use has neither attribute heads nor a scope model, so the candidate has none."
LEFT_OUT: Final = (
    "Attribute heads and scope model are left out, as asked; the gate will refuse where the model in use has them."
)

Report = Callable[[str], None]
Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsPlan:
    """What is fitted anew, known before the detector's hours begin."""

    data: Path | None
    """Of the attribute heads; None where they are not fitted."""
    scope: bool
    """Whether a scope model is fitted."""
    note: str = ""
    """Why less is fitted than could be."""


def plan_heads(
    parent: Path, replay: Path, *, named: Path | None, wanted: bool = True, work_name: str = ".work"
) -> HeadsPlan:
    """Decide what can be fitted, and from what.

    Args:
        parent: folder of the model in use.
        replay: the old data, or the candidate's folder that holds them.
        named: folder that the caller names; None to look for it.
        wanted: False leaves heads and scope model out.
        work_name: of a candidate's work folder.

    Raises:
        RetrainingError: the model in use has heads whose data are found nowhere; it says what to give.
    """
    from imaging.attributes.manifest import read_attribute_manifest

    if not wanted:
        return HeadsPlan(data=None, scope=False, note=LEFT_OUT)
    heads = read_attribute_manifest(parent)
    scope = (parent / "scope.json").is_file()
    if heads is None and named is None:
        return HeadsPlan(data=None, scope=scope, note="" if scope else NEITHER)
    remembered = _remembered(replay.resolve() / work_name / PLACE_NAME)
    places = [named] if named is not None else [replay.resolve(), replay.resolve().parent, *remembered]
    found = next((one for one in places if not _lacking(one, heads)), None)
    if found is None:
        lacking = ", ".join(_lacking(places[-1], heads))
        where = "the folder named" if named is not None else "the folder of the old data and beside it"
        raise RetrainingError(
            f"the heads of the model in use must be fitted anew on the new detector, and {where} lacks {lacking}",
            "give --heads-data FOLDER, which holds fracture_types (images.csv with image and type) and fracatlas (with"
            " dataset.csv), and may hold hip; or set `heads: false` in --config for a candidate without them",
            code="cds.learning.retraining.heads_data",
        )
    return HeadsPlan(data=found.resolve(), scope=scope or named is not None)


def check_scope(plan: HeadsPlan, radiographs: int) -> None:
    """Whether there is enough for the scope model, before the training begins.

    Args:
        plan: of `plan_heads`.
        radiographs: of the mixed data.

    Raises:
        RetrainingError: there is not.
    """
    elsewhere = plan.data is not None and (plan.data / "fracatlas").is_dir()
    if plan.scope and not elsewhere and radiographs < LEAST_IN_SCOPE:
        raise RetrainingError(
            f"a scope model needs {LEAST_IN_SCOPE} radiographs, and old and new data together hold {radiographs}",
            "give --heads-data FOLDER with fracatlas in it, or more old data",
        )


def fit_heads(
    plan: HeadsPlan, out: Path, work: Path, mixed: Path, exports: Sequence[Export], *, report: Report
) -> tuple[list[str], frozenset[str], tuple[SourceCount, ...]]:
    """Fit what the plan says on the candidate in `out`.

    Args:
        plan: of `plan_heads`.
        out: the candidate, its detector finished.
        work: its work folder.
        mixed: the data that its detector learned from.
        exports: the feedback, of which the stated types are learned from.
        report: receives one line per stage and per row that is left out.

    Returns:
        What was done, the digests of all images that the heads learned from, and the sources.

    Raises:
        TrainingDataError: the data cannot be used.
    """
    from imaging.training import attributes, scope

    notes = [plan.note] if plan.note else []
    digests: frozenset[str] = frozenset()
    sources: tuple[SourceCount, ...] = ()
    if plan.data is not None:
        data = work / DATA_NAME
        shutil.rmtree(data, ignore_errors=True)  # of a run that was interrupted
        typed = {one.name: typed_rows(one) for one in exports}
        old = write_data(data, plan.data, exports, typed)
        settings = attributes.AttributeConfig()
        attributes.run(data, out, model=out, config=settings, report=report)
        old -= left_out_of(out)
        digests = digests_of(data, settings.split)
        (work / PLACE_NAME).write_text(json.dumps({"data": str(plan.data)}) + "\n", encoding="utf-8")
        new = sum(map(len, typed.values()))
        sources = (SourceCount(name="types of the heads", role="replay", n=old),)
        notes.append(
            f"Attribute heads were fitted anew on the candidate's features, from {old} old types and {new} new."
        )
    if plan.scope:
        limbs, hips = (None if plan.data is None else plan.data / name for name in ("fracatlas", "hip"))
        own = limbs is not None and limbs.is_dir()
        others = [hips] if own and hips is not None and hips.is_dir() else []
        scope.fit(out, limbs if own and limbs is not None else mixed, others=others, report=report)
        notes.append("The scope model was fitted anew on the candidate's features.")
    for note in notes:
        report(note)
    return notes, digests, sources


def _lacking(place: Path, heads: "AttributeManifest | None") -> list[str]:
    """What of the data of the heads in use a folder does not hold; without heads the types alone count."""
    wanted = ["fracture_types/images.csv"] if heads is None or heads.patterns else []
    wanted += ["fracatlas/dataset.csv"] if heads is not None and (heads.limbs or heads.views) else []
    return [name for name in wanted if not (place / name).is_file()]


def _remembered(path: Path) -> list[Path]:
    try:
        return [Path(str(json.loads(path.read_text(encoding="utf-8"))["data"]))]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def typed_rows(export: Export) -> list[Row]:
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


def write_data(data: Path, replay: Path, exports: Sequence[Export], typed: dict[str, list[Row]]) -> int:
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


def left_out_of(out: Path) -> int:
    """How many old pictures the fit of the heads in `out` left out as no limb radiographs."""
    from imaging.attributes.manifest import read_attribute_manifest

    heads = read_attribute_manifest(out)
    return 0 if heads is None else len(heads.document.get("outside_scope", ()))


def digests_of(data: Path, split: str) -> frozenset[str]:
    """Digests of every image that heads learn from; see `cds.learning.digests`."""
    from imaging.training.attributes_data import read_samples, without_outside_scope

    samples = read_samples(data, split, lambda _: None)
    without_outside_scope(samples, lambda _: None)
    return frozenset(digest for some in samples.values() for one in some for digest in file_digests(one.path))
