"""Takes jobs of the listener's queue: assesses radiographs, sends results. One of each kind at a time.

A job that is killed half-way is done again after its lease, and makes nothing twice: the case is kept under the job's
own key, the assessment is dated by the arrival of the image, and so the results have the same UIDs.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cds.audit import AuditTrail
from cds.case import CaseInput, CaseResult
from cds.errors import AuditError, ConflictError, ExitCode, NoDicomError, StoreUnavailableError, explain
from cds.pacs.destinations import PASSING, Destination
from cds.pacs.queue import ACTOR, ASSESS, ASSESS_FIRST, IMAGE, SEND, SEND_FIRST, send_key, tried_since
from cds.pipeline import Engines, handle_case
from cds.presenters.dicom_report import render_objects
from cds.store.jobs import Job
from cds.store.opening import Store
from cds.work.keeping import keep
from cds.work.requests import RawCase
from fusion.results import Urgency
from imaging.errors import OutsideIntendedUseError, UnsupportedModalityError

_log = logging.getLogger(__name__)
CRITICAL: Final = frozenset({Urgency.IMMEDIATE, Urgency.WITHIN_HOURS})
"""Results that go before the others."""
IDLE_S: Final = 0.5
"""Between two looks at an empty queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a job is held, and how long what fails is tried again."""

    lease: timedelta = timedelta(seconds=60)
    give_up_after: timedelta = timedelta(hours=72)
    first_wait_s: float = 5.0
    """After the first failure; doubled with each further one in a row."""
    longest_wait_s: float = 300.0

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, counted from 1."""
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 30))


class Worker(Protocol):
    """Does one thing at a time."""

    def step(self) -> bool:
        """Do one job; False when there is nothing to do now.

        Raises:
            StoreError: the queue does not answer.
        """


class _Claiming:
    """What both workers share: taking a job, holding it, putting it back."""

    kinds: tuple[str, str]

    def __init__(self, store: Store, *, name: str, patience: Patience) -> None:
        self._store = store
        self._name = name
        self._patience = patience
        self._failures = 0

    def _claim(self) -> Job | None:
        for kind in self.kinds:
            job = self._store.jobs.claim(self._name, kinds=(kind,), lease=self._patience.lease)
            if job is not None:
                return job
        return None

    @contextmanager
    def _held(self, job: Job) -> Iterator[None]:
        """Renew the lease from a thread while the work goes on."""
        done = threading.Event()
        lease = self._patience.lease

        def renewing() -> None:
            while not done.wait(lease.total_seconds() / 3):
                try:
                    if not self._store.jobs.renew(job.id, self._name, progress=0.0, lease=lease):
                        return
                except StoreUnavailableError:
                    continue

        thread = threading.Thread(target=renewing, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _failed(self, job: Job, error: Exception, *, passing: bool) -> float:
        """Put the job off, or give it up.

        Returns:
            Seconds to rest.
        """
        problem = explain(error)
        text = f"{problem.what}: {problem.why}"
        over = datetime.now(UTC) - tried_since(job) > self._patience.give_up_after
        if not passing or over:
            self._store.jobs.fail(job.id, self._name, code=problem.code, text=text)
            _log.error("job %s was given up: %s", job.id, problem.code)
            return 0.0
        self._failures += 1
        wait_s = self._patience.wait_s(self._failures)
        self._store.jobs.postpone(job.id, self._name, seconds=wait_s, code=problem.code, text=text)
        _log.warning("job %s waits %.0f s: %s", job.id, wait_s, problem.code)
        return wait_s


class AssessingWorker(_Claiming):
    """Assesses radiographs, keeps the cases, and queues their results.

    Args:
        store: the queue, and where cases are kept.
        engines: what assesses.
        audit: where assessments are recorded.
        sends: whether results are to be sent at all.
        name: of this worker; unique among those that live.
        patience: see there.
    """

    kinds = (ASSESS_FIRST, ASSESS)

    def __init__(
        self, store: Store, engines: Engines, *, audit: AuditTrail, sends: bool, name: str, patience: Patience
    ) -> None:
        super().__init__(store, name=name, patience=patience)
        self._engines = engines
        self._audit = audit
        self._sends = sends

    def step(self) -> bool:
        """Assess one radiograph."""
        job = self._claim()
        if job is None:
            return False
        try:
            with self._held(job):
                result = self._assess(job)
        except (OutsideIntendedUseError, UnsupportedModalityError) as error:
            self._store.jobs.finish(job.id, self._name, {"skipped": error.code})
        except Exception as error:
            passing = isinstance(error, (StoreUnavailableError, AuditError)) or _of_the_models(error)
            self._failed(job, error, passing=passing)
            return not passing
        else:
            self._failures = 0
            urgency = result.assessment.severity.urgency
            self._store.jobs.finish(job.id, self._name, {"case_id": result.case_id, "urgency": urgency.value})
        return True

    def _assess(self, job: Job) -> CaseResult:
        image = self._store.jobs.file(job.files[IMAGE])
        case = CaseInput(image=image, as_of=job.created)
        result = handle_case(case, self._engines, audit=self._audit, actor=ACTOR, case_id=job.id)
        objects = render_objects(result)
        raw = RawCase(image=image, bundle=None, patient_id=None, frame=None, as_of=None, bedside={})
        key = job.patient_key
        keep(self._store, raw, case, result, actor=ACTOR, request_key=job.id, patient_key=key)
        if self._sends:
            self._queue_results(job, result, objects)
        return result

    def _queue_results(self, job: Job, result: CaseResult, objects: dict[str, bytes]) -> None:
        try:
            self._store.jobs.submit(
                SEND_FIRST if result.assessment.severity.urgency in CRITICAL else SEND,
                {"case_id": result.case_id},
                actor=ACTOR,
                files=objects,
                request_key=send_key(job.id),
                patient_key=job.patient_key,
            )
        except ConflictError:
            # A worker that died had queued them already, and this one's differ in a rounding: the first ones count.
            _log.info("results of job %s are queued already", job.id)


class SendingWorker(_Claiming):
    """Sends results; rests while the PACS is down instead of trying each result in turn.

    Args:
        store: the queue.
        destination: where results go.
        name: of this worker; unique among those that live.
        patience: see there.
    """

    kinds = (SEND_FIRST, SEND)

    def __init__(self, store: Store, destination: Destination, *, name: str, patience: Patience) -> None:
        super().__init__(store, name=name, patience=patience)
        self._destination = destination
        self._rests_until = 0.0

    def step(self) -> bool:
        """Send the results of one case."""
        if time.monotonic() < self._rests_until:
            return False
        job = self._claim()
        if job is None:
            return False
        try:
            with self._held(job):
                contents = [self._store.jobs.file(digest) for _, digest in sorted(job.files.items())]
                self._destination.send(contents, first=job.kind == SEND_FIRST)
        except Exception as error:
            passing = isinstance(error, (StoreUnavailableError, *PASSING))
            self._rests_until = time.monotonic() + self._failed(job, error, passing=passing)
            return not passing
        self._failures = 0
        self._store.jobs.finish(job.id, self._name, {"sent": len(contents)})
        return True


def work(worker: Worker, stop: threading.Event) -> None:
    """Step until told to stop; what a step cannot handle is logged and tried again after a pause."""
    failures = 0
    while not stop.is_set():
        try:
            busy = worker.step()
            failures = 0
        except Exception as error:
            failures += 1
            problem = explain(error)
            _log.error("the worker cannot go on: %s", problem.code)
            stop.wait(min(60.0, 2.0**failures))
            continue
        if not busy:
            stop.wait(IDLE_S)


def _of_the_models(error: Exception) -> bool:
    """Whether a model or the evidence base is broken: no radiograph is given up for that."""
    return not isinstance(error, NoDicomError) and explain(error).exit_code is ExitCode.ARTIFACT
