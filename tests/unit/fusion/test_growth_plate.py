"""Growth left, remodelling and the growth plate: what fires, what stays silent, and the ages between."""

from datetime import timedelta
from typing import Any

import pytest

from fhir_adapters.patient import Sex
from fusion.context import ClinicalContext
from fusion.facts import CaseFacts
from fusion.growth_plate import growth_ended, growth_follow_up, growth_statements
from fusion.healing import estimate_healing
from fusion.sites import FractureSite
from imaging.results import AgeDiscrepancy, AgeDiscrepancyVerdict, BoneAgeEstimate
from tests.unit.fusion.cases import NOW, engine, patient, writer


def skeletal(low: float, high: float, verdict: AgeDiscrepancyVerdict | None = None) -> BoneAgeEstimate:
    """Skeletal age with its interval, in years."""
    compared = None
    if verdict is not None:
        compared = AgeDiscrepancy(
            chronological_months=120.0,
            difference_months=0.0,
            sd_months=10.0,
            sd_score=None,
            verdict=verdict,
            not_judged=None,
            source="a table",
        )
    return BoneAgeEstimate(
        months=6 * (low + high),
        low=12 * low,
        high=12 * high,
        sex_used=None,
        standard="an atlas",
        model_id="bone-age@0",
        model_validation="",
        interval_meaning="",
        discrepancy=compared,
    )


def case(
    age: int | None = 9, sex: Sex | None = Sex.MALE, bone_age: BoneAgeEstimate | None = None, **context: Any
) -> CaseFacts:
    context.setdefault("site", FractureSite.DISTAL_RADIUS)
    person = patient(age, sex=sex) if sex is not None else patient(age, sex=Sex.UNKNOWN)
    return CaseFacts(
        findings=None,
        patient=person,
        risk=None,
        context=ClinicalContext(**context),
        as_of=NOW,
        bone_age=bone_age,
    )


def said(facts: CaseFacts) -> dict[str, str]:
    return {one.id: one.text for one in growth_statements(facts, writer())}


def test_adult_or_no_fracture_says_nothing() -> None:
    assert said(case(40)) == {}
    assert said(case(18)) == {}
    assert said(case(9, site=None)) == {}
    assert said(case(17))


def test_age_and_sex_not_known_leave_out_what_needs_them() -> None:
    assert set(said(case(None))) == set()
    assert set(said(case(9, sex=None))) == {"growth.remodelling_good", "growth.ask_plate"}


def test_growth_left_by_chronological_and_by_skeletal_age() -> None:
    assert said(case(9))["growth.remaining"].startswith("By chronological age 6 to 7 years of growth remain")
    assert said(case(9, bone_age=skeletal(11, 12.6)))["growth.remaining"].startswith("By skeletal age 3.5 to 5 years")
    assert "at most a year" in said(case(15))["growth.remaining"]
    assert "growth.ended" not in said(case(15))
    assert said(case(16))["growth.ended"].startswith("By chronological age growth has ended (about 16 years in boys)")
    assert "growth.ended" in said(case(14, sex=Sex.FEMALE))


@pytest.mark.parametrize(
    ("bone_age", "words"),
    [
        (skeletal(12.5, 13.9), None),
        (skeletal(13, 14.0), None),
        (skeletal(13, 14.1), "may remain"),
        (skeletal(14.1, 15.5), "growth remain:"),
        (skeletal(14.0, 15.5), "may remain"),
        (skeletal(16.0, 17.5), None),
    ],
)
def test_little_growth_left_at_the_wrist(bone_age: BoneAgeEstimate, words: str | None) -> None:
    found = said(case(13, bone_age=bone_age)).get("growth.little_left")
    assert (found is None) == (words is None)
    assert found is None or words is None or words in found
    assert "growth.little_left" not in said(case(13, bone_age=bone_age, site=FractureSite.FOREARM_SHAFT))


@pytest.mark.parametrize(
    ("site", "age", "rule"),
    [
        (FractureSite.DISTAL_RADIUS, 15, "growth.remodelling_good"),
        (FractureSite.DISTAL_RADIUS, 16, "growth.remodelling_poor"),
        (FractureSite.FOREARM_SHAFT, 10, "growth.remodelling_good"),
        (FractureSite.FOREARM_SHAFT, 11, "growth.remodelling_poor"),
        (FractureSite.TIBIAL_SHAFT, 9, None),
    ],
)
def test_remodelling(site: FractureSite, age: int, rule: str | None) -> None:
    found = {one for one in said(case(age, site=site)) if one.startswith("growth.remodelling")}
    assert found == ({rule} if rule else set())


def test_growth_plate_is_asked_for_then_told() -> None:
    assert "growth.ask_plate" in said(case(9))
    assert "growth.plate" in said(case(9, growth_plate=True))
    assert "5.5 %" in said(case(9, growth_plate=True))["growth.plate"]
    assert not {"growth.ask_plate", "growth.plate"} & set(said(case(9, growth_plate=False)))
    assert not {"growth.ask_plate", "growth.plate"} & set(said(case(15, bone_age=skeletal(16, 17))))


def test_late_radiograph_after_a_growth_plate_injury() -> None:
    (check,) = growth_follow_up(case(9, growth_plate=True), writer())
    assert check.earliest_week == pytest.approx(26.1, abs=0.1)
    assert check.latest_week == pytest.approx(52.2, abs=0.1)
    assert growth_follow_up(case(9), writer()) == []
    assert growth_follow_up(case(18, growth_plate=True), writer()) == []
    assert growth_follow_up(case(9, growth_plate=True, site=None), writer()) == []


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (AgeDiscrepancyVerdict.DELAYED, "is delayed"),
        (AgeDiscrepancyVerdict.MAY_BE_DELAYED, "may be delayed"),
        (AgeDiscrepancyVerdict.ADVANCED, "is advanced"),
        (AgeDiscrepancyVerdict.MAY_BE_ADVANCED, "may be advanced"),
        (AgeDiscrepancyVerdict.WITHIN, None),
        (None, None),
    ],
)
def test_discrepancy_is_flagged_without_a_fracture_too(
    verdict: AgeDiscrepancyVerdict | None, words: str | None
) -> None:
    found = said(case(9, site=None, bone_age=skeletal(8, 10, verdict)))
    assert set(found) == ({"growth.discrepancy"} if words else set())
    assert words is None or words in found["growth.discrepancy"]


def test_skeletal_age_chooses_the_union_figures_at_16_and_17() -> None:
    both = estimate_healing(case(16), writer())
    grown_case, growing_case = case(16, bone_age=skeletal(16, 17.5)), case(16, bone_age=skeletal(13, 15.9))
    grown, growing = estimate_healing(grown_case, writer()), estimate_healing(growing_case, writer())
    assert both is not None and grown is not None and growing is not None
    assert "adults and children" in both.baseline.text
    assert "figures for adults:" in grown.baseline.text
    assert "figures for children:" in growing.baseline.text
    assert "the adults'" in said(grown_case)["growth.union_figures"]
    assert "the children's" in said(growing_case)["growth.union_figures"]
    assert growth_ended(case(16, bone_age=skeletal(15, 17)), writer()) is None
    assert "growth.union_figures" not in said(case(16, bone_age=skeletal(15, 17)))
    assert "growth.union_figures" not in said(case(15, bone_age=skeletal(13, 15.9)))


def test_engine_shows_and_cites_them() -> None:
    told = engine().assess(
        findings=None,
        patient=patient(9, sex=Sex.MALE),
        risk=None,
        context=ClinicalContext(site=FractureSite.DISTAL_RADIUS, growth_plate=True),
        as_of=NOW + timedelta(days=1),
        bone_age=skeletal(8, 10),
    )
    cited = {one.id for one in told.sources}
    assert {one for statement in told.growth for one in statement.evidence} <= cited
    assert any(one.statement.id == "follow_up.growth_plate" for one in told.follow_up)
