"""Jobs become cases: done once, stopped between steps, given back, taken over, recycled."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cds.audit import NoAuditTrail
from cds.errors import StoreUnavailableError
from cds.metrics import Metrics
from cds.settings import Settings
from cds.store.cases import CaseQuery
from cds.store.jobs import Job, JobState
from cds.store.opening import Store, open_store
from cds.work.gate import Turnstile
from cds.work.steps import Step
from cds.work.worker import GIVEN_BACK, Worker, memory_mib
from imaging.errors import TruncatedFileError
from tests.support.fakes import FakeParts


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(settings_of(tmp_path))
    yield opened
    opened.close()


def settings_of(folder: Path, **more: object) -> Settings:
    return Settings(data_dir=folder, audit_log=None, worker_lease_seconds=2.0, shutdown_seconds=0.0, **more)  # type: ignore[arg-type]


def worker_of(store: Store, folder: Path, parts: FakeParts | None = None, **more: object) -> Worker:
    engines = (parts or FakeParts()).engines()
    return Worker(settings=settings_of(folder, **more), store=store, engines=engines, audit=NoAuditTrail())


def submitted(store: Store) -> Job:
    job = store.jobs.submit(
        "assess", {"bedside": {"site": "ankle"}}, actor="web:a", files={"image": b"i", "bundle": b"r"}
    )
    assert job is not None
    return job


def claimed(store: Store, worker: Worker) -> Job:
    job = store.jobs.claim(worker.name, kinds=("assess",), lease=worker.lease)
    assert job is not None
    return job


def cases(store: Store) -> int:
    return len(store.cases.find(CaseQuery()).cases)


def test_a_job_becomes_a_case(store: Store, tmp_path: Path) -> None:
    events: list[object] = []
    parts = FakeParts()
    job = submitted(store)
    worker = worker_of(store, tmp_path, parts)
    worker.tell = events.append
    worker.work_on(claimed(store, worker))
    done = store.jobs.get(job.id)
    assert (done.state, done.progress) == (JobState.DONE, 1.0)
    assert done.result is not None
    case = store.cases.get(done.result["case_id"])
    assert case.actor == "web:a"
    assert case.context["site"] == "ankle"
    assert events == [("assessed", ("definite", ()))]
    # The time that is meant is that of the submission.
    assert parts.contexts


def test_a_case_that_was_kept_before_its_worker_died_is_not_assessed_again(store: Store, tmp_path: Path) -> None:
    job = submitted(store)
    first = worker_of(store, tmp_path)
    first._case_of(claimed(store, first), _NoWatch())  # type: ignore[arg-type]
    time.sleep(2.1)
    parts = FakeParts()
    second = worker_of(store, tmp_path, parts)
    second.work_on(claimed(store, second))
    assert store.jobs.get(job.id).state is JobState.DONE
    assert parts.calls == []
    assert cases(store) == 1


class _NoWatch:
    def begin(self, step: Step) -> None:
        """Nobody looks."""


def test_cancelled_between_two_steps(store: Store, tmp_path: Path) -> None:
    job = submitted(store)
    worker = with_hook(worker_of(store, tmp_path), lambda: store.jobs.cancel(job.id))
    worker.work_on(claimed(store, worker))
    assert store.jobs.get(job.id).state is JobState.CANCELLED
    assert cases(store) == 0


def test_given_back_when_the_service_stops(store: Store, tmp_path: Path) -> None:
    job = submitted(store)
    worker = worker_of(store, tmp_path)

    def stop() -> None:
        worker.hurry_at = time.monotonic()
        worker.stopping.set()

    with_hook(worker, stop).work_on(claimed(store, worker))
    back = store.jobs.get(job.id)
    assert (back.state, back.attempts, back.error_code) == (JobState.QUEUED, 0, GIVEN_BACK)
    again = worker_of(store, tmp_path)
    again.work_on(claimed(store, again))
    assert store.jobs.get(job.id).state is JobState.DONE
    assert cases(store) == 1


def with_hook(worker: Worker, hook: Callable[[], object]) -> Worker:
    """The worker, to which something happens while it reads the image."""
    read = worker.engines.read_image

    def hooked(source: bytes, *, frame: int = 1) -> object:
        hook()
        return read(source, frame=frame)

    worker.engines = replace(worker.engines, read_image=hooked)  # type: ignore[arg-type]
    return worker


def test_what_cannot_be_assessed_fails_in_words(store: Store, tmp_path: Path) -> None:
    job = submitted(store)
    parts = FakeParts(fail_image=TruncatedFileError("The file ends early."))
    worker = worker_of(store, tmp_path, parts)
    worker.work_on(claimed(store, worker))
    failed = store.jobs.get(job.id)
    assert (failed.state, failed.error_code) == (JobState.FAILED, "imaging.file.truncated")
    assert "ends early" in (failed.error_text or "")


def test_a_full_disk_postpones(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submitted(store)
    worker = worker_of(store, tmp_path)

    def full(*_: object, **__: object) -> None:
        raise StoreUnavailableError("A file cannot be kept: full.", remedy="Make room.")

    with monkeypatch.context() as patched:
        patched.setattr(store.cases, "save", full)
        worker.work_on(claimed(store, worker))
    waiting = store.jobs.get(job.id)
    assert (waiting.state, waiting.error_code) == (JobState.QUEUED, "cds.store.unavailable")


def test_a_worker_ends_after_so_many_jobs_or_with_too_much_memory(store: Store, tmp_path: Path) -> None:
    for _ in range(3):
        submitted(store)
    worker_of(store, tmp_path, worker_max_jobs=2).run()
    assert store.jobs.unfinished() == 1
    large = worker_of(store, tmp_path)
    large.memory_mib = lambda: large.settings.worker_max_rss_mib + 1
    large.run()
    assert store.jobs.unfinished() == 0
    assert 1 < memory_mib() < 100_000


def test_the_lease_is_renewed_during_a_long_step(store: Store, tmp_path: Path) -> None:
    job = submitted(store)
    worker = with_hook(worker_of(store, tmp_path), lambda: time.sleep(3.0))
    seen: list[Job | None] = []
    held = claimed(store, worker)
    thief = threading.Timer(2.5, lambda: seen.append(store.jobs.claim("thief", kinds=("assess",))))
    thief.start()
    worker.work_on(held)
    thief.join()
    assert seen == [None]
    assert store.jobs.get(job.id).state is JobState.DONE


def test_steps_are_in_order() -> None:
    progress = [step.progress for step in Step]
    assert progress == sorted(progress)
    assert all(0 <= one < 1 for one in progress)


@pytest.mark.anyio
async def test_turnstile_lets_a_few_in_and_turns_the_rest_away() -> None:
    import anyio

    from cds.errors import TooManyRequestsError

    turnstile = Turnstile(at_once=1, limit=2)
    most, inside, refused = 0, 0, 0

    async def visitor() -> None:
        nonlocal most, inside, refused
        try:
            async with turnstile.passage():
                inside += 1
                most = max(most, inside)
                await anyio.sleep(0.02)
                inside -= 1
        except TooManyRequestsError as error:
            refused += 1
            assert 1 <= error.retry_after_s <= 60

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(visitor)
    assert (most, refused, turnstile.inside) == (1, 3, 0)


def test_metrics_without_a_database_are_not_a_number() -> None:
    def away() -> int:
        raise StoreUnavailableError("The database does not answer.", remedy="Start it.")

    metrics = Metrics()
    metrics.watch(jobs=away)
    assert b"fracture_cds_job_queue NaN" in metrics.text()
