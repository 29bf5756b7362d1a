"""Figures against hand-made and independent values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tabular.calibration import IntervalTable, fit_offsets, pattern_of, weighted_quantile
from tabular.metrics import (
    SurveyBootstrap,
    auc,
    brier,
    explained_variance,
    median_absolute_error,
    person_bootstrap,
    slope,
)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0.1, 3.0)), min_size=2, max_size=40).filter(
        lambda rows: len({event for _, event, _ in rows}) == 2
    )
)
def test_auc_agrees_with_scikit_learn(rows: list[tuple[int, bool, float]]) -> None:
    scores, events, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert auc(scores, events, weights) == pytest.approx(roc_auc_score(events, scores, sample_weight=weights))


def test_auc_needs_both_kinds() -> None:
    assert np.isnan(auc(np.arange(3.0), np.ones(3), np.ones(3)))


def test_perfect_agreement() -> None:
    x, w = np.array([0.1, 0.4, 0.7]), np.array([1.0, 2.0, 1.0])
    assert explained_variance(x, x, w) == 1.0
    assert slope(x, x, w) == pytest.approx(1.0)
    assert slope(2 * x, x, w) == pytest.approx(2.0)
    assert brier(x, x, w) == 0.0
    assert median_absolute_error(x, x + 0.25, w) == pytest.approx(0.25)


def test_bootstrap_keeps_the_weight_of_each_stratum() -> None:
    boot = SurveyBootstrap(stratum=np.array([1, 1, 1, 1, 2]), psu=np.array([1, 1, 2, 2, 1]), replicates=50, seed=1)
    rows = boot.multipliers()
    assert set(np.unique(rows[:, :4])) <= {0.0, 2.0}
    np.testing.assert_allclose(rows[:, :4].sum(axis=1), 4.0)
    np.testing.assert_allclose(rows[:, 4], 1.0)


def test_interval_contains_the_value() -> None:
    scores = np.linspace(0, 1, 200)
    events = (np.arange(200) % 3 == 0).astype(float)
    metric = person_bootstrap(200, replicates=100, seed=2).measure(lambda w: auc(scores, events, w), np.ones(200))
    assert metric.low <= metric.value <= metric.high
    assert metric.n == 200


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_weighted_quantile_is_one_of_the_values(values: list[float], level: float) -> None:
    array = np.array(values)
    quantile = weighted_quantile(array, np.ones(len(array)), level)
    assert quantile in values
    assert np.mean(array <= quantile) >= level - 1e-9


def test_offsets_hold_the_promised_share_and_fall_back() -> None:
    rng = np.random.default_rng(0)
    residuals = np.concatenate([rng.normal(0, 1, 2000), rng.normal(0, 3, 10)])
    patterns = ["with_density/most_known/40-59"] * 2000 + ["with_density/few_known/80+"] * 10
    offsets = fit_offsets(residuals, patterns, np.ones(2010), coverage=0.9)
    low, high = offsets["with_density/most_known/40-59"]
    assert np.mean((residuals[:2000] >= low) & (residuals[:2000] <= high)) == pytest.approx(0.9, abs=0.01)
    assert "with_density/few_known/80+" not in offsets
    table = IntervalTable(coverage=0.9, offsets={"hip": offsets})
    assert table.bounds("hip", "with_density/few_known/80+", 1.0) == tuple(1.0 + x for x in offsets["with_density"])
    assert IntervalTable.from_json(table.to_json()).coverage == 0.9


@pytest.mark.parametrize(("age", "name"), [(40, "40-59"), (59.9, "40-59"), (60, "60-79"), (80, "80+")])
def test_pattern_names(age: float, name: str) -> None:
    assert pattern_of(t_score_known=True, known=5, age_years=age) == f"with_density/most_known/{name}"
    assert pattern_of(t_score_known=False, known=4, age_years=age) == f"without_density/few_known/{name}"
