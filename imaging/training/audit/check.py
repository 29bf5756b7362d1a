"""`audit` checks a data set; `vet` is what a training calls."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from imaging.training.audit.builder import Audit, Track, same_box
from imaging.training.audit.findings import AuditReport, Effect
from imaging.training.audit.fracatlas import audit_fracatlas
from imaging.training.audit.tables import audit_tables
from imaging.training.boxes import Box
from imaging.training.datasets import Collection, LabelledRadiograph
from imaging.training.errors import TrainingDataError

REPORT_NAME = "data-report.json"


class BadData(StrEnum):
    """What a training does when rows cannot be used."""

    REPORT = "report"
    """Write the report and go on without those rows."""
    STOP = "stop"
    """Write the report and stop."""


def audit(root: Path, *, track: Track = lambda paths: paths) -> AuditReport:
    """Check a data set in one of the layouts that `read_collection` reads.

    Args:
        root: the data set's folder.
        track: wraps the image files, for a progress bar.

    Raises:
        TrainingDataError: no known layout.
    """
    found = Audit(root, track)
    if (root / "images.csv").is_file():
        audit_tables(found)
    elif (root / "images" / "Fractured").is_dir() or (root / "images" / "Non_fractured").is_dir():
        audit_fracatlas(found)
    else:
        raise TrainingDataError(
            f"{root.name!r} has neither images.csv nor images/Fractured",
            "import the data set first: cds data import --format yolo|voc|coco|csv",
        )
    return found.report()


def clean(collection: Collection, report: AuditReport) -> Collection:
    """The collection without the images and boxes that the report leaves out."""
    out = {one.image for one in report.findings if one.effect is Effect.IMAGE_OUT}
    dropped: dict[str, list[Box]] = {}
    for one in report.findings:
        if one.effect is Effect.ROW_OUT and one.box is not None:
            dropped.setdefault(one.image, []).append(one.box)
    samples = tuple(
        _without(sample, dropped.get(sample.image_id, []))
        for sample in collection.samples
        if sample.image_id not in out
    )
    return replace(collection, samples=samples)


def _without(sample: LabelledRadiograph, boxes: Sequence[Box]) -> LabelledRadiograph:
    """The sample without one occurrence of each box, the last one first."""
    if not boxes:
        return sample
    left = list(sample.boxes)
    for box in boxes:
        place = next((n for n in range(len(left) - 1, -1, -1) if same_box(left[n], box)), None)
        if place is not None:
            del left[place]
    return replace(sample, boxes=tuple(left), boxes_known=bool(left) or not sample.fractured)


def announce(
    root: Path, *, out: Path | None = None, report: Callable[[str], None] = print, shown: int = 20
) -> AuditReport:
    """Check a data set and say what was found; the arguments are those of `vet`.

    Raises:
        TrainingDataError: no known layout.
    """
    found = audit(root)
    if out is not None:
        found.write(out / REPORT_NAME)
    for one in found.findings[:shown]:
        report(one.line())
    if len(found.findings) > shown:
        report(f"and {len(found.findings) - shown} more findings{_place(out)}")
    return found


def _place(out: Path | None) -> str:
    return "" if out is None else f"; all of them are in {REPORT_NAME}"


def vet(
    collection: Collection,
    root: Path,
    *,
    on_bad_data: BadData | str = BadData.REPORT,
    out: Path | None = None,
    report: Callable[[str], None] = print,
    shown: int = 20,
) -> Collection:
    """Check a data set before training and leave out what cannot be used.

    Args:
        collection: what `read_collection` read from `root`.
        root: the data set's folder.
        on_bad_data: go on without the bad rows, or stop when there are any.
        out: folder for ``data-report.json``; None writes none.
        report: receives one line per finding, `shown` at most, and where the rest is.
        shown: how many findings are reported in full.

    Raises:
        TrainingDataError: `on_bad_data` is ``stop`` and a row cannot be used, or nothing is left.
    """
    found = announce(root, out=out, report=report, shown=shown)
    if found.unusable and BadData(on_bad_data) is BadData.STOP:
        first = found.unusable[0]
        raise TrainingDataError(
            f"{len(found.unusable)} rows or images cannot be used, the first: {first.line().rstrip('.')}{_place(out)}",
            "mend them, or set on_bad_data: report to go on without them",
        )
    usable = clean(collection, found)
    if not usable.samples:
        raise TrainingDataError("no usable image is left", "mend the data set; cds data check names every row")
    return usable
