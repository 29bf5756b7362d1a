"""Published ratios of diseases and drugs: where they act, where not, and that nothing counts twice."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.comorbidities import COMORBIDITIES
from tabular.engine import RiskEngine
from tabular.features import RiskFeatures
from tabular.formula import HEADS
from tabular.relative_risks import EVIDENCE_IDS, adjustments_for
from tests.unit.tabular.test_engine import EVIDENCE

MAJOR, HIP = HEADS
ENGINE = RiskEngine.load()
WOMAN = RiskFeatures(age_years=75, female=True, bmi_kg_m2=24.0)
TABLES = {entry["id"]: entry.get("table") for entry in yaml.safe_load(EVIDENCE.read_text(encoding="utf-8"))["entries"]}


@pytest.mark.parametrize("field", COMORBIDITIES)
def test_the_figures_are_those_of_the_evidence_base(field: str) -> None:
    one = COMORBIDITIES[field]
    published = TABLES[one.evidence_id]
    ours = {f"hip_{sex}": table[HIP] for sex, table in (("women", one.women), ("men", one.men)) if table}
    ours |= {f"mof_{sex}": table[MAJOR] for sex, table in (("women", one.women), ("men", one.men)) if table}
    omitted = {"hip_men", "mof_men"} if field == "former_smoker" else set()
    assert ours == {key: value for key, value in published.items() if key not in omitted}
    assert one.evidence_id in EVIDENCE_IDS


@settings(deadline=None, max_examples=40)
@given(field=st.sampled_from(list(COMORBIDITIES)), female=st.sampled_from([True, False, None]))
def test_a_disease_multiplies_the_hazard_of_its_sex(field: str, female: bool | None) -> None:
    person = replace(WOMAN, female=female)
    before, after = ENGINE.estimate(person), ENGINE.estimate(replace(person, **{field: True}))
    for now, then in ((before.hip, after.hip), (before.major_osteoporotic, after.major_osteoporotic)):
        assert then.model_value == now.model_value
        ratio = 1.0
        for one in then.adjustments:
            ratio *= one.ratio
        assert then.value == pytest.approx(1 - (1 - now.value) ** ratio)


def test_silence_and_no_have_no_effect() -> None:
    for field in COMORBIDITIES:
        for answer in (None, False):
            assert adjustments_for(replace(WOMAN, **{field: answer}), HIP) == ()


def test_an_unknown_sex_takes_the_lower_ratio_and_none_of_a_single_sex() -> None:
    person = replace(WOMAN, female=None)
    (dementia,) = adjustments_for(replace(person, dementia=True), MAJOR)
    assert dementia.ratio == 1.90
    assert adjustments_for(replace(person, hormone_replacement=True), HIP) == ()
    assert adjustments_for(replace(WOMAN, female=False, hormone_replacement=True), HIP) == ()


def test_with_bone_density_only_what_makes_people_fall_still_counts() -> None:
    everything = replace(WOMAN, **dict.fromkeys(COMORBIDITIES, True), femoral_neck_t_score=-1.0)
    words = [one.factor for one in adjustments_for(everything, HIP)]
    assert words == [one.words for one in COMORBIDITIES.values() if one.through_falls]
    assert len(words) == 5


@pytest.mark.parametrize("field", ["chronic_liver_disease", "endocrine_disease"])
def test_a_named_cause_of_secondary_osteoporosis_is_counted_once(field: str) -> None:
    both = adjustments_for(replace(WOMAN, secondary_osteoporosis=True, **{field: True}), MAJOR)
    assert [one.factor for one in both] == [COMORBIDITIES[field].words]
    (alone,) = adjustments_for(replace(WOMAN, secondary_osteoporosis=True), MAJOR)
    assert alone.factor == "secondary osteoporosis"


def test_three_at_once_are_remarked_on() -> None:
    two = replace(WOMAN, dementia=True, cancer=True)
    assert "risk.comorbidities.several" not in ENGINE.estimate(two).warnings
    assert "risk.comorbidities.several" in ENGINE.estimate(replace(two, parkinson=True)).warnings
