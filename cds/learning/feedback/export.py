"""Feedback to a folder of training data without identifiers: the whole folder or nothing.

Layout of the folder, layout version ``fracture-cds.feedback-export/1``
----------------------------------------------------------------------
``images/<name>.png``        8-bit grey PNG as the reader saw the radiograph, burned-in text painted over; no metadata.
                             Names and all other pseudonyms are keyed (HMAC-SHA-256): the same key gives the same names.
``images.csv``               one row per image, sorted by name (readable by `imaging.training.datasets.read_collection`,
                             ``cds evaluate detector --data``, ``cds train detector --data``, ``cds data check``):
                               image         file name in ``images``
                               width, height pixels
                               has_fracture  1 or 0; a case without an answer is in no table
                               group         pseudonym of the patient: no split may separate a group
                               split         empty; ``cds data split`` fills it
                               source        name of the site, as given by ``--site``; may be empty
                               type          fracture pattern if somebody stated one, ``healthy`` for no fracture, else
                                             empty
                               displaced     empty (feedback does not state it)
                               region        body region (``wrist``), empty where unknown
                               hardware      ``present``, ``none`` or empty, as the model sees it; not confirmed
                               age_band      ``0-9`` ... ``80-89``, ``90+`` or empty
                               sex           ``female``, ``male`` or empty
                               boxes_known   1 where the boxes are all there are, 0 where the place is not settled
``boxes.csv``                one row per fracture box: image, x1, y1, x2, y2 (pixels, x1 < x2, y1 < y2), type (or
                             empty), drawn (1 drawn by a reader, 0 the machine's box that a reader agreed with).
                             An image with has_fracture 1 and boxes_known 0 has no row here and serves image-level
                             learning only; one with has_fracture 0 has none because there is nothing to mark.
``annotations.json``         COCO with one category ``fracture``: only images with boxes_known 1, since a COCO image
                             without annotations counts as healthy. ``attributes`` of an annotation: type, drawn.
``rows.parquet``             one row per case that is in the export, sorted by ``case``; columns in `rows.COLUMNS`:
                             label, agreement, independence, readers by role, adjudication, model versions, age band,
                             sex, region, hardware, site, group; ``image`` is null for a case with an outcome only.
``healing_outcomes.csv``     only where there is a follow-up: the table that ``cds train healing --outcomes`` reads
                             (`tabular.healing.outcomes`).
``manifest.json``            layout version, engine version, site, ``as_of`` (day of the newest feedback used), counts,
                             what was left out with its reason, a fingerprint of the key, SHA-256 of every other file.

The same store exported twice with the same key gives the same bytes. Nothing in the folder is an identifier of a
patient, a reader, a case or a file of the hospital; whoever holds the key and the store can link it, nobody else.
"""

import hashlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cds.audit import AccessRecord, AuditKind, AuditTrail, record_access
from cds.errors import ConflictError, InputError, NotStoredError, OutputError
from cds.learning.feedback import reasons, tables
from cds.learning.feedback.collecting import ExportOptions, Left, collect, write_new
from cds.learning.feedback.pseudonyms import Pseudonyms
from cds.learning.feedback.rows import ExportRow
from cds.learning.feedback.truth import RULES_VERSION
from cds.pipeline import Engines
from cds.store.opening import Store
from cds.version import engine_version

__all__ = ["ExportOptions", "export_feedback"]

SCHEMA: Final = "fracture-cds.feedback-export/1"
IMAGES: Final = "images"
MANIFEST: Final = "manifest.json"
_SITE: Final = re.compile(r"[\w][\w .()-]{0,63}")


def export_feedback(
    store: Store,
    out: Path,
    options: ExportOptions,
    *,
    engines: Engines,
    audit: AuditTrail,
    actor: str,
) -> dict[str, Any]:
    """Write the folder; after a failure nothing is left behind.

    Args:
        store: where cases and feedback are kept.
        out: the folder; it must not exist yet, or be empty.
        options: key, site, what is wanted.
        engines: read radiographs and records as the cases were read; nothing is assessed.
        audit: one record of every case that leaves, and one of the whole; nothing leaves unrecorded.
        actor: who exports, such as ``cli:<login>``.

    Returns:
        The manifest.

    Raises:
        InputError: the folder is in use, the site's name cannot be used, or the key is too short.
        ConflictError: a case was erased while the export was made.
        OutputError: the folder cannot be written.
        AuditError: the export cannot be recorded.
        StoreError: the store cannot be read.
    """
    _check(out, options)
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.absolute().parent))
        try:
            (partial / IMAGES).mkdir()
            rows, left = collect(store, partial / IMAGES, options, engines)
            manifest = _written(partial, rows, left, options)
            _still_kept(store, rows)
            _recorded(audit, rows, actor, hashlib.sha256((partial / MANIFEST).read_bytes()).hexdigest())
            partial.replace(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise OutputError(
            f"The export cannot be written: {error.strerror or type(error).__name__}.",
            remedy="Give a folder that can be written, with enough free space. Nothing was left behind.",
        ) from error
    return manifest


def _check(out: Path, options: ExportOptions) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("The folder for the export is there already and not empty.", remedy="Give a new folder.")
    if options.site is not None and not _SITE.fullmatch(options.site):
        raise InputError(
            "The name of the site cannot be used.", remedy="Use letters, digits, blanks and . ( ) -, at most 64."
        )
    if len(options.key) < 16:
        raise InputError("The key of the export is too short.", remedy="Give at least 16 random bytes.")


def _written(folder: Path, rows: Sequence[ExportRow], left: Sequence[Left], options: ExportOptions) -> dict[str, Any]:
    """The tables, then the manifest over every file."""
    contents = {
        "images.csv": tables.images_csv(rows),
        "boxes.csv": tables.boxes_csv(rows),
        "annotations.json": tables.coco_json(rows),
        "rows.parquet": tables.rows_parquet(rows),
        "healing_outcomes.csv": tables.outcomes_csv(rows),
    }
    for name, content in contents.items():
        if content is not None:
            write_new(folder / name, content)
    manifest = {
        "schema": SCHEMA,
        "engine_version": engine_version(),
        "truth_rules": RULES_VERSION,
        "site": options.site,
        "key": Pseudonyms(key=options.key).fingerprint(),
        "as_of": _as_of(rows),
        "counts": _counts(rows),
        "models": sorted({one for row in rows for one in row.judged.case.model_versions}),
        "left_out": _told(left),
        "files": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    write_new(folder / MANIFEST, tables.as_json(manifest))
    return manifest


def _as_of(rows: Iterable[ExportRow]) -> str | None:
    """The day of the newest feedback that was used, UTC: it says how old the data are, and is the same every time."""
    days = [one.created.astimezone(UTC).date() for row in rows for one in row.judged.feedback]
    return max(days).isoformat() if days else None


def _counts(rows: Sequence[ExportRow]) -> dict[str, Any]:
    images = [(row, row.labelled) for row in rows if row.labelled is not None]
    truths = [row.judged.truth for row, _ in images]
    return {
        "cases": len(rows),
        "groups": len({row.group for row in rows}),
        "images": len(images),
        "fractured": sum(row.fracture for row, _ in images),
        "healthy": sum(not row.fracture for row, _ in images),
        "boxes": sum(len(labelled.places) for _, labelled in images),
        "images_without_known_boxes": sum(not labelled.places_known for _, labelled in images),
        "outcomes": sum(row.outcome is not None for row in rows),
        "independent": sum(truth.independent_readers > 0 for truth in truths),
        "agreement": dict(sorted(Counter(truth.agreement.value for truth in truths).items())),
        "readers_by_role": dict(sorted(Counter(one.role for truth in truths for one in truth.readers).items())),
    }


def _told(left: Sequence[Left]) -> dict[str, Any]:
    ordered = sorted(left, key=lambda one: (one.case, one.part, one.reason))
    return {
        "counts": dict(sorted(Counter(one.reason for one in ordered).items())),
        "words": {code: reasons.sentence(code) for code in sorted({one.reason for one in ordered})},
        "cases": [{"case": one.case, "part": one.part, "reason": one.reason} for one in ordered],
    }


def _still_kept(store: Store, rows: Iterable[ExportRow]) -> None:
    """Nobody was erased while the export was made."""
    for row in rows:
        try:
            store.cases.get(row.judged.case.id)
        except NotStoredError:
            raise ConflictError(
                "A case was erased while the export was made; nothing was left behind.", remedy="Repeat the export."
            ) from None


def _recorded(audit: AuditTrail, rows: Iterable[ExportRow], actor: str, digest: str) -> None:
    """One record of every case that leaves, so that a patient can be told, and one of the whole."""

    def note(target: str, patient: str | None) -> None:
        entry = AccessRecord(
            occurred=datetime.now(UTC),
            kind=AuditKind.EXPORT,
            actor=actor,
            role="admin",
            target=target,
            patient_key=patient,
        )
        record_access(audit, entry)

    for row in rows:
        note(f"case/{row.judged.case.id}", row.judged.case.patient_key)
    note(f"feedback-export/{digest[:16]}", None)
