"""A stretch of the work list to rows. A pure function of the run folder and the files, the same under every engine.

A radiograph that makes the process end (a decoder that crashes, memory that runs out) must not stop the list. The row
in hand is noted before it is begun; when the stretch is begun again, that row is read in a process of its own, and
becomes a reject if that process dies too.
"""

import logging
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import pyarrow as pa

from cds.audit import AuditTrail
from cds.batch.care_gaps import CareGap, care_gaps
from cds.batch.columns import Row
from cds.batch.image_plan import CaseSettings, ImagePlan
from cds.batch.image_rejects import ImageReject, Part
from cds.batch.image_rows import SCHEMA, build_row, sort_key
from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.local import end_with_parent
from cds.batch.outputs import replacing
from cds.batch.worklist import Entry
from cds.bootstrap import build_audit_trail, build_engines
from cds.case import CaseInput, CaseResult
from cds.errors import ExitCode, InputKind, InputTooLargeError, error_code, explain
from cds.logs import configure_logging
from cds.pipeline import Engines, handle_case
from fhir_adapters.warnings import FhirWarning

RECORD_UNUSABLE = "cds.screen.record_unusable"
"""Warning of a radiograph that was assessed without the patient it was listed with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesSpec:
    """One unit of the work list, as an engine hands it to any process."""

    plan: ImagePlan
    folder: str
    unit: int

    @property
    def task(self) -> Task:
        """The task in the journal."""
        return Task(Stage.CASES, self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one row of the work list."""

    row: Row | None = None
    rejects: tuple[ImageReject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a process needs for any case."""

    engines: Engines
    audit: AuditTrail
    max_image_bytes: int
    max_record_bytes: int


def assess_cases(spec: CasesSpec) -> Path:
    """Assess every radiograph of one unit, and write the rows in the order of the list.

    Args:
        spec: Which unit of which run.

    Returns:
        The part file: Arrow IPC, sorted by `cds.batch.image_rows.sort_key`.

    Raises:
        ImagingError: The detector is broken; a radiograph that is refused is no error.
        TabularError: The risk model is broken.
        FusionError: The evidence base is broken.
        AuditError: The audit record cannot be kept.
        OutputError: A JSON report cannot be written.
    """
    folder = RunFolder(Path(spec.folder))
    suspects = _Suspects(folder, spec.task)
    rows: list[Row] = []
    rejects: list[ImageReject] = []
    for entry in _entries(folder, spec.task):
        suspect = suspects.begin(entry.row)
        outcome = _apart(entry, spec.plan) if suspect else one_case(entry, spec.plan)
        rejects += outcome.rejects
        if outcome.row is not None:
            rows.append(outcome.row)
    rows.sort(key=sort_key)
    with folder.open_temporary(spec.task, "arrow") as stream:
        with pa.ipc.new_stream(stream, SCHEMA) as writer:
            for row in rows:  # a batch each: the merge holds one batch of every part in memory
                writer.write_batch(pa.RecordBatch.from_pylist([row], schema=SCHEMA))
        part = folder.publish(stream, spec.task, "arrow")
    folder.finish(spec.task, {"rows": len(rows), "rejects": [asdict(one) for one in rejects]})
    suspects.clear()
    return part


def one_case(entry: Entry, plan: ImagePlan) -> Outcome:
    """Assess one row of the work list.

    A record that cannot be used does not withhold the radiograph: the case is assessed without it, with a warning and
    an entry among the rejects.

    Raises:
        Exception: As `assess_cases`.
    """
    if entry.reject:
        return Outcome(rejects=(_reject(entry, Part.ROW, entry.reject),))
    parts = _parts(plan.settings)
    try:
        image = _read(Path(plan.root).parent / entry.image, InputKind.RADIOGRAPH, parts.max_image_bytes)
    except OSError:
        return Outcome(rejects=(_reject(entry, Part.IMAGE, "screen.image.missing"),))
    except InputTooLargeError as error:
        return Outcome(rejects=(_reject(entry, Part.IMAGE, error.code, str(error)),))
    record, of_record = _record(entry, parts)
    rejects = () if of_record is None else (of_record,)
    while True:
        try:
            result = _assess(entry, plan, parts, image, record, incomplete=bool(rejects))
        except Exception as error:
            told = _refusal(entry, error)
            if told.part is not Part.PATIENT or record is None:
                return Outcome(rejects=(*rejects, told))
            record, rejects = None, (*rejects, told)
        else:
            return Outcome(row=_row(entry, plan, result), rejects=rejects)


def _assess(
    entry: Entry, plan: ImagePlan, parts: _Parts, image: bytes, record: bytes | None, *, incomplete: bool
) -> CaseResult:
    case = CaseInput(
        image=image,
        bundle=record,
        patient_id=entry.patient_id or None if record is not None else None,
        frame=entry.frame,
        context=entry.context,
        source_warnings=(RECORD_UNUSABLE,) if incomplete else (),
        as_of=plan.as_of,
    )
    name = str(uuid5(NAMESPACE_OID, f"{plan.run_id}/{entry.row}"))  # the same whoever does the task, and how often
    return handle_case(case, parts.engines, audit=parts.audit, actor=plan.actor, case_id=name)


def _refusal(entry: Entry, error: Exception) -> ImageReject:
    """An error of this case as a reject; one that would meet every case is raised again."""
    problem = explain(error)
    words = f"{problem.why} {problem.remedy}"
    match problem.exit_code:
        case ExitCode.IMAGE:
            return _reject(entry, Part.IMAGE, error_code(error), words)
        case ExitCode.RECORD:
            return _reject(entry, Part.PATIENT, error_code(error), words)
        case ExitCode.USAGE:
            return _reject(entry, Part.ROW, error_code(error), words)
        case ExitCode.INTERNAL:
            return _reject(entry, Part.IMAGE, "screen.case.failed")
        case _:
            raise error


def _record(entry: Entry, parts: _Parts) -> tuple[bytes | None, ImageReject | None]:
    if entry.record_reject:
        return None, _reject(entry, Part.PATIENT, entry.record_reject)
    if not entry.record:
        return None, None
    try:
        return _read(Path(entry.record), InputKind.RECORD, parts.max_record_bytes), None
    except OSError:
        return None, _reject(entry, Part.PATIENT, "screen.patient.missing")
    except InputTooLargeError as error:
        return None, _reject(entry, Part.PATIENT, error.code, str(error))


def _row(entry: Entry, plan: ImagePlan, result: CaseResult) -> Row:
    gaps: tuple[CareGap, ...] = ()
    if result.patient is not None and FhirWarning.PATIENT_DECEASED.value not in result.patient.warnings:
        gaps = care_gaps(result.patient, result.risk)
    name = ""
    if plan.reports is not None:
        from cds.presenters.json_report import render_json

        name = f"{result.case_id}.json"
        with replacing(Path(plan.reports) / name) as temporary:
            temporary.write_bytes(render_json(result))
    return build_row(entry, result, gaps=gaps, report_file=name, as_of=plan.as_of)


def _read(path: Path, kind: InputKind, limit: int) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise InputTooLargeError(kind, limit_bytes=limit)
    return data


def _reject(entry: Entry, part: Part, code: str, explanation: str = "") -> ImageReject:
    return ImageReject(
        row=entry.row, case_id=entry.case_id, image=entry.image, part=part, code=code, explanation=explanation
    )


def _entries(folder: RunFolder, task: Task) -> Iterator[Entry]:
    with folder.file(task, "list").open("rb") as stream:
        for line in stream:
            yield Entry.from_line(line)


@lru_cache(maxsize=2)
def _parts(chosen: CaseSettings) -> _Parts:
    """Models and audit trail, once in each process."""
    settings = chosen.settings()
    return _Parts(
        engines=build_engines(settings),
        audit=build_audit_trail(settings),
        max_image_bytes=settings.max_image_bytes,
        max_record_bytes=settings.max_record_bytes,
    )


def _apart(entry: Entry, plan: ImagePlan) -> Outcome:
    """One case in a process of its own, whose end is survived."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_start_apart, initargs=(_level(),)) as pool:
        try:
            return pool.submit(one_case, entry, plan).result()
        except BrokenProcessPool:
            return Outcome(rejects=(_reject(entry, Part.IMAGE, "screen.case.crashed"),))


def _start_apart(log_level: str) -> None:
    end_with_parent()
    configure_logging(log_level)


def _level() -> str:
    return logging.getLevelName(logging.getLogger().level)


class _Suspects:
    """The rows that were in hand when a process that worked on this task ended."""

    def __init__(self, folder: RunFolder, task: Task) -> None:
        self._begun = folder.file(task, "begun")
        self._kept = folder.file(task, "suspects")
        last = _lines(self._begun)[-1:]
        if last:
            with self._kept.open("a") as stream:
                stream.write(f"{last[0]}\n")
            self._begun.unlink(missing_ok=True)
        self._rows = set(_lines(self._kept))

    def begin(self, row: int) -> bool:
        """Note that a row is begun; whether it is a suspect."""
        with self._begun.open("a") as stream:
            stream.write(f"{row}\n")
        return str(row) in self._rows

    def clear(self) -> None:
        """The task is finished."""
        self._begun.unlink(missing_ok=True)
        self._kept.unlink(missing_ok=True)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
