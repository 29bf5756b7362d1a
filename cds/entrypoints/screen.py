"""The work behind ``cds screen``: options to a request, an engine, a progress bar, and a few lines at the end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cds.batch.local import LocalExecutor
from cds.batch.run import Executor, ScreenRequest, ScreenResult, screen
from cds.batch.run import Progress as Report
from cds.bootstrap import load_risk_engine, load_settings
from cds.learning.models import with_current_models
from cds.logs import configure_logging
from cds.options import ScreenEngine
from cds.version import engine_version


def screen_files(
    *,
    source: Path,
    output: Path,
    engine: ScreenEngine,
    as_of: datetime | None,
    workers: int | None,
    fresh: bool,
    summary: Path | None,
    listed: int,
    quiet: bool,
) -> None:
    """Screen what lies in `source`; see `cds.batch.run.screen` for the errors.

    Args:
        source: Folder or file of input.
        output: The list, ``.parquet`` or ``.csv``.
        engine: Where tasks run.
        as_of: Time of the screening, timezone-aware; None means now, or that of the run that goes on.
        workers: Processes; None means all cores.
        fresh: Start anew.
        summary: HTML page, or None.
        listed: Patients named in the summary.
        quiet: Print nothing but errors.
    """
    settings = with_current_models(load_settings())
    configure_logging(settings.log_level)
    request = ScreenRequest(
        source=source,
        output=output,
        as_of=as_of,
        fresh=fresh,
        summary=summary,
        listed=listed,
        risk_dir=settings.risk_dir,
        risk_anchor=settings.risk_anchor,
        engine_version=engine_version(),
        model_id=load_risk_engine(settings.risk_dir, settings.risk_anchor).model_id,
    )
    with progress_bar(quiet) as report, chosen_executor(engine, workers, settings.log_level) as executor:
        result = screen(request, executor, progress=report)
    if not quiet:
        _show(result)


@contextmanager
def chosen_executor(engine: ScreenEngine, workers: int | None, log_level: str) -> Iterator[Executor]:
    """The engine, ready to run tasks; what it started ends with the block.

    Raises:
        SettingsError: The engine is not installed.
    """
    match engine:
        case ScreenEngine.LOCAL:
            yield LocalExecutor(workers, log_level=log_level)
        case ScreenEngine.RAY:
            from cds.batch.ray import RayExecutor

            with RayExecutor(workers, log_level=log_level) as executor:
                yield executor


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Report]:
    """A progress bar on standard error; none when that is not a terminal."""
    console = Console(stderr=True)
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)  # type: ignore[arg-type]  # rich's TaskID is an int

        yield report


def _show(result: ScreenResult) -> None:
    """Counts and files; nothing of a patient."""
    counts, patients = result.statistics.status, result.report["patients"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{patients['in_input']} patients in, {patients['rows']} rows out"
        f" ({counts['estimated']} estimated, {counts['not_estimated']} outside the model,"
        f" {counts['deceased']} deceased), {patients['rejected']} rejected"
    )
    console.print(f"{result.statistics.with_care_gap} patients with a care gap")
    left_out = sum(result.report["rejects"].values())
    if left_out:
        console.print(f"{left_out} lines could not be used: {result.rejects_file}")
    for path in (result.output, result.summary_file, result.report_file):
        if path is not None:
            console.print(f"wrote {path}")
