"""The second pass: one bucket of patients to rows. A pure function of the run folder, the same under every engine."""

import gc
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa

from cds.batch.care_gaps import CareGap, care_gaps, is_treated
from cds.batch.columns import Row
from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.keys import reference_of
from cds.batch.plan import InputKind, Plan
from cds.batch.rejects import Reject
from cds.batch.rows import GAPS_NOT_JUDGED, ON_TREATMENT, SCHEMA, Stamp, build_row, sort_key
from cds.batch.spill import IDLE, Record, Records, Segment, read_bucket
from cds.batch.statistics import Statistics
from cds.batch.tables import features_of
from cds.bootstrap import load_risk_engine
from cds.logs import safe_traceback
from cds.mapping import map_features
from fhir_adapters.bundle import is_logical_id
from fhir_adapters.errors import FhirError
from fhir_adapters.patient import PatientSnapshot
from fhir_adapters.reader import read_resources
from fhir_adapters.shapes import JsonObject, as_list, as_object
from fhir_adapters.superseded import Repeats, ids_of, share_ids
from fhir_adapters.warnings import FhirWarning
from tabular.engine import RiskEngine
from tabular.features import RiskFeatures

_log = logging.getLogger(__name__)

ESTIMATED_AT_ONCE = 1024
"""Patients whose risk is estimated by one call of the model."""
EXPLAINED = "major_osteoporotic"
"""The outcome whose reasons the list tells."""
ROWS_A_BATCH = 256
"""Rows of one batch of a part file: the merge holds one batch of each part in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """One bucket of patients, as an engine hands it to any process."""

    plan: Plan
    folder: str
    bucket: int
    joined: bool = False
    """Whether Medications were joined."""

    @property
    def task(self) -> Task:
        """The task in the journal."""
        return Task(Stage.PART, self.bucket)


_HOLDS_PATIENT = frozenset({"Patient", "Bundle"})
_Told = tuple[int, bytes]
"""Unit of the input, and records of it as they stand in the spill file."""


class _Person(NamedTuple):
    """One patient before the estimate."""

    patient_id: str
    features: RiskFeatures
    snapshot: PatientSnapshot | None
    warnings: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Outcome:
    rejects: list[Reject] = field(default_factory=list)
    repeated: int = 0
    """Patients of the input beyond the first of each id."""

    def reject(self, record: Record, code: str, resource: str = "", *, count: int = 1, patients: int = 0) -> None:
        self.rejects.append(
            Reject(
                unit=record.unit,
                piece=record.piece,
                line=record.line,
                code=code,
                resource=resource,
                count=count,
                patients=patients,
            )
        )


def process_partition(spec: PartitionSpec) -> Path:
    """Read every patient of one bucket, estimate, and write the rows in the order of the list.

    Args:
        spec: Which bucket of which run; all scans (and joins) are finished.

    Returns:
        The part file: Arrow IPC, batches of `ROWS_A_BATCH` rows, sorted by `cds.batch.rows.sort_key`.

    Raises:
        TabularError: The risk model is broken.
        OSError: A file cannot be read or written.
    """
    folder, outcome = RunFolder(Path(spec.folder)), _Outcome()
    engine = risk_engine(spec.plan.risk_dir, spec.plan.risk_anchor)
    stamp = Stamp(model_id=spec.plan.model_id, engine_version=spec.plan.engine_version, as_of=spec.plan.as_of)
    statistics = Statistics()
    rows: list[Row] = []
    with _no_collection():
        waiting: list[_Person] = []
        for person in _people(spec, folder, outcome):
            waiting.append(person)
            if len(waiting) == ESTIMATED_AT_ONCE:
                rows += _rows(waiting, engine, stamp, statistics)
                waiting.clear()
        rows += _rows(waiting, engine, stamp, statistics)
    rows.sort(key=sort_key)
    with folder.open_temporary(spec.task, "arrow") as stream:
        with pa.ipc.new_stream(stream, SCHEMA) as writer:
            for start in range(0, len(rows), ROWS_A_BATCH):
                writer.write_batch(pa.RecordBatch.from_pylist(rows[start : start + ROWS_A_BATCH], schema=SCHEMA))
        part = folder.publish(stream, spec.task, "arrow")
    outcome.rejects.sort()
    result = {"rows": len(rows), "repeated": outcome.repeated, "statistics": statistics.to_json()}
    folder.finish(spec.task, {**result, "rejects": [asdict(reject) for reject in outcome.rejects]})
    return part


@lru_cache(maxsize=2)
def risk_engine(risk_dir: str | None, risk_anchor: str | None) -> RiskEngine:
    """The model, loaded once in each process.

    Args:
        risk_dir: Folder of the model; None for the shipped one.
        risk_anchor: Table of another population's mean risk; None for none.

    Raises:
        TabularError: The model or the table cannot be used.
    """
    directory, anchor = (None if path is None else Path(path) for path in (risk_dir, risk_anchor))
    return load_risk_engine(directory, anchor)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Parsed JSON holds no cycles, and looking for them in a bucket of it costs a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _people(spec: PartitionSpec, folder: RunFolder, outcome: _Outcome) -> Iterator[_Person]:
    grouped: dict[bytes, list[_Told]] = {}
    for unit, key, told in _records(spec, folder):
        grouped.setdefault(key, []).append((unit, told))
    read = _read_rows if spec.plan.kind in {InputKind.CSV, InputKind.PARQUET} else _read_record
    while grouped:
        key, lines = grouped.popitem()  # lets go of what is read, and the rows are sorted later
        person = read(key.decode(), lines, spec.plan, outcome)
        if person is not None:
            yield person


def _records(spec: PartitionSpec, folder: RunFolder) -> Iterator[tuple[int, bytes, bytes]]:
    """Unit, key and records of all that the bucket holds."""
    for unit in range(len(spec.plan.units)):
        for key, told in _bucket_of_task(folder, Task(Stage.SCAN, unit), spec.bucket):
            yield unit, key, told
    if spec.joined:
        for bucket in range(spec.plan.buckets):
            # Medications are read by nobody as a patient's, so that their place in the input does not matter.
            for key, told in _bucket_of_task(folder, Task(Stage.JOIN, bucket), spec.bucket):
                yield 0, key, told


def _bucket_of_task(folder: RunFolder, task: Task, bucket: int) -> Iterator[tuple[bytes, bytes]]:
    segments: Sequence[Segment] = folder.result(task)["segments"]
    return read_bucket(folder.file(task, "spill"), segments, bucket)


def _read_record(patient_id: str, lines: list[_Told], plan: Plan, outcome: _Outcome) -> _Person | None:
    """One patient from the records of one id; None, and a reject, when there is none to be read."""
    told = [Records.of(*one) for one in lines]
    person = _read_newest(patient_id, told, plan)
    return person or _read_all(patient_id, [record for one in told for record in one.one_by_one()], plan, outcome)


def _person(patient_id: str, snapshot: PatientSnapshot) -> _Person:
    mapped = map_features(snapshot)
    treated = (ON_TREATMENT,) if is_treated(snapshot) else ()
    return _Person(patient_id, mapped.features, snapshot, (*snapshot.warnings, *mapped.warnings, *treated))


def _read_newest(patient_id: str, told: Sequence[Records], plan: Plan) -> _Person | None:
    """A regular record without what says nothing and what is superseded; None when it must be read whole."""
    try:
        return _read_chosen(patient_id, told, plan)
    except Exception:  # whatever is wrong is found, and told, by reading everything
        return None


def _read_chosen(patient_id: str, told: Sequence[Records], plan: Plan) -> _Person | None:
    payloads = [payload for one in told for payload in one.payloads]
    days = [day for one in told for day in one.days]
    read: dict[int, JsonObject] = {}
    dated: list[tuple[int, bytes, bytes]] = []
    passed_over: list[bytes] = []
    for number, code in enumerate([code for one in told for code in one.codes]):
        if not code:
            read[number] = orjson.loads(payloads[number])
        elif code == IDLE:
            passed_over.append(days[number])
        else:
            dated.append((number, code, days[number]))
    patients = [one for one in read.values() if one.get("resourceType") in _HOLDS_PATIENT]
    if len(patients) != 1 or patients[0].get("id") != patient_id or patients[0]["resourceType"] != "Patient":
        return None
    repeats = Repeats(plan.as_of, patients[0].get("birthDate"))
    for number in repeats.choose(dated):
        read[number] = orjson.loads(payloads[number])
    resources = [read[number] for number in sorted(read)]
    passed_over += ids_of([payloads[number] for number in repeats.passed_over])
    ids = [one.get("id") for one in resources]
    # Without an id of its own a resource is named by its place, which is not that among all.
    if not all(map(is_logical_id, ids)) or share_ids(ids, passed_over):
        return None
    snapshot = read_resources(resources, as_of=plan.as_of)
    return _person(patient_id, snapshot) if repeats.settled(snapshot) else None


def _read_all(patient_id: str, records: list[Record], plan: Plan, outcome: _Outcome) -> _Person | None:
    """Every line of a record, with a reject for each that cannot be used."""
    resources: list[JsonObject] = []
    patients: list[Record] = []
    first: Record | None = None
    for record in records:
        try:
            resource = orjson.loads(record.payload)
        except orjson.JSONDecodeError:
            broken_patient = record.payload.startswith(b'{"resourceType":"Patient"')
            outcome.reject(record, "screen.line.not_json", patients=int(broken_patient))
            continue
        if not isinstance(resource, dict):
            outcome.reject(record, "screen.line.not_json")
            continue
        resources.append(resource)
        patients += [record] * _patients_in(resource)
        first = first or record
    if not patients:
        if first is not None:
            outcome.reject(first, "screen.patient.absent", _reference(resources[0]), count=len(resources))
        return None
    for record in patients[1:]:
        outcome.repeated += 1
        outcome.reject(record, "screen.patient.repeated", f"Patient/{patient_id}", patients=1)
    try:
        snapshot = read_resources(resources, as_of=plan.as_of, patient_id=None if len(patients) == 1 else patient_id)
        return _person(patient_id, snapshot)
    except Exception as error:
        # One record must not stop a population; what is not the reader's own refusal is logged for the maintainers.
        if not isinstance(error, FhirError):
            _log.error("a record could not be read\n%s", safe_traceback(error))
        outcome.reject(patients[0], "screen.record.unreadable", f"Patient/{patient_id}", patients=1)
        return None


def _patients_in(resource: JsonObject) -> int:
    if resource.get("resourceType") != "Bundle":
        return int(resource.get("resourceType") == "Patient")
    entries = (as_object(as_object(entry).get("resource")) for entry in as_list(resource.get("entry")))
    return sum(held.get("resourceType") == "Patient" for held in entries)


def _reference(resource: JsonObject) -> str:
    if resource.get("resourceType") == "Bundle":
        entries = as_list(resource.get("entry"))
        resource = as_object(as_object(entries[0]).get("resource")) if entries else {}
    return reference_of(resource)


def _read_rows(patient_id: str, lines: list[_Told], plan: Plan, outcome: _Outcome) -> _Person | None:
    """The first row of an id; the others are rejects, for nobody can tell which is right."""
    records = [record for one in lines for record in Records.of(*one).one_by_one()]
    for record in records[1:]:
        outcome.repeated += 1
        outcome.reject(record, "screen.patient.repeated", f"Patient/{patient_id}", patients=1)
    return _Person(patient_id, features_of(orjson.loads(records[0].payload)), None, (GAPS_NOT_JUDGED,))


def _rows(people: Iterable[_Person], engine: RiskEngine, stamp: Stamp, statistics: Statistics) -> list[Row]:
    rows: list[Row] = []
    known = list(people)
    estimates = engine.estimate_many([person.features for person in known], explain=(EXPLAINED,))
    for person, told in zip(known, estimates, strict=True):
        gaps: tuple[CareGap, ...] = ()
        snapshot = person.snapshot
        if snapshot is not None and FhirWarning.PATIENT_DECEASED.value not in snapshot.warnings:
            gaps = care_gaps(snapshot, None if isinstance(told, Exception) else told)
        row = build_row(
            person.patient_id,
            person.features,
            told,
            stamp,
            patient=snapshot,
            gaps=gaps,
            warnings=person.warnings,
        )
        statistics.add(row)
        rows.append(row)
    return rows
