"""``cds feedback``: what clinicians said about cases: list, show, settle, export."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cds.entrypoints.console import failures_explained, keyboard_actor

if TYPE_CHECKING:  # at run time they would load the database, which --help need not wait for
    from cds.learning.feedback.cases import JudgedCase
    from cds.settings import Settings
    from cds.store.feedback import Box, Feedback
    from cds.store.opening import Store

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Identifier of the case.")]
_ANSWERS = {True: "fracture", False: "no fracture", None: "not determined"}


class ReaderRole(StrEnum):
    """Roles that may settle a disagreement; the values are those of `cds.learning.feedback.readers.READER_ROLES`."""

    RADIOLOGIST = "radiologist"
    CLINICIAN = "clinician"
    ADMIN = "admin"


def _since(text: str) -> datetime:
    """``30d``, or ISO 8601; a time without an offset is taken in this machine's time zone."""
    from datetime import timedelta

    if text[-1:].lower() == "d" and text[:-1].isdigit() and 1 <= int(text[:-1]) <= 36_500:
        return datetime.now(UTC) - timedelta(days=int(text[:-1]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("neither a number of days such as 30d nor an ISO 8601 date") from None
    return moment.astimezone() if moment.tzinfo is None else moment


def _box(text: str) -> "Box":
    """``x0,y0,x1,y1`` in pixels."""
    try:
        x0, y0, x1, y1 = (float(one) for one in text.split(","))
    except ValueError:
        raise typer.BadParameter("not four numbers x0,y0,x1,y1") from None
    return x0, y0, x1, y1


def list_feedback(
    everything: Annotated[
        bool,
        typer.Option("--all/--open", help="Every case with feedback, or those whose readers disagree (the default)."),
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(parser=_since, metavar="30d|ISO-8601", help="Only cases spoken about since then."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Cases that clinicians spoke about, and what follows from it."""
    with failures_explained():
        from cds.learning.feedback.cases import judged_cases, open_disagreements

        with _opened() as (_, store):
            found = tuple(judged_cases(store, since=since)) if everything else open_disagreements(store, since=since)
        if as_json:
            _print_json([_summary(one) for one in found])
        elif not found:
            typer.echo("No case has feedback." if everything else "No disagreement is open.")
        else:
            _print_cases(found)


def show_feedback(case_id: CaseArgument, as_json: JsonOption = False) -> None:
    """Everything that was said about one case, and what is held to be true."""
    with failures_explained():
        from cds.learning.feedback.cases import judged_case
        from cds.learning.feedback.reasons import sentence

        with _opened() as (_, store):
            found = judged_case(store, case_id)
        if as_json:
            _print_json(_summary(found) | {"feedback": [_said(one) for one in found.feedback]})
            return
        replaced = {one.supersedes for one in found.feedback}
        for one in found.feedback:
            old = "  (replaced)" if one.id in replaced else ""
            typer.echo(f"{one.created:%Y-%m-%d %H:%M} UTC  {one.role} {one.author}: {_words(one)}{old}")
        typer.echo(f"truth: {_truth_words(found)}")
        for place in found.truth.places:
            pattern = "" if place.fracture_type is None else f", {place.fracture_type.value}"
            origin = "drawn" if place.drawn else "the machine's"
            typer.echo(f"  place {', '.join(f'{value:.1f}' for value in place.box)} px, {origin}{pattern}")
        for code in found.truth.reasons:
            typer.echo(f"  {sentence(code)}")


def settle(
    case_id: CaseArgument,
    fracture: Annotated[bool, typer.Option("--fracture/--no-fracture", help="Whether there is a fracture.")],
    author: Annotated[str, typer.Option("--author", help="Who settles it: a name that is not one of the readers'.")],
    role: Annotated[ReaderRole, typer.Option("--role", help="In which role.")] = ReaderRole.RADIOLOGIST,
    box: Annotated[
        list[Any] | None,
        typer.Option("--box", parser=_box, metavar="X0,Y0,X1,Y1", help="A place in pixels; repeat it for several."),
    ] = None,
    fracture_type: Annotated[str | None, typer.Option("--type", help="Pattern, such as oblique.")] = None,
    supersedes: Annotated[
        str | None, typer.Option(help="Identifier of one's own earlier adjudication that this one replaces.")
    ] = None,
) -> None:
    """Settle a disagreement: the last word on a case, by somebody who has not read it."""
    with failures_explained():
        from cds.audit import AuditKind
        from cds.learning.feedback.adjudication import adjudicate
        from cds.store.feedback import FeedbackContent
        from fusion.context import FractureType

        if fracture_type is not None and fracture_type not in set(FractureType):
            raise typer.BadParameter(f"known patterns: {', '.join(FractureType)}", param_hint="--type")
        pattern = None if fracture_type is None else FractureType(fracture_type)
        content = FeedbackContent(fracture=fracture, boxes=tuple(box or ()), fracture_type=pattern)
        with _opened() as (settings, store):
            kept = adjudicate(store, case_id, content, author=author, role=role.value, supersedes=supersedes)
            patient = store.cases.get(case_id).patient_key
            _note(settings, store, AuditKind.UPDATE, f"case/{case_id}", patient, role.value)
        typer.echo(f"settled: {kept.id}")


def export(
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="New folder; appears when it is complete.")],
    site: Annotated[str | None, typer.Option("--site", help="Name of the hospital in the tables.")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            exists=True,
            dir_okay=False,
            help="Key of the pseudonyms, at least 16 random bytes; by default one is made and kept in the data folder.",
        ),
    ] = None,
    with_synthetic: Annotated[
        bool, typer.Option("--with-synthetic", help="Export phantoms too; they are no patients' radiographs.")
    ] = False,
) -> None:
    """Feedback to training data without identifiers: images, boxes, COCO, Parquet, healing outcomes, a manifest."""
    with failures_explained():
        from cds.bootstrap import build_audit_trail, build_engines
        from cds.learning.feedback.export import ExportOptions, export_feedback
        from cds.learning.feedback.pseudonyms import KEY_NAME, read_key

        with _opened() as (settings, store):
            key = read_key(key_file or settings.data_dir / KEY_NAME, make=key_file is None)
            manifest = export_feedback(
                store,
                out,
                ExportOptions(key=key, site=site, with_synthetic=with_synthetic),
                engines=build_engines(settings),
                audit=build_audit_trail(settings, store),
                actor=keyboard_actor(),
            )
        counts = manifest["counts"]
        typer.echo(
            f"{out}: {counts['images']} images ({counts['fractured']} with a fracture, {counts['boxes']} boxes),"
            f" {counts['outcomes']} outcomes, of {counts['groups']} patients"
        )
        for code, count in manifest["left_out"]["counts"].items():
            typer.echo(f"left out: {count}: {manifest['left_out']['words'][code]}")


@contextmanager
def _opened() -> "Iterator[tuple[Settings, Store]]":
    from cds.bootstrap import load_settings
    from cds.store.opening import open_store

    settings = load_settings()
    store = open_store(settings)
    try:
        yield settings, store
    finally:
        store.close()


def _note(settings: "Settings", store: "Store", kind: Any, target: str, patient: str | None, role: str) -> None:
    from cds.audit import AccessRecord, record_access
    from cds.bootstrap import build_audit_trail

    entry = AccessRecord(
        occurred=datetime.now(UTC), kind=kind, actor=keyboard_actor(), role=role, target=target, patient_key=patient
    )
    record_access(build_audit_trail(settings, store), entry)


def _summary(found: "JudgedCase") -> dict[str, Any]:
    truth = found.truth
    return {
        "case": found.case.id,
        "fracture": truth.fracture,
        "agreement": truth.agreement.value,
        "disputes": [one.value for one in truth.disputes],
        "adjudicated_by": truth.adjudicated_by,
        "places": [
            {
                "box": list(one.box),
                "type": None if one.fracture_type is None else one.fracture_type.value,
                "drawn": one.drawn,
            }
            for one in truth.places
        ],
        "places_known": truth.places_known,
        "fracture_type": None if truth.fracture_type is None else truth.fracture_type.value,
        "readers": [
            {"author": one.author, "role": one.role, "fracture": one.fracture, "independent": one.independent}
            for one in truth.readers
        ],
        "machine_call": found.facts.machine.call,
        "reasons": list(truth.reasons),
    }


def _said(one: "Feedback") -> dict[str, Any]:
    from cds.store.feedback import to_json

    return {
        "id": one.id,
        "created": one.created.isoformat(),
        "author": one.author,
        "role": one.role,
        "kind": one.kind.value,
        "finding": one.finding,
        "content": to_json(one.content),
        "supersedes": one.supersedes,
        "model_versions": list(one.model_versions),
    }


def _words(one: "Feedback") -> str:
    from cds.store.feedback import to_json

    about = "" if one.finding is None else f" finding {one.finding + 1}"
    details = ", ".join(f"{name} {value}" for name, value in to_json(one.content).items())
    return f"{one.kind.value.replace('_', ' ')}{about}{': ' if details else ''}{details}"


def _truth_words(found: "JudgedCase") -> str:
    truth = found.truth
    pattern = "" if truth.fracture_type is None else f", {truth.fracture_type.value}"
    disputed = f"; open: {', '.join(truth.disputes)}" if truth.disputes else ""
    return f"{_ANSWERS[truth.fracture]}{pattern} ({truth.agreement.value.replace('_', ' ')}){disputed}"


def _print_cases(found: "Sequence[JudgedCase]") -> None:
    """Three lines a case: columns beside an identifier, which the next command needs whole, would cut every word."""
    for one in found:
        machine = (one.facts.machine.call or "nothing").replace("_", " ")
        readers = ", ".join(f"{each.role} {_ANSWERS[each.fracture]}" for each in one.truth.readers)
        typer.echo(f"{one.case.id}  {one.case.created:%Y-%m-%d}  machine: {machine}")
        typer.echo(f"    readers: {readers or 'none'}")
        typer.echo(f"    truth: {_truth_words(one)}")


def _print_json(told: object) -> None:
    import json

    typer.echo(json.dumps(told, indent=1, ensure_ascii=False))
