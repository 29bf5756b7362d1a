"""Reads and checks the evidence files: nothing unknown, nothing missing, nothing that contradicts itself.

The checks are written out here rather than as a JSON Schema, because each refusal names the file and the entry, and
because cross-file rules (a source must exist, an identifier is used once) are no matter of one document.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import yaml

from fusion.errors import EvidenceError
from fusion.evidence_model import EvidenceEntry, EvidenceGrade, EvidenceStatus, Measure, Source

FAMILIES = ("healing", "severity", "care", "risk", "growth", "diagnosis")
"""Names of the entry files, and first part of every identifier in them."""
ENTRY_SCHEMA = "fracture-cds.evidence/1"
SOURCE_SCHEMA = "fracture-cds.sources/1"

_REQUIRED = ("id", "statement", "population", "grade", "sources", "status", "reviewed_on")
_OPTIONAL = ("measure", "value", "low", "high", "unit", "interval", "table", "note")
_ID = re.compile(r"[a-z]+(\.[a-z0-9_]+){2,3}")
_IDENTIFIER = re.compile(r"doi:10\.\d{4,9}/\S+|PMID:\d{1,9}|PMC\d{1,9}|NICE [A-Z]{2}\d{1,4}|BOA BOAST \d{1,2}")
# libyaml's safe loader reads the files several times faster; the pure one gives the same result.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFiles:
    """What a folder of evidence files holds."""

    version: str
    digest: str
    """SHA-256 over names and bytes of the files, in hexadecimal."""
    entries: Mapping[str, EvidenceEntry]
    sources: Mapping[str, Source]


def read_folder(folder: Path) -> EvidenceFiles:
    """Read ``sources.yaml`` and the entry files of a folder.

    Args:
        folder: where the files lie.

    Raises:
        EvidenceError: a file is missing, is no YAML or breaks the schema.
    """
    names = ("sources.yaml", *(f"{family}.yaml" for family in FAMILIES))
    raw = {name: _bytes(folder / name) for name in names}
    documents = {name: _document(name, data) for name, data in raw.items()}
    versions = {_version(name, document) for name, document in documents.items()}
    if len(versions) != 1:
        raise EvidenceError(
            f"The evidence files carry different versions: {', '.join(sorted(versions))}.",
            remedy="Give all evidence files the same version.",
        )
    sources = _sources(documents["sources.yaml"])
    entries: dict[str, EvidenceEntry] = {}
    for family in FAMILIES:
        for entry in _entries(family, documents[f"{family}.yaml"], sources):
            if entry.id in entries:
                _refuse(f"{family}.yaml", entry.id, "the identifier is used twice")
            entries[entry.id] = entry
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + raw[name] + b"\0" for name in sorted(raw)))
    return EvidenceFiles(
        version=versions.pop(),
        digest=digest.hexdigest(),
        entries=MappingProxyType(entries),
        sources=MappingProxyType(sources),
    )


def _refuse(file: str, entry: str, reason: str) -> NoReturn:
    raise EvidenceError(
        f"{file}, entry {entry}: {reason}.", remedy=f"Correct the entry {entry} in {file}; see the other entries."
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EvidenceError(
            f"The evidence file {path.name} cannot be read ({error.strerror}).", remedy="Restore the evidence folder."
        ) from error


def _document(file: str, data: bytes) -> dict[str, Any]:
    try:
        # A safe loader: the files are data and can construct nothing.
        document = yaml.load(data, Loader=_Loader)
    except yaml.YAMLError as error:
        raise EvidenceError(f"{file} is no valid YAML: {error}", remedy=f"Correct {file}.") from error
    if not isinstance(document, dict):
        _refuse(file, "(top)", "the file holds no mapping")
    return dict(document)


def _version(file: str, document: Mapping[str, Any]) -> str:
    body = "sources" if file == "sources.yaml" else "entries"
    expected = SOURCE_SCHEMA if file == "sources.yaml" else ENTRY_SCHEMA
    if set(document) != {"schema", "version", body}:
        _refuse(file, "(top)", f"the file must hold exactly schema, version and {body}")
    if document["schema"] != expected:
        _refuse(file, "(top)", f"the schema must be {expected}")
    version = document["version"]
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        _refuse(file, "(top)", "the version must read like 1.0.0")
    return str(version)


def _sources(document: Mapping[str, Any]) -> dict[str, Source]:
    file = "sources.yaml"
    found: dict[str, Source] = {}
    if not isinstance(document["sources"], dict):
        _refuse(file, "(top)", "sources must be a mapping of keys")
    for key, fields in document["sources"].items():
        if not isinstance(fields, dict) or not {"citation", "identifier"} <= set(fields):
            _refuse(file, str(key), "citation or identifier is missing")
        if unknown := set(fields) - {"citation", "identifier", "note"}:
            _refuse(file, str(key), f"unknown field {', '.join(sorted(map(str, unknown)))}")
        identifier = fields["identifier"]
        if identifier is not None and not _IDENTIFIER.fullmatch(str(identifier)):
            _refuse(file, str(key), "the identifier is no DOI, PubMed, PMC or guideline number; null if none was seen")
        found[str(key)] = Source(
            key=str(key),
            citation=_text(file, str(key), fields, "citation"),
            identifier=identifier,
            note=_optional_text(file, str(key), fields, "note"),
        )
    return found


def _entries(family: str, document: Mapping[str, Any], sources: Mapping[str, Source]) -> Iterator[EvidenceEntry]:
    file = f"{family}.yaml"
    if not isinstance(document["entries"], list):
        _refuse(file, "(top)", "entries must be a list")
    for place, fields in enumerate(document["entries"], start=1):
        if not isinstance(fields, dict):
            _refuse(file, f"number {place}", "the entry is no mapping")
        yield _entry(file, family, str(fields.get("id", f"number {place}")), fields, sources)


def _entry(
    file: str, family: str, name: str, fields: Mapping[str, Any], sources: Mapping[str, Source]
) -> EvidenceEntry:
    if missing := [one for one in _REQUIRED if fields.get(one) is None]:
        _refuse(file, name, f"{', '.join(missing)} missing")
    if unknown := set(fields) - {*_REQUIRED, *_OPTIONAL}:
        _refuse(file, name, f"unknown field {', '.join(sorted(map(str, unknown)))}")
    if not _ID.fullmatch(name) or name.split(".")[0] != family:
        _refuse(file, name, f"the identifier must read like {family}.topic.name")
    entry = EvidenceEntry(
        id=name,
        statement=_text(file, name, fields, "statement"),
        population=_text(file, name, fields, "population"),
        grade=_member(file, name, fields, "grade", EvidenceGrade),
        sources=_source_keys(file, name, fields["sources"], sources),
        status=_member(file, name, fields, "status", EvidenceStatus),
        reviewed_on=_day(file, name, fields["reviewed_on"]),
        measure=None if "measure" not in fields else _member(file, name, fields, "measure", Measure),
        value=_number(file, name, fields, "value"),
        low=_number(file, name, fields, "low"),
        high=_number(file, name, fields, "high"),
        unit=_optional_text(file, name, fields, "unit"),
        interval=_optional_text(file, name, fields, "interval"),
        table=_table(file, name, fields),
        note=_optional_text(file, name, fields, "note"),
    )
    _check_numbers(file, entry)
    return entry


def _check_numbers(file: str, entry: EvidenceEntry) -> None:
    stated = [one for one in (entry.low, entry.value, entry.high) if one is not None]
    if stated != sorted(stated):
        _refuse(file, entry.id, "low, value and high are not in rising order")
    # A pair of numbers says nothing until it says what it is; hours and proportions are plain from the statement.
    plain = entry.measure in {Measure.SPACING, Measure.TIMING, Measure.RATE}
    if entry.low is not None and entry.high is not None and entry.interval is None and not plain:
        _refuse(file, entry.id, "low and high are given but interval does not say what they are")
    if entry.measure is Measure.RATE and not all(0 <= one <= 1 for one in stated):
        _refuse(file, entry.id, "a rate must lie between 0 and 1")
    ratios = {Measure.ODDS_RATIO, Measure.RISK_RATIO, Measure.HAZARD_RATIO, Measure.TIME_RATIO}
    if entry.measure in ratios and not all(one > 0 for one in stated):
        _refuse(file, entry.id, "a ratio must be above 0")


def _text(file: str, name: str, fields: Mapping[str, Any], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str) or not value.strip():
        _refuse(file, name, f"{key} must be text")
    return str(value)


def _optional_text(file: str, name: str, fields: Mapping[str, Any], key: str) -> str | None:
    return None if fields.get(key) is None else _text(file, name, fields, key)


def _number(file: str, name: str, fields: Mapping[str, Any], key: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        _refuse(file, name, f"{key} must be a finite number")
    return float(value)


def _member(file: str, name: str, fields: Mapping[str, Any], key: str, kind: type[E]) -> E:
    try:
        return kind(fields[key])
    except ValueError:
        raise EvidenceError(
            f"{file}, entry {name}: {key} must be one of {', '.join(kind)}.",
            remedy=f"Correct the entry {name} in {file}.",
        ) from None


def _source_keys(file: str, name: str, keys: object, sources: Mapping[str, Source]) -> tuple[str, ...]:
    if not isinstance(keys, list) or not keys:
        _refuse(file, name, "sources must be a list of at least one key")
    listed = tuple(str(key) for key in keys)
    if unknown := [key for key in listed if key not in sources]:
        _refuse(file, name, f"unknown source {', '.join(unknown)}")
    return listed


def _day(file: str, name: str, value: object) -> date:
    # A datetime is a date too, but a time of day has no place here.
    if not isinstance(value, date) or isinstance(value, datetime):
        _refuse(file, name, "reviewed_on must be a date such as 2026-11-21")
    return value


def _table(file: str, name: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    table = fields.get("table", {})
    if not isinstance(table, dict):
        _refuse(file, name, "table must be a mapping")
    return MappingProxyType(dict(table))
