"""The ``cds`` command. Heavy modules are imported by the command that needs them, so that ``--help`` is quick."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from cds.bedside import BEDSIDE_FIELDS, MAX_DIETARY_CALCIUM_MG_PER_DAY, FieldKind
from cds.entrypoints.console import failures_explained
from cds.entrypoints.data_commands import data_app
from cds.entrypoints.export_commands import export_app
from cds.entrypoints.model_commands import evaluate_app, train_app
from cds.options import OutputChoice, Runtime
from fusion.context import ClinicalContext, FractureType, Gustilo, Mechanism
from fusion.sites import FractureSite

app = typer.Typer(
    name="cds",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: every option name in full at any width, and quick
    help="Decision support for limb fractures: X-ray and patient record in, one report out."
    " Investigational, not for diagnostic use.",
    epilog="Exit codes: 0 done, 2 wrong usage, 3 image unreadable or refused, 4 record unreadable, 5 nothing to assess,"
    " 6 model or evidence broken, 7 output not written, 70 internal error.",
)
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(data_app, name="data")
app.add_typer(export_app, name="export")

BEDSIDE_PANEL = "Bedside findings (leave out what was not examined)"


def _bedside(name: str) -> OptionInfo:
    """The option of one field of `ClinicalContext`; a flag can be yes, no or left out."""
    (item,) = (field for field in BEDSIDE_FIELDS if field.name == name)
    option = "--" + name.replace("_", "-")
    number = item.kind is FieldKind.NUMBER
    choices = "" if item.choices is None else " One of: " + ", ".join(member.value for member in item.choices) + "."
    described: OptionInfo = typer.Option(
        f"{option}/--no-{option[2:]}" if item.kind is FieldKind.FLAG else option,
        help=item.explanation + choices,
        metavar={FieldKind.FLAG: "", FieldKind.NUMBER: "MG", FieldKind.CHOICE: "WORD"}[item.kind],
        rich_help_panel=BEDSIDE_PANEL,
        show_default=False,
        min=0 if number else None,
        max=MAX_DIETARY_CALCIUM_MG_PER_DAY if number else None,
    )
    return described


def _time_with_zone(text: str) -> datetime:
    """ISO 8601; a time without an offset is taken in this machine's time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("not an ISO 8601 date or time") from None
    return moment.astimezone() if moment.tzinfo is None else moment


@app.command()
def assess(
    image: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="X-ray: DICOM, PNG or JPEG.")] = None,
    patient: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="FHIR R4 Bundle, JSON or gzip of JSON.")
    ] = None,
    patient_id: Annotated[str | None, typer.Option(help="Which Patient, when the bundle holds several.")] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the result files.")] = Path("out"),
    output_format: Annotated[OutputChoice, typer.Option("--format", help="Which files to write.")] = OutputChoice.ALL,
    frame: Annotated[int, typer.Option(min=1, help="Frame of a DICOM file with several, counted from 1.")] = 1,
    as_of: Annotated[
        datetime | None,
        typer.Option(parser=_time_with_zone, metavar="ISO-8601", help="Time of the assessment; now by default."),
    ] = None,
    runtime: Annotated[Runtime | None, typer.Option(help="What runs the network; 'auto' by default.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    explain: Annotated[bool, typer.Option(help="Heat maps of the first detections in the HTML report.")] = True,
    site: Annotated[FractureSite | None, _bedside("site")] = None,
    fracture_type: Annotated[FractureType | None, _bedside("fracture_type")] = None,
    mechanism: Annotated[Mechanism | None, _bedside("mechanism")] = None,
    displaced: Annotated[bool | None, _bedside("displaced")] = None,
    intra_articular: Annotated[bool | None, _bedside("intra_articular")] = None,
    open_wound: Annotated[bool | None, _bedside("open_wound")] = None,
    gustilo: Annotated[Gustilo | None, _bedside("gustilo")] = None,
    vascular_deficit: Annotated[bool | None, _bedside("vascular_deficit")] = None,
    neurological_deficit: Annotated[bool | None, _bedside("neurological_deficit")] = None,
    compartment_signs: Annotated[bool | None, _bedside("compartment_signs")] = None,
    skin_threatened: Annotated[bool | None, _bedside("skin_threatened")] = None,
    dislocation: Annotated[bool | None, _bedside("dislocation")] = None,
    clinical_suspicion_high: Annotated[bool | None, _bedside("clinical_suspicion_high")] = None,
    non_ambulant_infant: Annotated[bool | None, _bedside("non_ambulant_infant")] = None,
    calcium_diet_mg_per_day: Annotated[float | None, _bedside("calcium_diet_mg_per_day")] = None,
) -> None:
    """Assess one case: an X-ray, a patient record, or both.

    Bedside findings that are left out count as not stated, never as absent.
    """
    context = ClinicalContext(
        site=site,
        fracture_type=fracture_type,
        mechanism=mechanism,
        displaced=displaced,
        intra_articular=intra_articular,
        open_wound=open_wound,
        gustilo=gustilo,
        vascular_deficit=vascular_deficit,
        neurological_deficit=neurological_deficit,
        compartment_signs=compartment_signs,
        skin_threatened=skin_threatened,
        dislocation=dislocation,
        clinical_suspicion_high=clinical_suspicion_high,
        non_ambulant_infant=non_ambulant_infant,
        calcium_diet_mg_per_day=calcium_diet_mg_per_day,
    )
    with failures_explained():
        from cds.entrypoints.assess import assess_files

        assess_files(
            image=image,
            patient=patient,
            patient_id=patient_id,
            frame=frame,
            context=context,
            as_of=as_of or datetime.now().astimezone(),
            out=out,
            formats=output_format.formats,
            runtime=runtime,
            quiet=quiet,
            explain=explain,
        )


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port.", show_default="8000")] = None,
) -> None:
    """Serve the web form, the API and the health checks."""
    with failures_explained():
        from cds.bootstrap import load_settings
        from cds.entrypoints.web import run_server

        given = {"host": host, "port": port}
        run_server(load_settings(**{name: value for name, value in given.items() if value is not None}))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the demonstration.")] = Path("demo-output"),
    explain: Annotated[bool, typer.Option(help="Heat maps of the first detections in the HTML report.")] = True,
) -> None:
    """Assess a made-up case: a drawn X-ray and a fictional patient."""
    with failures_explained():
        from cds.demo import run_demo

        run_demo(out, explain=explain)


@app.command()
def evidence() -> None:
    """List the evidence that the rules cite."""
    with failures_explained():
        from cds.entrypoints.listing import print_evidence

        print_evidence()


@app.command()
def version() -> None:
    """Print the version."""
    from cds.version import engine_version

    typer.echo(f"fracture-cds {engine_version()}")


if __name__ == "__main__":
    app()
