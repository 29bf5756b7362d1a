"""The listener's queue: which kinds of job there are, under which keys, and how it stands.

==================  ====================================================================================================
kind                what is to be done
==================  ====================================================================================================
``pacs.assess``     assess a radiograph (file ``image``); ``pacs.assess.first`` where the sender said priority HIGH
``pacs.send``       send the results of a case (its DICOM files); ``pacs.send.first`` where hours count
``pacs.skipped``    nothing: a note, finished from the start, that an instance was accepted and why it was not assessed
==================  ====================================================================================================

Of two kinds that differ by ``.first`` the one with it is always taken first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import func, select

from cds.pacs.selection import Instance
from cds.store.database import Database
from cds.store.jobs import Job, JobState
from cds.store.tables import JobFileRow, JobRow

ASSESS_FIRST, ASSESS = "pacs.assess.first", "pacs.assess"
SEND_FIRST, SEND = "pacs.send.first", "pacs.send"
SKIPPED: Final = "pacs.skipped"
KINDS: Final = (ASSESS_FIRST, ASSESS, SEND_FIRST, SEND, SKIPPED)
IMAGE: Final = "image"
ACTOR: Final = "pacs:listener"
_RETRIED: Final = "retried"


def instance_key(sop_instance_uid: str, model_id: str) -> str:
    """The request key of an instance: once a model, so that a new model may assess it again."""
    return f"pacs:{sop_instance_uid}:{model_id}"


def send_key(job_id: str) -> str:
    """The request key of sending what the job of an assessment made."""
    return f"pacs.send:{job_id}"


def tried_since(job: Job) -> datetime:
    """From when on the patience with a job counts: its arrival, or the last time that a person asked for a retry."""
    retried = job.request.get(_RETRIED)
    return datetime.fromisoformat(retried) if isinstance(retried, str) else job.created


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One thing that waits for something that is missing, or was given up."""

    id: str
    kind: str
    state: JobState
    created: datetime
    attempts: int
    next_try: datetime | None
    error_code: str | None
    error_text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """How the queue stands."""

    counts: Mapping[str, Mapping[str, int]]
    """``assess`` and ``send`` to the number in each state."""
    skipped: Mapping[str, int]
    """Reason to number of instances that were accepted and not assessed."""
    oldest_waiting: datetime | None
    troubled: Sequence[Waiting]
    """What waits after an error or was given up, the oldest first, at most 50."""


class PacsQueue:
    """Looks at, and notes in, the table of jobs what `cds.store.jobs.JobQueue` has no words for.

    Args:
        database: open and up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def knows(self, key: str) -> bool:
        """Whether something came under this request key before.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        with self._database.reading() as session:
            return session.scalars(select(JobRow.id).where(JobRow.request_key == key)).first() is not None

    def image_of(self, key: str) -> str | None:
        """Digest of the file that came under a request key; None when none is kept.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        wanted = select(JobFileRow.sha256).join(JobRow, JobRow.id == JobFileRow.job_id)
        with self._database.reading() as session:
            return session.scalars(wanted.where(JobRow.request_key == key, JobFileRow.name == IMAGE)).first()

    def note_skipped(self, instance: Instance, reason: str, *, key: str) -> None:
        """Note an instance that was accepted and is not assessed; the same one again changes nothing.

        Raises:
            StoreUnavailableError: nothing was noted.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            if session.scalars(select(JobRow.id).where(JobRow.request_key == key)).first() is not None:
                return
            session.add(
                JobRow(
                    id=str(uuid4()),
                    kind=SKIPPED,
                    state=JobState.DONE.value,
                    created=now,
                    finished=now,
                    actor=ACTOR,
                    request_key=key,
                    patient_key=instance.patient_key,
                    request={"sop_instance_uid": instance.sop_instance_uid},
                    progress=1.0,
                    attempts=0,
                    cancel_asked=False,
                    result={"skipped": reason},
                )
            )

    def status(self) -> QueueStatus:
        """How the queue stands.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        counted = select(JobRow.kind, JobRow.state, func.count()).where(JobRow.kind.in_(KINDS))
        waiting = JobRow.kind.in_(KINDS) & (JobRow.state == JobState.QUEUED.value)
        troubled = JobRow.kind.in_(KINDS) & (
            (JobRow.state == JobState.FAILED.value)
            | ((JobRow.state == JobState.QUEUED.value) & JobRow.error_code.is_not(None))
        )
        skipped = JobRow.result["skipped"].as_string()
        with self._database.reading() as session:
            counts: dict[str, dict[str, int]] = {"assess": {}, "send": {}}
            for kind, state, number in session.execute(counted.group_by(JobRow.kind, JobRow.state)):
                if kind != SKIPPED:
                    part = counts[kind.split(".")[1]]
                    part[state] = part.get(state, 0) + number
            reasons = select(skipped, func.count()).where(JobRow.kind.in_(KINDS), skipped.is_not(None))
            return QueueStatus(
                counts=counts,
                skipped={str(reason): number for reason, number in session.execute(reasons.group_by(skipped))},
                oldest_waiting=session.scalar(select(func.min(JobRow.created)).where(waiting)),
                troubled=[
                    _waiting(row)
                    for row in session.scalars(select(JobRow).where(troubled).order_by(JobRow.created).limit(50))
                ],
            )

    def retry(self) -> int:
        """Put everything back that was given up, and end the waiting of what was put off.

        Returns:
            How many there were.

        Raises:
            StoreUnavailableError: nothing was changed.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            wanted = JobRow.kind.in_(KINDS) & (
                (JobRow.state == JobState.FAILED.value)
                | ((JobRow.state == JobState.QUEUED.value) & JobRow.not_before.is_not(None))
            )
            rows = list(session.scalars(select(JobRow).where(wanted).with_for_update()))
            for row in rows:
                row.state, row.finished, row.not_before, row.attempts = JobState.QUEUED.value, None, None, 0
                row.error_code = row.error_text = None
                row.request = {**row.request, _RETRIED: now.isoformat()}
            return len(rows)


def _waiting(row: JobRow) -> Waiting:
    return Waiting(
        id=row.id,
        kind=row.kind,
        state=JobState(row.state),
        created=row.created,
        attempts=row.attempts,
        next_try=row.not_before if row.state == JobState.QUEUED.value else None,
        error_code=row.error_code,
        error_text=row.error_text,
    )
