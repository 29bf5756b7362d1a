"""The folder of an export: its files, its state for a run that goes on after a kill, its report.

* ``Type.N.ndjson``: finished files; ``.Type.N.ndjson.part`` while they arrive.
* ``.export.json``: the state: what was asked for, and the status address. ``.export.files``: a line for each finished
  file. No token, and no address of a file, since such an address may be signed and let anybody in.
* ``manifest.json``: the report of a finished export: counts only.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from fhir_adapters.errors import ExportFolderError

STATE = ".export.json"
FILES = ".export.files"
REPORT = "manifest.json"
_VERSION = 1


class ExportLevel(StrEnum):
    """Whose records are exported."""

    SYSTEM = "system"
    """All that the server holds, Medications included."""
    PATIENT = "patient"
    """What belongs to any patient."""
    GROUP = "group"
    """What belongs to the members of a Group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is asked for; a run goes on only with what the run before asked for."""

    server: str
    level: ExportLevel
    group_id: str | None
    types: tuple[str, ...]
    """Sorted."""
    since: str | None
    """FHIR instant in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One finished file."""

    key: str = field(repr=False)
    """As in the manifest."""
    name: str
    type: str
    lines: int
    """Resources in it."""
    bytes: int
    promised: int | None
    """Resources in it by the manifest."""


@dataclass(slots=True, kw_only=True)
class ExportState:
    """The state of one export, on disk after every change."""

    folder: Path
    request: ExportRequest
    status_url: str | None = None
    started_at: str | None = None
    left_out: tuple[str, ...] = ()
    """Types that the server does not know."""
    files: dict[str, ExportedFile] = field(default_factory=dict)
    report: dict[str, Any] | None = None
    """Of a finished export."""

    def save(self) -> None:
        """Write the state; it appears whole or not at all."""
        request = {**asdict(self.request), "level": self.request.level.value}
        told = {
            "version": _VERSION,
            "request": request,
            "status_url": self.status_url,
            "started_at": self.started_at,
            "left_out": self.left_out,
            "report": self.report,
        }
        write_whole(self.folder / STATE, orjson.dumps(told, option=orjson.OPT_INDENT_2))

    def begin(self, status_url: str, left_out: tuple[str, ...]) -> None:
        """The server has taken the request."""
        self.status_url, self.left_out = status_url, left_out
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.save()

    def add(self, file: ExportedFile) -> None:
        """A file has arrived whole; one line is added, for some servers write a file for every patient."""
        self.files[file.key] = file
        with (self.folder / FILES).open("ab") as stream:
            stream.write(_line(file))

    def forget(self) -> None:
        """Drop all that belongs to an export that the server no longer has."""
        self.keep_only(frozenset())
        self.status_url = self.started_at = self.report = None
        self.left_out = ()
        self.save()

    def keep_only(self, keys: Collection[str]) -> None:
        """Delete files that are not part of the export (any more): all that lies here will be read."""
        self.files = {key: file for key, file in self.files.items() if key in keys}
        write_whole(self.folder / FILES, b"".join(_line(file) for file in self.files.values()))
        kept = {file.name for file in self.files.values()}
        for path in self.folder.glob("*.ndjson"):
            if path.name not in kept:
                path.unlink()
        remove_parts(self.folder)

    def finished(self, key: str) -> bool:
        """Whether a file of the manifest lies here, as long as it was."""
        file = self.files.get(key)
        try:
            return file is not None and (self.folder / file.name).stat().st_size == file.bytes
        except OSError:
            return False

    def names(self, wanted: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Names for files given by key and type; one that has arrived keeps its name."""
        names = {key: file.name for key, file in self.files.items()}
        used = set(names.values())
        numbers: dict[str, Iterator[int]] = {}
        for key, resource_type in wanted:
            if key not in names:
                counting = numbers.setdefault(resource_type, count(1))
                names[key] = next(
                    name for number in counting if (name := f"{resource_type}.{number}.ndjson") not in used
                )
        return names


def open_state(folder: Path, request: ExportRequest) -> ExportState:
    """The state of the export in a folder, or a new one.

    Raises:
        ExportFolderError: the folder holds another export, or other files.
        OSError: the folder cannot be made or read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = _read(folder)
    if told is None:
        if any(folder.iterdir()):
            raise ExportFolderError("The folder for the export is not empty, and holds no export that could go on.")
        state = ExportState(folder=folder, request=request)
        state.save()
        return state
    before = {**told["request"], "types": tuple(told["request"]["types"])}
    changed = sorted(name for name, value in asdict(request).items() if before.get(name) != value)
    if changed and told["status_url"] is None and told["report"] is None:
        # The server never took the request before, so that nothing is lost.
        state = ExportState(folder=folder, request=request)
        state.forget()
        return state
    if changed:
        raise ExportFolderError(f"The folder holds another export; it differs in: {', '.join(changed)}.")
    return ExportState(
        folder=folder,
        request=request,
        status_url=told["status_url"],
        started_at=told["started_at"],
        left_out=tuple(told["left_out"]),
        files={file.key: file for file in _finished_files(folder)},
        report=told["report"],
    )


def begun_level(folder: Path) -> ExportLevel | None:
    """Level of the export that a server has taken on for this folder, finished or not; None when there is none.

    Raises:
        ExportFolderError: its state cannot be read.
    """
    told = _read(folder)
    begun = told is not None and (told["status_url"] is not None or told["report"] is not None)
    return ExportLevel(told["request"]["level"]) if told is not None and begun else None


def finished_report(folder: Path) -> dict[str, Any] | None:
    """The report of the finished export in a folder; None when there is none, or an unfinished one.

    Raises:
        ExportFolderError: its state cannot be read.
    """
    told = _read(folder)
    return None if told is None else told["report"]


def remove_export(folder: Path) -> None:
    """Delete an export with its folder; a folder that holds no export stays as it is."""
    if (folder / STATE).is_file():
        shutil.rmtree(folder, ignore_errors=True)


def remove_parts(folder: Path) -> None:
    """Delete files that were still arriving."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file for this user alone that appears whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _line(file: ExportedFile) -> bytes:
    return orjson.dumps(asdict(file)) + b"\n"


def _finished_files(folder: Path) -> Iterator[ExportedFile]:
    try:
        lines = (folder / FILES).read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines[:-1]:  # what follows the last end of line was being written when the run was killed
        yield ExportedFile(**orjson.loads(line))


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        told = orjson.loads((folder / STATE).read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict) or told.get("version") != _VERSION:
        raise ExportFolderError("The state of the export in this folder cannot be read, or is of another release.")
    return told
