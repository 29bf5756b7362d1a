"""What a run has finished, on disk: every file appears whole or not at all, so a kill at any moment loses one task.

The run folder lies beside the output while the run lasts and holds patient data (mode 0700). A task is finished when
its marker ``<name>.json`` exists; the marker is renamed into place after all other files of the task. ``plan.json`` is
the first file of a run; a resumed run must have the same fingerprint.
"""

import os
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

PLAN = "plan.json"


class Stage(StrEnum):
    """The kinds of tasks, in the order they run."""

    SCAN = "scan"
    """A piece of the input to records sorted by patient."""
    JOIN = "join"
    """Medications to the patients who take them."""
    PART = "part"
    """A bucket of patients to rows."""
    INDEX = "index"
    """Files of Bundles to the ids of their patients."""
    CASES = "cases"
    """A stretch of a work list of radiographs to rows."""


class Task(NamedTuple):
    """One piece of work of one stage."""

    stage: Stage
    number: int

    @property
    def name(self) -> str:
        """File name without its extension."""
        return f"{self.stage}-{self.number:06d}"


class RunFolder:
    """The files of one run. Holds no open file and no state, so that it can travel to other processes."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is read or made."""
        self.path = path

    def create(self, plan: bytes) -> None:
        """Make the folder and write the plan, which is what makes it a run."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_whole(self.path / PLAN, plan)

    def plan(self) -> bytes | None:
        """The plan of the run in this folder; None when there is none."""
        try:
            return (self.path / PLAN).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Delete the run with all its files."""
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, task: Task, kind: str) -> Path:
        """Path of a finished file of a task."""
        return self.path / f"{task.name}.{kind}"

    def is_done(self, task: Task) -> bool:
        """Whether the task is finished."""
        return self.file(task, "json").exists()

    def open_temporary(self, task: Task, kind: str) -> BinaryIO:
        """A file that `publish` renames into place. The process id keeps a second worker on the same task apart."""
        return (self.path / f"{task.name}.{kind}.{os.getpid()}.tmp").open("wb")

    def publish(self, stream: BinaryIO, task: Task, kind: str) -> Path:
        """Flush a temporary file to the disk and give it its name."""
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
        final = self.file(task, kind)
        Path(stream.name).replace(final)
        return final

    def finish(self, task: Task, result: dict[str, Any]) -> Path:
        """Write the marker of a finished task.

        Args:
            task: The task, whose other files are published.
            result: Counts and indexes; no patient data but what its files hold.
        """
        with self.open_temporary(task, "json") as stream:
            stream.write(orjson.dumps(result))
            return self.publish(stream, task, "json")

    def result(self, task: Task) -> dict[str, Any]:
        """What `finish` wrote."""
        loaded: dict[str, Any] = orjson.loads(self.file(task, "json").read_bytes())
        return loaded

    def _write_whole(self, path: Path, data: bytes) -> None:
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
