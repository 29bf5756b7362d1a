"""A case as DICOM objects: filed in the study of the radiograph, with what belongs there and nothing else."""

import logging
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from cds.artifacts import write_artifacts
from cds.case import CaseInput, CaseResult
from cds.errors import ExitCode, NoDicomError, explain
from cds.options import OutputChoice, ReportFormat
from cds.outputs import FILE_KINDS, render, render_available, render_files
from cds.pipeline import run_case
from cds.presenters.dicom_report import render_objects, render_report, report_notes
from cds.presenters.json_report import render_json
from imaging.dicom.sr import NoteKind
from imaging.reader import read_radiograph
from tests.support import cases
from tests.support import dicom as files
from tests.support.fakes import FakeParts
from tests.support.filed import finding_sets
from tests.support.tools import dciodvfy_errors, requires_dciodvfy


def _case(image: bytes, which: str = "several") -> CaseResult:
    """The full example case with this radiograph and findings in its size."""
    radiograph = read_radiograph(image)
    findings = replace(finding_sets(radiograph)[which], image_sha256=radiograph.sha256)
    return replace(
        cases.full_case(),
        radiograph=radiograph,
        findings=findings,
        source_image=image if radiograph.dicom is not None else None,
        explanations=(),
    )


def _png() -> bytes:
    return files.png(Image.fromarray(np.rint(files.limb_image() * 255).astype(np.uint8)))


def _texts(content: bytes) -> list[str]:
    report = hd.sr.srread(BytesIO(content))
    items = hd.sr.utils.find_content_items(report.content[0], value_type="TEXT", recursive=True)
    return [item.value for item in items]


@requires_dciodvfy
@pytest.mark.parametrize(("source", "which"), [("dicom", "several"), ("png", "cannot-judge")])
def test_validator_reports_no_error(source: str, which: str, tmp_path: Path) -> None:
    made = render_objects(_case(_png() if source == "png" else files.file(), which))
    for name, content in made.items():
        assert dciodvfy_errors(content, tmp_path) == [], name


def test_objects_of_a_dicom_radiograph() -> None:
    image = files.file()
    made = render_objects(_case(image))
    assert list(made) == ["sr.dcm", "presentation.dcm", "overlay.dcm"]
    source = dcmread(BytesIO(image))
    for content in made.values():
        one = dcmread(BytesIO(content))
        assert one.StudyInstanceUID == source.StudyInstanceUID
        assert one.SeriesInstanceUID != source.SeriesInstanceUID
        assert (one.PatientName, one.PatientID) == (files.PATIENT_NAME, files.PATIENT_ID)


def test_a_png_gets_a_study_of_its_own_and_no_patient() -> None:
    made = {name: dcmread(BytesIO(content)) for name, content in render_objects(_case(_png())).items()}
    assert list(made) == ["sr.dcm", "presentation.dcm", "overlay.dcm", "capture.dcm"]
    capture = made["capture.dcm"]
    for one in made.values():
        assert one.StudyInstanceUID == capture.StudyInstanceUID
        assert not one.PatientName
        assert not one.PatientID
    evidence = made["sr.dcm"].CurrentRequestedProcedureEvidenceSequence[0]
    reference = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == capture.SOPInstanceUID
    assert cases.patient().patient_id not in str(made["sr.dcm"])


def test_a_radiograph_without_identifiers_is_wrapped() -> None:
    def bend(made: FileDataset) -> None:
        del made.StudyInstanceUID

    made = render_objects(_case(files.file(bend)))
    assert "capture.dcm" in made
    assert not dcmread(BytesIO(made["sr.dcm"])).PatientName


def test_a_colour_radiograph_has_no_presentation_state() -> None:
    from tests.support.filed import colour_file

    assert list(render_objects(_case(colour_file()))) == ["sr.dcm", "overlay.dcm"]


def test_the_same_case_makes_the_same_files() -> None:
    image = files.file()
    assert render_objects(_case(image)) == render_objects(replace(_case(image), case_id="another-run"))


def test_a_changed_conclusion_is_another_report() -> None:
    case = _case(files.file())
    changed = replace(
        case,
        assessment=replace(case.assessment, summary=replace(case.assessment.summary, text="Something else.")),
    )
    uids = [dcmread(BytesIO(render_report(one))).SOPInstanceUID for one in (case, changed)]
    assert uids[0] != uids[1]


def test_notes_say_how_sure_they_are_and_where_from() -> None:
    notes = list(report_notes(cases.assessment()))
    assert notes[0].kind is NoteKind.IMPRESSION
    assert notes[0].text.startswith(cases.assessment().summary.text)
    text = "\n".join(note.text for note in notes)
    for statement in cases.assessment().severity.reasons:
        assert statement.text in text
    for flag in cases.assessment().severity.red_flags:
        assert any(note.text.startswith("RED FLAG (") and flag.statement.text in note.text for note in notes)
    cited = {one for flag in cases.assessment().severity.red_flags for one in flag.statement.evidence}
    sources = next(note.text for note in notes if note.text.startswith("Sources:"))
    assert cited
    assert all(one in sources for one in cited)


def test_what_is_no_finding_on_the_radiograph_stays_out() -> None:
    text = " ".join(_texts(render_report(_case(files.file()))))
    assessment = cases.assessment()
    for statement in (
        *(one.statement for one in assessment.supplementation),
        *(one.statement for one in assessment.follow_up),
        *assessment.risk_statements,
    ):
        assert statement.text not in text
    assert cases.patient().patient_id not in text


def test_limits_of_the_record_stay_out() -> None:
    assessment = cases.assessment()
    limit = assessment.limitations[0]
    for identity, stays in (("limitation.image.one_view", True), ("limitation.record.missing", False)):
        named = replace(assessment, limitations=(replace(limit, id=identity),))
        assert any(limit.text in note.text for note in report_notes(named)) is stays


def test_without_a_radiograph() -> None:
    case = cases.patient_only_case()
    with pytest.raises(NoDicomError):
        render_objects(case)
    with pytest.raises(NoDicomError) as caught:
        render_files(case, [ReportFormat.DICOM])
    assert explain(caught.value).exit_code is ExitCode.USAGE
    assert "sr.dcm" not in render_files(case, ReportFormat)
    assert ReportFormat.DICOM not in render_available(case)


@pytest.mark.parametrize("source", [None, b"not the file", files.file()])
def test_a_case_without_its_own_file(source: bytes | None) -> None:
    case = replace(_case(files.file()), source_image=source)
    with pytest.raises(NoDicomError) as caught:
        render_objects(case)
    assert files.PATIENT_NAME not in str(explain(caught.value))


def test_formats() -> None:
    case = _case(files.file())
    written = render_files(case, OutputChoice.DICOM.formats)
    assert list(written) == ["sr.dcm", "presentation.dcm", "overlay.dcm"]
    assert written["sr.dcm"] == render(case, ReportFormat.DICOM)
    assert FILE_KINDS[ReportFormat.DICOM].media_type == "application/dicom"
    assert ReportFormat.DICOM in OutputChoice.ALL.formats


def test_an_earlier_set_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_artifacts(tmp_path / "out", render_objects(_case(_png())))
    write_artifacts(tmp_path / "out", render_objects(_case(files.file())))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["overlay.dcm", "presentation.dcm", "sr.dcm"]


def test_the_file_reaches_the_result_and_no_report(caplog: pytest.LogCaptureFixture) -> None:
    image = files.file()
    with caplog.at_level(logging.DEBUG):
        result = run_case(CaseInput(image=image, as_of=cases.CREATED), FakeParts().engines())
        render_objects(_case(image))
    assert result.source_image == image
    assert files.PATIENT_NAME not in repr(result)
    assert files.PATIENT_NAME not in caplog.text
    assert files.PATIENT_NAME.encode() not in render_json(_case(image))
    assert b"source_image" not in render_json(_case(image))
