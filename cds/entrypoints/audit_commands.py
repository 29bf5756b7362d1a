"""``cds audit``: is the trail as it was written, what does it say, where does it end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cds.entrypoints.console import failures_explained

if TYPE_CHECKING:  # at run time it would load the database, which --help need not wait for
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from cds.audit_chain import AuditChain

audit_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit trail: verify, export, anchor.")
FileOption = Annotated[
    Path | None,
    typer.Option("--file", dir_okay=False, help="Only this JSON-lines file; by default the store's chain and the log."),
]


@audit_app.command("verify")
def verify(
    file: FileOption = None,
    anchor: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Heads saved from 'cds audit head': finds a cut end as well."),
    ] = None,
) -> None:
    """Find a changed, removed, inserted or moved entry, and a cut end; exit code 7 when there is any."""
    with failures_explained():
        from cds.audit import verify_log
        from cds.bootstrap import load_settings
        from cds.errors import TamperedAuditError

        settings = load_settings()
        saved = _anchors(anchor)
        found: list[tuple[str, int, tuple[str, ...]]] = []
        log = file or settings.audit_log
        if file is None and settings.store != "off":
            with _opened() as chain:
                found.append(("store", *chain.verify(saved.get("store"))))
        if log is not None:
            found.append((str(log), *verify_log(log, key_path=settings.audit_key_file, anchor=saved.get("log"))))
        for name, count, faults in found:
            typer.echo(f"{name}: {count} {'entry' if count == 1 else 'entries'}, {len(faults) or 'no'} faults")
            for fault in faults:
                typer.echo(f"  {fault}")
        if any(faults for _, _, faults in found):
            raise TamperedAuditError(
                "The audit trail is not as it was written.",
                remedy="Keep a copy of it as it is now, compare it with a backup, and tell your security officer.",
            )


@audit_app.command("export")
def export(
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="File to write; standard output by default.")] = None,
) -> None:
    """The store's chain as NDJSON of FHIR AuditEvents, the oldest first."""
    with failures_explained():
        from cds.batch.outputs import replacing

        with _opened() as chain:
            if out is None:
                for event in chain.events():
                    typer.echo(event.decode())
                return
            count = 0
            with replacing(out) as temporary, temporary.open("wb") as stream:
                for event in chain.events():
                    stream.write(event + b"\n")
                    count += 1
            typer.echo(f"{out}: {count} events", err=True)


@audit_app.command("head")
def head() -> None:
    """Print where the trails end, signed: a copy kept elsewhere finds a cut end or a trail written anew."""
    with failures_explained():
        import json

        from cds.audit import head_of
        from cds.bootstrap import load_settings

        settings = load_settings()
        heads = {}
        if settings.store != "off":
            with _opened() as chain:
                current = chain.current()
                heads["store"] = None if current is None else json.loads(chain.head.text(current))
        if settings.audit_log is not None:
            signed = head_of(settings.audit_log, settings.audit_key_file)
            current = signed.read()
            heads["log"] = None if current is None else json.loads(signed.text(current))
        typer.echo(json.dumps(heads))


def _anchors(path: Path | None) -> dict[str, str]:
    """Saved heads by trail, as text."""
    import json

    from cds.errors import InputError

    if path is None:
        return {}
    try:
        heads = json.loads(path.read_text(encoding="utf-8"))
        return {name: json.dumps(one) for name, one in heads.items() if one is not None}
    except (OSError, ValueError, AttributeError):
        raise InputError("The anchor cannot be read.", remedy="Give a file that 'cds audit head' wrote.") from None


def _opened() -> "AbstractContextManager[AuditChain]":
    """The store's chain; the store is closed afterwards."""
    from contextlib import contextmanager

    from cds.audit_chain import open_chain
    from cds.bootstrap import load_settings
    from cds.store.opening import open_store

    @contextmanager
    def opened() -> "Iterator[AuditChain]":
        settings = load_settings()
        store = open_store(settings)
        try:
            yield open_chain(settings, store.database, store.privacy)
        finally:
            store.close()

    return opened()
