"""``cds pacs listen`` and what shows and mends its queue; imported only when called."""

import json
import signal
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cds.entrypoints.console import failures_explained

if TYPE_CHECKING:  # at run time only a command that needs them waits for the libraries
    from cds.pacs.destinations import Destination
    from cds.pacs.queue import QueueStatus
    from cds.pacs.tls import TlsFiles
    from cds.pacs.worklist import WorkItem
    from cds.settings import Settings


class Shape(StrEnum):
    """How a list is printed."""

    TEXT = "text"
    JSON = "json"


class WorklistShape(StrEnum):
    """How the worklist is printed."""

    TEXT = "text"
    JSON = "json"
    FHIR = "fhir"


def add_queue_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (listen, status, retry, worklist):
        app.command()(command)


def listen(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 11112,
    aet: Annotated[str | None, typer.Option(metavar="TITLE", help="Our Application Entity title.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine --allow is needed.")
    ] = "127.0.0.1",
    send_to: Annotated[
        str | None, typer.Option(metavar="HOST:PORT:TITLE", help="Send results there by C-STORE.")
    ] = None,
    stow: Annotated[str | None, typer.Option(metavar="URL", help="Send results there by STOW-RS.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="TITLE[@ADDRESS]", help="Who may send, such as PACS@10.1.2.3; may be repeated."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(dir_okay=False, metavar="PEM", help="Listen with TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(dir_okay=False, metavar="PEM", help="Its private key.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(dir_okay=False, metavar="PEM", help="Authority of the callers' certificates.")
    ] = None,
    send_tls: Annotated[bool, typer.Option("--send-tls", help="Encrypt what is sent by C-STORE.")] = False,
) -> None:
    """Receive radiographs by C-STORE, assess them, send report, marks and overlay back. Ends on SIGTERM or Ctrl-C."""
    with failures_explained():
        from cds.bootstrap import build_engines, load_settings, warm_up
        from cds.learning.models import with_current_models
        from cds.logs import configure_logging
        from cds.pacs.callers import parse_callers
        from cds.pacs.listener import ListenerOptions
        from cds.pacs.service import listen as run
        from cds.pacs.service import open_service
        from imaging.manifest import read_manifest

        given = {"pacs_aet": aet, "pacs_tls_cert": tls_cert, "pacs_tls_key": tls_key, "pacs_tls_ca": tls_ca}
        settings = load_settings(**{name: value for name, value in given.items() if value is not None})
        configure_logging(settings.log_level)
        trust = _trust(settings)
        destination = _destination(settings, send_to, stow, trust, send_tls=send_tls)
        options = ListenerOptions(
            host=host,
            port=port,
            aet=settings.pacs_aet,
            callers=parse_callers(allow or settings.pacs_allow),
            timeout_s=settings.pacs_timeout_seconds,
            tls=trust if settings.pacs_tls_cert is not None else None,
        )
        engines = build_engines(settings)
        warm_up(engines)
        service = open_service(
            settings,
            engines,
            model_id=read_manifest(with_current_models(settings).detector_dir).model_id,
            destination=destination,
        )
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        where = "kept here" if destination is None else f"sent to {destination.label}"

        def started(actual: int) -> None:
            typer.echo(f"{settings.pacs_aet} listens on {host}:{actual}; results are {where}")

        run(settings, service, options, stop=stop, started=started)
        service.store.close()


def status(
    shape: Annotated[Shape, typer.Option("--format", help="How to print it.")] = Shape.TEXT,
) -> None:
    """Show how the queue stands: what waits, what was skipped and why, what a PACS did not take."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.pacs.queue import PacsQueue
        from cds.store.database import open_database

        found = PacsQueue(open_database(load_settings())).status()
        typer.echo(json.dumps(_document(found), indent=2) if shape is Shape.JSON else _words(found))


def retry() -> None:
    """Try again, at once, whatever was given up or waits after an error."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.pacs.queue import PacsQueue
        from cds.store.database import open_database

        typer.echo(f"{PacsQueue(open_database(load_settings())).retry()} put back")


def worklist(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Cases of this day and later.")] = None,
    shape: Annotated[WorklistShape, typer.Option("--format", help="How to print it.")] = WorklistShape.TEXT,
) -> None:
    """List the cases that nobody signed yet, the most urgent first; a hint for the order of reading, no more."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.pacs.worklist import task_bundle
        from cds.pacs.worklist import worklist as find
        from cds.store.opening import open_store

        moment = None if since is None else since.replace(tzinfo=UTC)
        items = find(open_store(load_settings()).cases, since=moment)
        match shape:
            case WorklistShape.TEXT:
                typer.echo(_lines(items))
            case WorklistShape.JSON:
                typer.echo(json.dumps([_item(one) for one in items], indent=2))
            case WorklistShape.FHIR:
                typer.echo(json.dumps(task_bundle(items), indent=2))


def _trust(settings: "Settings") -> "TlsFiles | None":
    files = (settings.pacs_tls_cert, settings.pacs_tls_key, settings.pacs_tls_ca)
    if not any(files):
        return None
    from cds.pacs.tls import TlsFiles

    return TlsFiles(certificate=files[0], key=files[1], authority=files[2])


def _destination(
    settings: "Settings", send_to: str | None, stow: str | None, trust: "TlsFiles | None", *, send_tls: bool
) -> "Destination | None":
    from cds.errors import InputError
    from cds.pacs.destinations import CStoreDestination, StowDestination, parse_peer
    from cds.pacs.tls import TlsFiles

    if send_to is not None and stow is not None:
        raise InputError("Results can go to one place only.", remedy="Give --send-to or --stow.")
    if send_to is not None:
        tls = (trust or TlsFiles()) if send_tls else None
        return CStoreDestination(peer=parse_peer(send_to, settings, tls=tls))
    return None if stow is None else StowDestination(url=stow, settings=settings, tls=trust)


def _document(found: "QueueStatus") -> dict[str, object]:
    return {
        "counts": found.counts,
        "skipped": found.skipped,
        "oldest_waiting": None if found.oldest_waiting is None else found.oldest_waiting.isoformat(),
        "troubled": [
            {
                "id": one.id,
                "kind": one.kind,
                "state": one.state.value,
                "created": one.created.isoformat(),
                "next_try": None if one.next_try is None else one.next_try.isoformat(),
                "error_code": one.error_code,
                "error_text": one.error_text,
            }
            for one in found.troubled
        ],
    }


def _words(found: "QueueStatus") -> str:
    lines = []
    for part, states in found.counts.items():
        told = ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "nothing"
        lines.append(f"{part}: {told}")
    lines.append("skipped: " + (", ".join(f"{number} {why}" for why, number in sorted(found.skipped.items())) or "0"))
    if found.oldest_waiting is not None:
        lines.append(f"oldest waiting since {found.oldest_waiting:%Y-%m-%d %H:%M:%S} UTC")
    for one in found.troubled:
        then = "given up" if one.next_try is None else f"next try {one.next_try:%H:%M:%S} UTC"
        lines.append(f"{one.id} {one.kind} {one.state.value}, {then}: {one.error_text} [{one.error_code}]")
    return "\n".join(lines)


def _lines(items: "tuple[WorkItem, ...]") -> str:
    if not items:
        return "no unsigned case"
    return "\n".join(
        f"{one.urgency:<13} {one.created:%Y-%m-%d %H:%M} {one.study_uid or '-':<64} {one.title}" for one in items
    )


def _item(one: "WorkItem") -> dict[str, str | None]:
    return {
        "case_id": one.case_id,
        "study_uid": one.study_uid,
        "created": one.created.isoformat(),
        "urgency": one.urgency,
        "call": one.call,
        "title": one.title,
        "scheduled_procedure_step_priority": one.dicom_priority,
        "fhir_priority": one.task_priority,
    }
