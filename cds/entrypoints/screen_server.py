"""``cds screen --fhir-server``: the population of a server as a folder for as long as the screening lasts.

The folder is a hidden one beside the output, deleted when the screening has ended well and kept otherwise, so that the
same command goes on; or the one of ``--keep-export``, which stays.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cds.batch.opening import run_folder
from cds.batch.outputs import beside, check_output, write_report
from cds.bootstrap import load_settings
from cds.bulk_source import ExportChoice, ExportedPopulation, export_population
from cds.errors import InputError, OutputError
from cds.logs import configure_logging
from cds.options import ServerOptions
from cds.presenters.messages import explain
from fhir_adapters.client.bulk import ExportPhase, ExportProgress, finished_report, remove_export


@contextmanager
def population_folder(
    source: Path | None,
    servers: ServerOptions,
    *,
    group_id: str | None,
    since: datetime | None,
    keep_export: Path | None,
    output: Path,
    fresh: bool,
    quiet: bool,
) -> Iterator[Path]:
    """The folder or file to screen: the one given, or an export that is made now.

    Args:
        source: What ``--input`` names; None means a server.
        servers: Where the server is.
        group_id: Logical id of a Group; None means everybody.
        since: Only entries changed since then.
        keep_export: Where the export stays; None means that it goes when the block ends well.
        output: The list that will be written.
        fresh: Begin anew instead of going on.
        quiet: Print nothing but errors.

    Raises:
        InputError: The options do not fit together.
        Exception: As `cds.bulk_source.export_population`.
    """
    if source is not None:
        if servers.fhir_server is not None or group_id is not None or since is not None or keep_export is not None:
            raise InputError(
                "Files and an export from a server were both asked for.",
                remedy="Give either --input, or --fhir-server with --group, --since and --keep-export.",
            )
        yield source
        return
    settings = load_settings(**servers.settings())
    if settings.fhir_server is None:
        raise InputError(
            "Nothing to screen was named.", remedy="Give files with --input, or a server with --fhir-server."
        )
    configure_logging(settings.log_level)
    folder = keep_export or output.absolute().with_name(f".{output.name}.export")
    check_output(output, folder)
    _check_kept(keep_export, going_on=not fresh and run_folder(output).plan() is not None)
    if fresh:
        remove_export(folder)
    try:
        with _progress(quiet) as progress:
            population = export_population(
                settings, ExportChoice(group_id=group_id, since=since), folder, progress=progress
            )
        report_file = beside(output, "export.json")
        write_report(report_file, population.report())
    except OSError as error:
        raise OutputError(
            f"The export cannot be written: {error.strerror or type(error).__name__}.",
            remedy="Give an output, or a folder with --keep-export, in a writable place with room; what has arrived is"
            " kept.",
        ) from None
    if not quiet:
        _show(population, report_file)
    yield folder
    if keep_export is None:
        remove_export(folder)


def _check_kept(folder: Path | None, *, going_on: bool) -> None:
    """Refuse to screen a kept export again by accident: it would pass for the present state of the server."""
    if folder is not None and not going_on and finished_report(folder) is not None:
        raise InputError(
            "The folder of --keep-export holds a finished export.",
            remedy="Screen it as it is with --input, or give another folder for a new export.",
        )


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[ExportProgress], None]]:
    """A line on standard error; none when that is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda told: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("export", total=None)
        yield lambda told: bar.update(line, description=in_words(told))


def in_words(told: ExportProgress) -> str:
    """How far an export is, on one line."""
    match told.phase:
        case ExportPhase.ASKING:
            return "asking for an export"
        case ExportPhase.PREPARING:
            return f"the server prepares the export {told.words}".rstrip()
        case ExportPhase.FETCHING:
            return f"fetching: {told.files_done} of {told.files} files, {told.bytes / 1e6:.1f} MB"
        case ExportPhase.ANEW:
            return "the server no longer has the export: asking again, from the start"
        case ExportPhase.DONE:
            return "exported"


def _show(population: ExportedPopulation, report_file: Path) -> None:
    """Counts and warnings; nothing of a patient."""
    result = population.result
    console = Console(highlight=False, soft_wrap=True, markup=False)
    held = ", ".join(f"{number} {name}" for name, number in result.counts.items())
    console.print(
        f"exported {held} in {len(result.files)} files, as of {result.transaction_time or 'an unknown time'}"
        f" ({result.report['requests']} requests, {result.report['retries']} retries"
        f"{', continued' if result.resumed else ''})"
    )
    if result.severities:
        told = ", ".join(f"{number} {name}" for name, number in result.severities)
        console.print(f"issues that the server reports with it: {told}")
    for message in explain(population.warnings):
        details = f" [{', '.join(message.details)}]" if message.details else ""
        console.print(f"warning: {message.text}{details}")
    console.print(f"wrote {report_file}")
