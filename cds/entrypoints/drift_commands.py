"""``cds learn drift``: is what comes in and goes out still what it was?"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cds.entrypoints.console import failures_explained, keyboard_actor

if TYPE_CHECKING:  # at run time it would load the database, which --help need not wait for
    from cds.learning.drift.watching import DriftReport

EXIT_ALARM: Final = 11
"""How the command ends with ``--fail-on-alarm`` where a monitor raises its alarm."""


def drift(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the page to this file.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Beginning of what is shown as recent, four weeks ago by default; it moves no alarm."
            " With --set-reference: of the new reference.",
        ),
    ] = None,
    set_reference: Annotated[
        bool,
        typer.Option(
            "--set-reference",
            help="Make the newest 500 cases the reference, or the first 500 from --since on; alarms begin anew.",
        ),
    ] = False,
    fail_on_alarm: Annotated[
        bool, typer.Option("--fail-on-alarm", help=f"End with exit code {EXIT_ALARM} where there is an alarm.")
    ] = False,
) -> None:
    """Compare the cases since the reference with it, monitor by monitor; at most 5 % false alarms a year."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.learning.drift.records import DriftRecords
        from cds.learning.drift.watching import State, watch
        from cds.presenters.drift_page import render_drift_html, render_drift_json
        from cds.store.opening import open_store

        begun = None if since is None else since.astimezone()
        store = open_store(load_settings())
        try:
            if set_reference:
                made = DriftRecords(store.database).set_reference(actor=keyboard_actor(), since=begun)
                if not json:
                    typer.echo(f"reference: {made.cases} cases from {made.began:%Y-%m-%d} to {made.ended:%Y-%m-%d}")
            report = watch(store, recent_since=None if set_reference else begun)
        finally:
            store.close()
        if html is not None:
            _write(html, render_drift_html(report))
        if json:
            typer.echo(render_drift_json(report), nl=False)
        else:
            _print(report)
        if fail_on_alarm and report.state is State.ALARM:
            raise typer.Exit(EXIT_ALARM)


def _print(report: "DriftReport") -> None:
    from rich.console import Console
    from rich.table import Table

    from cds.presenters.drift_page import HEADLINES, STATE_WORDS, said, summary_words

    console = Console()
    console.print(HEADLINES[report.state], markup=False)
    reference = report.reference
    ended = "not complete" if reference is None else f"{reference.cases} cases, to {reference.ended:%Y-%m-%d}"
    console.print(
        f"detector {report.model or 'none yet'}; {report.observed} cases, {report.judged} judged; reference {ended}",
        markup=False,
    )
    table = Table("monitor", "state", "reference", "recent", "evidence", caption=_caption(report))
    for one in report.monitors:
        shown = (summary_words(one.monitor, found) for found in (one.reference, one.recent))
        table.add_row(one.monitor.title, STATE_WORDS[one.state], *shown, f"{one.evidence:.1f}")
    console.print(table)
    for one in report.alarms:
        console.print(f"{one.monitor.title}: {said(one)}", markup=False)


def _caption(report: "DriftReport") -> str:
    return (
        f"alarm from {report.alarm_at:.1f} on; at most {100 * report.yearly_level:.0f} % false alarms a year, all told"
    )


def _write(path: Path, page: str) -> None:
    from cds.errors import OutputError

    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The page cannot be written: {error.strerror}.", remedy="Give a file that can be written."
        ) from None
