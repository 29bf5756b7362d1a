"""One result in the format that was asked for, with its file name and media type.

A format is one file, but for DICOM: `render` gives its report, `render_files` that and the objects that go with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cds.case import CaseResult
from cds.errors import NoDicomError
from cds.localisation.language import Language
from cds.options import ReportFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKind:
    """How a format is named on disk and on the wire."""

    file_name: str
    media_type: str


FILE_KINDS: dict[ReportFormat, FileKind] = {
    ReportFormat.HTML: FileKind(file_name="report.html", media_type="text/html; charset=utf-8"),
    ReportFormat.JSON: FileKind(file_name="report.json", media_type="application/json"),
    ReportFormat.FHIR: FileKind(file_name="bundle.json", media_type="application/fhir+json"),
    ReportFormat.PDF: FileKind(file_name="report.pdf", media_type="application/pdf"),
    ReportFormat.PATIENT: FileKind(file_name="patient.html", media_type="text/html; charset=utf-8"),
    ReportFormat.DICOM: FileKind(file_name="sr.dcm", media_type="application/dicom"),
}


def render(
    result: CaseResult,
    chosen: ReportFormat,
    language: Language = Language.EN,
    *,
    evidence_page: str | None = None,
) -> bytes:
    """One result in one format; only that format's presenter is imported.

    Args:
        result: the case.
        chosen: the format.
        language: of the report, the PDF and the patient page; what machines read is in English.
        evidence_page: address of the evidence page for the links of the HTML report; None for a file that leaves the
            service, whose links stay within itself.
    """
    match chosen:
        case ReportFormat.HTML:
            from cds.presenters.html import render_html

            return render_html(result, language, evidence_page=evidence_page).encode()
        case ReportFormat.JSON:
            from cds.presenters.json_report import render_json

            return render_json(result)
        case ReportFormat.FHIR:
            from cds.presenters.fhir_bundle import render_bundle

            return render_bundle(result)
        case ReportFormat.PDF:
            from cds.presenters.pdf.document import render_pdf

            return render_pdf(result, language)
        case ReportFormat.PATIENT:
            from cds.presenters.patient_page.page import render_patient_page

            return render_patient_page(result, language).encode()
        case ReportFormat.DICOM:
            from cds.presenters.dicom_report import render_report

            return render_report(result)


def render_files(
    result: CaseResult, formats: Iterable[ReportFormat], language: Language = Language.EN
) -> dict[str, bytes]:
    """File names and contents for `cds.artifacts.write_artifacts`.

    A case without a radiograph has no DICOM objects: where every format is asked for they are left out.

    Raises:
        NoDicomError: DICOM was asked for by name, of a case that has no radiograph to refer to.
    """
    wanted = tuple(formats)
    files: dict[str, bytes] = {}
    for chosen in wanted:
        if chosen is not ReportFormat.DICOM:
            files[FILE_KINDS[chosen].file_name] = render(result, chosen, language)
            continue
        from cds.presenters.dicom_report import render_objects

        try:
            files |= render_objects(result)
        except NoDicomError:
            if not set(ReportFormat) <= set(wanted):
                raise
    return files


def render_available(result: CaseResult, language: Language = Language.EN) -> dict[ReportFormat, bytes]:
    """One file for every format that the case can be given in."""
    files: dict[ReportFormat, bytes] = {}
    for chosen in ReportFormat:
        try:
            files[chosen] = render(result, chosen, language)
        except NoDicomError:
            continue
    return files
