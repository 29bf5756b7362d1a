"""The first pass: a piece of the input to records sorted by patient, read no further than it must be.

An Observation whose bytes hold no code that the reader knows is passed over without a look at its lines: one search
for the codes runs over whole blocks of lines (`fhir_adapters.relevance` states the rule, and decides where a block is
unusual). Of the lines that are kept, the patient is read from the bytes where that is safe (`cds.batch.keys`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from cds.batch.bundles import scan_bundle, split_bundle
from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.keys import (
    id_of_patient_line,
    patient_key_of_line,
    reference_key,
    reference_of,
    subject_reference,
    usable_key,
)
from cds.batch.lines import blocks
from cds.batch.plan import InputKind, Piece, Plan
from cds.batch.rejects import Reject
from cds.batch.spill import BETWEEN, IDLE, SpillWriter, Told
from cds.batch.tables import csv_rows, parquet_rows
from fhir_adapters.idle import IDLE_TYPES, idle_line, is_idle
from fhir_adapters.reader import is_relevant_line, relevant_codes, scan_codes
from fhir_adapters.shapes import JsonObject, as_object, as_text
from fhir_adapters.superseded import dated

_LINE_END = ord("\n")
MEDICATION_MARK = b"M"
TAKER_MARK = b"P"
"""First byte of a record of the second table: a Medication, or a patient who refers to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSpec:
    """One unit of the input, as an engine hands it to any process."""

    plan: Plan
    folder: str
    unit: int

    @property
    def task(self) -> Task:
        """The task in the journal."""
        return Task(Stage.SCAN, self.unit)


@dataclass(slots=True, kw_only=True)
class _Counts:
    """What a unit held; every number adds up over units."""

    lines: int = 0
    bytes: int = 0
    """After decompression."""
    kept: int = 0
    """Lines, entries or rows that went on to the second pass."""
    patients: int = 0
    """Patients met, repeated ones and unusable ones too."""
    takers: int = 0
    """References to Medications."""
    rejects: list[Reject] = field(default_factory=list)
    piece_lines: list[int] = field(default_factory=list)
    """Lines of each piece, from which the lines of a file are counted on."""


class Router:
    """Sends what is kept to its bucket, and notes what cannot be."""

    def __init__(self, spill: SpillWriter, counts: _Counts, unit: int) -> None:
        """Share the writer and the counts of one unit."""
        self._spill, self._unit = spill, unit
        self.counts = counts
        self.piece = 0

    def patient(self, key: bytes, line: int, payload: bytes, code: bytes = b"", day: bytes = b"") -> None:
        """Keep something of a patient."""
        self.counts.kept += 1
        self._spill.add(key, self.piece, line, payload, code, day)

    def told(self, found: list[Told]) -> None:
        """Keep lines of patients of which the bytes told code and day; the list is emptied."""
        self.counts.kept += len(found)
        self._spill.add_told(self.piece, found)
        found.clear()

    def medication(self, key: bytes, line: int, payload: bytes) -> None:
        """Keep a Medication until it is known who takes it."""
        self._spill.add(key, self.piece, line, MEDICATION_MARK + payload, table=1)

    def taker(self, medication: bytes, line: int, patient: bytes) -> None:
        """Note that a patient's record refers to a Medication."""
        self.counts.takers += 1
        self._spill.add(medication, self.piece, line, TAKER_MARK + patient, table=1)

    def reject(self, line: int, code: str, resource: str = "", *, patients: int = 0) -> None:
        """Note what was left out."""
        self.counts.rejects.append(
            Reject(unit=self._unit, piece=self.piece, line=line, code=code, resource=resource, patients=patients)
        )


def scan_unit(spec: ScanSpec) -> Path:
    """Read one unit and write its records by bucket; the same bytes whoever runs it.

    Returns:
        The marker of the finished task.

    Raises:
        ScreeningInputError: A gzip file is damaged.
        OSError: A file cannot be read or written.
    """
    folder, plan, counts = RunFolder(Path(spec.folder)), spec.plan, _Counts()
    with SpillWriter(folder, spec.task, plan.buckets, tables=2) as spill:
        router = Router(spill, counts, spec.unit)
        for number, piece in enumerate(plan.units[spec.unit]):
            router.piece = number
            counts.piece_lines.append(_scan_piece(plan, piece, router))
    counts.lines = sum(counts.piece_lines)
    return folder.finish(spec.task, {**asdict(counts), "segments": spill.segments})


def _scan_piece(plan: Plan, piece: Piece, router: Router) -> int:
    """Scan one piece; returns its number of lines."""
    path = plan.path(piece.file)
    match plan.kind:
        case InputKind.NDJSON:
            return _scan_ndjson(path, piece, plan.files[piece.file].resource_type, router)
        case InputKind.BUNDLE:
            return scan_bundle(path, router)
        case InputKind.CSV:
            return csv_rows(path, piece.start, piece.end, router)
        case InputKind.PARQUET:
            return parquet_rows(path, piece.start, router)


def _scan_ndjson(path: Path, piece: Piece, resource_type: str | None, router: Router) -> int:
    number = 0
    for block in blocks(path, piece.start, piece.end):
        router.counts.bytes += len(block)
        if resource_type is not None and resource_type in BY_CODE:
            number = _scan_by_code(block, resource_type, number, router)
        else:
            number = _scan_lines(block, number, router)
    return number


def _scan_lines(block: bytes, number: int, router: Router) -> int:
    """Look at every line; returns the number of the next one."""
    whole = block.endswith(b"\n")
    lines = block.split(b"\n")
    last = lines.pop()
    for line in lines:
        _scan_line(line, number, router)
        number += 1
    if not whole:
        _scan_line(last, number, router, broken="screen.line.incomplete")
        number += 1
    return number


def _scan_line(line: bytes, number: int, router: Router, *, broken: str = "screen.line.not_json") -> None:
    line = line.rstrip(b"\r\n\t ")
    if not line:
        return
    if not (line.startswith(b"{") and line.endswith(b"}")):
        router.reject(number, broken)
        return
    told = idle_line(line)
    if told is not None:
        router.patient(told[0], number, line, IDLE, told[1])
    elif is_relevant_line(line):
        _route(line, number, router, broken)


def _scan_by_code(block: bytes, resource_type: str, number: int, router: Router) -> int:
    """Look only at lines with a known code; returns the number of the next line.

    Sound only if every line of the block is one resource of the type, which the seam between lines shows; any other
    block is read line by line.
    """
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _LINE_END)
    if not _is_uniform(block, ends, b'{"resourceType":"%b",' % resource_type.encode()):
        return _scan_lines(block, number, router)
    hits = np.array([found.start() for found in BY_CODE[resource_type].finditer(block)], dtype=np.int64)
    places, counts = np.unique(np.searchsorted(ends, hits), return_counts=True)
    begins = np.where(places > 0, ends[places - 1] + 1, 0)
    told: list[Told] = []
    for place, begin, end, codes in zip(*(one.tolist() for one in (places, begins, ends[places], counts)), strict=True):
        line = block[begin:end]
        found = dated(line, codes)
        if found is None:
            router.told(told)
            _route(line, number + place, router, "screen.line.not_json")
        else:
            told.append((number + place, line, found))
    router.told(told)
    return number + len(ends)


def _is_uniform(block: bytes, ends: npt.NDArray[np.int64], start: bytes) -> bool:
    """Whether every line is one object that begins in one way, without code points and without control characters."""
    if not block.endswith(b"}\n") or not block.startswith(start):
        return False
    if b"\\" in block and b"\\u" in block:  # the search for one byte is many times faster
        return False
    if BETWEEN in block:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(block, dtype=np.uint8), len(start) + 2)
    if len(block) - ends[-2:][0] < len(start) + 2 and len(ends) > 1:
        return False
    seams = windows[ends[:-1] - 1]
    return bool((seams == np.frombuffer(b"}\n" + start, dtype=np.uint8)).all())


def _route(line: bytes, number: int, router: Router, broken: str) -> None:
    """Send one line of interest to its patient."""
    medication = line.find(b'"medicationReference"') >= 0
    if not medication:
        key = id_of_patient_line(line)
        if key is not None:
            router.counts.patients += 1
            router.patient(key, number, line)
            return
        key = patient_key_of_line(line)
        if key is not None:
            router.patient(key, number, line)
            return
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        router.reject(number, broken, patients=int(line.startswith(b'{"resourceType":"Patient"')))
        return
    if isinstance(resource, dict):
        route_resource(resource, line, number, router)
    else:
        router.reject(number, broken)


def route_resource(resource: JsonObject, line: bytes, number: int, router: Router) -> None:
    """Send a parsed resource to its patient, by its type and references."""
    resource_type = resource.get("resourceType")
    if resource_type == "Patient":
        router.counts.patients += 1
        key = usable_key(resource.get("id"))
        if key is None:
            router.reject(number, "screen.patient.no_id", patients=1)
        else:
            router.patient(key, number, line)
    elif resource_type == "Bundle":
        split_bundle(resource, number, router)
    elif resource_type == "Medication":
        key = usable_key(resource.get("id"))
        if key is None:
            router.reject(number, "screen.medication.no_id")
        else:
            router.medication(key, number, line)
    elif not isinstance(resource_type, str):
        router.reject(number, "screen.line.no_type")
    else:
        _route_owned(resource, line, number, router)


def _route_owned(resource: JsonObject, line: bytes, number: int, router: Router) -> None:
    reference = subject_reference(resource)
    if reference is None:
        router.reject(number, "screen.subject.missing", reference_of(resource))
        return
    key = reference_key(reference, "Patient")
    if key is None:
        router.reject(number, "screen.subject.unresolved", reference_of(resource))
        return
    resource_id = usable_key(resource.get("id"))
    if resource_id is not None and resource.get("resourceType") in IDLE_TYPES and is_idle(resource):
        router.patient(key, number, line, IDLE, resource_id)
        return
    router.patient(key, number, line)
    medication = as_text(as_object(resource.get("medicationReference")).get("reference"))
    if medication is not None and not medication.startswith("#"):
        wanted = reference_key(medication, "Medication")
        if wanted is not None:
            router.taker(wanted, number, key)


def _trie(words: list[str]) -> str:
    """A regular expression that matches exactly these words, faster than a list of them."""
    if words == [""]:
        return ""
    heads = sorted({word[:1] for word in words if word})
    branches = [re.escape(head) + _trie([word[1:] for word in words if word[:1] == head]) for head in heads]
    told = branches[0] if len(branches) == 1 and "" not in words else f"(?:{'|'.join(branches)})"
    return f"{told}?" if "" in words else told


def _any_of(codes: Iterable[str]) -> re.Pattern[bytes]:
    return re.compile(f'"code"\\s*:\\s*"{_trie(sorted(codes))}"'.encode())


BY_CODE: Mapping[str, re.Pattern[bytes]] = {
    "Observation": _any_of(relevant_codes()),
    "DiagnosticReport": _any_of(relevant_codes() | scan_codes()),
    "Procedure": _any_of(scan_codes()),
}
"""Types of which a line counts only if it holds a known code."""
