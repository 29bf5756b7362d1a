"""The presentation state: valid, showing the image as it was assessed, with lines that tell the two calls apart."""

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from imaging.dicom.filing import file_bytes, place_uid, read_source
from imaging.dicom.presentation import DASHES_PER_SIDE, build_presentation, label_places, outline
from imaging.results import BoxPx, FractureCall
from tests.support.filed import FILING, SOURCES, colour_file, finding_sets, image, source_bytes
from tests.support.tools import dciodvfy_errors, requires_dciodvfy, requires_dcmtk


def _state(name: str, which: str = "several") -> Dataset:
    source, radiograph = image(name)
    made = build_presentation(source, finding_sets(radiograph)[which], FILING)
    assert made is not None
    return made


def _layers(made: Dataset) -> dict[str, Dataset]:
    return {item.GraphicLayer: item for item in made.GraphicAnnotationSequence}


@requires_dciodvfy
@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("cr", "none"),
        ("cr-monochrome1", "one"),
        ("cr-frames", "several"),
        ("sc-frames", "several"),
        ("cr-no-window", "several"),
        ("cr-voi-lut", "several"),
        ("dx-inverse", "cannot-judge"),
    ],
)
def test_validator_reports_no_error(name: str, which: str, tmp_path: Path) -> None:
    assert dciodvfy_errors(file_bytes(_state(name, which)), tmp_path) == []


@requires_dcmtk
@pytest.mark.parametrize("name", [name for name in SOURCES if "frames" not in name])
def test_another_viewer_shows_what_was_assessed(name: str, tmp_path: Path) -> None:
    """Dcmtk renders the image with the state; the network saw the same grey values."""
    plain = dcmread(_written(tmp_path / "image.dcm", source_bytes(name)))
    if plain.file_meta.TransferSyntaxUID.is_compressed:
        plain.decompress(generate_instance_uid=False)
    plain.save_as(tmp_path / "plain.dcm")
    state = _written(tmp_path / "state.dcm", file_bytes(_state(name)))
    picture = tmp_path / "shown.pgm"
    command = ["dcmp2pgm", "-p", str(state), str(tmp_path / "plain.dcm"), str(picture)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    shown = np.asarray(Image.open(picture), dtype=np.float64) / 255.0
    np.testing.assert_allclose(shown, image(name)[1].pixels, atol=0.012)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["cr-monochrome1", "dx-inverse", "cr"])
def test_polarity(name: str) -> None:
    assert _state(name).PresentationLUTShape == ("IDENTITY" if name == "cr" else "INVERSE")


def test_definite_is_one_solid_line_and_suspected_is_dashes() -> None:
    layers = _layers(_state("cr"))
    (solid,) = layers["DEFINITE"].GraphicObjectSequence
    assert solid.NumberOfGraphicPoints == 5
    assert list(solid.GraphicData[:2]) == list(solid.GraphicData[-2:])
    dashes = layers["SUSPECTED"].GraphicObjectSequence
    assert len(dashes) == 2 * 4 * DASHES_PER_SIDE
    assert {item.NumberOfGraphicPoints for item in dashes} == {2}
    assert {item.GraphicGroupID for item in dashes} == {2, 3}


def test_lines_carry_the_tracking_identity_of_the_report() -> None:
    source, radiograph = image("cr")
    findings = finding_sets(radiograph)["several"]
    made = build_presentation(source, findings, FILING)
    assert made is not None
    for item in made.GraphicAnnotationSequence:
        for line in item.get("GraphicObjectSequence", []):
            number = int(line.TrackingID.removeprefix("Place "))
            assert line.TrackingUID == place_uid(source, findings, number)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("none", "No fracture seen (does not exclude one)"),
        ("cannot-judge", "Cannot judge: radiograph not fit to be judged"),
        ("one", "Fracture: definite"),
    ],
)
def test_call_and_disclaimer_are_always_shown(which: str, words: str) -> None:
    layers = _layers(_state("cr", which))
    texts = [item.UnformattedTextValue for item in layers["LABELS"].TextObjectSequence]
    assert words in texts
    assert "fracture-cds: investigational, not for diagnostic use" in texts
    assert set(layers) == ({"LABELS", "DEFINITE"} if which == "one" else {"LABELS"})


def test_frame_is_named_where_the_class_has_frames() -> None:
    for name, frame in (("sc-frames", 2), ("cr-frames", None), ("cr", None)):
        made = _state(name)
        references = [item.ReferencedImageSequence[0] for item in made.GraphicAnnotationSequence]
        references.append(made.ReferencedSeriesSequence[0].ReferencedImageSequence[0])
        assert {item.get("ReferencedFrameNumber") for item in references} == {frame}


def test_window_is_the_one_displayed() -> None:
    given = _state("cr").SoftcopyVOILUTSequence[0]
    assert (given.WindowCenter, given.WindowWidth) == (2048, 4096)
    derived = _state("cr-no-window").SoftcopyVOILUTSequence[0]
    assert derived.WindowCenterWidthExplanation == "Derived from the image"
    assert "VOILUTSequence" in _state("cr-voi-lut").SoftcopyVOILUTSequence[0]


def test_a_colour_image_gets_none() -> None:
    _, radiograph = image("cr")
    assert build_presentation(read_source(colour_file()), finding_sets(radiograph)["one"], FILING) is None


def test_a_suspected_radiograph_says_so() -> None:
    source, radiograph = image("cr")
    findings = replace(finding_sets(radiograph)["one"], call=FractureCall.SUSPECTED)
    made = build_presentation(source, findings, FILING)
    assert made is not None
    assert "Fracture: suspected" in [one.UnformattedTextValue for one in _layers(made)["LABELS"].TextObjectSequence]


_side = st.floats(min_value=-20.0, max_value=120.0, allow_nan=False)


@given(x=st.tuples(_side, _side), y=st.tuples(_side, _side), dashed=st.booleans())
def test_lines_lie_on_the_clipped_box(x: tuple[float, float], y: tuple[float, float], dashed: bool) -> None:
    box = BoxPx(x1=min(x), y1=min(y), x2=max(x), y2=max(y))
    points = np.asarray(list(itertools.chain.from_iterable(outline(box, (100, 80), dashed=dashed))))
    assert points.min() >= 0
    assert points[:, 0].max() <= 100 + 1e-9
    assert points[:, 1].max() <= 80 + 1e-9
    left, right = (min(max(value, 0.0), 100.0) for value in (box.x1, box.x2))
    top, bottom = (min(max(value, 0.0), 80.0) for value in (box.y1, box.y2))
    on_side = np.isclose(points[:, :1], [left, right]).any(axis=1)
    on_edge = np.isclose(points[:, 1:], [top, bottom]).any(axis=1)
    assert (on_side | on_edge).all()


@given(st.lists(st.tuples(_side, _side), max_size=6))
def test_labels_stay_inside(corners: list[tuple[float, float]]) -> None:
    boxes = [BoxPx(x1=x, y1=y, x2=x + 9, y2=y + 7) for x, y in corners]
    for left, top in label_places(boxes, (100, 80), (20, 5)):
        assert 0 <= left <= 80
        assert 0 <= top <= 75


def test_labels_of_one_box_do_not_cover_each_other() -> None:
    box = BoxPx(x1=40, y1=40, x2=60, y2=60)
    places = label_places([box, box, box], (100, 80), (20, 5))
    for first, second in itertools.combinations(places, 2):
        assert abs(first[0] - second[0]) >= 20 or abs(first[1] - second[1]) >= 5
