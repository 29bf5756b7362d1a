"""The ``cds`` command. Heavy modules are imported by the command that needs them, so that ``--help`` is quick."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
import typer.core
from typer.models import OptionInfo

from cds.bedside import BEDSIDE_FIELDS, MAX_DIETARY_CALCIUM_MG_PER_DAY, FieldKind
from cds.entrypoints.access_commands import access_app
from cds.entrypoints.audit_commands import audit_app
from cds.entrypoints.console import failures_explained
from cds.entrypoints.data_commands import data_app
from cds.entrypoints.export_commands import export_app
from cds.entrypoints.fhir_commands import fhir_app
from cds.entrypoints.learn_commands import feedback_app, learn_app
from cds.entrypoints.model_commands import evaluate_app, train_app
from cds.entrypoints.pacs_commands import pacs_app
from cds.entrypoints.privacy_commands import privacy_app
from cds.localisation.language import Language
from cds.options import OutputChoice, Runtime, ScreenEngine, ServerOptions
from fusion.context import ClinicalContext, FractureType, Gustilo, Mechanism
from fusion.sites import FractureSite

# Threads that wait for each other must sleep, not spin: beside other busy processes, spinning made `cds demo` take
# five times as long on two cores. Read when torch and XGBoost load their OpenMP; what the operator has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# All help is plain (see below); where rich is installed, typer would still escape "[required]" in it, as markup.
typer.core.HAS_RICH = False

app = typer.Typer(
    name="cds",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: every option name in full at any width, and quick
    help="Decision support for limb fractures: X-ray and patient record in, one report out."
    " Investigational, not for diagnostic use.",
    epilog="Exit codes: 0 done, 2 wrong usage, 3 image unreadable or refused, 4 record unreadable, 5 nothing to assess,"
    " 6 model or evidence broken, 7 output not written, 8 server does not answer or refuses,"
    " 9 workers or cluster failed, 10 gate refused, 11 drift alarm, 70 internal error.",
)
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(data_app, name="data")
app.add_typer(export_app, name="export")
app.add_typer(fhir_app, name="fhir")
app.add_typer(pacs_app, name="pacs")
app.add_typer(access_app, name="access")
app.add_typer(audit_app, name="audit")
app.add_typer(privacy_app, name="privacy")
app.add_typer(feedback_app, name="feedback")
app.add_typer(learn_app, name="learn")

SERVER_PANEL = "Record and X-ray from servers"
EXPORT_PANEL = "Population from a server"
IMAGES_PANEL = "Radiographs"
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
    patient_id: Annotated[
        str | None, typer.Option(help="Which Patient: on the FHIR server, or of a bundle that holds several.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the result files.")] = Path("out"),
    output_format: Annotated[OutputChoice, typer.Option("--format", help="Which files to write.")] = OutputChoice.ALL,
    language: Annotated[
        Language, typer.Option(help="Language of the report, the PDF and the patient page.")
    ] = Language.EN,
    frame: Annotated[int, typer.Option(min=1, help="Frame of a DICOM file with several, counted from 1.")] = 1,
    as_of: Annotated[
        datetime | None,
        typer.Option(parser=_time_with_zone, metavar="ISO-8601", help="Time of the assessment; now by default."),
    ] = None,
    runtime: Annotated[Runtime | None, typer.Option(help="What runs the network; 'auto' by default.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say what was fetched from servers: requests, bytes, which X-ray.")
    ] = False,
    explain: Annotated[bool, typer.Option(help="Heat maps of the first detections in the HTML report.")] = True,
    bone_age: Annotated[
        bool | None,
        typer.Option(
            "--bone-age/--no-bone-age",
            show_default=False,
            help="Skeletal age of a hand X-ray, also without an age in the record; by default for children's hands.",
        ),
    ] = None,
    fhir_server: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=SERVER_PANEL, help="FHIR R4 server that holds the patient."),
    ] = None,
    fhir_token_file: Annotated[
        Path | None, typer.Option(rich_help_panel=SERVER_PANEL, dir_okay=False, help="File with a bearer token.")
    ] = None,
    fhir_client_id: Annotated[
        str | None, typer.Option(rich_help_panel=SERVER_PANEL, help="Client id of SMART Backend Services.")
    ] = None,
    fhir_key: Annotated[
        Path | None,
        typer.Option(rich_help_panel=SERVER_PANEL, dir_okay=False, help="Its private key, PEM or JWK (RS384, ES384)."),
    ] = None,
    allow_incomplete: Annotated[
        bool,
        typer.Option(
            "--allow-incomplete",
            rich_help_panel=SERVER_PANEL,
            help="Assess although the server refuses conditions, observations or drugs; the report says so.",
        ),
    ] = False,
    image_from_server: Annotated[
        bool,
        typer.Option("--image-from-server", rich_help_panel=SERVER_PANEL, help="The patient's newest X-ray of a limb."),
    ] = False,
    send: Annotated[
        bool,
        typer.Option("--send", rich_help_panel=SERVER_PANEL, help="Store the report on the FHIR server, as drafts."),
    ] = False,
    dicomweb: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=SERVER_PANEL, help="DICOMweb server that holds the X-ray."),
    ] = None,
    study: Annotated[str | None, typer.Option(rich_help_panel=SERVER_PANEL, help="Study Instance UID there.")] = None,
    series: Annotated[str | None, typer.Option(rich_help_panel=SERVER_PANEL, help="Series Instance UID.")] = None,
    instance: Annotated[str | None, typer.Option(rich_help_panel=SERVER_PANEL, help="SOP Instance UID.")] = None,
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
    operated: Annotated[bool | None, _bedside("operated")] = None,
    growth_plate: Annotated[bool | None, _bedside("growth_plate")] = None,
    calcium_diet_mg_per_day: Annotated[float | None, _bedside("calcium_diet_mg_per_day")] = None,
) -> None:
    """Assess one case: an X-ray, a patient record, or both, from files or from servers.

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
        operated=operated,
        growth_plate=growth_plate,
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
            bone_age=bone_age,
            language=language,
            servers=ServerOptions(
                fhir_server=fhir_server,
                fhir_token_file=fhir_token_file,
                fhir_client_id=fhir_client_id,
                fhir_key_file=fhir_key,
                image_from_server=image_from_server,
                allow_incomplete=allow_incomplete,
                send=send,
                dicomweb_url=dicomweb,
                study=study,
                series=series,
                instance=instance,
            ),
            verbose=verbose,
        )


@app.command("screen")
def screen_population(
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            exists=True,
            help="Folder of FHIR Bulk NDJSON, folder or file of Bundles, or rows of risk factors as CSV or Parquet.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="The ranked list: a .parquet or .csv file.")
    ] = None,
    engine: Annotated[ScreenEngine, typer.Option(help="Where the work is done.")] = ScreenEngine.LOCAL,
    as_of: Annotated[
        datetime | None,
        typer.Option(parser=_time_with_zone, metavar="ISO-8601", help="Time of the screening; now by default."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with an unfinished run of this output, or start anew.")
    ] = True,
    summary: Annotated[Path | None, typer.Option(dir_okay=False, help="HTML page with counts and plots.")] = None,
    listed: Annotated[int, typer.Option("--list", min=0, help="Patients named in the summary.")] = 100,
    no_list: Annotated[bool, typer.Option("--no-list", help="Name no patient in the summary.")] = False,
    describe: Annotated[bool, typer.Option("--describe", help="Print the columns of the output and end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            exists=True,
            dir_okay=False,
            metavar="WORKLIST",
            rich_help_panel=IMAGES_PANEL,
            help="Work list of radiographs, CSV or Parquet with a column 'image'; --input then holds their patients.",
        ),
    ] = None,
    export_reports: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", rich_help_panel=IMAGES_PANEL, file_okay=False, help="Folder for a JSON report of each case."
        ),
    ] = None,
    fhir_server: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=EXPORT_PANEL, help="FHIR R4 server with Bulk Data $export."),
    ] = None,
    fhir_token_file: Annotated[
        Path | None, typer.Option(rich_help_panel=EXPORT_PANEL, dir_okay=False, help="File with a bearer token.")
    ] = None,
    fhir_client_id: Annotated[
        str | None, typer.Option(rich_help_panel=EXPORT_PANEL, help="Client id of SMART Backend Services.")
    ] = None,
    fhir_key: Annotated[
        Path | None,
        typer.Option(rich_help_panel=EXPORT_PANEL, dir_okay=False, help="Its private key, PEM or JWK (RS384, ES384)."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel=EXPORT_PANEL, help="Group of patients there; everybody by default."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=_time_with_zone,
            metavar="ISO-8601",
            rich_help_panel=EXPORT_PANEL,
            help="Only entries changed since then: earlier diagnoses and drugs are then missing.",
        ),
    ] = None,
    keep_export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=EXPORT_PANEL,
            file_okay=False,
            help="Folder in which the exported NDJSON stays; it is deleted otherwise.",
        ),
    ] = None,
) -> None:
    """Screen a population: a ranked list with risk, reasons, missing data and care gaps.

    Beside the list it writes OUTPUT.rejects.csv (what could not be used) and OUTPUT.report.json (counts only). A run
    that was stopped goes on when the command is repeated.
    """
    with failures_explained():
        if images is not None:
            if summary is not None or fhir_server is not None:
                raise typer.BadParameter("--images goes with neither --summary nor --fhir-server")
            _screen_images(images, source, output, engine, as_of, workers, resume, export_reports, describe, quiet)
            return
        if export_reports is not None:
            raise typer.BadParameter("--export-reports goes with --images")
        if describe:
            from cds.batch.rows import describe as describe_columns

            typer.echo(describe_columns())
            return
        if output is None:
            raise typer.BadParameter("--output is needed")
        from cds.entrypoints.screen import screen_files
        from cds.entrypoints.screen_server import population_folder

        with population_folder(
            source,
            ServerOptions(
                fhir_server=fhir_server,
                fhir_token_file=fhir_token_file,
                fhir_client_id=fhir_client_id,
                fhir_key_file=fhir_key,
            ),
            group_id=group,
            since=since,
            keep_export=keep_export,
            output=output,
            fresh=not resume,
            quiet=quiet,
        ) as folder:
            screen_files(
                source=folder,
                output=output,
                engine=engine,
                as_of=as_of,
                workers=workers,
                fresh=not resume,
                summary=summary,
                listed=0 if no_list else listed,
                quiet=quiet,
            )


def _screen_images(
    images: Path,
    source: Path | None,
    output: Path | None,
    engine: ScreenEngine,
    as_of: datetime | None,
    workers: int | None,
    resume: bool,
    reports: Path | None,
    describe: bool,
    quiet: bool,
) -> None:
    if describe:
        from cds.batch.image_rows import describe as describe_columns

        typer.echo(describe_columns())
        return
    if output is None:
        raise typer.BadParameter("--output is needed")
    from cds.entrypoints.screen_images import screen_worklist

    screen_worklist(
        worklist=images,
        bundles=source,
        output=output,
        engine=engine,
        as_of=as_of,
        workers=workers,
        fresh=not resume,
        reports=reports,
        quiet=quiet,
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
def evidence(
    words: Annotated[list[str] | None, typer.Argument(help="Only what holds every one of these words.")] = None,
    html: Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write the page to this file.")] = None,
    json: Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write JSON to this file.")] = None,
) -> None:
    """List the rules' evidence, or write the page of every rule, its evidence and what drives nothing."""
    with failures_explained():
        from cds.entrypoints.listing import print_evidence, write_evidence

        chosen = " ".join(words or ())
        if html is None and json is None:
            print_evidence(chosen)
        else:
            write_evidence(chosen, html, json)


@app.command()
def version() -> None:
    """Print the version."""
    from cds.version import engine_version

    typer.echo(f"fracture-cds {engine_version()}")


if __name__ == "__main__":
    app()
