"""The geometry of a fracture is what was drawn, turns and scales with the picture, and is refused where it must be."""

import ast
import math
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import imaging.geometry
from imaging.geometry.edges import fit_axis
from imaging.geometry.measurement import QUANTITIES, measure
from imaging.geometry.overlay import draw
from imaging.results import BoxPx, FractureGeometry, Measurement, PixelSpacing, SpacingOrigin
from imaging.warnings import WARNINGS

BOX = BoxPx(x1=72.0, y1=76.0, x2=124.0, y2=120.0)
SPACING = PixelSpacing(row_mm=0.5, column_mm=0.5, origin=SpacingOrigin.CALIBRATED)


def two_tubes(
    *, displacement: float = 0.0, angulation: float = 0.0, turn: float = 0.0, width: float = 24.0, size: int = 196
) -> NDArray[np.float32]:
    """Two hollow tubes that meet in the middle, 2 px apart, drawn four times too large and reduced."""
    grid = (np.arange(size, dtype=np.float64) + 0.5 - size / 2.0).reshape(-1, 1)
    y, x = np.broadcast_arrays(grid, grid.T)
    angle = math.radians(turn)
    across, along = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
    picture = np.full((size, size), 0.08) + 0.2 * (np.abs(across) < 3.2 * width)
    bend = math.radians(angulation)
    lower_across = (across - displacement) * math.cos(bend) + along * math.sin(bend)
    lower_along = -(across - displacement) * math.sin(bend) + along * math.cos(bend)
    for u, inside in ((across, along < -1.0), (lower_across, lower_along > 1.0)):
        outer = np.sqrt(np.clip(1.0 - (2.0 * u / width) ** 2, 0.0, None))
        inner = np.sqrt(np.clip(1.0 - (2.0 * u / (0.6 * width)) ** 2, 0.0, None))
        picture += 0.75 * np.where(inside, outer - 0.75 * 0.6 * inner, 0.0)
    noise = np.random.default_rng(1).normal(0.0, 0.004, picture.shape)
    return np.asarray(np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + noise, 0.0, 1.0), dtype=np.float32)


def centred(half_width: float, half_height: float, size: int = 196) -> BoxPx:
    return BoxPx(
        x1=size / 2 - half_width, y1=size / 2 - half_height, x2=size / 2 + half_width, y2=size / 2 + half_height
    )


def value(measurement: Measurement | None) -> float:
    assert measurement is not None
    assert measurement.low <= measurement.value <= measurement.high
    return measurement.value


@settings(max_examples=15, deadline=None)
@given(displacement=st.floats(0, 14), angulation=st.floats(-20, 20), turn=st.floats(-180, 180))
def test_what_was_drawn_is_measured_at_any_turn(displacement: float, angulation: float, turn: float) -> None:
    picture = two_tubes(displacement=displacement, angulation=angulation, turn=turn)
    found = measure(picture, centred(24.0, 22.0), None)
    assert value(found.shaft_width_px) == pytest.approx(24.0, abs=2.5)
    assert value(found.angulation_deg) == pytest.approx(abs(angulation), abs=3.0)
    assert value(found.displacement_px) == pytest.approx(displacement, abs=2.0)
    assert len(found.axes) == 2 and len(found.edges) == 4


@settings(max_examples=8, deadline=None)
@given(factor=st.floats(1.0, 2.5))
def test_lengths_scale_with_the_picture_and_angles_stay(factor: float) -> None:
    picture = two_tubes(displacement=6.0, angulation=10.0)
    size = round(picture.shape[0] * factor)
    larger = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)
    small = measure(picture, centred(24.0, 18.0), None)
    large = measure(np.asarray(larger, dtype=np.float32), centred(24.0 * factor, 18.0 * factor, size), None)
    assert value(large.shaft_width_px) == pytest.approx(factor * value(small.shaft_width_px), rel=0.12)
    assert value(large.displacement_px) == pytest.approx(factor * value(small.displacement_px), abs=1.5 * factor)
    assert value(large.angulation_deg) == pytest.approx(value(small.angulation_deg), abs=2.0)


def test_mirrored_picture_gives_the_same_figures() -> None:
    picture = two_tubes(displacement=6.0, angulation=10.0)
    one = measure(picture, centred(24.0, 18.0), None)
    other = measure(np.ascontiguousarray(picture[:, ::-1]), centred(24.0, 18.0), None)
    for name in ("shaft_width_px", "displacement_px", "angulation_deg"):
        assert value(getattr(one, name)) == pytest.approx(value(getattr(other, name)), abs=1.0)


@pytest.mark.parametrize("origin", [SpacingOrigin.DETECTOR, SpacingOrigin.UNKNOWN, None])
def test_millimetres_need_calibrated_spacing(origin: SpacingOrigin | None) -> None:
    picture = two_tubes(displacement=6.0)
    spacing = replace(SPACING, origin=origin) if origin is not None else None
    found, calibrated = measure(picture, centred(24.0, 18.0), spacing), measure(picture, centred(24.0, 18.0), SPACING)
    assert all(getattr(found, field.name) is None for field in fields(found) if field.name.endswith("_mm"))
    assert ("millimetres", "imaging.geometry.no_calibrated_spacing") in found.not_measured
    assert value(calibrated.displacement_mm) == pytest.approx(0.5 * value(found.displacement_px))
    assert "millimetres" not in dict(calibrated.not_measured)


@pytest.mark.parametrize(
    ("picture", "box", "reason"),
    [
        (np.zeros((90, 90), np.float32), centred(20.0, 20.0, 90), "low_contrast"),
        (two_tubes(), BoxPx(x1=300.0, y1=300.0, x2=340.0, y2=340.0), "box_too_small"),
        (two_tubes(), BoxPx(x1=90.0, y1=90.0, x2=92.0, y2=120.0), "box_too_small"),
        (two_tubes(width=5.0), centred(5.0, 5.0), "too_narrow"),
    ],
)
def test_refusals_name_every_quantity(picture: NDArray[np.float32], box: BoxPx, reason: str) -> None:
    found = measure(picture, box, SPACING)
    assert dict(found.not_measured) == dict.fromkeys(sorted(QUANTITIES), f"imaging.geometry.{reason}")


def test_a_ball_and_an_even_bar_are_not_measured() -> None:
    grid = np.arange(196, dtype=np.float64) - 98.0
    ball = 0.1 + 0.7 * np.sqrt(np.clip(1.0 - (grid[:, None] ** 2 + grid[None, :] ** 2) / 30.0**2, 0.0, None))
    found = measure(ball.astype(np.float32), centred(34.0, 34.0), SPACING)
    assert found.displacement_px is None and found.angulation_deg is None
    bar = np.broadcast_to(0.2 + 0.75 * (np.abs(grid) < 9.0), (196, 196)).astype(np.float32)
    bar = np.asarray(cv2.GaussianBlur(bar, (0, 0), 0.8), dtype=np.float32)
    assert dict(measure(bar, centred(14.0, 12.0), None).not_measured)["displacement"] == "imaging.geometry.hardware"


def test_a_measured_quantity_is_never_listed_as_not_measured() -> None:
    found = measure(two_tubes(displacement=4.0), centred(24.0, 18.0), SPACING)
    refused = set(dict(found.not_measured))
    assert {name for name in ("displacement", "shaft_width", "line_length", "shortening")
            if getattr(found, f"{name}_px") is None} == refused - {"angulation", "millimetres"}  # fmt: skip
    assert (found.angulation_deg is None) == ("angulation" in refused)


def test_colour_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        measure(np.zeros((8, 8, 3), np.float32), BOX, None)


def test_an_axis_is_told_from_scattered_rows() -> None:
    rng = np.random.default_rng(0)
    along = np.arange(60, dtype=np.float64)
    middle = 3.0 + 0.1 * along + rng.normal(0.0, 0.3, 60)
    middle[::15] += 8.0
    axis = fit_axis(along, middle)
    assert axis.slope == pytest.approx(0.1, abs=0.01) and axis.at(30.0) == pytest.approx(6.0, abs=0.3)
    assert 0.0 < axis.variance_at(0.0) < 0.2 and axis.variance_at(-30.0) > axis.variance_at(0.0)


def test_overlay_draws_on_the_picture() -> None:
    picture = two_tubes(displacement=4.0)
    found = measure(picture, centred(24.0, 18.0), SPACING)
    drawn = draw(picture, centred(24.0, 18.0), found)
    assert drawn.dtype == np.uint8 and drawn.shape == (392, 392, 3)
    assert (drawn.max(axis=2).astype(int) - drawn.min(axis=2) > 80).sum() > 500
    assert draw(picture, BOX, FractureGeometry()).shape == drawn.shape


def test_every_reason_is_explained_and_every_explanation_used() -> None:
    folder = Path(imaging.geometry.__file__).parent
    used = {
        node.value
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"imaging\.geometry\.[a-z_]+", node.value)
    }
    assert used == {code for code in WARNINGS if code.startswith("imaging.geometry.")}


def test_the_package_itself_is_light() -> None:
    code = "import sys, imaging.geometry; sys.exit(bool({'numpy', 'cv2', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
