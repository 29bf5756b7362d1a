"""``cds pacs``: thin words around `cds.pacs`, imported only when called."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cds.entrypoints.console import failures_explained
from cds.entrypoints.pacs_queue_commands import add_queue_commands

if TYPE_CHECKING:  # at run time only a command that talks to a PACS waits for its libraries
    from collections.abc import Callable

    from cds.pacs.pull import Pulled, PullRequest
    from cds.pacs.send import PacsPeer
    from cds.pacs.tls import TlsFiles
    from cds.settings import Settings

pacs_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Work with a PACS: listen for radiographs, fetch them, send results back.",
)

Host = Annotated[str | None, typer.Option(help="Host name or address of the PACS.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Its DICOM port.")]
CalledAet = Annotated[str, typer.Option(metavar="TITLE", help="Its Application Entity title.")]
CallingAet = Annotated[str | None, typer.Option(metavar="TITLE", help="Ours, as the PACS knows it.")]
Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for an answer.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Tls = Annotated[bool, typer.Option("--tls", help="Encrypt; the certificate of the PACS is checked.")]
TlsCert = Annotated[Path | None, typer.Option(dir_okay=False, metavar="PEM", help="Our certificate.")]
TlsKey = Annotated[Path | None, typer.Option(dir_okay=False, metavar="PEM", help="Its private key.")]
TlsCa = Annotated[Path | None, typer.Option(dir_okay=False, metavar="PEM", help="Authority to trust.")]


@pacs_app.command()
def push(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="DICOM files, such as out/*.dcm.")],
    host: Host = None,
    port: Port = 104,
    called_aet: CalledAet = "ANY-SCP",
    calling_aet: CallingAet = None,
    stow: Annotated[str | None, typer.Option(metavar="URL", help="Send by STOW-RS to this DICOMweb server.")] = None,
    attempts: Annotated[int, typer.Option(min=1, max=20, help="Tries before giving up.")] = 3,
    timeout: Timeout = 30.0,
    tls: Tls = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    quiet: Quiet = False,
) -> None:
    """Store DICOM files in a PACS by C-STORE, or by STOW-RS; what is stored already is not stored twice."""
    with failures_explained():
        from cds.entrypoints.console import read_input
        from cds.errors import InputKind
        from cds.pacs.send import push as push_files

        settings = _settings()
        _one_way(host, stow, "--stow")
        contents = [read_input(path, InputKind.RADIOGRAPH, limit_bytes=settings.max_image_bytes) for path in files]
        wanted = [one for one in contents if one is not None]
        trust = _tls(settings, tls, tls_cert, tls_key, tls_ca)
        if host is not None:
            peer = _peer(settings, host, port, called_aet, calling_aet, timeout, trust)
            outcomes = [one.outcome.replace("_", " ") for one in push_files(wanted, peer, attempts=attempts)]
        else:
            from cds.pacs.destinations import StowDestination

            StowDestination(url=stow or "", settings=settings, tls=trust).send(wanted, first=False)
            outcomes = ["stored"] * len(files)
        if not quiet:
            for path, outcome in zip(files, outcomes, strict=True):
                typer.echo(f"{outcome}: {path}")


@pacs_app.command()
def pull(
    host: Host = None,
    port: Port = 104,
    called_aet: CalledAet = "ANY-SCP",
    calling_aet: CallingAet = None,
    dicomweb: Annotated[
        str | None, typer.Option(metavar="URL", help="Fetch by QIDO-RS and WADO-RS from this server.")
    ] = None,
    patient_id: Annotated[str | None, typer.Option(help="Patient ID at the PACS.")] = None,
    study: Annotated[str | None, typer.Option(metavar="UID", help="Study Instance UID.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Studies of this day and later.")] = None,
    move_to: Annotated[
        str | None,
        typer.Option(metavar="TITLE", help="Have the PACS send to this title (C-MOVE), such as a cds pacs listen."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write to this folder instead of the listener's queue.")
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Ask for priority HIGH, and assess before others.")] = False,
    timeout: Timeout = 30.0,
    tls: Tls = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    quiet: Quiet = False,
) -> None:
    """Fetch radiographs: C-FIND with C-MOVE or C-GET, or DICOMweb; into the queue of cds pacs listen, or a folder."""
    with failures_explained():
        from cds.errors import InputError
        from cds.pacs.pull import PullRequest

        settings = _settings()
        _one_way(host, dicomweb, "--dicomweb")
        if move_to is not None and (out is not None or host is None):
            raise InputError(
                "With C-MOVE the PACS sends to a listener, not to here.",
                remedy="Leave --move-to out to fetch with C-GET or DICOMweb.",
            )
        wanted = PullRequest(patient_id=patient_id, study=study, since=None if since is None else since.date())
        trust = _tls(settings, tls, tls_cert, tls_key, tls_ca)
        if host is not None:
            peer = _peer(settings, host, port, called_aet, calling_aet, timeout, trust)
            pulled = _pull_dimse(settings, peer, wanted, move_to=move_to, out=out, first=first)
        else:
            pulled = _pull_web(settings, dicomweb or "", wanted, trust, out=out, first=first)
        if not quiet:
            typer.echo(f"{pulled.series} series, {pulled.completed} images fetched, {pulled.failed} not")
        if pulled.failed:
            raise typer.Exit(8)


add_queue_commands(pacs_app)


def _pull_dimse(
    settings: "Settings", peer: "PacsPeer", wanted: "PullRequest", *, move_to: str | None, out: Path | None, first: bool
) -> "Pulled":
    from cds.pacs.pull import find_series, get, move

    places = find_series(peer, wanted)
    if move_to is not None:
        return move(peer, places, destination_aet=move_to, first=first)
    return get(peer, places, _taking(settings, out, first=first), first=first)


def _pull_web(
    settings: "Settings", url: str, wanted: "PullRequest", trust: "TlsFiles | None", *, out: Path | None, first: bool
) -> "Pulled":
    from cds.pacs.pull_web import get_by_web

    return get_by_web(settings, url, wanted, _taking(settings, out, first=first), tls=trust)


def _taking(settings: "Settings", out: Path | None, *, first: bool) -> "Callable[[bytes], bool]":
    """Where fetched files go: a folder, or the queue."""
    from cds.pacs.folder import file_taker, queue_taker

    return queue_taker(settings, first=first) if out is None else file_taker(out, max_bytes=settings.max_image_bytes)


def _settings() -> "Settings":
    from cds.bootstrap import load_settings
    from cds.logs import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level)
    return settings


def _one_way(host: str | None, url: str | None, option: str) -> None:
    from cds.errors import InputError

    if (host is None) == (url is None):
        raise InputError("It is not clear which PACS is meant.", remedy=f"Give either --host or {option}.")


def _tls(
    settings: "Settings", wanted: bool, cert: Path | None, key: Path | None, authority: Path | None
) -> "TlsFiles | None":
    """What the options say, else the settings where TLS is asked for."""
    if not wanted and (cert, key, authority) == (None, None, None):
        return None
    from cds.pacs.tls import TlsFiles

    return TlsFiles(
        certificate=cert or settings.pacs_tls_cert,
        key=key or settings.pacs_tls_key,
        authority=authority or settings.pacs_tls_ca,
    )


def _peer(
    settings: "Settings", host: str, port: int, called: str, calling: str | None, timeout: float, tls: "TlsFiles | None"
) -> "PacsPeer":
    from cds.pacs.send import PacsPeer

    return PacsPeer(
        host=host,
        port=port,
        called_aet=called,
        calling_aet=calling or settings.pacs_aet,
        timeout_s=timeout,
        tls=tls,
    )
