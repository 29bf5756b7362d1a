"""Training: repeatable, measured, and honest about what it was given."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabular.errors import CohortError
from tabular.evaluation import evaluate
from tabular.model import MANIFEST_NAME, Level, load_model
from tabular.teaching import lessons, make_class
from tabular.training import train
from tabular.validation import Resampling, folds_of
from tests.unit.tabular.conftest import make_survey, small_settings

QUICK = Resampling(replicates=10, seed=1)


def test_same_seed_same_bytes(survey_path: Path, small_model: Path, tmp_path: Path) -> None:
    steps: list[float] = []
    train(survey_path, tmp_path, seed=5, settings=small_settings(), progress=lambda _step, share: steps.append(share))
    names = {path.name for path in small_model.iterdir()}
    assert names == {path.name for path in tmp_path.iterdir()}
    for name in names:
        assert (tmp_path / name).read_bytes() == (small_model / name).read_bytes(), name
    assert steps == sorted(steps)
    assert steps[-1] == 1.0


def test_another_seed_gives_another_model(survey_path: Path, small_model: Path, tmp_path: Path) -> None:
    train(survey_path, tmp_path, seed=6, settings=small_settings())
    assert load_model(tmp_path).model_id != load_model(small_model).model_id


def test_manifest_says_what_was_done(small_model: Path) -> None:
    manifest = json.loads((small_model / MANIFEST_NAME).read_text(encoding="utf-8"))
    assert manifest["seed"] == 5
    assert len(manifest["training_data"]["sha256"]) == 64
    assert manifest["training_data"]["licence"]
    assert manifest["intended_use"].startswith("Investigational")
    for metric in manifest["metrics"]["official_hip_with_density"].values():
        assert {"value", "low", "high", "n"} == set(metric)
    assert str(small_model) not in json.dumps(manifest)


def test_evaluate_reports_every_metric_the_file_supports(survey_path: Path, small_model: Path) -> None:
    report = evaluate(survey_path, small_model, resampling=QUICK)
    assert report["dataset"] == "nhanes"
    assert {"auc_vertebral", "auc_major_fracture_ever", "brier", "calibration_slope"} <= set(report["metrics"])
    for metric in report["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"] or metric["n"] < 50
    assert 0.5 < report["metrics"]["calibration_slope"]["value"] < 2.0


def test_evaluate_says_whether_the_file_was_seen(survey_path: Path, small_model: Path, tmp_path: Path) -> None:
    report = evaluate(survey_path, small_model, resampling=QUICK)
    assert report["seen_in_training"] is True
    assert {"sex", "age", "ethnicity"} == set(report["subgroups"])
    assert {"female", "male"} == set(report["subgroups"]["sex"])
    women = report["subgroups"]["sex"]["female"]
    assert women["brier"]["n"] < report["metrics"]["brier"]["n"]
    other = tmp_path / "other.csv"
    make_survey(300, seed=9).to_csv(other, index=False)
    folder = tmp_path / "report"
    fresh = evaluate(other, small_model, resampling=QUICK, report_dir=folder)
    assert fresh["seen_in_training"] is False
    assert {path.name for path in folder.iterdir()} == {"report.md", "roc.svg", "calibration.svg"}
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "flatter" not in text
    for words in ("Subgroups", "Leakage checks", "`auc_osteoporosis`", "`auc_vertebral`"):
        assert words in text
    assert str(tmp_path) not in text


def test_evaluate_without_bone_density_leaves_out_osteoporosis(small_model: Path, tmp_path: Path) -> None:
    survey = make_survey(200, seed=2).assign(neck_t_nhanes3f=np.nan)
    path = tmp_path / "survey.csv"
    survey.to_csv(path, index=False)
    report = evaluate(path, small_model, resampling=QUICK)
    assert not [name for name in report["metrics"] if "osteoporosis" in name]
    assert "auc_vertebral" in report["metrics"]


def test_evaluate_one_cycle_leaves_out_what_it_lacks(survey_path: Path, small_model: Path) -> None:
    report = evaluate(survey_path, small_model, split="2007-2008", resampling=QUICK)
    assert "auc_vertebral" not in report["metrics"]
    assert "calibration_slope" not in report["metrics"]
    assert "auc_major_fracture_ever" in report["metrics"]
    with pytest.raises(CohortError) as caught:
        evaluate(survey_path, small_model, split="1999-2000", resampling=QUICK)
    assert caught.value.code == "risk.cohort.split_empty"


def test_evaluate_recognises_glow(small_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    yes_no = ["Yes", "No"]
    women = pd.DataFrame(
        {
            "age": rng.integers(55, 91, 80),
            "bmi": rng.normal(27, 4, 80),
            "priorfrac": rng.choice(yes_no, 80),
            "momfrac": rng.choice(yes_no, 80),
            "smoke": rng.choice(yes_no, 80),
            "fracture": rng.choice(yes_no, 80),
            "fracscore": 1,
        }
    )
    path = tmp_path / "glow.csv"
    women.to_csv(path, index=False)
    report = evaluate(path, small_model, resampling=QUICK)
    assert report["dataset"] == "glow500"
    assert report["n"] == 80
    assert set(report["metrics"]) == {"auc_fracture_one_year_major_osteoporotic", "auc_fracture_one_year_hip"}


def test_training_needs_official_probabilities(tmp_path: Path) -> None:
    survey = make_survey(60, seed=1)
    survey["cycle"] = "2007-2008"
    survey[["DXXFRAX1", "DXXFRAX2", "frax_major_pct", "frax_hip_pct"]] = np.nan
    path = tmp_path / "survey.csv"
    survey.to_csv(path, index=False)
    with pytest.raises(CohortError) as caught:
        train(path, tmp_path / "out", seed=1, settings=small_settings())
    assert caught.value.code == "risk.cohort.no_official"


def test_folds_keep_sampling_units_together() -> None:
    people = pd.DataFrame({"stratum": np.repeat([1, 1, 2, 2], 5), "psu": np.repeat([1, 2, 1, 2], 5)})
    fold = folds_of(people, 2, seed=0)
    for _, rows in people.assign(fold=fold).groupby(["stratum", "psu"]):
        assert rows["fold"].nunique() == 1


def test_lessons_hide_nothing_but_what_they_may(survey_path: Path) -> None:
    from tabular.cohort import read_survey

    cohort = read_survey(survey_path)
    taught = make_class(cohort)
    for level in Level:
        matrix, labels, weights = lessons(taught, "hip", level, repeats=3, seed=1)
        assert len(matrix) == 3 * len(taught.people)
        assert not np.isnan(matrix[:, 0]).any()
        assert ((labels > 0) & (labels < 1)).all()
        assert (weights > 0).all()
        assert np.mean(weights * labels * (1 - labels)) == pytest.approx(1.0)
        if level is Level.WITH_DENSITY:
            assert not np.isnan(matrix[:, -1]).any()
        else:
            assert labels[: len(taught.people)] == pytest.approx(labels[-len(taught.people) :])
