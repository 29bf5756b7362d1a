"""The shipped model beside published tables, and GLOW500 method by method."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tabular.cohort import FEATURE_COLUMNS
from tabular.comparisons import (
    NOT_EXPRESSED,
    OTHER_EXPOSURE,
    RATIO_FIELDS,
    agreement,
    compare_ratios,
    compare_table,
    glow_side_by_side,
    table_ratios,
)
from tabular.features import RiskFeatures
from tabular.model import DEFAULT_DIRECTORY, MANIFEST_NAME, load_model
from tabular.validation import Resampling
from tests.unit.tabular.test_engine import EVIDENCE

BOOSTERS = load_model(DEFAULT_DIRECTORY).boosters
ENTRIES = {entry["id"]: entry for entry in yaml.safe_load(EVIDENCE.read_text(encoding="utf-8"))["entries"]}
SUFFIX = "_hip_and_mof.clinrisk2012"
RATIOS = {key[len("risk.") : -len(SUFFIX)]: entry["table"] for key, entry in ENTRIES.items() if key.endswith(SUFFIX)}
TABLE = ENTRIES["risk.reference_probability.kanis2008"]["table"]


def people(n: int) -> pd.DataFrame:
    """A made-up population of 40 to 90 years, every answer known."""
    rng = np.random.default_rng(4)
    known: dict[str, Any] = dict.fromkeys(FEATURE_COLUMNS, 0.0) | {
        "age_years": rng.integers(40, 81, n).astype(float),
        "female": rng.integers(0, 2, n).astype(float),
        "bmi_kg_m2": rng.normal(28, 5, n).clip(17, 45),
        "weight": rng.uniform(1, 5, n),
    }
    return pd.DataFrame(known, index=range(n))


def test_every_published_factor_is_expressed_or_listed() -> None:
    assert len(RATIOS) == 27
    assert set(RATIOS) == set(RATIO_FIELDS) | set(NOT_EXPRESSED)
    assert not set(RATIO_FIELDS) & set(NOT_EXPRESSED)
    assert set(RATIO_FIELDS.values()) <= set(RiskFeatures.__dataclass_fields__)


def test_implied_ratios_agree_with_the_published_ones() -> None:
    cells = compare_ratios(BOOSTERS, people(300), RATIOS, TABLE)
    assert {cell.factor for cell in cells} == set(RATIO_FIELDS)
    assert all(cell.ours >= 1 for cell in cells if cell.factor != "hrt")
    astray = {(cell.factor, cell.outcome, cell.female) for cell in cells if not cell.within_factor_two}
    assert astray <= {("parental_osteoporosis", "hip", False), ("parental_osteoporosis", "major_osteoporotic", False)}
    wrong = {(cell.factor, cell.outcome, cell.female) for cell in cells if cell.same_direction is False}
    assert wrong <= {("alcohol_3_6u", "hip", False)}


def test_what_differs_from_one_source_agrees_with_the_one_that_asks_the_same() -> None:
    cells = compare_ratios(BOOSTERS, people(300), RATIOS, TABLE)
    astray = [cell for cell in cells if not cell.within_factor_two or cell.same_direction is False]
    assert {cell.factor for cell in astray} <= set(OTHER_EXPOSURE)
    for cell in astray:
        assert cell.table_low is not None and cell.table_high is not None
        assert cell.table_low > 1
        assert cell.table_low / 2 <= cell.ours <= cell.table_high * 2
    assert all(cell.table_low is None for cell in cells if cell.factor not in OTHER_EXPOSURE)


def test_the_ratios_of_the_published_table() -> None:
    table = {"men": {"none": {"hip": [50.0, 1.0]}, "parental": {"hip": [75.0, 1.0]}}}
    assert table_ratios(table, "parental", "hip", female=False) == pytest.approx((2.0, 1.0))


def test_the_published_table_is_met() -> None:
    cells = compare_table(BOOSTERS, ENTRIES["risk.reference_probability.kanis2008"]["table"])
    found = agreement(cells, [])
    assert found["table_cells"] == 112
    assert found["table_median_relative_error"] <= 0.25
    assert found["table_directions_right"] == found["table_directions"] == 95


def test_the_manifest_says_the_same() -> None:
    manifest = json.loads((DEFAULT_DIRECTORY / MANIFEST_NAME).read_text(encoding="utf-8"))
    found = manifest["metrics"]["agreement"]
    assert found["table_median_relative_error"] <= 0.25
    assert found["ratio_factors_expressed"] + len(found["ratio_factors_not_expressed"]) == 27
    for name in ("with_density", "without_density"):
        for head in ("major_osteoporotic", "hip"):
            assert 0.9 <= manifest["metrics"][f"official_{head}_{name}"]["calibration_slope"]["value"] <= 1.1
    assert manifest["metrics"]["fractures"]["auc_vertebral"]["value"] >= 0.75
    side = manifest["metrics"]["glow500_side_by_side"]
    assert side["best"] in side
    assert side["untuned_xgboost"]["value"] < side["logistic"]["value"]


def test_glow_is_compared_only_with_every_question() -> None:
    assert glow_side_by_side(pd.DataFrame({"age": [60]}), BOOSTERS, Resampling()) == {}


@pytest.mark.filterwarnings("error")
def test_glow_methods_are_compared_on_the_same_women() -> None:
    rng, n = np.random.default_rng(0), 120
    women = pd.DataFrame({name: rng.choice(["Yes", "No"], n) for name in ("priorfrac", "premeno", "momfrac")})
    women = women.assign(
        armassist="No",
        smoke=rng.choice(["Yes", "No"], n),
        raterisk=rng.choice(["Less", "Same", "Greater"], n),
        age=rng.integers(55, 90, n),
        weight=70.0,
        height=160.0,
        bmi=rng.normal(27, 4, n),
        fracscore=rng.integers(0, 10, n),
        fracture=rng.choice(["Yes", "No"], n),
    )
    found = glow_side_by_side(women, BOOSTERS, Resampling(replicates=10, seed=1), folds=2, repeats=1)
    methods = set(found) - {"best"}
    assert methods == {"ours_unfitted", "points_score", "logistic", "logistic_with_ours", "untuned_xgboost"}
    assert all("behind_best" in found[name] for name in methods - {found["best"]})
