"""One process that takes jobs from the store, one at a time, until it is told to stop or has grown too large.

A second thread renews the lease while the first works: a worker that dies or hangs in a dead machine goes silent, and
its job is taken over after the lease. A job that takes too long or too much memory ends its worker, whatever that is in
the middle of; it is tried once more, then given up with the reason. A job whose case was kept before its worker died is
not assessed again.
"""

import contextlib
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import parent_process
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cds.audit import AuditTrail
from cds.bootstrap import build_audit_trail, build_engines
from cds.entrypoints.service import Service
from cds.errors import AuditError, CdsError, JobStoppedError, StoreError, StoreUnavailableError, explain
from cds.learning.shadow import ShadowRunner
from cds.logs import configure_logging
from cds.metrics import Outcome, outcome_of
from cds.pipeline import Engines
from cds.settings import MEBIBYTE, Settings
from cds.store.jobs import Job, JobQueue
from cds.store.opening import Store, open_store
from cds.work.requests import ASSESS, from_document
from cds.work.steps import Step, stepping

_log = logging.getLogger(__name__)

BuildEngines = Callable[[Settings], Engines]
Event = tuple[str, Outcome | str]
"""What the supervisor hears: ``assessed`` with the outcome, ``failed`` with the code, ``model`` with the kind of a
chosen model that cannot be used, ``alive`` with nothing."""
End = Callable[[JobQueue], object]
"""Writes down how a job ended."""
EXIT_MEMORY: Final = 75
"""The worker had half as much memory again as it may, in the middle of a job."""
EXIT_TOO_LONG: Final = 76
"""The worker was in one job for longer than it may."""
GIVEN_BACK: Final = "cds.job.given_back"
OUT_OF_MEMORY: Final = "cds.job.memory"
TOO_LONG: Final = "cds.job.too_long"
TRIES: Final = 2
"""A job that made so many workers end is given up."""
NOTED_WITHIN_S: Final = 5.0
"""A worker that has to end waits no longer for the database to hear why; the lease does the rest."""
ALIVE_EVERY_S: Final = 5.0
LOOKS_EVERY_S: Final = 0.25
STORE_AWAY_S: Final = 2.0
"""Time between tries while the database does not answer."""
HARD_FACTOR: Final = 1.5


@dataclass(slots=True, kw_only=True)
class Worker:
    """Works on jobs."""

    settings: Settings
    store: Store
    engines: Engines
    audit: AuditTrail
    tell: Callable[[Event], None] = lambda event: None
    name: str = field(default_factory=lambda: f"worker-{os.getpid()}-{uuid4().hex[:8]}")
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set: take no more jobs."""
    busy: threading.Event = field(default_factory=threading.Event)
    """Set while there is a job: the shadow then waits."""
    hurry_at: float = float("inf")
    """Monotonic time from which a running job is given back at its next step."""
    memory_mib: Callable[[], float] = lambda: memory_mib()
    leave: Callable[[int], object] = os._exit
    """Ends this process at once."""

    @property
    def lease(self) -> timedelta:
        """For how long a job is taken."""
        return timedelta(seconds=self.settings.worker_lease_seconds)

    def run(self) -> None:
        """Work until told to stop, or until it is time to be replaced."""
        done = 0
        while not self.stopping.is_set():
            try:
                job = self.store.jobs.claim(self.name, kinds=(ASSESS,), lease=self.lease)
            except StoreError as error:
                _log.warning("the store does not answer [%s]", error.code)
                self.stopping.wait(STORE_AWAY_S)
                continue
            if job is None:
                self.stopping.wait(LOOKS_EVERY_S)
                continue
            self.work_on(job)
            done += 1
            if done >= self.settings.worker_max_jobs or self.memory_mib() > self.settings.worker_max_rss_mib:
                return

    def work_on(self, job: Job) -> None:
        """Do one job and say how it ended; a store that is away for the moment is waited for."""
        self.busy.set()
        try:
            self._work_on(job)
        finally:
            self.busy.clear()

    def _work_on(self, job: Job) -> None:
        watch = _Watch(self, job)
        end: End
        with watch:
            try:
                case_id = self._case_of(job, watch)
                end = _done(job, self.name, case_id)
            except JobStoppedError:
                end = watch.ended
            except (StoreUnavailableError, AuditError) as error:
                end = _later(job, self.name, error, STORE_AWAY_S)
            except Exception as error:
                problem = explain(error)
                self.tell(("failed", problem.code))
                end = _failed(job, self.name, problem.code, f"{problem.what}. {problem.why}")
            self._settle(end)

    def _settle(self, end: End) -> None:
        """Write the end down. While the database is away the lease may run out: then another worker has the job."""
        deadline = time.monotonic() + 2 * self.lease.total_seconds()
        while True:
            try:
                end(self.store.jobs)
                return
            except StoreError as error:
                _log.warning("the end of a job cannot be kept yet [%s]", error.code)
            if time.monotonic() >= min(deadline, self.hurry_at):
                return
            time.sleep(min(STORE_AWAY_S, self.lease.total_seconds() / 4))

    def _case_of(self, job: Job, watch: "_Watch") -> str:
        before = self.store.cases.by_request(job.id)
        if before is not None:
            return before.id
        files = {name: self.store.jobs.file(digest) for name, digest in job.files.items()}
        raw = from_document(
            {"as_of": job.created.isoformat(), **job.request}, image=files.get("image"), bundle=files.get("bundle")
        )
        service = Service(
            settings=self.settings, engines=stepping(self.engines, watch.begin), audit=self.audit, store=self.store
        )
        client = job.actor.removeprefix("web:")
        result = service.assess(raw, client=client, request_key=job.id, before_keeping=lambda: watch.begin(Step.KEEP))
        self.tell(("assessed", outcome_of(result)))
        return result.case_id


class _Watch:
    """Renews the lease of a job while it is worked on, and stops the work between two steps.

    Args:
        worker: who works.
        job: on what.
    """

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker = worker
        self._job = job
        self._over = threading.Event()
        self._lost = False
        self._last = time.monotonic()
        self._step: Step | None = None
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def begin(self, step: Step) -> None:
        """A step begins.

        Raises:
            JobStoppedError: the work should end here.
        """
        self._step = step
        if not self._beat() or time.monotonic() >= self._worker.hurry_at:
            raise JobStoppedError

    def ended(self, jobs: JobQueue) -> None:
        """Note that the work stopped: cancelled, or to be done again; nothing where another worker has the job."""
        if jobs.get(self._job.id).cancel_asked:
            jobs.stopped(self._job.id, self._worker.name)
        else:
            jobs.postpone(
                self._job.id, self._worker.name, seconds=0, code=GIVEN_BACK, text="The service was stopped meanwhile."
            )

    def _beat(self) -> bool:
        """Renew the lease; True to go on. A database that is away does not end the work, only the lease does."""
        step = self._step
        try:
            held = self._worker.store.jobs.renew(
                self._job.id,
                self._worker.name,
                progress=0.0 if step is None else step.progress,
                step=None if step is None else step.value,
                lease=self._worker.lease,
            )
        except StoreError:
            return True
        self._lost = self._lost or not held
        return not self._lost

    def _renew(self) -> None:
        every = max(0.1, self._worker.lease.total_seconds() / 4)
        settings, began = self._worker.settings, time.monotonic()
        while not self._over.wait(min(every, 1.0)):
            if self._worker.memory_mib() > HARD_FACTOR * settings.worker_max_rss_mib:
                self._abandon(OUT_OF_MEMORY, "It takes more memory than a worker may have.", EXIT_MEMORY)
            elif time.monotonic() - began > settings.worker_job_seconds:
                self._abandon(TOO_LONG, f"It takes more than {settings.worker_job_seconds:.0f} s.", EXIT_TOO_LONG)
            if time.monotonic() >= self._last + every:
                self._last = time.monotonic()
                self._beat()

    def _abandon(self, code: str, text: str, status: int) -> None:
        """End this process, whatever the other thread is in the middle of."""
        _log.error("a worker ends in the middle of a job [%s]", code)
        noting = threading.Thread(target=self._note_abandoned, args=(code, text), daemon=True)
        noting.start()
        noting.join(NOTED_WITHIN_S)
        self._worker.leave(status)

    def _note_abandoned(self, code: str, text: str) -> None:
        jobs, name = self._worker.store.jobs, self._worker.name
        with contextlib.suppress(StoreError):
            if jobs.get(self._job.id).cancel_asked:
                jobs.stopped(self._job.id, name)
            elif self._job.attempts < TRIES:
                jobs.postpone(self._job.id, name, seconds=0, code=code, text=text, costs_attempt=True)
            else:
                self._worker.tell(("failed", code))
                jobs.fail(self._job.id, name, code=code, text=f"{text} It was tried {self._job.attempts} times.")


def _done(job: Job, worker: str, case_id: str) -> End:
    return lambda jobs: jobs.finish(job.id, worker, {"case_id": case_id})


def _later(job: Job, worker: str, error: CdsError, seconds: float) -> End:
    return lambda jobs: jobs.postpone(job.id, worker, seconds=seconds, code=error.code, text=str(error))


def _failed(job: Job, worker: str, code: str, text: str) -> End:
    return lambda jobs: jobs.fail(job.id, worker, code=code, text=text)


def memory_mib() -> float:
    """Resident memory of this process, in MiB; the largest so far where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / MEBIBYTE
    except (OSError, ValueError, IndexError):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest / (MEBIBYTE if sys.platform == "darwin" else 1024)


def main(settings: Settings, build: BuildEngines | None, events: "Connection[Any, Any]") -> None:
    """What a worker process runs.

    Args:
        settings: of the service.
        build: makes the engines; the real ones by default.
        events: what the supervisor counts.
    """
    configure_logging(settings.log_level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the service too, which stops its workers in order
    store = open_store(settings)

    sending = threading.Lock()

    def tell(event: Event) -> None:
        with contextlib.suppress(OSError), sending:  # the service is gone, and this process soon too
            events.send(event)

    threading.Thread(target=_beat, args=(tell,), daemon=True).start()

    worker = Worker(
        settings=settings,
        store=store,
        engines=(build or build_engines)(settings),
        audit=build_audit_trail(settings, store),
        tell=tell,
    )

    if worker.engines.models is not None:
        worker.engines.models.tell = lambda kind: tell(("model", kind))

    def stop(*_: object) -> None:
        if not worker.stopping.is_set():
            worker.hurry_at = time.monotonic() + settings.shutdown_seconds
            worker.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_follow_parent, args=(stop,), daemon=True).start()
    shadow = ShadowRunner(settings, store, worker.busy)
    shadow.start()
    try:
        worker.run()
    finally:
        shadow.stop()
        store.close()


def _beat(tell: Callable[[Event], None]) -> None:
    """Let the supervisor hear that this process is not frozen."""
    while True:
        tell(("alive", ""))
        time.sleep(ALIVE_EVERY_S)


def _follow_parent(stop: Callable[[], None]) -> None:
    """Stop when the service is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        stop()
