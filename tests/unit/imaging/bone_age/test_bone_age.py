"""Data, training, release, engine and evaluation of skeletal age, with tiny networks on drawn hands."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cds.entrypoints.cli import app
from imaging.bone_age.conformal import conformal_factor, cross_fitted_cover, with_interval
from imaging.bone_age.data import folds_of, read_hands
from imaging.bone_age.engine import SEX_UNKNOWN, BoneAgeEngine, as_learned
from imaging.bone_age.errors import BoneAgeNotInstalledError, NotReadAsHandError, TooFewHandsError
from imaging.bone_age.evaluate import run as evaluate
from imaging.bone_age.likeness import REFUSE_BELOW, fit
from imaging.bone_age.manifest import WEIGHTS_NAME
from imaging.bone_age.module import BoneAgeRegressor
from imaging.bone_age.release import release
from imaging.bone_age.training import RUN_NAME, BoneAgeConfig, read_config, train_folds
from imaging.errors import ModelFilesError
from imaging.training.errors import TrainingDataError
from imaging.warnings import WARNINGS
from tests.support import hands
from tests.support.hands import TINY


def silent(_: str) -> None:
    return None


def test_bad_rows_are_left_out_and_named(tmp_path: Path) -> None:
    table = hands.frame(6)
    table["male"] = table["male"].astype(object)
    table["months"] = table["months"].astype(float)
    table.loc[0, "male"] = None
    table.loc[1, "months"] = np.nan
    table.loc[2, "months"] = 300
    table.at[3, "jpeg"] = b"\xff\xd8 not a picture"
    table.at[4, "jpeg"] = None
    table.to_parquet(tmp_path / "hands.parquet")
    found = read_hands(tmp_path)
    assert len(found) == 1
    words = ("sex", "age", "age", "decoded", "no image")
    assert all(word in line for word, line in zip(words, found.left_out, strict=True))
    assert found.pictures.shape == (1, 112, 112)


def test_data_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="no Parquet file"):
        read_hands(tmp_path)
    path = tmp_path / "hands.parquet"
    hands.frame(3).drop(columns="male").to_parquet(path)
    with pytest.raises(TrainingDataError, match="no column male"):
        read_hands(tmp_path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(TrainingDataError, match="no readable Parquet"):
        read_hands(tmp_path)
    hands.frame(3).assign(jpeg=b"x").to_parquet(path)
    with pytest.raises(TrainingDataError, match="Not one row"):
        read_hands(path)


@pytest.mark.parametrize("text", ["epoch: 3", "folds: 1", "epochs: many", "dropout: 1.0", "- 3", "width: 0", "a: ["])
def test_bad_configurations(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(TrainingDataError):
        read_config(path)


def test_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("epochs: 3\nlimit: 10\n")
    assert read_config(path) == replace(BoneAgeConfig(), epochs=3, limit=10)
    assert read_config(None) == BoneAgeConfig()


def test_release_says_what_it_is(trained: Path, data: Path) -> None:
    document = json.loads((trained / "manifest.json").read_text())
    assert document["name"] == "bone-age-rsna"
    assert document["network"]["folds"] == [0, 1]
    assert document["training"]["data"]["n"] == document["training"]["data"]["n_measured"] == 48
    assert document["training"]["data"]["sha256"] == read_hands(data).sha256
    assert "research use" in document["training"]["data"]["licence"]
    for name in ("with_sex", "without_sex"):
        figures = document["cross_validation"][name]
        assert figures["mae_months"]["n"] == 48
        assert figures["mae_months"]["low"] <= figures["mae_months"]["value"] <= figures["mae_months"]["high"]
        assert 0.7 <= figures["interval_coverage"]["value"] <= 1
        assert {"female", "male"} < set(figures["subgroups"])
    assert document["network"]["half_precision_drift_months"] < 1


def test_resumption_after_an_interruption_gives_the_same_answers(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: BoneAgeRegressor) -> None:
        if self.current_epoch == 1:
            raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(BoneAgeRegressor, "on_train_epoch_start", stop)
        with pytest.raises(SystemExit):
            train_folds(data, TINY, out=tmp_path, report=silent)
    assert (tmp_path / "fold-0" / "checkpoints" / "last.ckpt").is_file()
    shutil.copytree(trained / "fold-1", tmp_path / "fold-1")
    told: list[str] = []
    train_folds(data, TINY, out=tmp_path, resume=True, report=told.append)
    assert any("fold 1: already there" in line for line in told)
    first, second = (torch.load(one / "fold-0" / "network.pt", weights_only=True) for one in (trained, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with (
        np.load(trained / "fold-0" / "out_of_fold.npz") as one,
        np.load(tmp_path / "fold-0" / "out_of_fold.npz") as two,
    ):
        assert all(np.array_equal(one[name], two[name]) for name in one.files)


def test_trainings_are_not_mixed(trained: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="earlier training"):
        train_folds(data, TINY, out=trained, report=silent)
    with pytest.raises(TrainingDataError, match="another configuration"):
        train_folds(data, replace(TINY, epochs=9), out=trained, resume=True, report=silent)
    with pytest.raises(TrainingDataError, match="too few hands"):
        train_folds(hands.folder(tmp_path, 1), TINY, out=tmp_path / "out", report=silent)


def test_one_finished_fold_is_enough(trained: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "fold-1", run / "fold-1")
    shutil.copy(trained / RUN_NAME, run)
    (run / "fold-0").mkdir()
    out = release(run, data, tmp_path / "out", report=silent)
    document = json.loads((out / "manifest.json").read_text())
    assert (document["network"]["folds"], document["network"]["fold_count"]) == ([1], 2)
    assert "1 of 2 folds" in document["validation"]
    held_out = int((folds_of(read_hands(data).ids, 2) == 1).sum())
    assert document["training"]["data"]["n_measured"] == held_out
    picture = (hands.picture(100, 3) / 255).astype(np.float32)
    assert BoneAgeEngine.load(out).estimate(picture, True).months > 0


def test_folds_of_other_hands_or_none_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="not those of this data"):
        release(trained, hands.folder(tmp_path / "other", 48, seed=2), tmp_path / "out", report=silent)
    with pytest.raises(TrainingDataError, match="no fold is finished"):
        release(tmp_path, tmp_path / "other", tmp_path / "out", report=silent)


def test_estimate(trained: Path) -> None:
    engine = BoneAgeEngine.load(trained)
    picture = (hands.picture(100, 3) / 255).astype(np.float32)
    known, unknown = engine.estimate(picture, True), engine.estimate(picture, None)
    assert known.low <= known.months <= known.high
    assert 0 <= known.low <= known.high <= 240
    assert (known.sex_used, unknown.sex_used) == ("female", None)
    assert SEX_UNKNOWN in unknown.warnings
    assert set(unknown.warnings) <= set(WARNINGS)
    assert known.model_id.startswith("bone-age-rsna@")
    assert engine.estimate(picture[:, ::-1].copy(), True).months == pytest.approx(known.months, abs=2.0)
    large = cv2.resize(picture, (800, 800), interpolation=cv2.INTER_CUBIC)
    assert engine.estimate(large.clip(0, 1), True).months == pytest.approx(known.months, abs=3.0)
    assert engine.estimate(picture, True) == known


@pytest.mark.parametrize("shape", [(2000, 1500), (60, 100), (100, 100), (1, 300)])
def test_any_size_reaches_the_network(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert as_learned(grey).shape == (112, 112)


def test_strange_pictures_are_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(600, 24, generator=generator) @ torch.randn(24, 24, generator=generator)
    found = fit(features[:300], features[300:500])
    assert (found.score(features[500:]) < 0.1).float().mean() < 0.25
    assert (found.score(features[500:] + 30) < REFUSE_BELOW).all()
    engine = BoneAgeEngine.load(trained)
    monkeypatch.setattr(engine, "_likeness", replace(found, distances=torch.zeros(500), remainders=torch.zeros(500)))
    monkeypatch.setattr("imaging.bone_age.engine.small_pictures", lambda pictures: torch.full((1, 24), 50.0))
    with pytest.raises(NotReadAsHandError) as caught:
        engine.estimate(np.zeros((90, 90), dtype=np.float32), True)
    assert caught.value.code in WARNINGS


def test_broken_weights(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(BoneAgeNotInstalledError):
        BoneAgeEngine.load(tmp_path / "nothing")
    for name in ("manifest.json", WEIGHTS_NAME):
        shutil.copy(trained / name, tmp_path)
    document = json.loads((trained / "manifest.json").read_text())
    changes: list[dict[str, object]] = [
        {"preprocessing": "other"},
        {"schema": "x"},
        {"sha256": "0" * 64},
        {"interval": {}},
        {"network": 3},
    ]
    for change in changes:
        (tmp_path / "manifest.json").write_text(json.dumps({**document, **change}))
        with pytest.raises(ModelFilesError):
            BoneAgeEngine.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ModelFilesError):
        BoneAgeEngine.load(tmp_path)


def test_intervals_hold_what_they_promise() -> None:
    generator = np.random.default_rng(0)
    scale = generator.uniform(2, 20, 4000)
    residuals = np.abs(generator.standard_t(4, 4000) * scale) / (3 * scale)
    assert cross_fitted_cover(residuals).mean() == pytest.approx(0.9, abs=0.012)
    factor = conformal_factor(residuals[:2000])
    assert (residuals[2000:] <= factor).mean() == pytest.approx(0.9, abs=0.02)
    assert conformal_factor(residuals, 0.8) < conformal_factor(residuals, 0.95)
    assert conformal_factor(np.arange(9.0)) == 8.0
    with pytest.raises(TooFewHandsError):
        conformal_factor(np.arange(8.0))
    figure = with_interval(np.array([1.0, 2.0, 3.0]))
    assert (figure["value"], figure["n"]) == (2.0, 3)


def test_evaluation_tells_hands_learned_from(trained: Path, data: Path, tmp_path: Path) -> None:
    again = evaluate(data, model=trained, rounds=50)
    assert (again["n"], again["trained_on"]) == (48, 48)
    assert "unseen" not in again
    assert again["cross_validation"]["with_sex"]["mae_months"]["n"] == 48
    fresh = evaluate(hands.folder(tmp_path, 20, seed=4), model=trained, rounds=50)
    assert fresh["trained_on"] == 0
    assert {"mae_months", "interval_coverage", "subgroups", "without_sex"} == set(fresh["metrics"])
    assert fresh["metrics"]["interval_coverage"]["n"] == 20
    with pytest.raises(TooFewHandsError):
        evaluate(hands.folder(tmp_path / "one", 1, seed=5), model=trained)


def test_commands(trained: Path, data: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    out, figures = tmp_path / "weights", tmp_path / "figures.json"
    done = runner.invoke(
        app, ["train", "bone-age", "--data", str(data), "--out", str(out), "--from-folds", str(trained)]
    )
    assert done.exit_code == 0, done.output
    done = runner.invoke(
        app, ["evaluate", "bone-age", "--data", str(data), "--model", str(out), "--json", str(figures), "--limit", "20"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(figures.read_text())["metrics"]["mae_months"]["n"] == 20
    assert runner.invoke(app, ["evaluate", "bone-age", "--data", str(tmp_path), "--model", str(out)]).exit_code == 2
    assert runner.invoke(app, ["evaluate", "bone-age", "--data", str(data), "--model", str(tmp_path)]).exit_code == 6
    assert runner.invoke(app, ["train", "bone-age", "--data", str(data), "--out", str(trained)]).exit_code == 2
