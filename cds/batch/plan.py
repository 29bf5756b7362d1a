"""Inputs to a plan: which files, in which pieces, into how many buckets. The same input gives the same plan anywhere.

The plan is all that a resumed run must share with the run that was killed; its digest names the run. It knows nothing
of engines or workers, which is why they cannot change the result.
"""

import gzip
import hashlib
import math
import re
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from cds.errors import InputError, ResumeRefusedError, ScreeningInputError
from fhir_adapters.bundle import READ_TYPES

SCHEMA_VERSION = 3
"""Raised when plans, spill files or rows change so that a half-finished run of an older release cannot go on."""

UNIT_BYTES = 64 * 1024 * 1024
BUCKET_BYTES = 32 * 1024 * 1024
MOST_UNITS = 4096
FEWEST_BUCKETS = 4
MOST_BUCKETS = 4096
_GZIP_RATIO = 8
"""How much larger FHIR JSON is than its gzip, about; only used to choose the number of buckets."""
_KEPT_SHARE = {"Observation": 0.5, "DiagnosticReport": 0.2, "Procedure": 0.1}
"""Share of an export's bytes that is kept for reading, by type, generously."""
_FIRST_LINE_BYTES = 1024 * 1024
_IGNORED = frozenset({"manifest.json"})
_TYPE = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]{1,60})"')


class InputKind(StrEnum):
    """What a folder or file of input holds."""

    NDJSON = "ndjson"
    BUNDLE = "bundle"
    CSV = "csv"
    PARQUET = "parquet"


_SUFFIXES = {
    ".ndjson": InputKind.NDJSON,
    ".jsonl": InputKind.NDJSON,
    ".json": InputKind.BUNDLE,
    ".csv": InputKind.CSV,
    ".parquet": InputKind.PARQUET,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file that is read; a changed size or time means another input."""

    name: str
    """Path relative to the input, with forward slashes."""
    size: int
    modified_ns: int
    resource_type: str | None = None
    """Type of all lines of an NDJSON file, as far as its name and first line tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A range of bytes of one file; lines belong to the piece in which they begin. A row range for Parquet."""

    file: int
    start: int = 0
    end: int | None = None
    """None: to the end of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that determines the result."""

    root: str
    kind: InputKind
    files: tuple[InputFile, ...]
    skipped_files: int
    """NDJSON files of types that tell nothing about fracture risk."""
    skipped_bytes: int
    units: tuple[tuple[Piece, ...], ...]
    buckets: int
    as_of: datetime
    model_id: str
    engine_version: str
    risk_dir: str | None = None
    risk_anchor: str | None = None
    risk_anchor_sha256: str | None = None
    """Digest of the table of another population's risk; None without one."""

    def to_bytes(self) -> bytes:
        """The plan as JSON, always the same for the same plan."""
        return orjson.dumps(
            {"schema": SCHEMA_VERSION, **asdict(self)}, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2
        )

    @property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits that name input, time, model and version; the place of the input is left out."""
        told = {name: value for name, value in asdict(self).items() if name not in {"root", "risk_dir", "risk_anchor"}}
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    @property
    def read_bytes(self) -> int:
        """Size of the files that are read, as they lie on the disk."""
        return sum(file.size for file in self.files)

    def path(self, file: int) -> Path:
        """Where a file of the plan lies."""
        root = Path(self.root)
        return root if root.is_file() else root / self.files[file].name


def make_plan(
    source: Path,
    *,
    as_of: datetime,
    model_id: str,
    engine_version: str,
    risk_dir: Path | None,
    risk_anchor: Path | None = None,
) -> Plan:
    """Look at the input and cut it into units.

    Args:
        source: A folder, or one file.
        as_of: Time of the screening, timezone-aware.
        model_id: The risk model that will be used.
        engine_version: Version of this application.
        risk_dir: Folder of the risk model; None for the shipped one.
        risk_anchor: Table of another population's mean risk; None for none.

    Raises:
        OSError: The table cannot be read.
        InputError: Nothing to read, or kinds that cannot be read together.
        ScreeningInputError: An NDJSON export without a Patient file.
    """
    kind, paths = _discover(source)
    files: list[InputFile] = []
    skipped_files = skipped_bytes = 0
    for path in paths:
        told = path.stat()
        resource_type = None
        if kind is InputKind.NDJSON:
            first = _first_type(path)
            if first is not None and first in path.name:
                resource_type = first
            if resource_type is not None and resource_type not in READ_TYPES | {"Bundle"}:
                skipped_files += 1
                skipped_bytes += told.st_size
                continue
        name = path.name if source.is_file() else path.relative_to(source).as_posix()
        files.append(InputFile(name=name, size=told.st_size, modified_ns=told.st_mtime_ns, resource_type=resource_type))
    if kind is InputKind.NDJSON and not any(file.resource_type in {None, "Patient", "Bundle"} for file in files):
        raise ScreeningInputError(
            "The export holds no Patient file.",
            remedy="Export with _type=Patient,Observation,Condition,... and give the folder with all its files.",
        )
    root = source.absolute()
    sizes = [_inflated(file) for file in files]
    return Plan(
        root=str(root),
        kind=kind,
        files=tuple(files),
        skipped_files=skipped_files,
        skipped_bytes=skipped_bytes,
        units=_units(kind, files, root, sum(sizes)),
        buckets=_buckets(kind, files, sizes),
        as_of=as_of,
        model_id=model_id,
        engine_version=engine_version,
        risk_dir=None if risk_dir is None else str(risk_dir),
        risk_anchor=None if risk_anchor is None else str(risk_anchor.absolute()),
        risk_anchor_sha256=None if risk_anchor is None else hashlib.sha256(risk_anchor.read_bytes()).hexdigest(),
    )


def refuse_changed(before: bytes, plan: Plan) -> None:
    """Compare the plan of an unfinished run with the one asked for now.

    Raises:
        ResumeRefusedError: They differ; the message says in what.
    """
    old: dict[str, Any] = orjson.loads(before)
    new: dict[str, Any] = orjson.loads(plan.to_bytes())
    words = {
        "root": "another input folder",
        "kind": "another kind of input",
        "files": "changed input files",
        "units": "changed input files",
        "skipped_files": "changed input files",
        "skipped_bytes": "changed input files",
        "buckets": "changed input files",
        "as_of": "another --as-of",
        "model_id": "another risk model",
        "risk_dir": "another risk model",
        "risk_anchor_sha256": "another population's risk",
        "engine_version": "another version of this software",
        "schema": "another version of this software",
    }
    changed = sorted({words[name] for name in words if old.get(name) != new.get(name)})
    if changed:
        raise ResumeRefusedError(
            f"An unfinished run lies beside the output, and this one differs from it: {', '.join(changed)}.",
            remedy="Start anew with --fresh, or repeat the command exactly as it was to go on.",
        )


def _discover(source: Path) -> tuple[InputKind, list[Path]]:
    if not source.exists():
        raise InputError("The input does not exist.", remedy="Give a folder or a file that exists.")
    candidates = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    found: dict[InputKind, list[Path]] = {}
    for path in candidates:
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        kind = _kind_of(path)
        if kind is not None and not hidden and (path.name not in _IGNORED or path == source):
            found.setdefault(kind, []).append(path)
    if not found:
        raise InputError(
            "The input holds nothing that can be screened.",
            remedy="Give FHIR Bulk Data (.ndjson), Bundles (.json), or rows of risk factors (.csv, .parquet); each but"
            " .parquet also as .gz.",
        )
    if len(found) > 1:
        kinds = ", ".join(sorted(f"{len(paths)} {kind}" for kind, paths in found.items()))
        raise InputError(
            f"The input folder mixes several kinds of files ({kinds}).",
            remedy="Put each kind into a folder of its own and screen one at a time.",
        )
    ((kind, paths),) = found.items()
    return kind, paths


def _kind_of(path: Path) -> InputKind | None:
    name = path.name.lower()
    if name.endswith(".gz"):
        kind = _SUFFIXES.get(Path(name.removesuffix(".gz")).suffix)
        return None if kind is InputKind.PARQUET else kind
    return _SUFFIXES.get(Path(name).suffix)


def _first_type(path: Path) -> str | None:
    """The resourceType that the first line names first; the file's name must agree before it is believed."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            line = stream.readline(_FIRST_LINE_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None
    found = _TYPE.search(line)
    return found.group(1).decode() if found is not None else None


def _inflated(file: InputFile) -> int:
    return file.size * _GZIP_RATIO if file.name.lower().endswith(".gz") else file.size


def _units(kind: InputKind, files: list[InputFile], root: Path, total: int) -> tuple[tuple[Piece, ...], ...]:
    """Plain text is cut into ranges of bytes; small files are put together; a gzip file cannot be cut."""
    size = max(UNIT_BYTES, math.ceil(total / MOST_UNITS))
    pieces: list[tuple[Piece, int]] = []
    for number, file in enumerate(files):
        if kind is InputKind.PARQUET:
            pieces += _row_groups(number, root if root.is_file() else root / file.name)
        elif kind is InputKind.BUNDLE or file.name.lower().endswith(".gz") or file.size <= size:
            pieces.append((Piece(file=number), _inflated(file)))
        else:
            for start in range(0, file.size, size):
                end = start + size
                pieces.append((Piece(file=number, start=start, end=None if end >= file.size else end), size))
    units: list[tuple[Piece, ...]] = []
    waiting: list[Piece] = []
    weight = 0
    for piece, weighs in pieces:
        if waiting and weight + weighs > size:
            units.append(tuple(waiting))
            waiting, weight = [], 0
        waiting.append(piece)
        weight += weighs
    return (*units, tuple(waiting)) if waiting else tuple(units)


def _row_groups(number: int, path: Path) -> list[tuple[Piece, int]]:
    from cds.batch.tables import parquet_row_groups

    return [
        (Piece(file=number, start=group, end=group + 1), size) for group, size in enumerate(parquet_row_groups(path))
    ]


def _buckets(kind: InputKind, files: list[InputFile], sizes: list[int]) -> int:
    share = 0.2 if kind is InputKind.BUNDLE else 1.0
    kept = sum(size * _KEPT_SHARE.get(file.resource_type or "", share) for file, size in zip(files, sizes, strict=True))
    return min(MOST_BUCKETS, max(FEWEST_BUCKETS, math.ceil(kept / BUCKET_BYTES)))
