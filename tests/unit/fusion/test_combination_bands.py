"""Weak bone in three bands: the rule's verdict stays, a missing half is said."""

from typing import Any

import pytest

from fhir_adapters.patient import Sex
from fusion.context import Mechanism
from fusion.results import CombinedProbability, FragilityVerdict
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall, ImageAttributes
from tests.unit.fusion.cases import CHILD, WRIST, assess, findings, patient, risk, sourced

Band = tuple[float | None, float | None]


def bands(found: CombinedProbability) -> tuple[Band, Band, Band]:
    image, patient_half, together = ((one.low, one.high) for one in (found.image, found.patient, found.together))
    return image, patient_half, together


def weak(**case: Any) -> CombinedProbability:
    combined = assess(**case).combined
    assert combined is not None
    assert combined.weak_bone is not None
    return combined.weak_bone


def test_the_band_together_is_the_verdict_of_the_rule() -> None:
    case: dict[str, Any] = WRIST
    fragility = assess(**case).fragility
    assert fragility is not None
    found = weak(**WRIST)
    assert bands(found)[2] == (fragility.low, fragility.high)
    assert found.together.statement.certainty is fragility.statement.certainty
    assert found.contributions == ()
    assert found.together.value is None


def test_the_image_alone_knows_the_site_only() -> None:
    """A wrist in view leaves everything open but what no wrist can be."""
    found = weak(**WRIST)
    assert bands(found)[0] == (0.0, 1.0)
    assert "decides nothing alone" in found.image.statement.text
    ankle = weak(
        image=findings(FractureCall.DEFINITE, BodyRegion.ANKLE),
        person=patient(70, sex=Sex.FEMALE),
        mechanism=Mechanism.LOW_ENERGY,
    )
    assert bands(ankle)[0] == (0.0, 0.9)


def test_the_patient_alone_does_not_see_the_radiograph() -> None:
    case = {"person": patient(80, osteoporosis=sourced(True, "Condition/o")), "mechanism": Mechanism.LOW_ENERGY}
    hip = weak(image=findings(FractureCall.DEFINITE, BodyRegion.HIP), **case)
    wrist = weak(image=findings(FractureCall.DEFINITE, BodyRegion.WRIST), **case)
    assert bands(hip)[1] == bands(wrist)[1]
    assert bands(hip)[2] != bands(wrist)[2] or bands(hip)[2] != bands(hip)[1]


def test_a_missing_half_is_said() -> None:
    no_image = weak(person=patient(80), site=FractureSite.DISTAL_RADIUS, mechanism=Mechanism.LOW_ENERGY)
    assert no_image.image.absent
    assert "no radiograph was given" in no_image.image.statement.text
    unknown = weak(
        image=findings(FractureCall.DEFINITE, None),
        person=patient(80),
        site=FractureSite.DISTAL_RADIUS,
        mechanism=Mechanism.LOW_ENERGY,
    )
    assert "region it shows is not known" in unknown.image.statement.text


def test_the_ten_year_probability_and_metal_stand_beside_the_bands() -> None:
    found = weak(**WRIST)
    assert {one.id for one in found.remarks} == {"combination.weak_bone.ten_year"}
    for probability, told in ((0.5, True), (0.49, False)):
        attributes = ImageAttributes(model_id="a", limb=(), views=(), hardware_probability=probability)
        image = findings(FractureCall.DEFINITE, BodyRegion.WRIST, attributes=attributes)
        case = WRIST | {"image": image, "estimate": None}
        assert bool(weak(**case).remarks) is told
    assert bands(weak(**WRIST)) == bands(weak(**(WRIST | {"estimate": risk(0.9, 0.8)})))


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (CHILD, FragilityVerdict.CHILD),
        ({"site": FractureSite.HAND_PHALANX, "person": patient(60)}, FragilityVerdict.NOT_COUNTED),
        ({"site": FractureSite.TIBIAL_SHAFT, "mechanism": Mechanism.PATHOLOGICAL}, FragilityVerdict.LESION),
    ],
)
def test_what_the_rule_does_not_judge_has_no_bands(case: dict[str, Any], verdict: FragilityVerdict) -> None:
    assessment = assess(**case)
    assert assessment.fragility is not None
    assert assessment.fragility.verdict is verdict
    assert assessment.combined is None or assessment.combined.weak_bone is None
