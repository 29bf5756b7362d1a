"""``cds privacy``: one patient's data out, or away; and everybody's after their time."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cds.entrypoints.console import failures_explained

if TYPE_CHECKING:  # at run time it would load the database, which --help need not wait for
    from cds.audit import AuditKind
    from cds.settings import Settings
    from cds.store.opening import Store
    from cds.store.privacy import ErasureProof

privacy_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="A patient's data: export, erase; and retention for everybody's."
)
KeyOption = Annotated[
    str,
    typer.Option(
        "--patient",
        prompt="Patient key",
        hide_input=False,
        help="The patient's identifier in the record system; asked for when left out, which keeps it out of the"
        " shell's history.",
    ),
]


@privacy_app.command("export")
def export(
    out: Annotated[Path, typer.Option(dir_okay=False, help="ZIP file to write; readable by you only.")],
    patient: KeyOption,
) -> None:
    """Everything that is kept of one patient, as a ZIP archive."""
    with failures_explained():
        from cds.audit import AuditKind
        from cds.errors import OutputError

        settings, store = _opened()
        try:
            content = store.privacy.export_patient(patient)
            _note(settings, store, AuditKind.EXPORT, patient)
            try:
                out.touch(mode=0o600, exist_ok=True)
                out.chmod(0o600)
                out.write_bytes(content)
            except OSError as error:
                raise OutputError(
                    f"The export cannot be written: {error.strerror}.", remedy="Give a file that can be written."
                ) from None
        finally:
            store.close()
        typer.echo(f"{out}: {len(content)} bytes")


@privacy_app.command("erase")
def erase(
    patient: KeyOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the key a second time.")] = False,
) -> None:
    """Delete everything that is kept of one patient, look again, and print the proof."""
    with failures_explained():
        from cds.audit import AuditKind

        if not yes and typer.prompt("This cannot be undone. The patient key once more") != patient:
            raise typer.BadParameter("the two keys differ; nothing was erased")
        settings, store = _opened()
        try:
            _note_drift(store)
            proof = store.privacy.erase_patient(patient, actor=_actor())
            _note(settings, store, AuditKind.DELETE, patient)
        finally:
            store.close()
        _print(proof)


@privacy_app.command("retention")
def retention(
    days: Annotated[int, typer.Option(min=1, help="How long cases are kept.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before anything is deleted.")] = False,
) -> None:
    """Delete cases that are older, the jobs that are done, and files that nothing needs."""
    with failures_explained():
        from cds.audit import AuditKind

        if not yes:
            typer.confirm(f"Delete every case older than {days} days for good?", abort=True)
        settings, store = _opened()
        try:
            _note_drift(store)
            proof = store.privacy.apply_retention(days=days, actor=_actor())
            if proof is not None:
                _note(settings, store, AuditKind.DELETE, None)
        finally:
            store.close()
        if proof is None:
            typer.echo(f"Nothing is older than {days} days.")
        else:
            _print(proof)


def _note_drift(store: "Store") -> None:
    """Look once more at drift: an alarm stands when its cases go, but only if somebody has seen it before."""
    import logging

    from cds.errors import CdsError
    from cds.learning.drift.watching import watch

    try:
        watch(store)
    except CdsError as error:  # a patient's right to be forgotten does not wait for statistics
        logging.getLogger(__name__).warning("drift was not looked at before the deletion [%s]", error.code)


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _opened() -> "tuple[Settings, Store]":
    from cds.bootstrap import load_settings
    from cds.store.opening import open_store

    settings = load_settings()
    return settings, open_store(settings)


def _note(settings: "Settings", store: "Store", kind: "AuditKind", patient: str | None) -> None:
    """The audit says who did it; the patient stays a digest."""
    from datetime import UTC, datetime

    from cds.audit import AccessRecord, record_access
    from cds.bootstrap import build_audit_trail

    entry = AccessRecord(
        occurred=datetime.now(UTC), kind=kind, actor=_actor(), role="admin", target="patient-data", patient_key=patient
    )
    record_access(build_audit_trail(settings, store), entry)


def _print(proof: "ErasureProof") -> None:
    import json

    told = {
        "erasure": proof.id,
        "at": proof.created.isoformat(),
        "reason": proof.reason.value,
        "deleted": proof.counts,
        "left": proof.left,
    }
    typer.echo(json.dumps(told, indent=1))
