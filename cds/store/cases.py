"""Finished cases: what was given, what was shown, who signed it."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import Session

from cds.case import CaseInput, CaseResult
from cds.errors import ConflictError, InputError, NotStoredError
from cds.presenters.json_report import plain
from cds.store.blobs import BlobStore
from cds.store.database import Database
from cds.store.tables import CaseFileRow, CaseRow, JobFileRow

IMAGE = "image"
RECORD = "record"
"""Names of what was given, among the files of a case."""
MAX_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a case."""

    name: str
    """``image``, ``record``, or the file name of a report."""
    media_type: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCase:
    """One case as a list shows it."""

    id: str
    created: datetime
    actor: str
    patient_key: str | None
    study_uid: str | None
    title: str
    call: str | None
    severity: str
    urgency: str
    region: str | None
    probability: float | None
    engine_version: str
    model_versions: tuple[str, ...]
    signed_by: str | None
    signed: datetime | None
    context: Mapping[str, Any]
    files: tuple[StoredFile, ...] = ()
    """Only of a case that was asked for by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseQuery:
    """What a list of cases is narrowed to; None does not narrow."""

    text: str | None = None
    """Part of the title, or the beginning of a case's identifier, patient key or study."""
    patient_key: str | None = None
    call: str | None = None
    urgency: str | None = None
    signed: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    """1 to 200."""
    cursor: str | None = None
    """Where the page before ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """A page of cases, the newest first."""

    cases: tuple[StoredCase, ...]
    next_cursor: str | None
    """None on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """A file to be kept with a case."""

    name: str
    media_type: str
    content: bytes


class CaseStore:
    """Cases in a database, their files in a folder.

    Args:
        database: open and up to date.
        blobs: where files go.
    """

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def save(
        self,
        case: CaseInput,
        result: CaseResult,
        *,
        actor: str,
        reports: Sequence[NamedFile],
        request_key: str | None = None,
        patient_key: str | None = None,
        study_uid: str | None = None,
        image_media_type: str = "application/octet-stream",
    ) -> StoredCase:
        """Keep a finished case with what was given and what was shown: all of it or nothing.

        Args:
            case: what was given.
            result: what was concluded.
            actor: who asked.
            reports: what was shown.
            request_key: makes a repetition the same case: the case that was kept first is returned, unchanged.
            patient_key: the patient's identifier in the record system; by default the record's own logical id.
            study_uid: Study Instance UID.
            image_media_type: of the radiograph.

        Raises:
            ConflictError: the same request key came with other inputs, or from two processes at the same moment.
            StoreUnavailableError: nothing was kept.
        """
        given = {IMAGE: (case.image, image_media_type), RECORD: (case.bundle, "application/fhir+json")}
        files = [NamedFile(name=name, media_type=kind, content=data) for name, (data, kind) in given.items() if data]
        # Files first: a file without a row is found and removed by `cds.store.privacy`, a row without its file is not.
        digests = {one.name: self._blobs.put(one.content) for one in (*files, *reports)}
        row = _row(case, result, actor=actor, request_key=request_key, digests=digests)
        row.patient_key = patient_key or (None if result.patient is None else result.patient.patient_id)
        row.study_uid = study_uid
        rows = [
            CaseFileRow(
                case_id=row.id,
                name=one.name,
                media_type=one.media_type,
                sha256=digests[one.name],
                size=len(one.content),
            )
            for one in (*files, *reports)
        ]
        with self._database.transaction() as session:
            if request_key is not None and (before := _by_request(session, request_key)) is not None:
                return _same(before, row)
            session.add(row)
            session.flush()
            session.add_all(rows)
        return self.get(row.id)

    def get(self, case_id: str) -> StoredCase:
        """One case with its files.

        Raises:
            NotStoredError: there is none.
        """
        with self._database.reading() as session:
            row = session.get(CaseRow, case_id)
            if row is None:
                raise _unknown()
            files = session.scalars(
                select(CaseFileRow).where(CaseFileRow.case_id == case_id).order_by(CaseFileRow.name)
            )
            return _stored(row, tuple(files))

    def by_request(self, request_key: str) -> StoredCase | None:
        """The case of a request that was answered before."""
        with self._database.reading() as session:
            row = _by_request(session, request_key)
            return None if row is None else _stored(row)

    def file(self, case_id: str, name: str) -> tuple[bytes, str]:
        """A file of a case and its media type.

        Raises:
            NotStoredError: there is no such case or file.
            DamagedBlobError: the file is damaged.
        """
        with self._database.reading() as session:
            row = session.get(CaseFileRow, (case_id, name))
            if row is None:
                raise _unknown()
            digest, kind = row.sha256, row.media_type
        return self._blobs.get(digest), kind

    def add_file(self, case_id: str, file: NamedFile) -> None:
        """Keep one more file with a case, or replace the one of this name.

        Raises:
            NotStoredError: there is no such case.
            StoreUnavailableError: nothing was changed.
        """
        digest = self._blobs.put(file.content)
        with self._database.transaction() as session:
            if session.get(CaseRow, case_id) is None:
                raise _unknown()
            session.merge(
                CaseFileRow(
                    case_id=case_id,
                    name=file.name,
                    media_type=file.media_type,
                    sha256=digest,
                    size=len(file.content),
                )
            )

    def find(self, query: CaseQuery) -> CasePage:
        """A page of cases, the newest first.

        Raises:
            InputError: the limit or the cursor cannot be used.
        """
        if not 1 <= query.limit <= MAX_PAGE:
            raise InputError("The number of cases on a page is out of range.", remedy=f"Give 1 to {MAX_PAGE}.")
        wanted = _narrowed(select(CaseRow), query)
        if query.cursor is not None:
            created, case_id = _read_cursor(query.cursor)
            wanted = wanted.where(or_(CaseRow.created < created, (CaseRow.created == created) & (CaseRow.id < case_id)))
        wanted = wanted.order_by(CaseRow.created.desc(), CaseRow.id.desc()).limit(query.limit + 1)
        with self._database.reading() as session:
            rows = list(session.scalars(wanted))
            page = tuple(_stored(row) for row in rows[: query.limit])
        more = len(rows) > query.limit
        return CasePage(cases=page, next_cursor=_cursor(page[-1]) if more and page else None)

    def sign(self, case_id: str, *, actor: str) -> StoredCase:
        """Note that a clinician has read the report and signs it; a signature is never replaced.

        Raises:
            NotStoredError: there is no such case.
            ConflictError: somebody signed it already.
        """
        with self._database.transaction() as session:
            row = session.get(CaseRow, case_id)
            if row is None:
                raise _unknown()
            if row.signed_by is not None:
                raise ConflictError("The report is signed already.", remedy="Assess the case anew to change anything.")
            row.signed_by, row.signed = actor, datetime.now(UTC)
        return self.get(case_id)

    def delete(self, case_id: str) -> None:
        """Delete one case, its feedback, and the files that no other case or job needs.

        Raises:
            NotStoredError: there is no such case.
        """
        with self._database.transaction() as session:
            digests = delete_cases(session, [case_id])
            if digests is None:
                raise _unknown()
        self._blobs.delete(digests)


def delete_cases(session: Session, case_ids: Sequence[str]) -> tuple[str, ...] | None:
    """Delete rows of cases; the feedback and file rows go with them.

    Returns:
        Digests of files that nothing needs any more, to be deleted after the transaction; None where there was no case.
    """
    digests = set(session.scalars(select(CaseFileRow.sha256).where(CaseFileRow.case_id.in_(case_ids))))
    found = session.scalars(select(CaseRow.id).where(CaseRow.id.in_(case_ids))).all()
    if not found:
        return None
    session.execute(delete(CaseRow).where(CaseRow.id.in_(case_ids)))
    return unneeded(session, digests)


def unneeded(session: Session, digests: set[str]) -> tuple[str, ...]:
    """Of some digests those that neither a case nor a job needs."""
    kept = set(session.scalars(select(CaseFileRow.sha256).where(CaseFileRow.sha256.in_(digests))))
    kept |= set(session.scalars(select(JobFileRow.sha256).where(JobFileRow.sha256.in_(digests))))
    return tuple(sorted(digests - kept))


def _row(
    case: CaseInput, result: CaseResult, *, actor: str, request_key: str | None, digests: Mapping[str, str]
) -> CaseRow:
    from cds.pipeline import model_versions  # which imports more than a list of cases needs

    findings, severity = result.findings, result.assessment.severity
    probability = None if findings is None else findings.fracture_probability
    context = plain(result.context)
    return CaseRow(
        id=result.case_id,
        created=datetime.now(UTC),
        actor=actor,
        request_key=request_key,
        title=result.assessment.summary.text,
        call=None if findings is None else findings.call.value,
        severity=severity.grade.value,
        urgency=severity.urgency.value,
        region=None if findings is None or findings.region is None else findings.region.value,
        probability=None if probability is None else probability.value,
        engine_version=result.engine_version,
        model_versions=list(model_versions(result)),
        image_sha256=digests.get(IMAGE),
        record_sha256=digests.get(RECORD),
        context=context if isinstance(context, dict) else {},
    )


def _by_request(session: Session, request_key: str) -> CaseRow | None:
    return session.scalars(select(CaseRow).where(CaseRow.request_key == request_key)).one_or_none()


def _same(before: CaseRow, now: CaseRow) -> StoredCase:
    """The case that was kept first, where the repetition gave the same inputs."""
    if (before.image_sha256, before.record_sha256) != (now.image_sha256, now.record_sha256):
        raise ConflictError(
            "The same request key was used before, for other inputs.", remedy="Use a new key for a new case."
        )
    return _stored(before)


def _narrowed(wanted: Select[CaseRow], query: CaseQuery) -> Select[CaseRow]:
    exact = ((CaseRow.patient_key, query.patient_key), (CaseRow.call, query.call), (CaseRow.urgency, query.urgency))
    for column, value in exact:
        if value is not None:
            wanted = wanted.where(column == value)
    if query.signed is not None:
        wanted = wanted.where(CaseRow.signed_by.is_not(None) if query.signed else CaseRow.signed_by.is_(None))
    if query.since is not None:
        wanted = wanted.where(CaseRow.created >= query.since)
    if query.until is not None:
        wanted = wanted.where(CaseRow.created < query.until)
    if query.text:
        beginnings = (CaseRow.id, CaseRow.patient_key, CaseRow.study_uid)
        wanted = wanted.where(
            or_(
                CaseRow.title.icontains(query.text, autoescape=True),
                *(column.startswith(query.text, autoescape=True) for column in beginnings),
            )
        )
    return wanted


def _stored(row: CaseRow, files: Sequence[CaseFileRow] = ()) -> StoredCase:
    return StoredCase(
        id=row.id,
        created=row.created,
        actor=row.actor,
        patient_key=row.patient_key,
        study_uid=row.study_uid,
        title=row.title,
        call=row.call,
        severity=row.severity,
        urgency=row.urgency,
        region=row.region,
        probability=row.probability,
        engine_version=row.engine_version,
        model_versions=tuple(row.model_versions),
        signed_by=row.signed_by,
        signed=row.signed,
        context=row.context,
        files=tuple(
            StoredFile(name=one.name, media_type=one.media_type, sha256=one.sha256, size=one.size) for one in files
        ),
    )


def _cursor(last: StoredCase) -> str:
    return base64.urlsafe_b64encode(json.dumps([last.created.isoformat(), last.id]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        created, case_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        moment = datetime.fromisoformat(created)
        if moment.tzinfo is None or not isinstance(case_id, str):
            raise ValueError
    except (ValueError, TypeError):
        raise InputError("The cursor is none of this list.", remedy="Begin again without a cursor.") from None
    return moment, case_id


def _unknown() -> NotStoredError:
    return NotStoredError(
        "No case or file is stored under this identifier.",
        remedy="Check the identifier; the case may have been erased.",
    )
