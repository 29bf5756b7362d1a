"""The image-level call, and the checks on the plate."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.decision import SCOPE_CAUTION, SCOPE_REFUSAL, UNFIT, VOID, decide
from imaging.phantom import Limb, make_phantom, random_spec
from imaging.quality import measure_quality, quality_warnings
from imaging.results import FractureCall, OperatingPoint
from imaging.warnings import WARNINGS

SENSITIVE = OperatingPoint(name="high_sensitivity", threshold=0.1, sensitivity=0.92, specificity=0.6)
SPECIFIC = OperatingPoint(name="high_specificity", threshold=0.5, sensitivity=0.5, specificity=0.96)
POINTS = (SENSITIVE, SPECIFIC)


@pytest.mark.parametrize(
    ("score", "call"),
    [
        (0.5, FractureCall.DEFINITE),
        (0.49, FractureCall.SUSPECTED),
        (0.1, FractureCall.SUSPECTED),
        (0.09, FractureCall.NOT_SEEN),
        (None, FractureCall.CANNOT_JUDGE),
    ],
)
def test_the_two_points_make_three_bands(score: float | None, call: FractureCall) -> None:
    assert decide(score, POINTS, 0.5, ()) == (call, ())


@given(score=st.floats(0, 1), scope=st.floats(0, 1), codes=st.sets(st.sampled_from(sorted(UNFIT | VOID))))
def test_no_score_outweighs_scope_or_a_blank_plate(score: float, scope: float, codes: set[str]) -> None:
    call, added = decide(score, POINTS, scope, tuple(codes))
    assert set(added) <= set(WARNINGS)
    if scope < SCOPE_REFUSAL or codes & VOID:
        assert call is FractureCall.CANNOT_JUDGE
    if codes & UNFIT:
        assert call is not FractureCall.NOT_SEEN
    assert ("imaging.scope.unusual" in added) == (SCOPE_REFUSAL <= scope < SCOPE_CAUTION)


def test_a_seen_fracture_is_reported_on_a_poor_plate_too() -> None:
    assert decide(0.7, POINTS, 0.5, ("imaging.quality.blurred",))[0] is FractureCall.DEFINITE
    assert decide(0.05, POINTS, 0.5, ("imaging.content.low_contrast:1",))[0] is FractureCall.CANNOT_JUDGE


def test_an_unchecked_scope_is_said() -> None:
    assert decide(0.05, POINTS, None, ()) == (FractureCall.NOT_SEEN, ("imaging.scope.not_checked",))


def test_every_code_has_its_sentence() -> None:
    assert set(WARNINGS) >= UNFIT | VOID


@pytest.fixture(scope="module")
def limb() -> np.ndarray:
    return make_phantom(random_spec(1, limb=Limb.FOREARM), seed=1).pixels


def test_a_limb_is_fit(limb: np.ndarray) -> None:
    assert quality_warnings(limb) == ()


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_motion_is_seen_in_any_direction(limb: np.ndarray, angle: int) -> None:
    kernel = np.zeros((25, 25), dtype=np.float32)
    kernel[12] = 1
    kernel = cv2.warpAffine(kernel, cv2.getRotationMatrix2D((12, 12), angle, 1), (25, 25))
    moved = cv2.filter2D(limb, -1, kernel / kernel.sum())
    assert measure_quality(moved).sharpness < measure_quality(limb).sharpness / 1.5
    # Along a limb there are few edges for a movement to blur: there the figure falls without reaching its limit.
    assert ("imaging.quality.blurred" in quality_warnings(moved)) == (angle != 90)


def test_lost_exposure_is_named(limb: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, limb.shape).astype(np.float32)
    assert quality_warnings(np.clip(0.5 + noise, 0, 1)) == ("imaging.quality.blank",)
    assert quality_warnings(np.zeros_like(limb)) == ("imaging.quality.blank",)
    burnt = limb.copy()
    burnt[len(limb) // 5 :] = 1.0
    assert "imaging.quality.too_bright" in quality_warnings(burnt)
    assert "imaging.quality.too_dark" in quality_warnings(np.where(limb > np.quantile(limb, 0.95), limb, 0.0))
