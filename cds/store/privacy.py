"""One patient's data: export, erasure with proof, and retention for everybody's.

The audit chain stays: it names patients by a keyed digest only, and the law wants to know afterwards who read what.
"""

import hashlib
import hmac
import io
import json
import os
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import uuid4

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from cds.errors import NotStoredError, StoreError, StoreUnavailableError
from cds.presenters.json_report import plain
from cds.store.blobs import BlobStore
from cds.store.cases import delete_cases, unneeded
from cds.store.database import Database
from cds.store.feedback import FeedbackStore
from cds.store.jobs import FINISHED
from cds.store.tables import CaseFileRow, CaseRow, ErasureRow, FeedbackRow, HookFeedbackRow, JobFileRow, JobRow

_KEY_NAME: Final = "patient-digest.key"
_STRAY_AFTER: Final = timedelta(days=1)
"""Files that nothing needs are left alone for so long: a case may just be about to be kept."""


class ErasureReason(StrEnum):
    """Why data were erased."""

    PATIENT_REQUEST = "patient_request"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureProof:
    """What was erased, and that nothing is left."""

    id: str
    created: datetime
    reason: ErasureReason
    counts: dict[str, int]
    """Rows and files deleted, by kind."""
    left: dict[str, int]
    """What a search found afterwards, by kind: all zero, or `Privacy.erase_patient` had raised."""


class Privacy:
    """Acts on everything that the store keeps of patients.

    Args:
        database: open and up to date.
        blobs: the files.
        folder: the data folder, which holds the key of the patients' digests.
    """

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._folder = folder

    def patient_digest(self, patient_key: str) -> str:
        """The keyed digest under which the audit chain and the proofs name a patient.

        HMAC-SHA-256: without the key, which never leaves the data folder, nobody can try identifiers against it.

        Raises:
            StoreUnavailableError: the key cannot be read or made.
        """
        return hmac.new(self._key(), patient_key.encode(), hashlib.sha256).hexdigest()

    def export_patient(self, patient_key: str) -> bytes:
        """Everything that is kept of one patient, as a ZIP archive.

        ``cases.json`` lists the cases with feedback; each case's files lie in a folder of its identifier.

        Raises:
            NotStoredError: nothing is kept under this key.
            DamagedBlobError: a file is damaged: nothing is exported in silence.
        """
        with self._database.reading() as session:
            cases = session.scalars(select(CaseRow).where(CaseRow.patient_key == patient_key).order_by(CaseRow.created))
            rows = list(cases)
            files = {
                row.id: list(session.scalars(select(CaseFileRow).where(CaseFileRow.case_id == row.id))) for row in rows
            }
            jobs = list(session.scalars(select(JobRow).where(JobRow.patient_key == patient_key)))
        if not rows and not jobs:
            raise NotStoredError("Nothing is kept of this patient.", remedy="Check the patient's identifier.")
        feedback = FeedbackStore(self._database)
        listed = [
            {
                "id": row.id,
                "created": row.created.isoformat(),
                "actor": row.actor,
                "title": row.title,
                "study_uid": row.study_uid,
                "models": row.model_versions,
                "context": row.context,
                "signed_by": row.signed_by,
                "files": [
                    {"name": one.name, "media_type": one.media_type, "sha256": one.sha256} for one in files[row.id]
                ],
                "feedback": [plain(one) for one in feedback.of_case(row.id, current=False)],
            }
            for row in rows
        ]
        requests = [{"id": one.id, "kind": one.kind, "state": one.state, "request": one.request} for one in jobs]
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            document = {"patient": patient_key, "cases": listed, "requests": requests}
            archive.writestr("cases.json", json.dumps(document, indent=1, ensure_ascii=False))
            for row in rows:
                for one in files[row.id]:
                    archive.writestr(f"{row.id}/{one.name}", self._blobs.get(one.sha256))
        return target.getvalue()

    def erase_patient(self, patient_key: str, *, actor: str) -> ErasureProof:
        """Delete everything that is kept of one patient, then look whether anything is left.

        Raises:
            NotStoredError: nothing is kept under this key.
            StoreError: something was left; the proof is not given.
            StoreUnavailableError: the database or a file cannot be written; repeat, what is gone stays gone.
        """
        with self._database.transaction() as session:
            ids = list(session.scalars(select(CaseRow.id).where(CaseRow.patient_key == patient_key)))
            jobs = list(session.scalars(select(JobRow.id).where(JobRow.patient_key == patient_key)))
            if not ids and not jobs:
                raise NotStoredError("Nothing is kept of this patient.", remedy="Check the patient's identifier.")
            counts, digests = _delete(session, ids, jobs)
            row = self._note(session, ErasureReason.PATIENT_REQUEST, actor, counts, patient_key)
        counts["files"] = self._blobs.delete(digests)
        self._wipe_free_pages()
        left = self._left(patient_key, digests)
        if any(left.values()):
            raise StoreError("Something of the patient was left.", remedy="Repeat the erasure, and report this.")
        return ErasureProof(
            id=row.id, created=row.created, reason=ErasureReason.PATIENT_REQUEST, counts=counts, left=left
        )

    def apply_retention(self, *, days: int, actor: str, now: datetime | None = None) -> ErasureProof | None:
        """Delete cases older than some days, jobs finished and cards issued that long ago, and files nobody needs.

        Args:
            days: how long cases are kept, from 1 on.
            actor: who asks.
            now: the time to count from.

        Returns:
            What was deleted; None when nothing was due.
        """
        if days < 1:
            raise ValueError("Cases are kept for at least a day.")
        before = (now or datetime.now(UTC)) - timedelta(days=days)
        with self._database.transaction() as session:
            ids = list(session.scalars(select(CaseRow.id).where(CaseRow.created < before)))
            over = (JobRow.finished < before) & JobRow.state.in_([state.value for state in FINISHED])
            jobs = list(session.scalars(select(JobRow.id).where(over)))
            row = None
            counts, digests = _delete(session, ids, jobs)
            counts["hook_feedback"] = _delete_hook_feedback(session, before)
            if ids or jobs or counts["hook_feedback"]:
                row = self._note(session, ErasureReason.RETENTION, actor, counts, None)
        counts["files"] = self._blobs.delete(digests)
        counts["stray_files"] = self._delete_strays()
        if row is None:
            return None
        self._wipe_free_pages()
        return ErasureProof(
            id=row.id, created=row.created, reason=ErasureReason.RETENTION, counts=counts, left={"cases": 0}
        )

    def _note(
        self, session: Session, reason: ErasureReason, actor: str, counts: dict[str, int], patient_key: str | None
    ) -> ErasureRow:
        row = ErasureRow(
            id=str(uuid4()),
            created=datetime.now(UTC),
            actor=actor,
            reason=reason.value,
            patient_key_hash=None if patient_key is None else self.patient_digest(patient_key),
            counts=dict(counts),
        )
        session.add(row)
        return row

    def _left(self, patient_key: str, digests: tuple[str, ...]) -> dict[str, int]:
        with self._database.reading() as session:
            found = {
                name: session.scalar(select(func.count()).select_from(table).where(table.patient_key == patient_key))
                or 0
                for name, table in (("cases", CaseRow), ("jobs", JobRow))
            }
        return found | {"files": sum(self._blobs.holds(digest) for digest in digests)}

    def _wipe_free_pages(self) -> None:
        """Fold SQLite's log into the file and cut it: it still holds the pages as they were."""
        if self._database.is_sqlite:
            with self._database.engine.connect() as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    def _delete_strays(self) -> int:
        """Files without a row: a process died between keeping the file and keeping the row."""
        with self._database.reading() as session:
            needed = set(session.scalars(select(CaseFileRow.sha256))) | set(session.scalars(select(JobFileRow.sha256)))
        limit = datetime.now(UTC) - _STRAY_AFTER
        strays = [one for one in self._blobs.digests() if one not in needed and self._blobs.kept_since(one) < limit]
        return self._blobs.delete(strays)

    def _key(self) -> bytes:
        path = self._folder / _KEY_NAME
        try:
            if not path.is_file():
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                temporary = path.with_suffix(f".{uuid4().hex}")
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(os.urandom(32))
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    os.link(temporary, path)  # fails where another process was first
                except FileExistsError:
                    pass
                finally:
                    temporary.unlink()
            return path.read_bytes()
        except OSError as error:
            raise StoreUnavailableError(
                f"The key of the patients' digests cannot be used: {error.strerror}.",
                remedy="Check the rights of the data folder; restore the key from the backup if it is lost.",
            ) from None


def _delete_hook_feedback(session: Session, before: datetime) -> int:
    """Delete what was said about cards before some time: it is tied to no patient, but a comment may name one."""
    old = HookFeedbackRow.created < before
    count = session.scalar(select(func.count()).select_from(HookFeedbackRow).where(old))
    session.execute(delete(HookFeedbackRow).where(old))
    return count or 0


def _delete(session: Session, case_ids: list[str], job_ids: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Delete rows; returns how many, and the digests that nothing needs any more."""
    feedback = session.scalar(select(func.count()).select_from(FeedbackRow).where(FeedbackRow.case_id.in_(case_ids)))
    job_files = set(session.scalars(select(JobFileRow.sha256).where(JobFileRow.job_id.in_(job_ids))))
    session.execute(delete(JobRow).where(JobRow.id.in_(job_ids)))
    digests = set(delete_cases(session, case_ids) or ())
    digests |= set(unneeded(session, job_files))
    counts = {"cases": len(case_ids), "feedback": feedback or 0, "jobs": len(job_ids)}
    return counts, tuple(sorted(digests))
