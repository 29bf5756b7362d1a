"""Measured geometry against the published limits, with its uncertainty."""

from typing import Any

import pytest

from fusion.results import Assessment, Severity
from fusion.sites import FractureSite
from imaging.labels import BodyRegion, FracturePattern, LimbGroup, View
from imaging.results import (
    BoxPx,
    FractureCall,
    FractureDetection,
    FractureGeometry,
    ImageAttributes,
    ImageFindings,
    Measurement,
    PatternEstimate,
)
from tests.unit.fusion.cases import assess, findings, patient, statements

TIBIA = FractureSite.TIBIAL_SHAFT


def around(value: float, half: float) -> Measurement:
    return Measurement(value=value, low=value - half, high=value + half)


def image(
    call: FractureCall = FractureCall.DEFINITE,
    *,
    views: tuple[tuple[View, float], ...] = (),
    metal: float | None = None,
    pattern: PatternEstimate | None = None,
    region: BodyRegion = BodyRegion.LOWER_LEG,
    **measures: Measurement,
) -> ImageFindings:
    attributes = ImageAttributes(
        model_id="m", limb=((LimbGroup.LEG_FOOT, 1.0),), views=views, hardware_probability=metal
    )
    detection = FractureDetection(
        box=BoxPx(x1=1, y1=1, x2=9, y2=9),
        score=0.9,
        call=call,
        label="fracture",
        geometry=FractureGeometry(**measures),
        pattern=pattern,
    )
    return findings(call, region, attributes=attributes, detections=(detection,))


def found(assessment: Assessment, rule: str) -> str | None:
    return next((one.text for one in statements(assessment) if one.id == rule), None)


def place(assessment: Assessment, rule: str) -> str:
    severity = assessment.severity
    for name, group in (("reason", severity.reasons), ("check", severity.clinician_must_check)):
        if any(one.id == rule for one in group):
            return name
    return "nowhere"


FRONTAL, LATERAL = ((View.FRONTAL, 0.9),), ((View.LATERAL, 0.9), (View.FRONTAL, 0.1))


@pytest.mark.parametrize(
    ("views", "value", "half", "expected", "words"),
    [
        (FRONTAL, 8.0, 2.9, "reason", "beyond the limit of 5°:"),
        (FRONTAL, 8.0, 3.0, "check", "neither surely beyond nor within the limit of 5°"),
        (FRONTAL, 3.0, 2.0, "check", "within the limit of 5° on this view"),
        (FRONTAL, 3.0, 2.1, "check", "neither surely"),
        (LATERAL, 8.0, 1.0, "check", "within the limit of 10° on this view"),
        (LATERAL, 12.0, 1.9, "reason", "beyond the limit of 10°:"),
        ((), 8.0, 1.0, "check", "neither surely beyond nor within the limit of 5° or 10° (by plane"),
        ((), 12.0, 1.9, "reason", "beyond the limit of 5° or 10°"),
        ((), 3.0, 1.0, "check", "within the limit of 5° or 10°"),
        (((View.FRONTAL, 0.9), (View.LATERAL, 0.9)), 8.0, 1.0, "check", "by plane"),
    ],
)
def test_angulation_against_the_limit_of_its_plane(
    views: Any, value: float, half: float, expected: str, words: str
) -> None:
    assessment = assess(image=image(views=views, angulation_deg=around(value, half)), person=patient(40), site=TIBIA)
    text = found(assessment, "severity.measured.angulation")
    assert text is not None and words in text
    assert f"{value:.1f}° (90 % interval {value - half:.1f} to {value + half:.1f})" in text
    assert place(assessment, "severity.measured.angulation") == expected
    grade = found(assessment, "severity.grade")
    assert grade is not None and ("as measured" in grade) is (expected == "reason")


@pytest.mark.parametrize(
    ("site", "region", "age", "measure", "limit"),
    [
        (TIBIA, BodyRegion.LOWER_LEG, 40, "shortening_mm", 10.0),
        (TIBIA, BodyRegion.LOWER_LEG, 40, "displacement_percent", 50.0),
        (TIBIA, BodyRegion.LOWER_LEG, 10, "shortening_mm", 10.0),
        (FractureSite.HUMERUS_SHAFT, BodyRegion.HUMERUS, 40, "shortening_mm", 30.0),
        (FractureSite.CLAVICLE, BodyRegion.CLAVICLE, 40, "displacement_percent", 100.0),
        (FractureSite.CLAVICLE, BodyRegion.CLAVICLE, 40, "shortening_mm", 20.0),
        (FractureSite.METACARPAL, BodyRegion.HAND, 40, "shortening_mm", 5.0),
    ],
)
def test_each_limit_is_applied_at_its_own_number(
    site: FractureSite, region: BodyRegion, age: int, measure: str, limit: float
) -> None:
    rule = f"severity.measured.{measure.rpartition('_')[0]}"

    def placed(value: float) -> str:
        seen = image(region=region, **{measure: around(value, 0.5)})
        return place(assess(image=seen, person=patient(age), site=site), rule)

    assert placed(limit + 0.6) == "reason"
    assert placed(limit + 0.5) == "check"
    assert placed(limit - 0.6) == "check"


def test_a_measure_never_makes_an_injury_mild_and_contradicts_the_word_undisplaced() -> None:
    stated = {"site": TIBIA, "displaced": False, "intra_articular": False, "open_wound": False}
    seen = image(views=FRONTAL, region=BodyRegion.CLAVICLE, shortening_mm=around(1, 0.5))
    within = assess(image=seen, person=patient(40), site=FractureSite.CLAVICLE)
    assert within.severity.grade is Severity.UNDETERMINED
    beyond = assess(image=image(views=FRONTAL, angulation_deg=around(20, 2)), person=patient(40), **stated)
    assert beyond.severity.grade is Severity.MODERATE
    assert "stated to be undisplaced: look again" in (found(beyond, "severity.grade") or "")


def test_a_measure_softens_no_red_flag() -> None:
    assessment = assess(
        image=image(views=FRONTAL, angulation_deg=around(1, 0.5)), person=patient(40), site=TIBIA, open_wound=True
    )
    assert assessment.severity.grade is Severity.SEVERE


def test_what_is_held_against_no_limit_says_why() -> None:
    angle = {"angulation_deg": around(30, 1)}
    rule = "severity.not_judged.limits"
    wrist = assess(image=image(region=BodyRegion.WRIST, **angle), person=patient(40), site=FractureSite.DISTAL_RADIUS)
    assert "joint surface" in (found(wrist, rule) or "")
    assert found(wrist, "severity.measured.angulation") is None
    metal = assess(image=image(metal=0.5, **angle), person=patient(40), site=TIBIA)
    assert "Metal" in (found(metal, rule) or "") and found(metal, "severity.measured.angulation") is None
    unknown = assess(image=image(region=BodyRegion.SHOULDER, **angle), person=patient(40))
    assert "site or age" in (found(unknown, rule) or "")
    ageless = assess(image=image(**angle), person=patient(None), site=TIBIA)
    assert "site or age" in (found(ageless, rule) or "")
    assert found(assess(image=image(metal=0.4, **angle), person=patient(40), site=TIBIA), rule) is None
    assert found(assess(image=image(), person=patient(40), site=FractureSite.DISTAL_RADIUS), rule) is None


def test_a_child_has_its_own_limits_and_most_sites_have_none() -> None:
    seen = image(views=LATERAL, angulation_deg=around(7, 1))
    assert place(assess(image=seen, person=patient(10), site=TIBIA), "severity.measured.angulation") == "reason"
    assert place(assess(image=seen, person=patient(40), site=TIBIA), "severity.measured.angulation") == "check"
    arm = image(region=BodyRegion.HUMERUS, angulation_deg=around(60, 1))
    child = assess(image=arm, person=patient(10), site=FractureSite.HUMERUS_SHAFT)
    assert found(child, "severity.measured.angulation") is None


def test_a_suspected_fracture_is_measured_under_that_condition() -> None:
    seen = image(FractureCall.SUSPECTED, views=FRONTAL, angulation_deg=around(20, 2))
    assessment = assess(image=seen, person=patient(40))
    assert (found(assessment, "severity.measured.angulation") or "").startswith("If confirmed: measured")
    assert (found(assessment, "severity.grade") or "").startswith("If confirmed, moderate")


@pytest.mark.parametrize(
    ("displaced", "pattern", "context", "fires"),
    [
        (0.5, FracturePattern.UNDETERMINED, {}, True),
        (0.49, FracturePattern.UNDETERMINED, {}, False),
        (None, FracturePattern.COMMINUTED, {}, True),
        (0.9, FracturePattern.UNDETERMINED, {"displaced": False}, False),
    ],
)
def test_the_networks_reading_is_asked_about_and_grades_nothing(
    displaced: float | None, pattern: FracturePattern, context: dict[str, Any], fires: bool
) -> None:
    read = PatternEstimate(pattern=pattern, probabilities=((pattern, 1.0),), displaced_probability=displaced)
    seen = image(region=BodyRegion.CLAVICLE, pattern=read)
    assessment = assess(image=seen, person=patient(40), site=FractureSite.CLAVICLE, **context)
    assert (found(assessment, "severity.check.network") is not None) is fires
    assert assessment.severity.grade is Severity.UNDETERMINED
