from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb

from cds.learning.federated.errors import HospitalDataError, SettingsRefusedError, UpdateRefusedError
from cds.learning.federated.learners.rows import COLUMNS, Outcome, rows_of, to_grid
from cds.learning.federated.learners.trees import (
    LEAST_PEOPLE,
    TreeLearner,
    check_forest,
    concatenate,
    empty_forest,
    from_booster,
    plan_of,
    predict,
    scaled,
    to_booster,
)
from cds.learning.federated.orders import Order
from cds.learning.federated.settings import FederationSettings, ModelKind, NoiseSettings
from cds.learning.federated.wire import Tensors
from tabular.cohort import build_cohort
from tests.support.federation import survey_table

OUTCOME = Outcome.FRACTURE
SETTINGS = FederationSettings(kind=ModelKind.RISK, learning={"trees": 3, "depth": 3, "rate": 0.3})
ORDER = Order(task="update", run="r", round=1, nonce=b"", settings=SETTINGS)
PLAN = plan_of(SETTINGS.learning)


@pytest.fixture(scope="module")
def learner() -> TreeLearner:
    return TreeLearner(rows_of(build_cohort(survey_table(400, 1)), OUTCOME), OUTCOME, SETTINGS.learning)


@pytest.fixture(scope="module")
def forest(learner: TreeLearner) -> Tensors:
    return learner.learn(empty_forest(), ORDER)


def test_a_forest_survives_xgboost(forest: Tensors) -> None:
    back = from_booster(to_booster(forest, OUTCOME), skip=0)
    assert all((back[name] == forest[name]).all() for name in forest)
    twice = concatenate([forest, forest])
    assert len(twice["sizes"]) == 6
    check_forest(twice, OUTCOME, PLAN, trees=None)


def test_its_predictions_are_the_sum_of_its_trees(forest: Tensors, learner: TreeLearner) -> None:
    matrix = rows_of(build_cohort(survey_table(50, 2)), OUTCOME).matrix
    whole, half = predict(forest, matrix, OUTCOME), predict(scaled(forest, 0.5), matrix, OUTCOME)
    margin = np.log(whole / (1 - whole))
    assert np.abs(np.log(half / (1 - half)) - margin / 2).max() < 1e-5
    assert predict(empty_forest(), matrix, OUTCOME).tolist() == [0.5] * len(matrix)


def test_training_goes_on_from_the_common_forest(forest: Tensors, learner: TreeLearner) -> None:
    more = learner.learn(forest, ORDER)
    assert len(more["sizes"]) == 3
    assert learner.loss(concatenate([forest, more])) < learner.loss(forest) < learner.loss(empty_forest())


def test_only_six_arrays_travel_and_no_counts_of_people(forest: Tensors) -> None:
    assert set(forest) == {"sizes", "features", "values", "left", "right", "missing_left"}
    booster = to_booster(forest, OUTCOME)
    assert all(line["Cover"] == 0 and not line["Gain"] > 0 for line in _splits(booster))


def _splits(booster: xgb.Booster) -> list[dict[str, float]]:
    table = booster.trees_to_dataframe()
    rows: list[dict[str, float]] = table[table["Feature"] != "Leaf"][["Cover", "Gain"]].to_dict("records")
    return rows


def test_no_threshold_is_a_value_that_was_measured() -> None:
    """Values off the grid teach thresholds on it: no measured number can be read out of a tree."""
    table = survey_table(400, 5)
    table["BMXBMI"] = table["BMXBMI"].round(3) + 0.0004
    learner = TreeLearner(rows_of(build_cohort(table), OUTCOME), OUTCOME, SETTINGS.learning)
    added = learner.learn(empty_forest(), ORDER)
    split = added["left"] >= 0
    for feature, value in zip(added["features"][split], added["values"][split], strict=True):
        column = COLUMNS[OUTCOME][feature]
        assert value / column.step == pytest.approx(round(value / column.step), abs=1e-4)
    measured = {np.float32(value).tobytes() for value in table["BMXBMI"]}
    assert not measured & {value.tobytes() for value in added["values"]}


def test_every_leaf_holds_enough_people() -> None:
    rows = rows_of(build_cohort(survey_table(300, 6)), OUTCOME)
    learner = TreeLearner(rows, OUTCOME, {"trees": 1, "depth": 8, "subsample": 1.0})
    settings = replace(SETTINGS, learning={"trees": 1, "depth": 8, "subsample": 1.0})
    added = learner.learn(empty_forest(), replace(ORDER, settings=settings))
    names = [column.name for column in COLUMNS[OUTCOME]]
    data = xgb.DMatrix(rows.matrix, feature_names=names, feature_types=["float"] * len(names))
    leaves = to_booster(added, OUTCOME).predict(data, pred_leaf=True).astype(int)
    assert np.unique(leaves, return_counts=True)[1].min() >= LEAST_PEOPLE


def changed(forest: Tensors, name: str, index: int, value: float) -> Tensors:
    array = forest[name].copy()
    array[index] = value
    return forest | {name: array}


@pytest.mark.parametrize(
    ("name", "index", "value", "reason"),
    [
        ("values", 0, np.nan, "not-finite"),
        ("values", 0, 55.1234, "off-grid"),
        ("values", -1, 5.0, "leaf-too-large"),
        ("features", 0, 99, "structure"),
        ("left", 0, 0, "structure"),
        ("right", 0, 1, "structure"),
        ("left", 0, 1000, "structure"),
        ("sizes", 0, 1000, "shape"),
    ],
)
def test_bad_trees_are_refused(forest: Tensors, name: str, index: int, value: float, reason: str) -> None:
    with pytest.raises(UpdateRefusedError) as refused:
        check_forest(changed(forest, name, index, value), OUTCOME, PLAN, trees=3)
    assert refused.value.reason == reason


def test_another_number_of_trees_is_refused(forest: Tensors) -> None:
    for given in (concatenate([forest, forest]), empty_forest(), {"w": np.zeros(3, dtype=np.float32)}):
        with pytest.raises(UpdateRefusedError):
            check_forest(given, OUTCOME, PLAN, trees=3)


def test_trees_cannot_be_noised(learner: TreeLearner) -> None:
    settings = FederationSettings(kind=ModelKind.RISK_LINEAR, noise=NoiseSettings(clip_norm=1, noise_multiplier=1))
    with pytest.raises(SettingsRefusedError):
        learner.noise_steps(replace(ORDER, settings=settings))


@pytest.mark.parametrize("learning", [{"trees": 0}, {"depth": "deep"}, {"unknown": 1}, {"rate": True}])
def test_learner_settings_are_checked(learning: dict[str, object]) -> None:
    with pytest.raises(SettingsRefusedError):
        plan_of(learning)


def test_a_table_without_the_outcome_teaches_nothing() -> None:
    table = survey_table(50, 7)
    table["fx_hws"] = 0.0
    with pytest.raises(HospitalDataError):
        rows_of(build_cohort(table), OUTCOME)


def test_the_grid_keeps_what_is_not_known() -> None:
    columns = COLUMNS[OUTCOME]
    values = np.full((1, len(columns)), np.nan)
    values[0, 0], values[0, 2] = 63.4, 27.31
    snapped = to_grid(values, columns)[0]
    assert snapped[0] == 63.0 and snapped[2] == 27.5
    assert np.isnan(snapped[1])
