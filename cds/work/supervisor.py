"""Starts worker processes, replaces those that end or freeze, stops them in order."""

import logging
import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from cds.metrics import Metrics
from cds.settings import Settings
from cds.work.worker import BuildEngines, main

_log = logging.getLogger(__name__)

HEALTHY_AFTER_S: Final = 10.0
"""A worker that lived so long is replaced at once."""
LONGEST_PAUSE_S: Final = 60.0
STARTS_WITHIN_S: Final = 600.0
"""Until a worker is first heard of: it imports everything, on a machine that may be busy."""
SILENT_S: Final = 60.0
"""A worker that was heard of and is then silent for so long, or for its lease, is frozen: it is killed and replaced."""
KILL_AFTER_S: Final = 5.0
"""Beyond the time that a stop allows."""


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where one worker process runs after another."""

    process: SpawnProcess | None = None
    events: "Connection[Any, Any] | None" = None
    started: float = 0.0
    heard: float | None = None
    start_at: float = 0.0
    early_ends: int = 0


class Supervisor:
    """The workers of one service.

    Args:
        settings: what they may use.
        metrics: where their cases are counted.
        count: how many.
        build: makes their engines, importable by name; the real ones by default.
    """

    def __init__(self, settings: Settings, metrics: Metrics, *, count: int, build: BuildEngines | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._build = build
        self._places = [_Place() for _ in range(count)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start the processes; they load their models beside the service."""
        if self._places:
            self._thread.start()

    def alive(self) -> int:
        """How many processes live."""
        return sum(place.process is not None and place.process.is_alive() for place in self._places)

    def stop(self) -> None:
        """Let running jobs end, or be given back; kill what does not stop."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        processes = [place.process for place in self._places if place.process is not None]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + self._settings.shutdown_seconds + KILL_AFTER_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for place in self._places:
                self._look_after(place)
            pipes = [place.events for place in self._places if place.events is not None]
            for ready in wait(pipes, timeout=0.5) if pipes else ():
                self._hear(ready)  # type: ignore[arg-type]  # only pipes were given
            if not pipes:
                self._stopping.wait(0.5)

    def _look_after(self, place: _Place) -> None:
        now = time.monotonic()
        if place.process is not None and not place.process.is_alive():
            early = now - place.started < HEALTHY_AFTER_S and place.process.exitcode != 0
            place.early_ends = place.early_ends + 1 if early else 0
            pause = min(LONGEST_PAUSE_S, 2.0 ** (place.early_ends - 1)) if early else 0.0
            _log.warning("a worker ended (exit code %s), replaced in %.0f s", place.process.exitcode, pause)
            place.process, place.start_at = None, now + pause
            self._metrics.restarted()
        elif place.process is not None and self._is_frozen(place, now):
            _log.error("a worker is silent and is killed")
            place.process.kill()
        if place.process is None and now >= place.start_at:
            self._spawn(place)

    def _is_frozen(self, place: _Place, now: float) -> bool:
        if place.heard is None:
            return now - place.started > STARTS_WITHIN_S
        return now - place.heard > max(SILENT_S, self._settings.worker_lease_seconds)

    def _spawn(self, place: _Place) -> None:
        context = multiprocessing.get_context("spawn")
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=main, args=(self._settings, self._build, sending), name="cds-worker")
        process.start()
        sending.close()  # so that the end of the process ends the pipe
        if place.events is not None:
            place.events.close()
        place.process, place.events, place.started, place.heard = process, receiving, time.monotonic(), None

    def _hear(self, pipe: "Connection[Any, Any]") -> None:
        place = next(one for one in self._places if one.events is pipe)
        try:
            kind, what = pipe.recv()
        except (EOFError, OSError):
            pipe.close()
            place.events = None
            return
        place.heard = time.monotonic()
        if kind == "assessed":
            self._metrics.assessed(what, where="worker")
        elif kind == "model":
            self._metrics.model_failed(what, where="worker")
        elif kind == "failed":
            self._metrics.failed(what, where="worker")
