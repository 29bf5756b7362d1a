"""One screening from input to files: plan, scan, join, estimate, merge. The engine only decides where tasks run.

An engine is an `Executor`. It is handed picklable specs and one of three pure functions (`scan_unit`, `join_bucket`,
`process_partition`), runs each at least once, in any order, anywhere that sees the run folder, and yields every spec
when it is finished. Nothing it does can change the result: the plan is made before it is asked, and a task that runs
twice writes the same files.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cds.batch.join import JoinSpec, join_bucket
from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.opening import open_run, run_folder
from cds.batch.outputs import beside, check_output, ranked_rows, replacing, write_list, write_rejects, write_report
from cds.batch.partition import PartitionSpec, process_partition
from cds.batch.plan import Plan, make_plan, refuse_changed
from cds.batch.rejects import Reject
from cds.batch.sources import ScanSpec, scan_unit
from cds.batch.statistics import Statistics
from cds.presenters.wording import NOTICE


class Rooted(Protocol):
    """What a plan tells an engine."""

    @property
    def root(self) -> str:
        """Folder or file of the input, which every worker must see."""


class Spec(Protocol):
    """What every task's description offers."""

    @property
    def task(self) -> Task:
        """The task in the journal."""

    @property
    def folder(self) -> str:
        """The run folder, which every worker must see."""

    @property
    def plan(self) -> Rooted:
        """What determines the result."""


S = TypeVar("S", bound=Spec)
S_contra = TypeVar("S_contra", bound=Spec, contravariant=True)


class Executor(Protocol):
    """Runs tasks."""

    name: str
    """As the report names it: ``local``, ``ray``."""
    workers: int

    def run(self, function: Callable[[S], Path], specs: Sequence[S]) -> Iterator[S]:
        """Run a function on each spec; yields a spec when its task is finished, in any order.

        Raises:
            Exception: Whatever the function raised; the rest need not be run.
        """


class Progress(Protocol):
    """Told how far the run is."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Some tasks of a stage are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRequest:
    """What is asked for."""

    source: Path
    output: Path
    as_of: datetime | None = None
    """Timezone-aware; None means that of the unfinished run, else now."""
    fresh: bool = False
    """Throw an unfinished run away instead of going on with it."""
    summary: Path | None = None
    listed: int = 100
    """Patients named in the summary; 0 leaves the section out."""
    risk_dir: Path | None = None
    risk_anchor: Path | None = None
    engine_version: str = ""
    model_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenResult:
    """What was done."""

    output: Path
    rejects_file: Path
    report_file: Path
    summary_file: Path | None
    statistics: Statistics
    report: dict[str, Any]


def screen(
    request: ScreenRequest, executor: Executor, *, progress: Progress = lambda stage, done, total: None
) -> ScreenResult:
    """Screen a population.

    Raises:
        InputError: The input or output cannot be used.
        ScreeningInputError: The input is damaged or lacks patients.
        ResumeRefusedError: An unfinished run differs from this one.
        TabularError: The risk model is broken.
        OutputError: A file cannot be written.
    """
    check_output(request.output, request.source)
    folder = run_folder(request.output)
    plan, resumed = open_run(
        folder,
        as_of=request.as_of,
        fresh=request.fresh,
        make_plan=lambda as_of: make_plan(
            request.source,
            as_of=as_of,
            model_id=request.model_id,
            engine_version=request.engine_version,
            risk_dir=request.risk_dir,
            risk_anchor=request.risk_anchor,
        ),
        refuse_changed=refuse_changed,
    )
    timer = Timer()
    scans = [ScanSpec(plan=plan, folder=str(folder.path), unit=unit) for unit in range(len(plan.units))]
    already = sum(folder.is_done(spec.task) for spec in scans)
    with timer("scan"):
        run_stage(scan_unit, scans, folder, executor, progress, "reading")
    scanned = [folder.result(spec.task) for spec in scans]
    joined = any(one["takers"] for one in scanned)
    with timer("join"):
        joins = [JoinSpec(plan=plan, folder=str(folder.path), bucket=bucket) for bucket in range(plan.buckets)]
        run_stage(join_bucket, joins if joined else [], folder, executor, progress, "matching drugs")
    with timer("estimate"):
        parts = [
            PartitionSpec(plan=plan, folder=str(folder.path), bucket=bucket, joined=joined)
            for bucket in range(plan.buckets)
        ]
        already += sum(folder.is_done(spec.task) for spec in parts)
        run_stage(process_partition, parts, folder, executor, progress, "estimating")
    return _assemble(request, plan, folder, scanned, executor, timer, already if resumed else 0)


def run_stage(
    function: Callable[[S], Path],
    specs: Sequence[S],
    folder: RunFolder,
    executor: Executor,
    progress: Progress,
    words: str,
) -> None:
    """Run what is not finished yet."""
    open_specs = [spec for spec in specs if not folder.is_done(spec.task)]
    done = len(specs) - len(open_specs)
    if specs:
        progress(words, done, len(specs))
    for _ in executor.run(function, open_specs) if open_specs else ():
        done += 1
        progress(words, done, len(specs))


def _assemble(
    request: ScreenRequest,
    plan: Plan,
    folder: RunFolder,
    scanned: Sequence[dict[str, Any]],
    executor: Executor,
    timer: "Timer",
    already: int,
) -> ScreenResult:
    """The finished parts to the files; the run folder goes last, so that a kill before loses nothing."""
    tasks = [Task(Stage.PART, bucket) for bucket in range(plan.buckets)]
    results = [folder.result(task) for task in tasks]
    statistics = Statistics()
    for result in results:
        statistics.merge(result["statistics"])
    rejects = [Reject(**told) for one in (*scanned, *results) for told in one["rejects"]]
    with timer("write"):
        rows = ranked_rows([folder.file(task, "arrow") for task in tasks])
        first = write_list(request.output, rows, plan, request.listed)
        rejects_file, report_file = beside(request.output, "rejects.csv"), beside(request.output, "report.json")
        write_rejects(rejects_file, rejects, plan, _first_lines(plan, scanned))
    report = _report(plan, scanned, results, rejects, statistics, executor, timer, already)
    if request.summary is not None:
        from cds.batch.summary import render_summary

        with replacing(request.summary) as temporary:
            page = render_summary(plan, statistics, report, first, request.risk_dir)
            temporary.write_text(page, encoding="utf-8")
    write_report(report_file, report)
    folder.remove()
    return ScreenResult(
        output=request.output,
        rejects_file=rejects_file,
        report_file=report_file,
        summary_file=request.summary,
        statistics=statistics,
        report=report,
    )


def _first_lines(plan: Plan, scanned: Sequence[dict[str, Any]]) -> Callable[[int, int], int]:
    """How many lines of the same file lie in front of a piece."""
    before: dict[int, int] = {}
    starts: dict[tuple[int, int], int] = {}
    for unit, pieces in enumerate(plan.units):
        for number, piece in enumerate(pieces):
            starts[unit, number] = before.get(piece.file, 0)
            before[piece.file] = starts[unit, number] + scanned[unit]["piece_lines"][number]
    return lambda unit, piece: starts[unit, piece]


def _report(
    plan: Plan,
    scanned: Sequence[dict[str, Any]],
    results: Sequence[dict[str, Any]],
    rejects: Iterable[Reject],
    statistics: Statistics,
    executor: Executor,
    timer: "Timer",
    already: int,
) -> dict[str, Any]:
    """What happened, without names of files or anything of a patient."""
    by_code: dict[str, int] = {}
    for one in rejects:
        by_code[one.code] = by_code.get(one.code, 0) + one.count
    patients_in = sum(one["patients"] for one in scanned)
    return {
        "notice": NOTICE,
        "run_id": plan.run_id,
        "as_of": plan.as_of.isoformat(),
        "model_id": plan.model_id,
        "engine_version": plan.engine_version,
        "engine": executor.name,
        "workers": executor.workers,
        "input": {
            "kind": plan.kind.value,
            "files_read": len(plan.files),
            "bytes_read": plan.read_bytes,
            "bytes_inflated": sum(one["bytes"] for one in scanned),
            "files_skipped": plan.skipped_files,
            "bytes_skipped": plan.skipped_bytes,
            "lines": sum(one["lines"] for one in scanned),
            "kept": sum(one["kept"] for one in scanned),
        },
        "patients": {
            "in_input": patients_in,
            "rows": sum(one["rows"] for one in results),
            "rejected": sum(one.patients for one in rejects),
        },
        "rejects": dict(sorted(by_code.items())),
        "statistics": statistics.to_json(),
        "units": len(plan.units),
        "partitions": plan.buckets,
        "tasks_done_before": already,
        "seconds": timer.seconds,
    }


class Timer:
    """Seconds of each phase of this run; ``with timer("scan"):`` measures one."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self.seconds: dict[str, float] = {}
        self._name, self._start = "", 0.0

    def __call__(self, name: str) -> "Timer":
        """Name the phase that the block measures."""
        self._name = name
        return self

    def __enter__(self) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        """Stop the clock."""
        self.seconds[self._name] = round(time.perf_counter() - self._start, 3)
