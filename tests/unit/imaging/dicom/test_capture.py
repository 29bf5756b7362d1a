"""The overlay and the wrapped picture."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from imaging.dicom.capture import (
    COLOURS,
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    build_capture,
    draw_overlay,
    wrap_radiograph,
)
from imaging.dicom.filing import file_bytes, read_source
from imaging.dicom.reader import read_dicom
from imaging.reader import read_radiograph
from imaging.results import FractureCall
from tests.support import dicom as files
from tests.support.filed import FILING, finding_sets, image
from tests.support.tools import dciodvfy_errors, requires_dciodvfy


def _png() -> bytes:
    return files.png(Image.fromarray(np.rint(files.limb_image() * 255).astype(np.uint8)))


@requires_dciodvfy
@pytest.mark.parametrize(
    ("name", "which"),
    [("cr", "none"), ("cr-monochrome1", "several"), ("sc-frames", "one"), ("dx", "cannot-judge")],
)
def test_validator_reports_no_error(name: str, which: str, tmp_path: Path) -> None:
    source, radiograph = image(name)
    made = build_capture(source, radiograph, finding_sets(radiograph)[which], FILING)
    assert dciodvfy_errors(file_bytes(made), tmp_path) == []


@requires_dciodvfy
def test_wrapped_picture_is_valid_and_nobody(tmp_path: Path) -> None:
    radiograph = read_radiograph(_png())
    content = file_bytes(wrap_radiograph(radiograph, FILING))
    assert dciodvfy_errors(content, tmp_path) == []
    made = dcmread(BytesIO(content))
    assert [str(made[keyword].value or "") for keyword in ("PatientName", "PatientID", "PatientBirthDate")] == [""] * 3
    assert made.StudyInstanceUID != made.SeriesInstanceUID != made.SOPInstanceUID
    back = read_dicom(content, sha256="0" * 64)
    np.testing.assert_allclose(back.pixels, radiograph.pixels, atol=1 / 255)
    assert content == file_bytes(wrap_radiograph(read_radiograph(_png()), FILING))


def test_overlay_belongs_to_the_study() -> None:
    source, radiograph = image("dx")
    made = build_capture(source, radiograph, finding_sets(radiograph)["one"], FILING)
    sop_class, instance, series, study = source.uids
    assert (made.StudyInstanceUID, made.PatientID) == (study, files.PATIENT_ID)
    assert made.SeriesInstanceUID != series
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == instance
    assert made.SourceImageSequence[0].ReferencedSOPClassUID == sop_class
    assert (made.ConversionType, list(made.ImageType)) == ("WSD", ["DERIVED", "SECONDARY"])
    assert "not for diagnostic use" in made.DerivationDescription


@pytest.mark.parametrize("stated", ["YES", "NO", None])
def test_burned_in_annotation_is_what_the_source_states(stated: str | None) -> None:
    def bend(made: object) -> None:
        del made.BurnedInAnnotation  # type: ignore[attr-defined]
        if stated is not None:
            made.BurnedInAnnotation = stated  # type: ignore[attr-defined]

    data = files.file(bend)
    radiograph = read_dicom(data, sha256="0" * 64)
    made = build_capture(read_source(data), radiograph, finding_sets(radiograph)["none"], FILING)
    assert made.get("BurnedInAnnotation") == stated


def test_no_name_is_burned_in() -> None:
    pictures = []
    for name in (files.PATIENT_NAME, "Other^Person"):
        data = files.file(patient_name=name, patient_id=name, uid_seed="same")
        radiograph = read_dicom(data, sha256="0" * 64)
        made = build_capture(read_source(data), radiograph, finding_sets(radiograph)["several"], FILING)
        assert str(made.PatientName) == name
        pictures.append(made.PixelData)
    assert pictures[0] == pictures[1]


def test_boxes_are_drawn_where_they_are() -> None:
    _, radiograph = image("cr")
    findings = finding_sets(radiograph)["several"]
    drawn = draw_overlay(radiograph.pixels, findings).astype(int)
    bare = draw_overlay(radiograph.pixels, replace(findings, detections=())).astype(int)
    factor = drawn.shape[1] / radiograph.pixels.shape[1]
    offset = _band_height(drawn, bare)
    for detection in findings.detections[:2]:
        box, colour = detection.box, np.asarray(COLOURS[detection.call])
        row = offset + round(box.y1 * factor)
        near = drawn[row - 3 : row + 4, round(box.x1 * factor) : round(box.x2 * factor)]
        share = (np.abs(near - colour).sum(axis=2) < 12).any(axis=0).mean()
        assert share > 0.9 if detection.call is FractureCall.DEFINITE else 0.4 < share < 0.9


def _band_height(drawn: np.ndarray, bare: np.ndarray) -> int:
    """Rows above the picture: the same in both, and black but for words."""
    side = drawn[:, -1].sum(axis=1)
    assert drawn.shape[1] == bare.shape[1]
    return int(np.argmax(side > 0))


def test_words_stand_outside_the_picture() -> None:
    _, radiograph = image("cr")
    findings = finding_sets(radiograph)["none"]
    whole = draw_overlay(radiograph.pixels, findings)
    height = round(radiograph.pixels.shape[0] * whole.shape[1] / radiograph.pixels.shape[1])
    assert whole.shape[0] > height
    lit = (whole.max(axis=2) > 200).any(axis=1)
    assert lit[: whole.shape[0] - height].any()


@pytest.mark.parametrize("shape", [(96, 80), (3000, 2000), (40, 1200), (700, 700)])
def test_size(shape: tuple[int, int]) -> None:
    _, radiograph = image("cr")
    findings = replace(finding_sets(radiograph)["none"], width_px=shape[1], height_px=shape[0])
    whole = draw_overlay(np.full(shape, 0.5, dtype=np.float32), findings)
    assert whole.shape[1] <= MAX_SIDE_PX
    assert min(whole.shape[:2]) >= min(MIN_SIDE_PX, min(shape)) or max(shape) / min(shape) > 2
