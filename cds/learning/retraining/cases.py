"""A feedback export (`cds.learning.feedback.export`) as labelled radiographs; what is unusable is told row by row."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cds.learning.retraining.errors import RetrainingError

if TYPE_CHECKING:
    from imaging.training.datasets import LabelledRadiograph

MANIFEST_NAME: Final = "manifest.json"
IMAGES_TABLE: Final = "images.csv"
OUTCOMES_TABLE: Final = "healing_outcomes.csv"
REPLAY: Final = "replay"
"""Name of the old data among the sources."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One round of feedback, checked."""

    name: str
    """Of the folder."""
    folder: Path
    sha256: str
    """Over the names and contents of every file."""
    samples: "tuple[LabelledRadiograph, ...]" = ()
    problems: tuple[str, ...] = ()
    """One line per row that was left out or changed."""
    left_out: int = 0
    """Images that are not used."""


def read_export(folder: Path, *, report: Report = print) -> Export:
    """The labelled radiographs of an export.

    Args:
        folder: what ``cds feedback export`` wrote.
        report: receives one line per row that is left out or changed.

    Raises:
        RetrainingError: the folder is none, a file is not what its manifest says, or nothing in it can be used.
    """
    from imaging.training.audit import audit, clean
    from imaging.training.datasets import read_collection
    from imaging.training.errors import TrainingDataError

    sha256 = checked_digest(folder)
    try:
        collection = read_collection(folder)
        found = audit(folder)
    except TrainingDataError as error:
        raise RetrainingError(
            f"the export {folder.name} holds no labelled radiograph that can be used: {str(error).rstrip('.')}",
            "look at its images.csv with: cds data check",
        ) from error
    usable = clean(collection, found)
    problems = tuple(f"{folder.name}: {one.line()}" for one in found.findings)
    known = {one.image for one in found.findings}
    problems += tuple(f"{folder.name}: {line}" for line in collection.problems if line.partition(":")[0] not in known)
    for line in problems:
        report(line)
    if not usable.samples:
        raise RetrainingError(
            f"no radiograph of the export {folder.name} can be used", "mend its rows; cds data check names every one"
        )
    return Export(
        name=folder.name,
        folder=folder,
        sha256=sha256,
        samples=usable.samples,
        problems=problems,
        left_out=listed_images(folder) - len(usable.samples),
    )


def read_exports(folders: Sequence[Path], *, report: Report = print) -> tuple[Export, ...]:
    """Several exports, in the order given.

    Raises:
        RetrainingError: one cannot be used, or two bear one name.
    """
    return tuple(read_export(folder, report=report) for folder in told_apart(folders))


def told_apart(folders: Sequence[Path]) -> tuple[Path, ...]:
    """The folders with their full paths, once it is known that their names tell them apart in the provenance.

    Raises:
        RetrainingError: two bear one name, or one bears that of the old data.
    """
    places = tuple(folder.resolve() for folder in folders)
    names = [place.name for place in places]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RetrainingError(f"two exports bear the name {', '.join(twice)}", "rename one of the folders")
    if REPLAY in names:
        raise RetrainingError(f"an export bears the name {REPLAY}, which the old data bear", "rename its folder")
    return places


def listed_images(folder: Path) -> int:
    """Rows of the table of images; 0 without one."""
    path = folder / IMAGES_TABLE
    if not path.is_file():
        return 0
    return max(0, sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip()) - 1)


def checked_digest(folder: Path) -> str:
    """SHA-256 over an export, once every file is what the manifest says.

    A damaged or missing image is left to the check of the images, which names it and goes on; a table that was changed
    after the export is no longer what was adjudicated, and stops the retraining.

    Raises:
        RetrainingError: no such folder or manifest, or a table was changed.
    """
    try:
        stated = dict(json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetrainingError(
            f"{folder.name} holds no readable {MANIFEST_NAME} of a feedback export",
            "give a folder that cds feedback export wrote",
        ) from error
    total = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = path.relative_to(folder).as_posix()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{name}|{digest}\n".encode())
        if "/" not in name and name != MANIFEST_NAME and stated.get(name) != digest:
            raise RetrainingError(
                f"{name} of the export {folder.name} is not the file that its manifest names",
                "export the feedback again; labels are changed by adjudication, not in the table",
                code="cds.learning.retraining.changed_export",
            )
    return total.hexdigest()
