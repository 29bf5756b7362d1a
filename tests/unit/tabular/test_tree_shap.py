"""Our TreeSHAP beside XGBoost's own, on the shipped trees and on trees of other shapes and objectives."""

import numpy as np
import pytest
import xgboost as xgb

from tabular.formula import FloatArray
from tabular.model import DEFAULT_DIRECTORY, FEATURES, Level, load_model
from tabular.tree_shap import TABLE_FROM_ROWS, TreeExplainer

MODEL = load_model(DEFAULT_DIRECTORY)


def people(count: int, level: Level) -> FloatArray:
    rng = np.random.default_rng(4)
    columns = {
        "age_years": rng.integers(40, 81, count),
        "bmi_kg_m2": rng.normal(28, 6, count),
        "femoral_neck_t_score": rng.normal(-1, 1.3, count),
    }
    matrix = np.stack([columns.get(name, rng.integers(0, 2, count)) for name in FEATURES[level]], axis=1).astype(float)
    matrix[:, 1:][rng.random((count, matrix.shape[1] - 1)) < 0.3] = np.nan
    return matrix


def told_by_xgboost(booster: xgb.Booster, matrix: FloatArray) -> FloatArray:
    told = booster.predict(xgb.DMatrix(matrix, nthread=1), pred_contribs=True, validate_features=False)
    return np.asarray(told, dtype=np.float64)


@pytest.mark.parametrize("level", Level)
def test_the_shipped_trees_as_xgboost_tells_them(level: Level) -> None:
    booster = MODEL.boosters["hip", level]
    explainer, matrix = TreeExplainer(booster), people(TABLE_FROM_ROWS + 5, level)
    alone = explainer.values(matrix[:15])
    together = explainer.values(matrix)
    assert (together[:15] == alone).all()  # leaf by leaf and from tables: the same to the last bit
    assert (explainer.values(matrix[7:8]) == together[7:8]).all()
    expected = told_by_xgboost(booster, matrix[:40])
    np.testing.assert_allclose(together[:40], expected[:, :-1], atol=1e-5)
    assert explainer.base_log_odds == pytest.approx(expected[0, -1])


@pytest.mark.parametrize(("depth", "objective"), [(1, "reg:squarederror"), (2, "binary:logistic"), (6, "reg:logistic")])
def test_trees_of_other_shapes(depth: int, objective: str) -> None:
    rng = np.random.default_rng(depth)
    matrix = rng.normal(size=(400, 6))
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    label = (np.nan_to_num(matrix[:, 0]) * np.nan_to_num(matrix[:, 1]) + np.nan_to_num(matrix[:, 2]) > 0).astype(float)
    settings = {"max_depth": depth, "objective": objective, "nthread": 1, "seed": 1}
    booster = xgb.train(settings, xgb.DMatrix(matrix, label, nthread=1), 12)
    explainer = TreeExplainer(booster)
    expected = told_by_xgboost(booster, matrix)
    np.testing.assert_allclose(explainer.values(matrix[:20]), expected[:20, :-1], atol=1e-5)
    np.testing.assert_allclose(explainer.values(matrix), expected[:, :-1], atol=1e-5)


def test_a_tree_that_never_splits_explains_nothing() -> None:
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(np.zeros((20, 3)), np.ones(20), nthread=1), 2)
    assert (TreeExplainer(booster).values(np.zeros((2, 3))) == 0).all()


def test_nobody_is_an_empty_matrix() -> None:
    explainer = TreeExplainer(MODEL.boosters["hip", Level.WITHOUT_DENSITY])
    assert explainer.values(np.empty((0, 10))).shape == (0, 10)
