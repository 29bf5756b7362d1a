"""A made-up survey in the layout of the real one, and a small model trained on it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabular.model import BoosterSettings, Level
from tabular.osteoporosis_training import OsteoporosisSettings
from tabular.training import TrainingSettings, train
from tabular.validation import Resampling

_OFFICIAL = "2013-2014"


def make_survey(people: int, seed: int) -> pd.DataFrame:
    """Rows under the survey's own names; the probabilities follow a simple rule of age, sex, density and factors."""
    rng = np.random.default_rng(seed)

    def answer(share: float) -> np.ndarray:
        return rng.choice([1.0, 2.0, 9.0], size=people, p=[share, 0.97 - share, 0.03])

    cycle = rng.choice(["2007-2008", _OFFICIAL], size=people)
    age = rng.integers(40, 81, size=people).astype(float)
    sex = rng.choice([1.0, 2.0], size=people)
    t_score = rng.normal(-0.4 - (age - 60) / 25, 1.0)
    survey = pd.DataFrame(
        {
            "cycle": cycle,
            "RIDAGEYR": age,
            "RIAGENDR": sex,
            "RIDRETH1": rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], size=people, p=[0.1, 0.1, 0.6, 0.15, 0.05]),
            "WTMEC2YR": rng.uniform(5e3, 5e4, size=people),
            "SDMVSTRA": rng.integers(1, 6, size=people).astype(float) + np.where(cycle == _OFFICIAL, 10, 0),
            "SDMVPSU": rng.choice([1.0, 2.0], size=people),
            "BMXBMI": rng.normal(28, 5, size=people).clip(15, 55),
            "BMXWT": 75.0,
            "BMXHT": 170.0,
            "OSQ060": answer(0.08),
            "OSQ080": answer(0.2),
            "OSQ130": answer(0.06),
            "OSQ170": answer(0.07),
            "OSQ200": answer(0.03),
            "SMQ020": answer(0.45),
            "SMQ040": rng.choice([1.0, 2.0, 3.0], size=people),
            "ALQ101": 1.0,
            "ALQ120Q": rng.integers(0, 8, size=people).astype(float),
            "ALQ120U": 1.0,
            "ALQ130": rng.choice([1.0, 2.0, 4.0, 999.0], size=people),
            "ra": rng.choice([0.0, 1.0, np.nan], size=people, p=[0.85, 0.07, 0.08]),
            "neck_t_nhanes3f": t_score,
        }
    )
    for site in ("hip", "wrist", "spine"):
        survey[f"fx_{site}"] = (rng.random(people) < 0.04).astype(float)
        survey[f"age_fx_{site}"] = np.where(survey[f"fx_{site}"] == 1, rng.integers(5, 40, size=people), np.nan)
    survey["fx_hws"] = survey[["fx_hip", "fx_wrist", "fx_spine"]].max(axis=1)
    return _with_official(survey, rng)


def _with_official(survey: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    told = survey["cycle"] == _OFFICIAL
    parent = (survey["OSQ170"] == 1) | (survey["OSQ200"] == 1)
    steroids = survey["OSQ130"] == 1
    base = -3.0 + 0.03 * (survey["RIDAGEYR"] - 60) - 0.5 * survey["neck_t_nhanes3f"] + 0.2 * (survey["RIAGENDR"] == 2)
    base = base + 0.7 * parent + 0.5 * steroids + 0.3 * (survey["ra"] == 1)
    base = base - survey["RIDRETH1"].map({1.0: 0.6, 2.0: 0.6, 3.0: 0.0, 4.0: 0.9, 5.0: 0.6})
    prior = (
        (survey["OSQ080"] == 1) | (survey[["age_fx_hip", "age_fx_wrist", "age_fx_spine"]] >= 20).any(axis=1)
    ).astype(float)

    def percent(margin: pd.Series) -> pd.Series:
        return (100 / (1 + np.exp(-margin))).round(2).where(told)

    survey["DXXPRVFX"] = (2.0 - prior).where(told)
    survey["DXXFRAX2"], survey["DXXFRAX1"] = percent(base + 0.6), percent(1.6 * base + 0.6)
    survey["frax_major_pct"], survey["frax_hip_pct"] = percent(base + 0.6 * prior), percent(1.6 * base + 0.6 * prior)
    survey["vfa_fracture"] = (rng.random(len(survey)) < 1 / (1 + np.exp(-base))).astype(float).where(told)
    return survey


def small_settings() -> TrainingSettings:
    """Little work, same path through the code."""
    tiny = BoosterSettings(
        guide_rounds=8,
        guide_depth=3,
        guide_rate=0.3,
        guide_shrinkage=1.0,
        guide_smallest_leaf=5.0,
        rounds=8,
        depth=3,
        rate=0.3,
        smallest_leaf=5.0,
    )
    return TrainingSettings(
        folds=2,
        repeats=3,
        boosters=dict.fromkeys(Level, tiny),
        masks=2,
        resampling=Resampling(replicates=10, seed=1),
        osteoporosis=OsteoporosisSettings(rounds=8, smallest_leaf=1.0, repeats=2),
    )


@pytest.fixture(scope="session")
def survey_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up survey of 700 people as a file."""
    path = tmp_path_factory.mktemp("survey") / "survey.csv.gz"
    make_survey(700, seed=3).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def small_model(survey_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model trained on the made-up survey."""
    folder = tmp_path_factory.mktemp("model")
    train(survey_path, folder, seed=5, settings=small_settings())
    return folder
