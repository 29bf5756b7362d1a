"""Accepted work that survives a crash: a job is in the database before its submitter is told that it was accepted.

A worker takes a job for a while (a lease) and renews it while it works. A worker that dies stops renewing, and after
the lease another one takes the job over; a job that killed several workers is given up. The result of a job is kept
under the job's own key (`CaseStore.save(request_key=job.id)`), so a job that is done twice makes one case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from cds.errors import ConflictError, NotStoredError
from cds.store.blobs import BlobStore
from cds.store.database import Database
from cds.store.tables import JobFileRow, JobRow

LEASE: Final = timedelta(seconds=60)
MAX_ATTEMPTS: Final = 3
"""A job whose workers died this often is given up: it may be what kills them."""
GIVEN_UP: Final = "cds.job.given_up"


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as it stands."""

    id: str
    kind: str
    state: JobState
    created: datetime
    actor: str
    patient_key: str | None
    request: Mapping[str, Any]
    progress: float
    """0..1."""
    step: str | None
    attempts: int
    finished: datetime | None
    result: Mapping[str, Any] | None
    error_code: str | None
    error_text: str | None
    cancel_asked: bool
    files: Mapping[str, str]
    """Name to digest of the files it needs."""


class JobQueue:
    """Jobs in a database, their files in a folder.

    Args:
        database: open and up to date.
        blobs: where files go.
        capacity: jobs of one kind that may wait or run at a time; None for any number.
    """

    def __init__(self, database: Database, blobs: BlobStore, *, capacity: int | None = None) -> None:
        self._database = database
        self._blobs = blobs
        self._capacity = capacity

    def submit(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        actor: str,
        files: Mapping[str, bytes] | None = None,
        request_key: str | None = None,
        patient_key: str | None = None,
    ) -> Job | None:
        """Accept a job; it is on the disk when this returns.

        Args:
            kind: what is to be done.
            request: how, as JSON values.
            actor: who asks.
            files: name to content.
            request_key: a second submission under the same key is the first one.
            patient_key: whose data it holds, for erasure.

        Returns:
            The job; None when the queue is full (the submitter should come back later).

        Raises:
            ConflictError: the key was used for another request.
            StoreUnavailableError: nothing was accepted.
        """
        digests = {name: self._blobs.put(data) for name, data in (files or {}).items()}
        with self._database.transaction() as session:
            if request_key is not None:
                before = session.scalars(select(JobRow).where(JobRow.request_key == request_key)).one_or_none()
                if before is not None:
                    return _same(session, before, kind, request, digests)
            if self._capacity is not None and _unfinished(session, kind) >= self._capacity:
                return None
            row = JobRow(
                id=str(uuid4()),
                kind=kind,
                state=JobState.QUEUED.value,
                created=datetime.now(UTC),
                actor=actor,
                request_key=request_key,
                patient_key=patient_key,
                request=dict(request),
                progress=0.0,
                attempts=0,
                cancel_asked=False,
            )
            session.add(row)
            session.flush()
            session.add_all(JobFileRow(job_id=row.id, name=name, sha256=digest) for name, digest in digests.items())
            session.flush()
            return _job(session, row)

    def claim(self, worker: str, *, kinds: tuple[str, ...], lease: timedelta = LEASE) -> Job | None:
        """Take the oldest job that waits, or whose worker died.

        Args:
            worker: who takes it.
            kinds: kinds of job it can do.
            lease: for how long; see `renew`.

        Returns:
            The job; None when there is nothing to do.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            _give_up(session, now)
            free = or_(
                JobRow.state == JobState.QUEUED.value,
                (JobRow.state == JobState.RUNNING.value) & (JobRow.lease_ends < now),
            )
            due = or_(JobRow.not_before.is_(None), JobRow.not_before <= now)
            wanted = (
                select(JobRow)
                .where(JobRow.kind.in_(kinds), free, due)
                .order_by(JobRow.created, JobRow.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = session.scalars(wanted).one_or_none()
            if row is None:
                return None
            row.state, row.leased_by, row.lease_ends = JobState.RUNNING.value, worker, now + lease
            row.attempts += 1
            session.flush()
            return _job(session, row)

    def renew(
        self, job_id: str, worker: str, *, progress: float, step: str | None = None, lease: timedelta = LEASE
    ) -> bool:
        """Go on with a job, and say how far it is.

        Returns:
            False when the worker should stop: the job was cancelled, or another worker has it.
        """
        with self._database.transaction() as session:
            row = _held(session, job_id, worker)
            if row is None or row.cancel_asked:
                return False
            row.progress, row.step, row.lease_ends = progress, step, datetime.now(UTC) + lease
            return True

    def finish(self, job_id: str, worker: str, result: Mapping[str, Any]) -> bool:
        """The job is done.

        Returns:
            False when another worker has it or it was cancelled: its result does not count.
        """
        return self._end(job_id, worker, JobState.DONE, result=dict(result))

    def fail(self, job_id: str, worker: str, *, code: str, text: str) -> bool:
        """The job cannot be done; repeating would not help.

        Args:
            job_id: which job.
            worker: who gives it up.
            code: of the error.
            text: for a person, without patient data.
        """
        return self._end(job_id, worker, JobState.FAILED, code=code, text=text)

    def postpone(
        self, job_id: str, worker: str, *, seconds: float, code: str, text: str, costs_attempt: bool = False
    ) -> bool:
        """Put the job back for a while.

        Args:
            job_id: which job.
            worker: who puts it back.
            seconds: for how long.
            code: of what is in the way.
            text: for a person, without patient data.
            costs_attempt: whether the job itself is to blame; not, where what it needs (a PACS, the disk) is not there.
        """
        with self._database.transaction() as session:
            row = _held(session, job_id, worker)
            if row is None:
                return False
            row.state, row.leased_by, row.lease_ends = JobState.QUEUED.value, None, None
            row.not_before = datetime.now(UTC) + timedelta(seconds=seconds)
            row.attempts -= not costs_attempt
            row.error_code, row.error_text = code, text
            return True

    def cancel(self, job_id: str) -> Job:
        """Cancel a job that waits; ask the worker of one that runs to stop.

        Raises:
            NotStoredError: there is no such job.
            ConflictError: it is finished.
        """
        with self._database.transaction() as session:
            row = session.get(JobRow, job_id)
            if row is None:
                raise _unknown()
            if JobState(row.state) in FINISHED:
                raise ConflictError("The job is finished.", remedy="There is nothing left to cancel.")
            row.cancel_asked = True
            if row.state == JobState.QUEUED.value:
                row.state, row.finished = JobState.CANCELLED.value, datetime.now(UTC)
            session.flush()
            return _job(session, row)

    def stopped(self, job_id: str, worker: str) -> bool:
        """The worker has stopped because the job was cancelled."""
        return self._end(job_id, worker, JobState.CANCELLED)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotStoredError: there is none.
        """
        with self._database.reading() as session:
            row = session.get(JobRow, job_id)
            if row is None:
                raise _unknown()
            return _job(session, row)

    def unfinished(self) -> int:
        """Jobs that wait or run."""
        with self._database.reading() as session:
            return _unfinished(session)

    def file(self, digest: str) -> bytes:
        """A file of a job.

        Raises:
            DamagedBlobError: it is missing or damaged.
        """
        return self._blobs.get(digest)

    def _end(
        self,
        job_id: str,
        worker: str,
        state: JobState,
        *,
        result: dict[str, Any] | None = None,
        code: str | None = None,
        text: str | None = None,
    ) -> bool:
        with self._database.transaction() as session:
            row = _held(session, job_id, worker)
            if row is None:
                return False
            row.state, row.finished, row.leased_by, row.lease_ends = state.value, datetime.now(UTC), None, None
            row.result, row.error_code, row.error_text = result, code, text
            if state is JobState.DONE:
                row.progress = 1.0
            return True


def _held(session: Session, job_id: str, worker: str) -> JobRow | None:
    """The job, if this worker has it."""
    row = session.get(JobRow, job_id, with_for_update=True)
    if row is None or row.state != JobState.RUNNING.value or row.leased_by != worker:
        return None
    return row


def _give_up(session: Session, now: datetime) -> None:
    """End what killed too many workers, and what was cancelled while its worker died."""
    lost = (JobRow.state == JobState.RUNNING.value) & (JobRow.lease_ends < now)
    session.execute(
        update(JobRow)
        .where(lost, JobRow.cancel_asked)
        .values(state=JobState.CANCELLED.value, finished=now, leased_by=None, lease_ends=None)
    )
    session.execute(
        update(JobRow)
        .where(lost, JobRow.attempts >= MAX_ATTEMPTS)
        .values(
            state=JobState.FAILED.value,
            finished=now,
            leased_by=None,
            lease_ends=None,
            error_code=GIVEN_UP,
            error_text=f"{MAX_ATTEMPTS} workers died over this job.",
        )
    )


def _unfinished(session: Session, kind: str | None = None) -> int:
    states = (JobState.QUEUED.value, JobState.RUNNING.value)
    wanted = select(func.count()).select_from(JobRow).where(JobRow.state.in_(states))
    if kind is not None:
        wanted = wanted.where(JobRow.kind == kind)
    return session.scalar(wanted) or 0


def _same(session: Session, before: JobRow, kind: str, request: Mapping[str, Any], digests: Mapping[str, str]) -> Job:
    job = _job(session, before)
    if (job.kind, dict(job.request), dict(job.files)) != (kind, dict(request), dict(digests)):
        raise ConflictError(
            "The same request key was used before, for other inputs.", remedy="Use a new key for a new request."
        )
    return job


def _job(session: Session, row: JobRow) -> Job:
    files = session.scalars(select(JobFileRow).where(JobFileRow.job_id == row.id))
    return Job(
        id=row.id,
        kind=row.kind,
        state=JobState(row.state),
        created=row.created,
        actor=row.actor,
        patient_key=row.patient_key,
        request=row.request,
        progress=row.progress,
        step=row.step,
        attempts=row.attempts,
        finished=row.finished,
        result=row.result,
        error_code=row.error_code,
        error_text=row.error_text,
        cancel_asked=row.cancel_asked,
        files={one.name: one.sha256 for one in files},
    )


def _unknown() -> NotStoredError:
    return NotStoredError("There is no such job.", remedy="Check the identifier; the job may have been erased.")
