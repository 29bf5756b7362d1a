"""``cds pacs``: thin words around `cds.pacs`, imported only when called."""

from pathlib import Path
from typing import Annotated

import typer

from cds.entrypoints.console import failures_explained

pacs_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Send results to a PACS.")


@pacs_app.callback()
def _group() -> None:
    """Keeps ``push`` a command of its own while it is the only one."""


@pacs_app.command()
def push(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="DICOM files, such as out/*.dcm.")],
    host: Annotated[str, typer.Option(help="Host name or address of the PACS.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its DICOM port.")] = 104,
    called_aet: Annotated[str, typer.Option(metavar="TITLE", help="Its Application Entity title.")] = "ANY-SCP",
    calling_aet: Annotated[str, typer.Option(metavar="TITLE", help="Ours, as the PACS knows it.")] = "FRACTURE-CDS",
    attempts: Annotated[int, typer.Option(min=1, max=20, help="Tries before giving up.")] = 3,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for an answer.")] = 30.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Store DICOM files in a PACS by C-STORE; what is stored already is not sent twice."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.entrypoints.console import read_input
        from cds.errors import InputKind
        from cds.logs import configure_logging
        from cds.pacs.send import PacsPeer
        from cds.pacs.send import push as push_files

        settings = load_settings()
        configure_logging(settings.log_level)
        contents = [read_input(path, InputKind.RADIOGRAPH, limit_bytes=settings.max_image_bytes) for path in files]
        peer = PacsPeer(host=host, port=port, called_aet=called_aet, calling_aet=calling_aet, timeout_s=timeout)
        sent = push_files([one for one in contents if one is not None], peer, attempts=attempts)
        if not quiet:
            for path, one in zip(files, sent, strict=True):
                typer.echo(f"{one.outcome.replace('_', ' ')}: {path}")
