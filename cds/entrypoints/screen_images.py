"""The work behind ``cds screen --images``: a work list in, a ranked list out, a few lines at the end."""

from datetime import datetime
from pathlib import Path

from rich.console import Console

from cds.batch.images import ImageRequest, ImageResult, screen_images
from cds.bootstrap import load_settings
from cds.entrypoints.console import keyboard_actor
from cds.entrypoints.screen import chosen_executor, progress_bar
from cds.learning.models import with_current_models
from cds.logs import configure_logging
from cds.options import ScreenEngine
from cds.version import engine_version


def screen_worklist(
    *,
    worklist: Path,
    bundles: Path | None,
    output: Path,
    engine: ScreenEngine,
    as_of: datetime | None,
    workers: int | None,
    fresh: bool,
    reports: Path | None,
    quiet: bool,
) -> None:
    """Assess the radiographs of a work list; see `cds.batch.images.screen_images` for the errors.

    Args:
        worklist: CSV or Parquet, one radiograph a row.
        bundles: Folder in which Patient ids of the list are looked up, or None.
        output: The list, ``.parquet`` or ``.csv``.
        engine: Where tasks run.
        as_of: Time of the assessment, timezone-aware; None means now, or that of the run that goes on.
        workers: Processes; None means all cores.
        fresh: Start anew.
        reports: Folder for a JSON report of each case, or None.
        quiet: Print nothing but errors.
    """
    settings = with_current_models(load_settings())
    configure_logging(settings.log_level)
    request = ImageRequest(
        worklist=worklist,
        output=output,
        settings=settings,
        bundles=bundles,
        as_of=as_of,
        fresh=fresh,
        reports=reports,
        actor=keyboard_actor(),
        engine_version=engine_version(),
    )
    with progress_bar(quiet) as report, chosen_executor(engine, workers, settings.log_level) as executor:
        result = screen_images(request, executor, progress=report)
    if not quiet:
        _show(result, reports)


def _show(result: ImageResult, reports: Path | None) -> None:
    """Counts and files; nothing of a patient."""
    told, cases = result.report, result.report["cases"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{cases['in_list']} radiographs in, {cases['rows']} rows out, {cases['rejected']} rejected")
    for name in ("urgency", "call"):
        if told[name]:
            console.print(f"{name}: {', '.join(f'{count} {value}' for value, count in told[name].items())}")
    if cases["rejected"]:
        console.print(f"Nobody has looked at the rejected ones: {result.rejects_file}")
    if cases["without_their_patient"]:
        console.print(f"{cases['without_their_patient']} were assessed without their patient: {result.rejects_file}")
    if told["columns_not_used"]:
        console.print(f"columns not used: {', '.join(told['columns_not_used'])}")
    for path in (result.output, result.report_file, reports):
        if path is not None:
            console.print(f"wrote {path}")
