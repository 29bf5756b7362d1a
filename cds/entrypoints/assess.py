"""The work behind ``cds assess``: files, or what servers give, in; one case; files out."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cds.artifacts import write_artifacts
from cds.bootstrap import build_audit_trail, build_engines, for_one_case, load_settings
from cds.case import CaseInput
from cds.entrypoints.console import keyboard_actor, read_input, show_summary
from cds.errors import InputError, InputKind
from cds.localisation.language import Language
from cds.logs import configure_logging
from cds.options import ReportFormat, Runtime, ServerOptions
from cds.outputs import FILE_KINDS, render_files
from cds.pipeline import handle_case
from cds.settings import Settings
from fusion.context import ClinicalContext

if TYPE_CHECKING:  # at run time only a command that asks a server waits for the HTTP client
    from cds.fhir_source import Fetched


def assess_files(
    *,
    image: Path | None,
    patient: Path | None,
    patient_id: str | None,
    frame: int,
    context: ClinicalContext,
    as_of: datetime,
    out: Path,
    formats: Sequence[ReportFormat],
    runtime: Runtime | None,
    quiet: bool,
    explain: bool,
    bone_age: bool | None = None,
    servers: ServerOptions | None = None,
    verbose: bool = False,
    language: Language = Language.EN,
) -> None:
    """Assess the case in these files, write the chosen formats, print the summary.

    Args:
        image: radiograph file, or None.
        patient: FHIR Bundle file, or None.
        patient_id: which Patient of the bundle.
        frame: DICOM frame, counted from 1.
        context: bedside findings.
        as_of: time of the assessment, timezone-aware.
        out: folder of the result files.
        formats: what to write.
        runtime: what runs the network; None means what the settings say.
        quiet: print no summary.
        explain: make heat maps of the first detections.
        bone_age: whether skeletal age is wanted; None means of hands of children by the record.
        servers: where else record and radiograph may come from.
        verbose: say on standard error what was fetched from servers.
        language: of the report, the PDF, the patient page and the summary.

    Raises:
        Exception: everything that `cds.errors.explain` knows.
    """
    servers = servers or ServerOptions()
    settings = load_settings(**servers.settings(), **({} if runtime is None else {"runtime": runtime}))
    configure_logging(settings.log_level)
    fetched = fetch_from_servers(
        settings, servers, image=image, patient=patient, patient_id=patient_id, as_of=as_of, verbose=verbose
    )
    image_file = read_input(image, InputKind.RADIOGRAPH, limit_bytes=settings.max_image_bytes)
    record_file = read_input(patient, InputKind.RECORD, limit_bytes=settings.max_record_bytes)
    case = CaseInput(
        image=image_file if fetched is None or fetched.image is None else fetched.image,
        bundle=record_file if fetched is None or fetched.bundle is None else fetched.bundle,
        patient_id=patient_id if fetched is None or fetched.patient_id is None else fetched.patient_id,
        source_warnings=() if fetched is None else fetched.warnings,
        frame=frame,
        context=context,
        explain=explain,
        bone_age=bone_age,
        as_of=as_of,
    )
    result = handle_case(
        case, build_engines(for_one_case(settings)), audit=build_audit_trail(settings), actor=keyboard_actor()
    )
    inputs = [path for path in (image, patient) if path is not None]
    wanted = (*formats, ReportFormat.FHIR) if servers.send and ReportFormat.FHIR not in formats else formats
    written = write_artifacts(out, render_files(result, wanted, language), inputs=inputs)
    if not quiet:
        show_summary(result, written, language)
    if servers.send:
        _send(settings, out, quiet=quiet)


def _send(settings: Settings, folder: Path, *, quiet: bool) -> None:
    """Send what was just written; it stays on the disk whatever becomes of it."""
    from cds.sending import send_kept, told

    sent = send_kept(settings, folder / FILE_KINDS[ReportFormat.FHIR].file_name)
    if not quiet:
        print(told(sent))


def fetch_from_servers(
    settings: Settings,
    servers: ServerOptions,
    *,
    image: Path | None,
    patient: Path | None,
    patient_id: str | None,
    as_of: datetime,
    verbose: bool,
) -> "Fetched | None":
    """Fetch what is to come from servers; None when all comes from files.

    A record file is read from the file even where the settings name a server; naming both on the command line, or two
    sources for the radiograph, is refused: nobody could tell afterwards which one was assessed.

    Raises:
        InputError: the options do not fit together.
        Exception: as `cds.fhir_source.fetch_case`.
    """
    _check_sources(servers, image=image, patient=patient, patient_id=patient_id)
    from_server = patient is None and patient_id is not None
    if not from_server and servers.study is None:
        return None
    from cds.fhir_source import DicomWebChoice, SourceRequest, fetch_case

    choice = None
    if servers.study is not None:
        choice = DicomWebChoice(study=servers.study, series=servers.series, instance=servers.instance)
    request = SourceRequest(
        patient_id=patient_id if from_server else None,
        image_from_server=servers.image_from_server,
        dicomweb=choice,
        allow_incomplete=servers.allow_incomplete,
        as_of=as_of,
    )
    fetched = fetch_case(settings, request)
    if verbose:
        for note in fetched.notes:
            print(note, file=sys.stderr)
    return fetched


def _check_sources(servers: ServerOptions, *, image: Path | None, patient: Path | None, patient_id: str | None) -> None:
    if servers.fhir_server is not None and patient is not None:
        raise InputError(
            "A record file and a FHIR server were both given.", remedy="Give either --patient or --fhir-server."
        )
    if servers.fhir_server is not None and patient_id is None:
        raise InputError(
            "A FHIR server was given, but no patient.", remedy="Name the patient's logical id with --patient-id."
        )
    if servers.send and (patient is not None or patient_id is None):
        raise InputError(
            "A report is sent to the server that the record came from, and this record comes from no server.",
            remedy="Give --fhir-server and --patient-id, or send the written bundle with cds fhir send.",
        )
    if servers.image_from_server and (patient is not None or patient_id is None):
        raise InputError(
            "A radiograph from the server needs a patient on the server.",
            remedy="Give --fhir-server and --patient-id, or the radiograph as a file with --image.",
        )
    if sum((image is not None, servers.image_from_server, servers.study is not None)) > 1:
        raise InputError(
            "Several sources of the radiograph were given.",
            remedy="Give one of --image, --image-from-server and --study.",
        )
    if servers.study is None and (servers.series is not None or servers.instance is not None):
        raise InputError("A DICOM series or instance was given without its study.", remedy="Give --study, too.")
    if servers.instance is not None and servers.series is None:
        raise InputError("A DICOM instance was given without its series.", remedy="Give --series, too.")
