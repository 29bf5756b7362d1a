"""A work list of radiographs to one ranked list: plan, look up patients, assess each case, merge.

The same engines, run folder and rules as `cds.batch.run`: a plan that no engine can change, tasks that may run twice,
files that appear whole or not at all. Each case is one `cds.pipeline.handle_case` with its audit record.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from cds.batch.columns import Row
from cds.batch.image_cases import CasesSpec, assess_cases
from cds.batch.image_plan import ImagePlan, make_plan, refuse_changed
from cds.batch.image_rejects import COLUMNS as REJECT_COLUMNS
from cds.batch.image_rejects import ImageReject, Part
from cds.batch.image_rows import RANKING, SCHEMA, sort_key
from cds.batch.image_units import cut, index_bundles, index_specs
from cds.batch.journal import RunFolder, Task
from cds.batch.merging import merged_rows
from cds.batch.opening import open_run, run_folder
from cds.batch.outputs import beside, check_output, replacing, write_report, write_rows
from cds.batch.run import Executor, Progress, Timer, run_stage
from cds.presenters.wording import NOTICE
from cds.security.cells import harmless
from cds.settings import Settings

ROW_GROUP = 1000
"""Rows that are written at once; a row of this list is long."""
_COUNTED = ("urgency", "call", "severity")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What is asked for."""

    worklist: Path
    output: Path
    settings: Settings
    bundles: Path | None = None
    """Where Patient ids of the list are looked up."""
    as_of: datetime | None = None
    """Timezone-aware; None means that of the unfinished run, else now."""
    fresh: bool = False
    """Throw an unfinished run away instead of going on with it."""
    reports: Path | None = None
    """Folder for a JSON report of each case."""
    actor: str
    """Who asks, for the audit trail."""
    engine_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What was done."""

    output: Path
    rejects_file: Path
    report_file: Path
    report: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class _Counts:
    """Counts of rows, by column and value."""

    rows: int = 0
    with_risk: int = 0
    with_care_gap: int = 0
    by_value: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in _COUNTED})
    warnings: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        self.rows += 1
        self.with_risk += row["major_osteoporotic_fracture_10y_percent"] is not None
        self.with_care_gap += bool(row["care_gaps"])
        for name, counter in self.by_value.items():
            counter[row[name]] += 1
        self.warnings.update({one.partition(":")[0] for one in row["warnings"].split("; ") if one})


def screen_images(
    request: ImageRequest, executor: Executor, *, progress: Progress = lambda stage, done, total: None
) -> ImageResult:
    """Assess every radiograph of a work list.

    Raises:
        InputError: The list, the Bundles or the output cannot be used.
        ScreeningInputError: The list is damaged.
        ResumeRefusedError: An unfinished run differs from this one.
        ImagingError: The detector is broken.
        TabularError: The risk model is broken.
        FusionError: The evidence base is broken.
        AuditError: Audit records cannot be kept.
        OutputError: A file cannot be written.
    """
    check_output(request.output, request.worklist)
    if request.bundles is not None:
        check_output(request.output, request.bundles)
    folder, timer = run_folder(request.output), Timer()
    plan, resumed = open_run(
        folder,
        as_of=request.as_of,
        fresh=request.fresh,
        make_plan=lambda as_of: make_plan(
            request.worklist,
            request.bundles,
            settings=request.settings,
            as_of=as_of,
            engine_version=request.engine_version,
            reports=request.reports,
            actor=request.actor,
        ),
        refuse_changed=refuse_changed,
    )
    with timer("look up patients"):
        lookups = index_specs(plan, folder)
        run_stage(index_bundles, lookups, folder, executor, progress, "looking up patients")
        index = [folder.result(spec.task) for spec in lookups]
        units = cut(plan, folder, index)
    cases = [CasesSpec(plan=plan, folder=str(folder.path), unit=unit) for unit in range(units)]
    already = sum(folder.is_done(spec.task) for spec in cases) if resumed else 0
    with timer("assess"):
        run_stage(assess_cases, cases, folder, executor, progress, "assessing")
    results = [folder.result(spec.task) for spec in cases]
    rejects = sorted(_rejects(results))
    counts = _Counts()
    with timer("write"):
        _write_list(request.output, folder, [spec.task for spec in cases], plan, counts)
        rejects_file, report_file = beside(request.output, "rejects.csv"), beside(request.output, "report.json")
        _write_rejects(rejects_file, rejects)
    report = _report(plan, counts, rejects, index, executor, timer, already, units)
    write_report(report_file, report)
    folder.remove()
    return ImageResult(output=request.output, rejects_file=rejects_file, report_file=report_file, report=report)


def _rejects(results: Iterable[Mapping[str, Any]]) -> Iterator[ImageReject]:
    for result in results:
        for told in result["rejects"]:
            yield ImageReject(**{**told, "part": Part(told["part"])})


def _write_list(path: Path, folder: RunFolder, tasks: Sequence[Task], plan: ImagePlan, counts: _Counts) -> None:
    """Merge the sorted parts, count their rows and number them."""

    def counted() -> Iterator[Row]:
        for row in merged_rows([folder.file(task, "arrow") for task in tasks], SCHEMA, sort_key):
            counts.add(row)
            row["rank"] = counts.rows
            yield row

    write_rows(path, counted(), _schema(plan), at_once=ROW_GROUP)


def _schema(plan: ImagePlan) -> pa.Schema:
    told = {
        "fracture_cds.run_id": plan.run_id,
        "fracture_cds.model_id": plan.detector_id,
        "fracture_cds.risk_model_id": plan.risk_model_id,
        "fracture_cds.evidence_version": plan.evidence_version,
        "fracture_cds.engine_version": plan.engine_version,
        "fracture_cds.as_of": plan.as_of.isoformat(),
        "fracture_cds.ranking": RANKING,
        "fracture_cds.notice": NOTICE,
    }
    return SCHEMA.with_metadata(told)


def _write_rejects(path: Path, rejects: Sequence[ImageReject]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(REJECT_COLUMNS)
        writer.writerows([harmless(cell) for cell in one.fields()] for one in rejects)


def _report(
    plan: ImagePlan,
    counts: _Counts,
    rejects: Sequence[ImageReject],
    index: Sequence[Mapping[str, Any]],
    executor: Executor,
    timer: Timer,
    already: int,
    units: int,
) -> dict[str, Any]:
    """What happened, without names of files or anything of a patient."""
    rejected = sum(not one.in_list for one in rejects)
    return {
        "notice": NOTICE,
        "run_id": plan.run_id,
        "as_of": plan.as_of.isoformat(),
        "detector_id": plan.detector_id,
        "risk_model_id": plan.risk_model_id,
        "evidence_version": plan.evidence_version,
        "engine_version": plan.engine_version,
        "engine": executor.name,
        "workers": executor.workers,
        "cases": {
            "in_list": counts.rows + rejected,
            "rows": counts.rows,
            "rejected": rejected,
            "without_their_patient": sum(one.in_list for one in rejects),
            "with_risk": counts.with_risk,
            "with_care_gap": counts.with_care_gap,
        },
        "columns_not_used": list(plan.unused_columns),
        "bundles_unreadable": sum(one["unreadable"] for one in index),
        "rejects": dict(sorted(Counter(one.code for one in rejects).items())),
        **{name: dict(sorted(counter.items())) for name, counter in counts.by_value.items()},
        "warnings": dict(sorted(counts.warnings.items())),
        "units": units,
        "tasks_done_before": already,
        "seconds": timer.seconds,
    }
