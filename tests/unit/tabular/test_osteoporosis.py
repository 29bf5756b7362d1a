"""Osteoporosis that nobody has looked for: directions, explanation, absence, thresholds, files."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.engine import RiskEngine
from tabular.errors import ManifestError
from tabular.features import RiskFeatures
from tabular.model import DEFAULT_DIRECTORY, MANIFEST_NAME, load_model, sha256_of
from tabular.osteoporosis import BOOSTER_NAME, FEATURES, FIGURES_NAME, MONOTONE, OsteoporosisFigures, matrix_of
from tabular.reference import REFERENCE_NAME
from tabular.results import OsteoporosisEstimate
from tabular.warnings import REASONS, describe

ENGINE = RiskEngine.load()
MODEL = load_model(DEFAULT_DIRECTORY).osteoporosis
assert MODEL is not None
maybe = st.sampled_from([None, True, False])
people = st.builds(
    RiskFeatures,
    age_years=st.floats(40, 100),
    female=maybe,
    bmi_kg_m2=st.none() | st.floats(15, 50),
    weight_kg=st.none() | st.floats(35, 150),
    height_cm=st.none() | st.floats(140, 200),
    prior_fragility_fracture=maybe,
    parental_hip_fracture=maybe,
    current_smoker=maybe,
    glucocorticoids=maybe,
    rheumatoid_arthritis=maybe,
    alcohol_3_or_more_units_per_day=maybe,
)


def told(person: RiskFeatures) -> OsteoporosisEstimate:
    assert MODEL is not None
    ((estimate, absent),) = MODEL.estimate_many([person])
    assert absent is None
    assert estimate is not None
    return estimate


@settings(deadline=None, max_examples=60)
@given(person=people)
def test_contributions_add_up_inside_an_interval(person: RiskFeatures) -> None:
    estimate = told(person)
    assert 0 < estimate.low <= estimate.value <= estimate.high < 1
    total = estimate.base_log_odds + math.fsum(item.log_odds for item in estimate.contributions)
    assert math.log(estimate.value / (1 - estimate.value)) == pytest.approx(total, abs=1e-6)
    assert {item.feature for item in estimate.contributions} == set(FEATURES)
    sizes = [abs(item.log_odds) for item in estimate.contributions]
    assert sizes == sorted(sizes, reverse=True)


@settings(deadline=None, max_examples=80)
@given(person=people, feature=st.sampled_from([name for name in FEATURES if MONOTONE[name]]), step=st.floats(1, 30))
def test_each_input_moves_it_one_way(person: RiskFeatures, feature: str, step: float) -> None:
    value = getattr(person, feature)
    if feature in ("age_years", "weight_kg", "bmi_kg_m2"):
        low = replace(person, **{feature: value if value is not None else 50.0})
        high = replace(person, **{feature: getattr(low, feature) + step})
    else:
        low, high = (replace(person, **{feature: answer}) for answer in (False, True))
    assert MONOTONE[feature] * (told(high).value - told(low).value) >= -1e-6


def test_many_are_as_one() -> None:
    assert MODEL is not None
    group = [RiskFeatures(age_years=45 + i, female=i % 2 == 0, weight_kg=50.0 + i) for i in range(20)]
    together = MODEL.estimate_many(group)
    assert [answer.estimate for answer in together] == [told(person) for person in group]
    plain = MODEL.estimate_many(group, explain=False)
    for full, bare in zip(together, plain, strict=True):
        assert full.estimate is not None
        assert bare.estimate is not None
        assert bare.estimate.value == full.estimate.value
        assert bare.estimate.contributions == ()


def test_light_old_women_are_sent_and_heavy_young_men_are_not() -> None:
    likely = ENGINE.estimate(RiskFeatures(age_years=78, female=True, weight_kg=48, height_cm=158))
    unlikely = ENGINE.estimate(RiskFeatures(age_years=45, female=False, weight_kg=95, height_cm=180))
    assert likely.undiagnosed_osteoporosis is not None
    assert unlikely.undiagnosed_osteoporosis is not None
    sensitive, specific = likely.undiagnosed_osteoporosis.thresholds
    assert (sensitive.name, specific.name) == ("sensitive", "specific")
    assert sensitive.probability < specific.probability <= likely.undiagnosed_osteoporosis.value
    assert unlikely.undiagnosed_osteoporosis.value < sensitive.probability
    assert likely.undiagnosed_osteoporosis_absent is None


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"femoral_neck_t_score": -2.0}, "risk.osteoporosis.t_score_known"),
        ({"osteoporosis_diagnosed": True}, "risk.osteoporosis.already_diagnosed"),
        ({"osteoporosis_diagnosed": True, "femoral_neck_t_score": -3.0}, "risk.osteoporosis.already_diagnosed"),
    ],
)
def test_nothing_is_guessed_that_is_known(known: dict[str, float], reason: str) -> None:
    estimate = ENGINE.estimate(RiskFeatures(age_years=70, female=True, **known))  # type: ignore[arg-type]
    assert estimate.undiagnosed_osteoporosis is None
    assert estimate.undiagnosed_osteoporosis_absent == reason
    assert describe(reason) == REASONS[reason]


def test_less_known_means_a_wider_interval() -> None:
    little = RiskFeatures(age_years=70, female=True)
    much = replace(little, weight_kg=60, height_cm=160, bmi_kg_m2=23.4, **dict.fromkeys(FEATURES[5:], False))
    narrow, wide = told(much), told(little)
    assert math.log(narrow.high / narrow.low) < math.log(wide.high / wide.low)


def test_measured_thresholds_and_goal() -> None:
    manifest = json.loads((DEFAULT_DIRECTORY / MANIFEST_NAME).read_text(encoding="utf-8"))
    found = manifest["metrics"]["osteoporosis"]
    assert found["auc_osteoporosis"]["value"] >= 0.85
    assert found["auc_osteoporosis"]["low"] >= 0.85
    assert found["auc_osteoporosis_weighted"]["value"] >= 0.85
    assert 0.9 <= found["calibration_slope_osteoporosis"]["value"] <= 1.1
    assert found["brier_after_isotonic"]["value"] >= found["brier_osteoporosis"]["value"] - 0.0005
    assert {"auc_osteoporosis_ost", "auc_osteoporosis_orai_without_oestrogen"} <= set(found)
    leaks = manifest["metrics"]["leakage"]
    assert 0.4 < leaks["auc_with_shuffled_outcomes"] < 0.6
    assert max(leaks["auc_of_each_input_alone"].values()) < 0.85
    assert leaks["auc_last_cycle_taught_by_earlier_ones"]["value"] >= 0.85


def _without(folder: Path, *names: str) -> Path:
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    for name in names:
        del manifest["files"][name]
        (folder / name).unlink()
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_folder_of_the_first_release_still_loads(tmp_path: Path) -> None:
    folder = _without(
        Path(shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "old")), BOOSTER_NAME, FIGURES_NAME, REFERENCE_NAME
    )
    estimate = RiskEngine.load(folder).estimate(RiskFeatures(age_years=70))
    assert estimate.undiagnosed_osteoporosis is None
    assert estimate.undiagnosed_osteoporosis_absent == "risk.osteoporosis.no_model"
    half = _without(Path(shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "half")), FIGURES_NAME)
    with pytest.raises(ManifestError):
        load_model(half)


@pytest.mark.parametrize("name", [FIGURES_NAME, REFERENCE_NAME])
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"gaps": {}, "shares": 1}'])
def test_figures_of_another_form_are_refused(tmp_path: Path, name: str, text: str) -> None:
    folder = Path(shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "weights"))
    (folder / name).write_text(text, encoding="utf-8")
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    manifest["files"][name] = sha256_of(folder / name)
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ManifestError):
        load_model(folder)


def test_figures_make_the_round_trip() -> None:
    assert MODEL is not None
    figures = MODEL.figures
    assert OsteoporosisFigures.from_json(json.loads(json.dumps(figures.to_json()))) == figures
    low, high = figures.bounds(np.array([-3.0, -1.0]), [10, 0])
    assert (low < [-3.0, -1.0]).all()
    assert (high > [-3.0, -1.0]).all()
    assert matrix_of([RiskFeatures(age_years=93)])[0, 0] == 80
