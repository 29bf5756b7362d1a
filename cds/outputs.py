"""One result in the format that was asked for, with its file name and media type."""

from collections.abc import Iterable
from dataclasses import dataclass

from cds.case import CaseResult
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
}


def render(result: CaseResult, chosen: ReportFormat) -> bytes:
    """One result in one format; only that format's presenter is imported."""
    match chosen:
        case ReportFormat.HTML:
            from cds.presenters.html import render_html

            return render_html(result).encode()
        case ReportFormat.JSON:
            from cds.presenters.json_report import render_json

            return render_json(result)
        case ReportFormat.FHIR:
            from cds.presenters.fhir_bundle import render_bundle

            return render_bundle(result)


def render_files(result: CaseResult, formats: Iterable[ReportFormat]) -> dict[str, bytes]:
    """File names and contents for `cds.artifacts.write_artifacts`."""
    return {FILE_KINDS[chosen].file_name: render(result, chosen) for chosen in formats}
