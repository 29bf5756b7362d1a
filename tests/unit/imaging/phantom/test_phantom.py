"""The phantom is what its truth says, reads back as synthetic, and looks like a radiograph."""

import math
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imaging.dicom.writer import RadiographClass
from imaging.labels import BodyRegion
from imaging.phantom import (
    FractureSpec,
    FractureTruth,
    Limb,
    PhantomBone,
    PhantomSpec,
    make_phantom,
    phantom_png,
    phantom_truth,
    random_measurement_spec,
    random_spec,
)
from imaging.phantom.export import make_phantom_dicom
from imaging.phantom.spec import BONES
from imaging.reader import read_radiograph
from imaging.results import SpacingOrigin
from tests.support.tools import requires_dciodvfy

RADIUS = FractureSpec(
    bone=PhantomBone.RADIUS, height_mm=80.0, displacement_mm=6.0, angulation_deg=10.0, obliquity_deg=20.0
)
BROKEN = PhantomSpec(fractures=(RADIUS,), annotate=False, height_px=272, width_px=224, spacing_mm=1.3)
"""Smaller than the default, for speed."""


LEG = replace(random_spec(8, limb=Limb.LOWER_LEG), laterality="L", height_px=272, width_px=224, spacing_mm=1.3)


def grey_levels(pixels: NDArray[np.float32]) -> list[float]:
    return [float(v) for v in np.percentile(pixels, (5, 50, 75, 95))]


@pytest.mark.parametrize("limb", list(Limb))
@pytest.mark.parametrize("fractured", [True, False])
def test_looks_like_a_radiograph(limb: Limb, fractured: bool) -> None:
    spec = random_spec(3, limb=limb, fractured=fractured)
    phantom = make_phantom(spec, seed=3)
    assert phantom.pixels.shape == (spec.height_px, spec.width_px) and phantom.pixels.dtype == np.float32
    assert 0.0 <= phantom.pixels.min() < phantom.pixels.max() <= 1.0
    dark, middle, upper, bright = grey_levels(phantom.pixels)
    # The real ones have 5, 50, 75 and 95 % near .09, .12, .15 and .43; black ground, grey flesh, bright bone.
    assert dark < 0.15 and middle < 0.35 and middle <= upper and 0.2 < bright < 0.95
    assert bool(phantom.truth.fractures) is fractured


def test_same_seed_same_picture_other_seed_other_noise() -> None:
    first, second, third = (make_phantom(BROKEN, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.pixels, third.pixels)
    assert first.truth == second.truth == third.truth == phantom_truth(BROKEN)
    assert random_spec(5) == random_spec(5) != random_spec(6)


def test_full_size_takes_about_half_a_second() -> None:
    started = time.process_time()
    make_phantom(replace(BROKEN, height_px=454, width_px=373, spacing_mm=0.8), seed=1)
    assert time.process_time() - started < 2.0  # four times the usual, so that only a real slow-down fails


def test_fracture_changes_the_picture_only_around_and_beyond_itself() -> None:
    still = replace(RADIUS, displacement_mm=0.0, angulation_deg=0.0, gap_mm=2.5, swelling_mm=0.0)
    broken = make_phantom(replace(BROKEN, fractures=(still,), exposure=5.0), seed=4)
    whole = make_phantom(replace(BROKEN, fractures=(), exposure=5.0), seed=4)
    box = broken.truth.fractures[0].box
    rows, columns = slice(int(box.y1), int(box.y2) + 1), slice(int(box.x1), int(box.x2) + 1)
    # Without motion the only loss of bone is the gap, inside the box.
    darker = (whole.pixels - broken.pixels)[rows, columns]
    assert darker.max() > 0.1


@pytest.mark.parametrize("limb", list(Limb))
def test_gap_is_darker_than_the_bone_beside_it(limb: Limb) -> None:
    bone = BONES[limb][0]
    fracture = FractureSpec(
        bone=bone, height_mm=90.0, obliquity_deg=0.0, depth_tilt_deg=0.0, gap_mm=4.0, roughness_mm=0.0
    )
    phantom = make_phantom(PhantomSpec(limb=limb, fractures=(fracture,), spacing_mm=0.5, height_px=640, exposure=5.0,
                                       width_px=512, centre_on_fracture=True, annotate=False), seed=0)  # fmt: skip
    truth = phantom.truth.fractures[0]
    (x1, y1), (x2, y2) = truth.proximal_axis_px
    # The truth's line lies on the proximal end, so the gap's middle is half a gap further along the axis.
    length = math.hypot(x2 - x1, y2 - y1)
    unit = ((x2 - x1) / length, (y2 - y1) / length)
    row, column = round(y2 - 0.5), round(x2 - 0.5)
    above = (round(y2 - 0.5 - 14 * unit[1]), round(x2 - 0.5 - 14 * unit[0]))
    gap = phantom.pixels[row - 1 : row + 2, column - 3 : column + 4].mean()
    shaft = phantom.pixels[above[0] - 1 : above[0] + 2, above[1] - 3 : above[1] + 4].mean()
    assert gap < 0.8 * shaft


def direction(points: tuple[tuple[float, float], tuple[float, float]]) -> float:
    (x1, y1), (x2, y2) = points
    return math.degrees(math.atan2(y2 - y1, x2 - x1))


def distance_to_line(point: tuple[float, float], line: tuple[tuple[float, float], tuple[float, float]]) -> float:
    (x1, y1), (x2, y2) = line
    return abs((x2 - x1) * (y1 - point[1]) - (x1 - point[0]) * (y2 - y1)) / math.hypot(x2 - x1, y2 - y1)


fractures = st.builds(
    FractureSpec,
    bone=st.just(PhantomBone.RADIUS),
    height_mm=st.floats(30, 120),
    obliquity_deg=st.floats(-50, 50),
    displacement_mm=st.floats(-15, 15),
    angulation_deg=st.floats(-30, 30),
    shortening_mm=st.floats(0, 10),
)


@settings(max_examples=50, deadline=None)
@given(fracture=fractures, rotation=st.floats(-180, 180), side=st.sampled_from(["L", "R"]), scale=st.floats(0.8, 1.1))
def test_truth_in_pixels_agrees_with_truth_in_millimetres(
    fracture: FractureSpec, rotation: float, side: str, scale: float
) -> None:
    spec = PhantomSpec(fractures=(fracture,), rotation_deg=rotation, laterality=side, bone_scale=scale, height_px=96,
                       width_px=80, spacing_mm=2.0, annotate=False)  # fmt: skip
    truth = phantom_truth(spec)
    (found,) = truth.fractures
    turned = abs((direction(found.distal_axis_px) - direction(found.proximal_axis_px) + 180) % 360 - 180)
    assert turned == pytest.approx(abs(fracture.angulation_deg), abs=1e-6) == found.angulation_deg
    shifted = distance_to_line(found.distal_axis_px[0], found.proximal_axis_px) * spec.spacing_mm
    assert shifted == pytest.approx(found.displacement_mm, abs=1e-6)
    (x1, y1), (x2, y2) = found.crack_px
    assert math.hypot(x2 - x1, y2 - y1) * spec.spacing_mm == pytest.approx(found.crack_length_mm, rel=1e-3)
    leaning = abs((math.degrees(math.atan2(y2 - y1, x2 - x1)) - direction(found.proximal_axis_px)) % 180 - 90)
    assert leaning == pytest.approx(found.obliquity_deg, abs=4.0)
    assert _inside(found)


def _inside(found: FractureTruth) -> bool:
    box = found.box
    points = (*found.crack_px, found.distal_axis_px[0], found.proximal_axis_px[1])
    return all(box.x1 <= x <= box.x2 and box.y1 <= y <= box.y2 for x, y in points)


def test_both_bones_and_loose_pieces() -> None:
    ulna = FractureSpec(bone=PhantomBone.ULNA, height_mm=70.0, fragments=3, swelling_mm=0.0)
    phantom = make_phantom(replace(BROKEN, fractures=(ulna, replace(RADIUS, fragments=2))), seed=1)
    assert [truth.bone for truth in phantom.truth.fractures] == [PhantomBone.RADIUS, PhantomBone.ULNA]
    assert [truth.fragments for truth in phantom.truth.fractures] == [2, 3]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_limbs_to_measure_on_can_all_be_drawn(seed: int) -> None:
    spec = random_measurement_spec(seed)
    assert spec == random_measurement_spec(seed) and random_spec(seed).fractures
    for drawn, found in zip(spec.fractures, phantom_truth(spec).fractures, strict=True):
        assert found.overlap_mm == pytest.approx(drawn.shortening_mm - drawn.gap_mm)


@pytest.mark.parametrize("limb", list(Limb))
def test_crossing_bones_meet_at_the_height_asked_for(limb: Limb) -> None:
    strong, slender = (FractureSpec(bone=bone, height_mm=120.0) for bone in BONES[limb])
    apart = PhantomSpec(limb=limb, fractures=(strong, slender), height_px=96, width_px=80, spacing_mm=2.0)
    crossing = replace(apart, crossing_height_mm=120.0)
    places = [[truth.distal_axis_px[0] for truth in phantom_truth(spec).fractures] for spec in (apart, crossing)]
    (far, near) = (math.dist(*pair) * 2.0 for pair in places)
    # The chord is crossed, not the bowed axis, and heights are counted from different joint surfaces.
    assert near < 0.7 * far
    with pytest.raises(ValueError, match="crossing_height_mm must"):
        replace(apart, crossing_height_mm=10.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"fractures": (RADIUS, RADIUS)},
        {"fractures": (FractureSpec(bone=PhantomBone.TIBIA),)},
        {"laterality": "B"},
        {"spacing_mm": 0.0},
        {"height_px": 10},
    ],
)
def test_impossible_specifications_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(BROKEN, **changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gap_mm"):
        FractureSpec(bone=PhantomBone.RADIUS, gap_mm=99.0)


def test_png_reads_back_as_synthetic() -> None:
    phantom = make_phantom(replace(BROKEN, annotate=True), seed=2)
    radiograph = read_radiograph(phantom_png(phantom))
    assert radiograph.synthetic and radiograph.warnings == ("imaging.spacing.missing", "imaging.region.missing")
    np.testing.assert_allclose(radiograph.pixels, phantom.pixels, atol=0.003)


@pytest.mark.parametrize("storage", list(RadiographClass))
@pytest.mark.parametrize("inverted", [False, True])
def test_dicom_reads_back_as_synthetic_with_its_spacing(storage: RadiographClass, inverted: bool) -> None:
    phantom = make_phantom(LEG, seed=8)
    data = make_phantom_dicom(phantom, storage=storage, inverted=inverted)
    assert data == make_phantom_dicom(phantom, storage=storage, inverted=inverted)
    radiograph = read_radiograph(data)
    assert radiograph.synthetic and radiograph.warnings == ()
    assert (radiograph.region, radiograph.laterality) == (BodyRegion.LOWER_LEG, "L")
    assert radiograph.spacing is not None and radiograph.spacing.origin is SpacingOrigin.CALIBRATED
    assert radiograph.spacing.row_mm == pytest.approx(phantom.spec.spacing_mm, rel=1e-5)
    np.testing.assert_allclose(radiograph.pixels, phantom.pixels, atol=0.002)


@requires_dciodvfy
def test_validator_reports_no_error(tmp_path: Path) -> None:
    path = tmp_path / "phantom.dcm"
    path.write_bytes(make_phantom_dicom(make_phantom(BROKEN, seed=0)))
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in result.stderr.splitlines() if line.startswith("Error")] == []


def test_words_synthetic_phantom_are_burned_in() -> None:
    plain, marked = make_phantom(BROKEN, seed=6), make_phantom(replace(BROKEN, annotate=True), seed=6)
    changed = np.abs(plain.pixels - marked.pixels) > 0.2
    assert 60 < changed.sum() < 3000
    truth = plain.truth.fractures[0].box
    assert not changed[int(truth.y1) : int(truth.y2), int(truth.x1) : int(truth.x2)].any()
