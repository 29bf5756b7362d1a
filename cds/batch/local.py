"""The engine of one machine: a pool of processes, started anew when one of them dies."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path

from cds.batch.carry import Failure, attempt
from cds.batch.run import S
from cds.errors import WorkersDiedError
from cds.logs import configure_logging

_log = logging.getLogger(__name__)

RESTARTS = 3
"""How often in a row a pool that finishes nothing may die before the run gives up."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""The variables by which the numerical libraries are told how many threads to use."""


class LocalExecutor:
    """Runs tasks in processes of this machine; one worker means: in this process."""

    name = "local"

    def __init__(self, workers: int | None = None, *, log_level: str = "WARNING") -> None:
        """Choose the number of processes.

        Args:
            workers: Processes; all cores by default.
            log_level: For the logs of the workers.
        """
        self.workers = max(1, workers or os.cpu_count() or 1)
        self._log_level = log_level

    def run(self, function: Callable[[S], Path], specs: Sequence[S]) -> Iterator[S]:
        """Run a function on each spec; see `cds.batch.run.Executor`.

        Raises:
            WorkersDiedError: The processes die again and again.
        """
        if self.workers == 1 or len(specs) == 1:
            for spec in specs:
                function(spec)
                yield spec
            return
        waiting = list(specs)
        failures = 0
        while waiting:
            before = len(waiting)
            try:
                for spec in self._pool(function, list(waiting)):
                    waiting.remove(spec)
                    yield spec
            except BrokenProcessPool:
                failures = failures + 1 if len(waiting) == before else 0
                _log.warning("a worker process died; %d tasks are left", len(waiting))
                if failures == RESTARTS:
                    raise WorkersDiedError from None

    def _pool(self, function: Callable[[S], Path], specs: Sequence[S]) -> Iterator[S]:
        with (
            ProcessPoolExecutor(
                min(self.workers, len(specs)),
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self._log_level,),
            ) as pool,
            _one_thread_each(),
        ):
            futures: dict[Future[Failure | None], S] = {pool.submit(attempt, function, spec): spec for spec in specs}
            try:
                while futures:
                    done, _ = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        failure = future.result()
                        if failure is not None:
                            failure.throw()
                        yield futures.pop(future)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def end_with_parent() -> None:
    """Let this process end as soon as the one that started it does, also when that one is killed.

    A pool's worker would wait for work for ever otherwise, with its models in memory.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), name="end-with-parent", daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _start_worker(log_level: str) -> None:
    end_with_parent()
    configure_logging(log_level)


class _one_thread_each:  # noqa: N801 - reads as a word of the with statement
    """The libraries of a spawned worker read their number of threads when they are loaded."""

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
