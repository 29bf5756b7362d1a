"""A finished case into the store with its reports, and later reports from what was kept."""

from dataclasses import replace
from typing import Final

from cds.case import CaseInput, CaseResult
from cds.errors import ConflictError
from cds.learning.drift.records import note
from cds.localisation.language import Language
from cds.options import ReportFormat
from cds.outputs import FILE_KINDS, render
from cds.store.cases import IMAGE, RECORD, NamedFile, StoredCase
from cds.store.opening import Store
from cds.work.requests import REQUEST_FILE, RawCase, from_document, read_request_file, request_file, to_document

KEPT_FORMATS: Final = (ReportFormat.HTML, ReportFormat.JSON, ReportFormat.FHIR)
"""Rendered when a case is kept; the others when somebody asks for them, and kept from then on."""
_BY_LANGUAGE: Final = frozenset({ReportFormat.HTML, ReportFormat.PDF, ReportFormat.PATIENT})
"""Formats that people read; what machines read is in English."""
_FOR_PEOPLE: Final = frozenset({ReportFormat.HTML, ReportFormat.PDF, ReportFormat.PATIENT})
UNKNOWN: Final = "application/octet-stream"
_IMAGE_TYPES: Final = {"dicom": "application/dicom", "png": "image/png", "jpeg": "image/jpeg"}


def report_file(chosen: ReportFormat, language: Language, content: bytes) -> NamedFile:
    """A report as a file of a case."""
    return NamedFile(name=report_name(chosen, language), media_type=FILE_KINDS[chosen].media_type, content=content)


def report_name(chosen: ReportFormat, language: Language) -> str:
    """The file name of a report; what people read has one for every language."""
    name = FILE_KINDS[chosen].file_name
    if chosen not in _BY_LANGUAGE or language is Language.EN:
        return name
    stem, _, ending = name.partition(".")
    return f"{stem}.{language.value}.{ending}"


def keep(
    store: Store,
    raw: RawCase,
    case: CaseInput,
    result: CaseResult,
    *,
    actor: str,
    request_key: str | None,
    patient_key: str | None = None,
) -> StoredCase:
    """Keep a finished case: what was given, and the reports that everybody wants.

    The patient key is the record's own logical id where none is given.

    Returns:
        The case; where the same request was kept before, that one, unchanged.

    Raises:
        StoreError: nothing was kept.
    """
    radiograph = result.radiograph
    reports = [report_file(chosen, Language.EN, render(result, chosen)) for chosen in KEPT_FORMATS]
    request = NamedFile(name=REQUEST_FILE, media_type="application/json", content=request_file(raw, case.as_of))
    stored = store.cases.save(
        case,
        result,
        actor=actor,
        reports=[*reports, request],
        request_key=request_key,
        patient_key=patient_key,
        study_uid=None if radiograph is None or radiograph.dicom is None else radiograph.dicom.study_instance_uid,
        image_media_type=UNKNOWN if radiograph is None else _IMAGE_TYPES.get(radiograph.source_format, UNKNOWN),
    )
    note(store.database, stored.id, result)
    return stored


def kept_before(store: Store, raw: RawCase, request_key: str) -> StoredCase | None:
    """The case that was kept under a request key.

    Raises:
        ConflictError: the key came with another request.
    """
    found = store.cases.by_request(request_key)
    if found is None:
        return None
    before = kept_request(store, found.id)
    if to_document(before) != to_document(raw) or (before.image or None, before.bundle or None) != (
        raw.image or None,
        raw.bundle or None,
    ):
        raise ConflictError(
            "The same Idempotency-Key was used before, for another request.", remedy="Use a new key for a new case."
        )
    return store.cases.get(found.id)


def kept_request(store: Store, case_id: str, *, dated: bool = False) -> RawCase:
    """What was asked when a case was kept.

    Args:
        store: where it is kept.
        case_id: which case.
        dated: put the time that was meant where none was given.

    Raises:
        NotStoredError: the case, or its request, is not there.
        DamagedBlobError: a file is damaged.
    """
    names = {one.name for one in store.cases.get(case_id).files}
    document, moment = read_request_file(store.cases.file(case_id, REQUEST_FILE)[0])
    image, bundle = (store.cases.file(case_id, name)[0] if name in names else None for name in (IMAGE, RECORD))
    raw = from_document(document, image=image, bundle=bundle)
    return replace(raw, as_of=moment) if dated else raw
