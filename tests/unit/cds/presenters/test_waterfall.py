"""The waterfall: steps that add up exactly, arrows inside the drawing, words for every step."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.presenters import wording
from cds.presenters.waterfall import RAISED_TO_HIP, ROUNDING, SHOWN, WIDTH, Waterfall, waterfall
from tabular.engine import RiskEngine
from tabular.features import RiskFeatures
from tabular.results import Contribution, FractureProbability, RelativeRisk
from tests.support.cases import risk

ENGINE = RiskEngine.load()
maybe = st.sampled_from([None, True, False])
people = st.builds(
    RiskFeatures,
    age_years=st.integers(40, 95),
    female=maybe,
    bmi_kg_m2=st.none() | st.floats(15, 50),
    prior_fragility_fracture=maybe,
    parental_hip_fracture=maybe,
    current_smoker=maybe,
    glucocorticoids=maybe,
    femoral_neck_t_score=st.none() | st.floats(-5, 4),
    diabetes_type_1=maybe,
    falls_last_year=st.none() | st.integers(0, 2),
)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def drawn(probability: FractureProbability, warnings: tuple[str, ...] = ()) -> Waterfall:
    drawing = waterfall(probability, warnings=warnings)
    assert drawing is not None
    return drawing


@settings(deadline=None, max_examples=40)
@given(person=people)
def test_the_steps_add_up_to_the_margin_and_to_the_number(person: RiskFeatures) -> None:
    estimate = ENGINE.estimate_many([person])[0]
    for outcome in (estimate.major_osteoporotic, estimate.hip):  # type: ignore[union-attr]
        drawing = drawn(outcome, estimate.warnings)  # type: ignore[union-attr]
        model = [step.end - step.start for step in drawing.steps if step.kind == "model"]
        assert drawing.start + math.fsum(model) == pytest.approx(log_odds(outcome.model_value), abs=1e-9)
        every = [step.end - step.start for step in drawing.steps]
        assert drawing.start + math.fsum(every) == pytest.approx(log_odds(outcome.value), abs=1e-9)
        assert [step.start for step in drawing.steps[1:]] == [step.end for step in drawing.steps[:-1]]
        assert ROUNDING not in {step.label for step in drawing.steps}


@settings(deadline=None, max_examples=40)
@given(person=people)
def test_every_arrow_is_inside_and_points_its_way(person: RiskFeatures) -> None:
    estimate = ENGINE.estimate_many([person])[0]
    drawing = drawn(estimate.major_osteoporotic)  # type: ignore[union-attr]
    for step in drawing.steps:
        corners = [tuple(map(float, point.split(","))) for point in step.points.split()]
        assert all(0 <= x <= WIDTH and 0 <= y <= drawing.height for x, y in corners)
        tip, tail = corners[2][0], corners[0][0]
        assert (tip > tail) == step.raises
    tops = sorted([step.y for step in drawing.steps] + [mark.y for mark in drawing.marks])
    assert len(set(tops)) == len(tops)
    gaps = [after.x - before.x for before, after in zip(drawing.ticks, drawing.ticks[1:], strict=False)]
    assert all(gap >= 34 for gap in gaps)


def test_factors_stand_with_their_values() -> None:
    labels = {step.label for step in drawn(risk().major_osteoporotic).steps}
    assert {"Age 72 years", "Femoral neck T-score −2.7", "Earlier fragility fracture"} <= labels
    assert "Glucocorticoids not known" in labels
    assert "Published: type 2 diabetes" in labels


def test_published_factors_stand_after_the_model_and_are_hatched() -> None:
    drawing = drawn(risk().major_osteoporotic)
    kinds = [step.kind for step in drawing.steps]
    assert kinds.index("published") > max(place for place, kind in enumerate(kinds) if kind == "model")
    assert drawing.has_added
    assert [mark.label.split(" ")[0] for mark in drawing.marks] == ["Starting", "Model", "With"]
    assert wording.percent(risk().major_osteoporotic.value) in drawing.marks[-1].label


def test_small_contributions_are_summed_exactly() -> None:
    many = tuple(
        Contribution(feature=f"feature_{place}", label="", value=1.0, log_odds=(-1) ** place * (1.0 - 0.05 * place))
        for place in range(SHOWN + 4)
    )
    end = -2.0 + math.fsum(one.log_odds for one in many)
    value = 1 / (1 + math.exp(-end))
    one = replace(risk().hip, base_log_odds=-2.0, contributions=many, model_value=value, value=value, adjustments=())
    steps = drawn(one).steps
    assert len(steps) == SHOWN + 1
    assert steps[-1].label == "4 other factors"
    assert steps[-1].end == pytest.approx(end, abs=1e-12)


def test_what_rounding_leaves_is_a_step_of_its_own() -> None:
    rough = replace(risk().hip, value=risk().hip.model_value, model_value=risk().hip.model_value + 0.01)
    assert ROUNDING in {step.label for step in drawn(rough).steps}


def test_a_number_raised_to_the_hip_says_so() -> None:
    major = replace(risk().major_osteoporotic, value=0.4)
    labels = [step.label for step in drawn(major, (RAISED_TO_HIP,)).steps]
    assert labels[-1] == "Raised to the probability of a hip fracture"


def test_several_published_factors_follow_each_other() -> None:
    factors = tuple(RelativeRisk(factor=f"factor {place}", ratio=1.2, evidence_id="X") for place in range(3))
    value = 1 - (1 - 0.2) ** (1.2**3)
    one = replace(risk().hip, model_value=0.2, value=value, adjustments=factors)
    steps = drawn(one).steps
    assert [step.kind for step in steps[-3:]] == ["published"] * 3
    assert steps[-1].end == pytest.approx(log_odds(value), abs=1e-9)


def test_the_description_names_every_step() -> None:
    drawing = drawn(risk().major_osteoporotic)
    assert all(step.label in drawing.description for step in drawing.steps)
    assert wording.percent(risk().major_osteoporotic.value) in drawing.title


def test_nothing_explained_is_nothing_drawn() -> None:
    assert waterfall(replace(risk().hip, contributions=())) is None
