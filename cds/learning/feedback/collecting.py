"""Kept cases to rows of an export, their images written on the way, and why the others are left out."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import select

from cds.errors import NotStoredError
from cds.learning.feedback import reasons
from cds.learning.feedback.cases import JudgedCase, judged_cases
from cds.learning.feedback.outcomes import outcome_row
from cds.learning.feedback.pictures import Picture, fitted, picture_of
from cds.learning.feedback.pseudonyms import IMAGE as SAME_IMAGE
from cds.learning.feedback.pseudonyms import PATIENT, STUDY, Pseudonyms, groups_of
from cds.learning.feedback.rows import ExportRow, Labelled
from cds.pipeline import Engines, ImageReader
from cds.store.cases import IMAGE, StoredCase
from cds.store.opening import Store
from cds.store.privacy import ErasureReason
from cds.store.tables import ErasureRow
from cds.work.keeping import kept_request

RADIOGRAPH = "radiograph"
OUTCOME = "outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How an export is made."""

    key: bytes = field(repr=False)
    """Makes the pseudonyms, see `pseudonyms.read_key`."""
    site: str | None = None
    """Name of the hospital in the tables: letters, digits, blanks, ``. ( ) -``, at most 64; no address, no person."""
    with_synthetic: bool = False
    """Whether phantoms are exported too; they are no patients' radiographs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Why a case, or a part of it, is not in the export."""

    case: str
    """Pseudonym."""
    part: str
    """`RADIOGRAPH` or `OUTCOME`."""
    reason: str
    """Code of `reasons`."""


@dataclass(slots=True)
class _Draft:
    """What is known so far of one case."""

    judged: JudgedCase
    name: str
    identities: list[tuple[str, str]]
    """Whom it may belong to; cases that share one of these are never separated."""
    labelled: Labelled | None
    outcome: Mapping[str, str] | None
    left: list[Left]


def collect(store: Store, folder: Path, options: ExportOptions, engines: Engines) -> tuple[list[ExportRow], list[Left]]:
    """Every case that something can be learned from.

    Args:
        store: where cases and feedback are kept.
        folder: gets the images.
        options: key, site, what is wanted.
        engines: read radiographs and records as the cases were read; nothing is assessed.

    Returns:
        Rows, and what was left out.

    Raises:
        StoreError: the store cannot be read.
        OSError: an image cannot be written.
    """
    names = Pseudonyms(key=options.key)
    drafts = [_draft(store, one, folder, options, names, engines) for one in judged_cases(store)]
    groups = groups_of({one.name: one.identities for one in drafts})
    _without_erased(store, drafts, groups, folder)
    _without_repeats(drafts, folder)
    rows = [
        ExportRow(
            case=draft.name,
            group=names.group(groups[draft.name]),
            labelled=draft.labelled,
            outcome=draft.outcome,
            judged=draft.judged,
            site=options.site,
        )
        for draft in drafts
        if draft.labelled is not None or draft.outcome is not None
    ]
    return rows, [one for draft in drafts for one in draft.left]


def _draft(
    store: Store, judged: JudgedCase, folder: Path, options: ExportOptions, names: Pseudonyms, engines: Engines
) -> _Draft:
    """One case; its image is written where it can be used."""
    case, name = judged.case, names.case(judged.case.id)
    picture = _picture(store, judged, options, engines.read_image)
    labelled = _labelled(judged, picture, names.image(case.id)) if isinstance(picture, Picture) else picture
    if isinstance(picture, Picture) and isinstance(labelled, Labelled):
        write_new(folder / labelled.image, picture.png)
    outcome = outcome_row(store, judged, engines.read_record)
    left = [
        Left(case=name, part=part, reason=found)
        for part, found in ((RADIOGRAPH, labelled), (OUTCOME, outcome))
        if isinstance(found, str)
    ]
    return _Draft(
        judged=judged,
        name=name,
        identities=_identities(case, picture.patient_id if isinstance(picture, Picture) else None),
        labelled=labelled if isinstance(labelled, Labelled) else None,
        outcome=None if isinstance(outcome, str) else outcome,
        left=left,
    )


def _picture(store: Store, judged: JudgedCase, options: ExportOptions, read_image: ImageReader) -> Picture | str:
    """The image of a case whose truth is known; a code of `reasons` otherwise."""
    truth, case = judged.truth, judged.case
    if truth.fracture is None:
        first = (reasons.DISPUTED, reasons.SELF_CONTRADICTION, reasons.NOBODY, reasons.UNDETERMINED)
        return next((code for code in first if code in truth.reasons), reasons.UNDETERMINED)
    if all(one.name != IMAGE for one in case.files):
        return reasons.NO_IMAGE
    if judged.facts.synthetic and not options.with_synthetic:
        return reasons.SYNTHETIC
    data = store.cases.file(case.id, IMAGE)[0]
    picture = picture_of(data, frame=_frame(store, case), read_image=read_image, key=options.key)
    if isinstance(picture, Picture) and picture.synthetic and not options.with_synthetic:
        return reasons.SYNTHETIC
    return picture


def _frame(store: Store, case: StoredCase) -> int:
    try:
        return int(kept_request(store, case.id).frame or 1)
    except (NotStoredError, ValueError):
        return 1


def _labelled(judged: JudgedCase, picture: Picture, image: str) -> Labelled | str:
    truth = judged.truth
    boxes = fitted([one.box for one in truth.places], picture)
    if isinstance(boxes, str):
        return boxes
    places = tuple(replace(place, box=box) for place, box in zip(truth.places, boxes, strict=True))
    return Labelled(
        image=image, width=picture.width, height=picture.height, places=places, places_known=truth.places_known
    )


def _identities(case: StoredCase, dicom_patient: str | None) -> list[tuple[str, str]]:
    digest = next((one.sha256 for one in case.files if one.name == IMAGE), None)
    patients = {case.patient_key, dicom_patient}
    return [
        *((PATIENT, one) for one in sorted(one for one in patients if one)),
        *(((STUDY, case.study_uid),) if case.study_uid else ()),
        *(((SAME_IMAGE, digest),) if digest else ()),
    ]


def _without_erased(store: Store, drafts: Iterable[_Draft], groups: Mapping[str, str], folder: Path) -> None:
    """Patients who asked for erasure: what came of them later is not for learning either."""
    with store.database.reading() as session:
        asked = select(ErasureRow.patient_key_hash).where(ErasureRow.reason == ErasureReason.PATIENT_REQUEST.value)
        erased = {one for one in session.scalars(asked) if one is not None}
    if not erased:
        return
    tainted = {
        groups[draft.name]
        for draft in drafts
        for kind, value in draft.identities
        if kind == PATIENT and store.privacy.patient_digest(value) in erased
    }
    for draft in drafts:
        if groups[draft.name] in tainted:
            _drop(draft, folder)
            draft.outcome = None
            draft.left = [Left(case=draft.name, part=RADIOGRAPH, reason=reasons.ERASED)]


def _without_repeats(drafts: Iterable[_Draft], folder: Path) -> None:
    """Of cases with the same radiograph the newest stays; none where their answers differ."""
    by_image: dict[str, list[_Draft]] = {}
    for draft in drafts:
        if draft.labelled is not None:
            content = hashlib.sha256((folder / draft.labelled.image).read_bytes()).hexdigest()
            by_image.setdefault(content, []).append(draft)
    for same in by_image.values():
        ordered = sorted(same, key=lambda one: (one.judged.case.created, one.judged.case.id))
        alike = len({one.judged.truth.fracture for one in same}) == 1
        reason = reasons.DUPLICATE if alike else reasons.DUPLICATE_CONTRADICTS
        for draft in ordered[:-1] if alike else ordered:
            _drop(draft, folder)
            draft.left.append(Left(case=draft.name, part=RADIOGRAPH, reason=reason))


def _drop(draft: _Draft, folder: Path) -> None:
    if draft.labelled is not None:
        (folder / draft.labelled.image).unlink()
        draft.labelled = None


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, and flush it to the disk."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
