"""Standards, verdicts and when skeletal age may be read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.bone_age.eligibility import ADULT, AGE_UNKNOWN, NOT_A_HAND, NOT_JUDGED, reason_against
from imaging.bone_age.standards import NO_SEX, NO_STANDARD, STANDARD_DEVIATIONS, compare, standard_deviation
from imaging.labels import BodyRegion, LimbGroup
from imaging.results import AgeDiscrepancyVerdict, FractureCall, ImageAttributes, ImageFindings, Measurement
from imaging.warnings import WARNINGS


def months(value: float, half: float = 15.0) -> Measurement:
    return Measurement(value=value, low=value - half, high=value + half)


def test_table_is_that_of_the_atlas() -> None:
    assert standard_deviation(120, female=False) == pytest.approx(9.79)
    assert standard_deviation(120, female=True) == pytest.approx(11.73)
    assert standard_deviation(3, female=True) == pytest.approx(0.72)
    assert standard_deviation(204, female=False) == pytest.approx(13.05)
    assert standard_deviation(66, female=False) == pytest.approx((8.79 + 9.17) / 2)
    assert {len(table) for table in STANDARD_DEVIATIONS.values()} == {23, 24}


@pytest.mark.parametrize(("age", "female"), [(2.9, True), (192.1, True), (204.1, False)])
def test_outside_of_the_table_nothing_is_judged(age: float, female: bool) -> None:
    assert standard_deviation(age, female=female) is None
    found = compare(months(age), chronological_months=age, female=female)
    assert (found.verdict, found.sd_score, found.not_judged) == (None, None, NO_STANDARD)


def test_without_sex_only_the_difference_is_given() -> None:
    found = compare(months(130), chronological_months=120, female=None)
    assert (found.difference_months, found.verdict, found.not_judged) == (10, None, NO_SEX)


@pytest.mark.parametrize(
    ("difference", "half", "verdict"),
    [
        (0.0, 5.0, AgeDiscrepancyVerdict.WITHIN),
        (19.5, 5.0, AgeDiscrepancyVerdict.WITHIN),
        (19.7, 5.0, AgeDiscrepancyVerdict.MAY_BE_ADVANCED),
        (-19.7, 5.0, AgeDiscrepancyVerdict.MAY_BE_DELAYED),
        (24.7, 5.0, AgeDiscrepancyVerdict.ADVANCED),
        (-24.7, 5.0, AgeDiscrepancyVerdict.DELAYED),
        (-24.5, 5.0, AgeDiscrepancyVerdict.MAY_BE_DELAYED),
    ],
)
def test_verdict_holds_to_the_models_own_error(difference: float, half: float, verdict: AgeDiscrepancyVerdict) -> None:
    """Two standard deviations of a boy of ten are 19.58 months."""
    found = compare(months(120 + difference, half), chronological_months=120, female=False)
    assert found.verdict is verdict
    assert found.sd_score is not None
    assert found.sd_score.value == pytest.approx(difference / 9.79)


@given(st.floats(4, 190), st.booleans(), st.floats(0.0, 230.0), st.floats(0.0, 20.0))
def test_older_skeleton_is_never_less_advanced(age: float, female: bool, skeletal: float, more: float) -> None:
    order = list(AgeDiscrepancyVerdict)
    rank = [AgeDiscrepancyVerdict.DELAYED, AgeDiscrepancyVerdict.MAY_BE_DELAYED, AgeDiscrepancyVerdict.WITHIN]
    rank += [AgeDiscrepancyVerdict.MAY_BE_ADVANCED, AgeDiscrepancyVerdict.ADVANCED]
    assert set(rank) == set(order)
    first, second = (
        compare(months(one), chronological_months=age, female=female).verdict for one in (skeletal, skeletal + more)
    )
    assert first is not None
    assert second is not None
    assert rank.index(first) <= rank.index(second)


def seen(**changes: object) -> ImageFindings:
    plain = ImageFindings(
        model_id="m",
        model_validation="v",
        image_sha256="0" * 64,
        width_px=10,
        height_px=10,
        call=FractureCall.NOT_SEEN,
        max_score=0.1,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def limbs(hand: float) -> ImageAttributes:
    return ImageAttributes(
        model_id="a",
        limb=((LimbGroup.LEG_FOOT, 1 - hand), (LimbGroup.HAND_ARM, hand)),
        views=(),
        hardware_probability=None,
    )


@pytest.mark.parametrize(
    ("findings", "age", "asked", "reason"),
    [
        (seen(region=BodyRegion.HAND), 10, False, None),
        (seen(region=BodyRegion.WRIST), 18.9, False, None),
        (seen(region=BodyRegion.ELBOW), 10, False, NOT_A_HAND),
        (seen(region=BodyRegion.ELBOW, attributes=limbs(0.99)), 10, True, NOT_A_HAND),
        (seen(region=BodyRegion.HAND, attributes=limbs(0.01)), 10, False, None),
        (seen(attributes=limbs(0.11)), 10, False, None),
        (seen(attributes=limbs(0.09)), 10, False, NOT_A_HAND),
        (seen(), 10, False, None),
        (seen(region=BodyRegion.HAND), 19, False, ADULT),
        (seen(region=BodyRegion.HAND), 19, True, ADULT),
        (seen(region=BodyRegion.HAND), None, False, AGE_UNKNOWN),
        (seen(region=BodyRegion.HAND), None, True, None),
        (seen(region=BodyRegion.HAND, call=FractureCall.CANNOT_JUDGE), 10, True, NOT_JUDGED),
    ],
)
def test_only_hands_of_children(findings: ImageFindings, age: float | None, asked: bool, reason: str | None) -> None:
    assert reason_against(findings, age_years=age, asked=asked) == reason
    assert reason is None or WARNINGS[reason].endswith(".")
