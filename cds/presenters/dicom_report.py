"""A case as DICOM objects for the PACS: report, marks and overlay, filed in the study of the radiograph.

====================  ================================================================================================
``sr.dcm``            Comprehensive 3D SR, TID 1500: findings, measurements, and the conclusions that a reader of the
                      radiograph needs
``presentation.dcm``  the boxes for a viewer to draw over the original; none for a colour image
``overlay.dcm``       the same burned into a copy, for viewers that show neither
``capture.dcm``       only for a PNG or JPEG: the radiograph itself, which the other three refer to
====================  ================================================================================================

A radiograph that came as DICOM keeps its study and its patient. A PNG or JPEG belongs to no study: it is wrapped in one
of its own with an empty patient, even when a patient record was given beside it, since nothing in the picture proves
that the two belong together. Whoever files it in a PACS assigns it.

What goes into the report from the assessment: the summary, severity and urgency with their reasons, red flags, what the
clinician must check, whether the fracture is one of weak bone, and the limits. Drugs, supplements,
laboratory values and what is missing from the record stay out: they are no findings on the radiograph, and a PACS has
readers whom they do not concern.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from cds.case import CaseResult
from cds.errors import NoDicomError
from cds.presenters import wording
from cds.presenters.json_report import plain
from fusion.results import Assessment, Severity, Statement
from imaging.dicom.capture import build_capture, wrap_radiograph
from imaging.dicom.filing import Filing, SourceImage, file_bytes, read_source
from imaging.dicom.presentation import build_presentation
from imaging.dicom.sr import Note, NoteKind, build_report
from imaging.errors import ImagingError
from imaging.radiograph import Radiograph
from imaging.results import ImageFindings

REPORT_FILE = "sr.dcm"
PRESENTATION_FILE = "presentation.dcm"
OVERLAY_FILE = "overlay.dcm"
CAPTURE_FILE = "capture.dcm"
_OF_THE_RECORD = ("limitation.record", "limitation.risk")
"""Limits that speak of the patient record, not of the radiograph."""


def render_objects(result: CaseResult) -> dict[str, bytes]:
    """Every object of a case, by file name; the report first.

    Raises:
        NoDicomError: the case has no radiograph, or not the file that it was read from.
    """
    case = _Case(result)
    made = {
        REPORT_FILE: case.report(),
        PRESENTATION_FILE: case.presentation(),
        OVERLAY_FILE: case.overlay(),
        CAPTURE_FILE: case.wrapped,
    }
    return {name: content for name, content in made.items() if content is not None}


def render_report(result: CaseResult) -> bytes:
    """The structured report alone. Raises `NoDicomError` like `render_objects`."""
    return _Case(result).report()


class _Case:
    """The parts of a case that its objects share."""

    def __init__(self, result: CaseResult) -> None:
        self.radiograph, self.findings = _image_of(result)
        self.bone_age = result.bone_age
        self.notes = tuple(report_notes(result.assessment))
        self.filing = Filing(
            created=result.assessment.created,
            software_version=result.engine_version,
            content_key=_content_key(result, self.notes),
        )
        self.wrapped: bytes | None = None
        self.source = self._source(result)

    def _source(self, result: CaseResult) -> SourceImage:
        reference = self.radiograph.dicom
        if reference is None:
            self.wrapped = file_bytes(wrap_radiograph(self.radiograph, self.filing))
            return read_source(self.wrapped)
        try:
            source = read_source(result.source_image or b"", frame=reference.frame)
        except ImagingError:
            raise NoDicomError from None
        if source.uids[1] != reference.sop_instance_uid:
            raise NoDicomError
        return source

    def report(self) -> bytes:
        return file_bytes(
            build_report(self.source, self.findings, self.filing, bone_age=self.bone_age, notes=self.notes)
        )

    def presentation(self) -> bytes | None:
        made = build_presentation(self.source, self.findings, self.filing)
        return None if made is None else file_bytes(made)

    def overlay(self) -> bytes:
        return file_bytes(build_capture(self.source, self.radiograph, self.findings, self.filing))


def _image_of(result: CaseResult) -> tuple[Radiograph, ImageFindings]:
    if result.radiograph is None or result.findings is None:
        raise NoDicomError
    return result.radiograph, result.findings


def _content_key(result: CaseResult, notes: Iterable[Note]) -> str:
    """A digest of everything the objects say, so that the same result has the same identifiers."""
    said = {
        "findings": plain(result.findings),
        "bone_age": plain(result.bone_age),
        "notes": [[note.kind.name, note.text] for note in notes],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def report_notes(assessment: Assessment) -> Iterator[Note]:
    """The conclusions that belong beside the findings, with how sure each is and where it comes from."""
    severity = assessment.severity
    limits = [one for one in (*severity.not_judged, *assessment.limitations) if not one.id.startswith(_OF_THE_RECORD)]
    judged: list[Statement] = [] if assessment.fragility is None else [assessment.fragility.statement]
    if assessment.combined is not None and assessment.combined.broken_now is not None:
        judged.insert(0, assessment.combined.broken_now.statement)
    yield _note(NoteKind.IMPRESSION, assessment.summary)
    if severity.grade is not Severity.NOT_APPLICABLE:
        grade = f"Severity: {wording.SEVERITIES[severity.grade].lower()}."
        yield Note(kind=NoteKind.IMPRESSION, text=f"{grade} Urgency: {wording.URGENCIES[severity.urgency].lower()}.")
    for flag in severity.red_flags:
        urgency = wording.URGENCIES[flag.urgency].lower()
        yield Note(kind=NoteKind.RECOMMENDATION, text=f"RED FLAG ({urgency}): {_said(flag.statement)}")
    yield from _listed(NoteKind.COMMENT, "Reasons for the severity", severity.reasons)
    yield from _listed(NoteKind.RECOMMENDATION, "To be checked by the clinician", severity.clinician_must_check)
    for statement in judged:
        yield _note(NoteKind.COMMENT, statement)
    yield from _listed(NoteKind.COMMENT, "Limits", limits)
    flags = [flag.statement for flag in severity.red_flags]
    said = (assessment.summary, *flags, *severity.reasons, *severity.clinician_must_check, *judged, *limits)
    yield from _sources(assessment, said)
    yield Note(kind=NoteKind.COMMENT, text=f"Evidence base {assessment.evidence_version}. {wording.INTENDED_USE}")


def _note(kind: NoteKind, statement: Statement) -> Note:
    return Note(kind=kind, text=_said(statement))


def _said(statement: Statement) -> str:
    """A sentence with how sure it is and the evidence behind it."""
    return f"{statement.text} [{'; '.join((wording.CERTAINTIES[statement.certainty], *statement.evidence))}]"


def _listed(kind: NoteKind, heading: str, statements: Sequence[Statement]) -> Iterator[Note]:
    """Several sentences as one item, a line each: a page of single items hides the important ones."""
    if statements:
        yield Note(kind=kind, text="\r\n".join((f"{heading}:", *(f"- {_said(one)}" for one in statements))))


def _sources(assessment: Assessment, said: Iterable[Statement]) -> Iterator[Note]:
    """Each citation once, with the evidence that rests on it."""
    cited = {one for statement in said for one in statement.evidence}
    by_citation: dict[str, list[str]] = {}
    for source in assessment.sources:
        if source.id in cited:
            by_citation.setdefault(source.citation, []).append(source.id)
    if by_citation:
        lines = (f"- {', '.join(names)}: {citation}" for citation, names in by_citation.items())
        yield Note(kind=NoteKind.COMMENT, text="\r\n".join(("Sources:", *lines)))
