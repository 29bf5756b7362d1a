"""The structured report: valid, complete, and read back as what was found."""

import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from imaging.bone_age.standards import LIMIT_SD
from imaging.dicom import codes as concepts
from imaging.dicom.filing import file_bytes, read_source
from imaging.dicom.sr import Note, NoteKind, build_report
from imaging.labels import BodyRegion, FracturePattern
from imaging.results import (
    AgeDiscrepancy,
    AgeDiscrepancyVerdict,
    BoneAgeEstimate,
    FractureCall,
    ImageFindings,
    Measurement,
    SpacingOrigin,
)
from tests.support import dicom as files
from tests.support.filed import FILING, colour_file, finding_sets, image
from tests.support.tools import dciodvfy_errors, requires_dciodvfy, requires_dcmtk

BONE_AGE = BoneAgeEstimate(
    months=131.4,
    low=116.0,
    high=147.2,
    sex_used="female",
    standard="Greulich and Pyle",
    model_id="bone-age@0.1.0+12345678",
    model_validation="MAE 7.1 months on 1,000 hands.",
    interval_meaning="Covers 90 % of hands like those learned from.",
    discrepancy=AgeDiscrepancy(
        chronological_months=120.0,
        difference_months=11.4,
        sd_months=10.0,
        sd_score=Measurement(value=1.14, low=-0.4, high=2.7),
        verdict=AgeDiscrepancyVerdict.WITHIN,
        not_judged=None,
        source="a table",
    ),
    warnings=("imaging.bone_age.few_infants",),
)


def _read(dataset: Dataset) -> hd.sr.Comprehensive3DSR:
    return hd.sr.srread(BytesIO(file_bytes(dataset)))


def _report(name: str, which: str, **options: object) -> tuple[hd.sr.Comprehensive3DSR, ImageFindings]:
    source, radiograph = image(name)
    findings = finding_sets(radiograph)[which]
    return _read(build_report(source, findings, FILING, **options)), findings  # type: ignore[arg-type]


def _texts(report: hd.sr.Comprehensive3DSR) -> list[str]:
    items = hd.sr.utils.find_content_items(report.content[0], value_type="TEXT", recursive=True)
    return [item.value for item in items]


@requires_dciodvfy
@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("cr", "none"),
        ("cr-spacing", "one"),
        ("dx", "several"),
        ("cr-frames", "several"),
        ("sc-frames", "several"),
        ("cr-jpeg2000", "cannot-judge"),
        ("colour", "several"),
    ],
)
def test_validator_reports_no_error(name: str, which: str, tmp_path: Path) -> None:
    source, radiograph = image("cr" if name == "colour" else name)
    source = read_source(colour_file()) if name == "colour" else source
    notes = [Note(kind=NoteKind.IMPRESSION, text="A note.")]
    made = build_report(source, finding_sets(radiograph)[which], FILING, bone_age=BONE_AGE, notes=notes)
    assert dciodvfy_errors(file_bytes(made), tmp_path) == []


def test_measurements_round_trip() -> None:
    report, findings = _report("cr-spacing", "several")
    groups = report.content.get_planar_roi_measurement_groups()
    assert len(groups) == 3
    geometry = findings.detections[0].geometry
    assert geometry is not None
    expected = {
        concepts.QUANTITIES["displacement"]: (geometry.displacement_mm, concepts.MILLIMETRE),
        concepts.DISPLACEMENT_SHARE: (geometry.displacement_percent, concepts.PERCENT),
        concepts.QUANTITIES["angulation"]: (geometry.angulation_deg, concepts.DEGREE),
        concepts.QUANTITIES["line_length"]: (geometry.line_length_mm, concepts.MILLIMETRE),
        concepts.QUANTITIES["shaft_width"]: (geometry.shaft_width_mm, concepts.MILLIMETRE),
    }
    for name, (measured, unit) in expected.items():
        assert measured is not None
        found = [one for one in groups[0].get_measurements(name=name) if one.unit == unit]
        assert len(found) == 1, name
        assert found[0].value == pytest.approx(measured.value, abs=0.05)
        upper, lower = found[0][0].ContentSequence
        assert (upper.name, lower.name) == (concepts.UPPER_UNCERTAINTY, concepts.LOWER_UNCERTAINTY)
        assert upper.unit == lower.unit == unit
        assert found[0].value + upper.value == pytest.approx(measured.high, abs=0.11)
        assert found[0].value - lower.value == pytest.approx(measured.low, abs=0.11)
    (score,) = groups[0].get_measurements(name=concepts.DETECTOR_SCORE)
    assert score.value == findings.detections[0].score
    texts = _texts(report)
    assert any(text.startswith("Not measured. The fragments are not seen to lie side by side") for text in texts)


def test_what_was_not_measured_has_a_reason_and_no_number() -> None:
    report, _ = _report("cr", "several")
    group = report.content.get_planar_roi_measurement_groups()[0]
    assert group.get_measurements(name=concepts.QUANTITIES["shortening"]) == []
    assert [one.unit for one in group.get_measurements(name=concepts.QUANTITIES["displacement"])] == [concepts.PIXELS]
    assert "Geometry was not measured at this place." in _texts(report)


@pytest.mark.parametrize("name", ["cr", "cr-frames", "sc-frames", "dx"])
def test_regions_are_closed_polylines_in_the_image(name: str) -> None:
    report, findings = _report(name, "several")
    groups = report.content.get_planar_roi_measurement_groups()
    for group, detection in zip(groups, findings.detections, strict=True):
        points = group.roi.value
        assert group.roi.graphic_type is hd.sr.GraphicTypeValues.POLYLINE
        assert points.shape == (5, 2)
        assert points[0].tolist() == points[-1].tolist()
        assert points.min() >= 0
        assert points[:, 0].max() <= findings.width_px
        assert points[:, 1].max() <= findings.height_px
        box = detection.box
        expected = (max(box.x1, 0.0), max(box.y1, 0.0))
        np.testing.assert_allclose(points[0], expected, atol=1e-4)
        reference = group.roi.ContentSequence[0]
        assert reference.referenced_sop_instance_uid == image(name)[0].uids[1]
        assert (reference.referenced_frame_numbers == [2]) is (name == "sc-frames")


def test_box_sizes_name_their_plane() -> None:
    for name, origin in (
        ("cr", SpacingOrigin.UNKNOWN),
        ("cr-spacing", SpacingOrigin.CALIBRATED),
        ("dx", SpacingOrigin.DETECTOR),
    ):
        report, _ = _report(name, "one")
        (group,) = report.content.get_planar_roi_measurement_groups()
        for concept in concepts.BOX_SIZES[origin]:
            assert len(group.get_measurements(name=concept)) == 1
        others = {one for other, pair in concepts.BOX_SIZES.items() if other is not origin for one in pair}
        assert all(not group.get_measurements(name=concept) for concept in others)


@pytest.mark.parametrize(
    ("which", "call", "finding"),
    [
        ("none", FractureCall.NOT_SEEN, False),
        ("one", FractureCall.DEFINITE, True),
        ("cannot-judge", FractureCall.CANNOT_JUDGE, False),
    ],
)
def test_call_of_the_radiograph(which: str, call: FractureCall, finding: bool) -> None:
    report, findings = _report("cr", which)
    (group,) = report.content.get_image_measurement_groups()
    (evaluation,) = group.get_qualitative_evaluations(name=concepts.CALL)
    assert evaluation.value == concepts.CALLS[call]
    assert (group.finding_type is not None) is finding
    probabilities = group.get_measurements(name=concepts.IMAGE_PROBABILITY)
    if findings.fracture_probability is None:
        assert probabilities == []
    else:
        assert probabilities[0].value == pytest.approx(100 * findings.fracture_probability.value)


def test_calls_and_pattern_of_places() -> None:
    report, findings = _report("cr", "several")
    groups = report.content.get_planar_roi_measurement_groups()
    for number, (group, detection) in enumerate(zip(groups, findings.detections, strict=True), start=1):
        assert group.tracking_identifier == f"Place {number}"
        assert group.finding_type == concepts.FRACTURE
        (evaluation,) = group.get_qualitative_evaluations(name=concepts.CALL)
        assert evaluation.value == concepts.CALLS[detection.call]
        (site,) = group.finding_sites
        assert site.value == concepts.region_code(BodyRegion.WRIST)
        assert site.laterality == concepts.LATERALITIES["L"]
    assert len({group.tracking_uid for group in groups}) == 3
    (pattern,) = groups[0].get_qualitative_evaluations(name=concepts.PATTERN)
    assert pattern.value == concepts.PATTERNS[FracturePattern.OBLIQUE]
    (probability,) = groups[0].get_measurements(name=concepts.PATTERN_PROBABILITY)
    assert probability.value == 62.0


def test_no_site_without_a_region() -> None:
    source, radiograph = image("cr")
    findings = replace(finding_sets(radiograph)["one"], region=None)
    report = _read(build_report(source, findings, FILING))
    assert report.content.get_planar_roi_measurement_groups()[0].finding_sites == []


def test_skeletal_age() -> None:
    report, _ = _report("cr", "none", bone_age=BONE_AGE)
    groups = report.content.get_image_measurement_groups()
    (age,) = [one for group in groups for one in group.get_measurements(name=concepts.BONE_AGE)]
    assert (age.value, age.unit) == (131.4, concepts.MONTHS)
    texts = " ".join(_texts(report))
    assert "Greulich and Pyle; sex female" in texts
    assert "Against the standards: within." in texts
    assert LIMIT_SD == 2.0


def test_disclaimer_comes_before_the_notes_and_validation_after() -> None:
    report, findings = _report("cr", "one", notes=[Note(kind=NoteKind.IMPRESSION, text="The note.")])
    texts = _texts(report)
    assert "investigational, not for diagnostic use" in texts[0]
    disclaimer = next(n for n, text in enumerate(texts) if text.startswith("Investigational, not for diagnostic use."))
    validation = next(n for n, text in enumerate(texts) if findings.model_validation in text)
    assert disclaimer < texts.index("The note.") < validation
    assert report.ContentQualification == "RESEARCH"
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_synthetic_image_is_named_so() -> None:
    source, radiograph = image("cr")
    made = build_report(source, replace(finding_sets(radiograph)["none"], synthetic=True), FILING)
    assert "Synthetic phantom: the image shows no patient." in _texts(_read(made))


def test_evidence_and_algorithm() -> None:
    report, findings = _report("cr-frames", "none")
    sop_class, instance, series, study = image("cr-frames")[0].uids
    assert report.get_evidence() == [(study, series, instance, sop_class)]
    assert report.StudyInstanceUID == study
    assert report.SeriesInstanceUID != series
    texts = _texts(report)
    assert "1.0.0" in texts
    assert any(text.endswith("begins ab12cd34") for text in texts)
    assert findings.model_id in texts
    assert "The file holds several frames; frame 2 was assessed." in texts


@requires_dcmtk
def test_dcmtk_reads_it_back(tmp_path: Path) -> None:
    source, radiograph = image("cr-spacing")
    path = tmp_path / "sr.dcm"
    path.write_bytes(file_bytes(build_report(source, finding_sets(radiograph)["several"], FILING)))
    done = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, text=True, timeout=60, check=True)
    for line in (
        'CONTAINER:(,,"Imaging Measurement Report")',
        'CODE:(,,"Finding")=(125605004,SCT,"Fracture of bone")',
        'CODE:(,,"Laterality")=(7771000,SCT,"Left")',
        'NUM:(,,"Angulation in the plane of the image")="12.0" (deg,UCUM,"degree")',
        'CODE:(,,"Fracture, call of the algorithm")=(suspected,99FRACTURECDS,',
        'SCOORD:(,,"Image Region")=(POLYLINE,',
    ):
        assert line in done.stdout, line
    assert files.PATIENT_NAME in done.stdout


def test_meanings_fit_their_representation() -> None:
    codes = [value for value in vars(concepts).values() if isinstance(value, concepts.Code)]
    for table in (concepts.CALLS, concepts.PATTERNS, concepts.QUANTITIES, concepts.LATERALITIES):
        codes += table.values()
    codes += [code for pair in concepts.BOX_SIZES.values() for code in pair]
    codes += [concepts.region_code(region) for region in BodyRegion]
    for code in codes:
        assert len(code.meaning) <= 64, code
        assert len(code.value) <= 16, code
        assert len(code.scheme_designator) <= 16


def test_the_file_is_the_same_every_time() -> None:
    first, second = (file_bytes(build_report(*_both("cr"), FILING)) for _ in range(2))
    assert first == second
    assert dcmread(BytesIO(first)).file_meta.ImplementationVersionName == "FRACTURE-CDS"


def _both(name: str) -> tuple[object, ImageFindings]:
    source, radiograph = image(name)
    return source, finding_sets(radiograph)["several"]
