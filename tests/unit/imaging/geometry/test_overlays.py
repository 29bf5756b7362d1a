"""The overlays that a person checks: `make geometry-overlays`."""

from pathlib import Path

import cv2
import numpy as np

from imaging.geometry.measurement import measure, not_measured
from imaging.geometry.overlay import sheet
from imaging.results import FractureCall, FractureDetection
from tests.benchmarks.overlays import Shown, file_name, page, words
from tests.unit.imaging.geometry.test_geometry import BOX, SPACING, two_tubes


def shown(image_id: str, *, measured: bool = True) -> Shown:
    pixels = two_tubes(displacement=4.0)
    geometry = measure(pixels, BOX, SPACING) if measured else not_measured("imaging.geometry.no_edges")
    detection = FractureDetection(
        box=BOX, score=0.5, call=FractureCall.DEFINITE, label="fracture", box_width_mm=None, box_height_mm=None
    )
    return Shown(image_id=image_id, detection=detection, geometry=geometry, pixels=pixels, labelled=(BOX,))


def test_a_sheet_holds_the_lines_twice_and_the_words() -> None:
    one = shown("a.jpg")
    picture = one.picture()
    assert picture.dtype == np.uint8
    assert picture.shape[0] > 840 and picture.shape[1] > 1000
    half = picture.shape[1] // 2
    for part in (picture[:840, :half], picture[:840, half:]):
        assert (part.max(axis=2).astype(int) - part.min(axis=2) > 80).sum() > 500
    assert picture[840:].max() == 255
    taller = sheet(one.pixels, BOX, one.geometry, ["word " * 200])
    assert taller.shape[0] > 840 + 5 * 26


def test_words_give_figures_or_reasons() -> None:
    figures = words(shown("a.jpg").geometry)
    assert any(line.startswith("angulation") and "deg" in line for line in figures)
    (reason,) = words(shown("a.jpg", measured=False).geometry)
    assert reason.startswith("not measured: angulation, displacement") and "No pair of bone edges" in reason
    assert all(line.isascii() for line in (*figures, reason))


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    several = [shown("a.jpg"), shown("b<.jpg", measured=False)]
    for one in several:
        assert cv2.imwrite(str(tmp_path / file_name(one)), one.picture())
    written = page(several, "Geometry of 2 fractures")
    assert "2 radiographs with a told detection, 1 of them measured" in written
    assert "http" not in written and 'src="a.png"' in written and "b&lt;.png" in written
