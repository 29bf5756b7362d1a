"""Survey answers to features."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabular.cohort import FEATURE_COLUMNS, build_cohort, read_survey, yes_no
from tabular.comorbidities import COMORBIDITIES
from tabular.errors import CohortError
from tabular.features import RiskFeatures
from tests.support.shared import requires_shared, shared_dir


def one_person(**answers: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "cycle": "2013-2014",
        "RIDAGEYR": 66,
        "RIAGENDR": 2,
        "RIDRETH1": 3,
        "WTMEC2YR": 1000.0,
        "SDMVPSU": 1,
        "SDMVSTRA": 104,
        "BMXBMI": 25.0,
        "BMXWT": 68.0,
        "BMXHT": 165.0,
        "OSQ060": 2,
        "OSQ080": 2,
        "OSQ130": 2,
        "OSQ170": 2,
        "OSQ200": 2,
        "SMQ020": 2,
        "SMQ040": np.nan,
        "ALQ130": np.nan,
        "ra": 0,
        "age_fx_hip": np.nan,
        "age_fx_wrist": np.nan,
        "age_fx_spine": np.nan,
        "fx_hip": 0,
        "fx_wrist": 0,
        "fx_spine": 0,
        "fx_hws": 0,
        "neck_t_nhanes3f": -1.0,
    }
    return pd.DataFrame([base | answers])


def value(name: str, **answers: object) -> float:
    return float(build_cohort(one_person(**answers))[name].iloc[0])


def test_columns_are_the_fields_of_the_row() -> None:
    taught = [name for name in RiskFeatures.__dataclass_fields__ if name not in set(COMORBIDITIES) - {"former_smoker"}]
    assert tuple(taught) == FEATURE_COLUMNS
    cohort = build_cohort(one_person())
    assert list(cohort.columns[: len(FEATURE_COLUMNS)]) == list(FEATURE_COLUMNS)


@pytest.mark.parametrize("code", [7, 9, 77, np.nan])
def test_refused_and_unknown_are_missing(code: float) -> None:
    assert np.isnan(yes_no(pd.Series([code]))).all()
    assert np.isnan(value("glucocorticoids", OSQ130=code))
    assert np.isnan(value("osteoporosis_diagnosed", OSQ060=code))
    assert np.isnan(value("current_smoker", SMQ020=1, SMQ040=code))


@pytest.mark.parametrize(
    ("mother", "father", "expected"),
    [(1, 2, 1.0), (2, 1, 1.0), (1, 9, 1.0), (2, 2, 0.0), (2, 9, np.nan), (9, 9, np.nan)],
)
def test_parental_hip_fracture(mother: int, father: int, expected: float) -> None:
    np.testing.assert_equal(value("parental_hip_fracture", OSQ170=mother, OSQ200=father), expected)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"ALQ101": 1, "ALQ120Q": 7, "ALQ120U": 1, "ALQ130": 3}, 1.0),
        ({"ALQ101": 1, "ALQ120Q": 30, "ALQ120U": 2, "ALQ130": 3}, 1.0),
        ({"ALQ101": 1, "ALQ120Q": 2, "ALQ120U": 1, "ALQ130": 8}, 0.0),
        ({"ALQ101": 1, "ALQ120Q": 7, "ALQ120U": 1, "ALQ130": 999}, np.nan),
        ({"ALQ101": 1, "ALQ120Q": 999, "ALQ120U": 1, "ALQ130": 3}, np.nan),
        ({"ALQ101": 1, "ALQ120Q": 0}, 0.0),
        ({"ALQ101": 2, "ALQ110": 2}, 0.0),
        ({"ALQ101": 9}, np.nan),
        ({"ALQ111": 2}, 0.0),
        ({"ALQ111": 1, "ALQ121": 0}, 0.0),
        ({"ALQ111": 1, "ALQ121": 1, "ALQ130": 3}, 1.0),
        ({"ALQ111": 1, "ALQ121": 5, "ALQ130": 6}, 0.0),
        ({"ALQ111": 1, "ALQ121": 77, "ALQ130": 6}, np.nan),
    ],
)
def test_alcohol_of_old_and_new_cycles(answers: dict[str, float], expected: float) -> None:
    np.testing.assert_equal(value("alcohol_3_or_more_units_per_day", **answers), expected)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"DXXPRVFX": 1}, 1.0),
        ({"DXXPRVFX": 2, "OSQ080": 9}, 0.0),
        ({"OSQ080": 1}, 1.0),
        ({"fx_wrist": 1, "age_fx_wrist": 12}, 0.0),
        ({"fx_wrist": 1, "age_fx_wrist": 55}, 1.0),
        ({"fx_wrist": 1}, np.nan),
        ({"OSQ080": 9}, np.nan),
        ({}, 0.0),
    ],
)
def test_only_fractures_of_adult_life_count(answers: dict[str, float], expected: float) -> None:
    np.testing.assert_equal(value("prior_fragility_fracture", **answers), expected)


def test_age_is_held_at_the_code_for_the_oldest() -> None:
    assert value("age_years", RIDAGEYR=85) == 80


def test_weight_of_the_combined_cycle() -> None:
    assert value("weight", WTMEC2YR=np.nan, WTMECPRP=7.0) == 7.0


def test_a_file_without_needed_columns_names_them(tmp_path: Path) -> None:
    path = tmp_path / "survey.csv"
    one_person().drop(columns="OSQ130").to_csv(path, index=False)
    with pytest.raises(CohortError, match="OSQ130") as caught:
        read_survey(path)
    assert caught.value.code == "risk.cohort.column_missing"
    with pytest.raises(CohortError):
        read_survey(tmp_path / "nothing.csv")


@requires_shared
def test_real_survey() -> None:
    folder = shared_dir()
    assert folder is not None
    cohort = read_survey(folder / "data/tabular/nhanes_osteo.csv.gz")
    assert len(cohort) == 20947
    assert cohort["official_major"].notna().sum() == 3127
    assert cohort["age_years"].max() == 80
    booleans = [name for name in FEATURE_COLUMNS if name not in {"age_years", "falls_last_year"} and "_" in name]
    for name in ("prior_fragility_fracture", "parental_hip_fracture", "glucocorticoids", "current_smoker"):
        assert set(cohort[name].dropna().unique()) == {0.0, 1.0}
    assert cohort[booleans].isna().any().all()
