"""The work behind ``cds assess``: files in, one case, files out."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cds.artifacts import write_artifacts
from cds.bootstrap import build_audit_trail, build_engines, for_one_case, load_settings
from cds.case import CaseInput
from cds.entrypoints.console import keyboard_actor, read_input, show_summary
from cds.errors import InputKind
from cds.logs import configure_logging
from cds.options import ReportFormat, Runtime
from cds.outputs import render_files
from cds.pipeline import handle_case
from fusion.context import ClinicalContext


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

    Raises:
        Exception: everything that `cds.errors.explain` knows.
    """
    settings = load_settings() if runtime is None else load_settings(runtime=runtime)
    configure_logging(settings.log_level)
    case = CaseInput(
        image=read_input(image, InputKind.RADIOGRAPH, limit_bytes=settings.max_image_bytes),
        bundle=read_input(patient, InputKind.RECORD, limit_bytes=settings.max_record_bytes),
        patient_id=patient_id,
        frame=frame,
        context=context,
        explain=explain,
        as_of=as_of,
    )
    result = handle_case(
        case, build_engines(for_one_case(settings)), audit=build_audit_trail(settings), actor=keyboard_actor()
    )
    inputs = [path for path in (image, patient) if path is not None]
    written = write_artifacts(out, render_files(result, formats), inputs=inputs)
    if not quiet:
        show_summary(result, written)
