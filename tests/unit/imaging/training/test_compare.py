"""Trainings set side by side: the figures of their manifests, and how much two differ on the same radiographs."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.training import release
from imaging.training.compare import main, table
from imaging.training.errors import TrainingDataError
from imaging.training.metrics import ImageRecord, Thresholds, measure
from imaging.training.paired import differences
from imaging.training.train import run
from tests.support.radiographs import write_fracatlas
from tests.support.trainings import TINY

BOX = [[10.0, 10.0, 40.0, 40.0]]


def records(scores: list[float], *, boxes_known: bool = True) -> list[ImageRecord]:
    """Fractured and intact radiographs in turn, one box each, rightly placed where there is a fracture."""
    return [
        ImageRecord(
            image_id=f"i{number}",
            fractured=number % 2 == 0,
            boxes_known=boxes_known,
            truth=np.array(BOX if number % 2 == 0 else []).reshape(-1, 4),
            boxes=np.array(BOX),
            scores=np.array([score]),
        )
        for number, score in enumerate(scores)
    ]


def test_a_detector_differs_from_itself_by_nothing() -> None:
    one = records([0.9, 0.1, 0.8, 0.2, 0.3, 0.4])
    found = differences(one, one, rounds=50)
    assert set(found) == {"map50", "map50_95", "image_auc"}
    assert all((of.low, of.value, of.high) == (0.0, 0.0, 0.0) for of in found.values())


def test_a_difference_is_that_of_the_measures_themselves() -> None:
    one, two = records([0.9, 0.1, 0.8, 0.85, 0.3, 0.4]), records([0.9, 0.1, 0.8, 0.2, 0.7, 0.4])
    limits = Thresholds(high_sensitivity=0.5, high_specificity=0.5)
    before, after = (measure(side, limits, rounds=10) for side in (one, two))
    for name, difference in differences(one, two, rounds=200).items():
        assert difference.value == pytest.approx(after[name].value - before[name].value, abs=1e-6)
        assert difference.low <= difference.value <= difference.high and difference.value > 0


def test_what_both_find_hard_does_not_widen_the_difference() -> None:
    rng = np.random.default_rng(3)
    hard = rng.uniform(0, 1, 60)
    one = records(list(hard))
    two = records(list(hard + rng.normal(0, 0.01, 60)))
    limits = Thresholds(high_sensitivity=0.5, high_specificity=0.5)
    alone = measure(one, limits, rounds=200)["image_auc"]
    paired = differences(one, two, rounds=200)["image_auc"]
    assert paired.high - paired.low < (alone.high - alone.low) / 3


def test_what_cannot_be_told_is_left_out() -> None:
    unknown = records([0.9, 0.1, 0.8, 0.2], boxes_known=False)
    assert set(differences(unknown, unknown, rounds=20)) == {"image_auc"}
    fractured = records([0.9, 0.1, 0.8, 0.2])[::2]
    assert set(differences(fractured, fractured, rounds=20)) == {"map50", "map50_95"}


def test_other_radiographs_are_not_compared() -> None:
    one = records([0.9, 0.1])
    with pytest.raises(ValueError, match="same radiographs"):
        differences(one, [one[0], replace(one[1], image_id="other")])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(data, run, a run with another seed)."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("compare")
    data = write_fracatlas(root / "fa")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "measure", partial(measure, rounds=5))
        folders = [
            run(
                data,
                root / f"seed{seed}",
                config=replace(TINY, seed=seed, gallery=0),
                progress=False,
                report=lambda _: None,
            )
            for seed in (1, 2)
        ]
    return data, folders[0], folders[1]


def test_runs_stand_side_by_side_with_their_differences(
    trained: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, one, two = trained
    main(["--data", str(data), str(one), str(two)])
    heads, _, first, second = capsys.readouterr().out.strip().splitlines()
    assert "AUC less that of seed1" in heads
    assert first.startswith("| seed1 |") and first.endswith("| - | - | - |")
    cell = second.split("|")[-2]
    assert " to " in cell and cell.strip()[0] in "+-"
    figures = [json.loads((run / "manifest.json").read_text())["development"]["metrics"] for run in (one, two)]
    difference = figures[1]["image_auc"]["value"] - figures[0]["image_auc"]["value"]
    assert float(cell.split("(")[0]) == pytest.approx(difference, abs=0.0011)


def test_without_data_the_manifests_speak(trained: tuple[Path, Path, Path]) -> None:
    _, one, two = trained
    lines = table([one, two]).splitlines()
    assert len(lines) == 4 and "less that of" not in lines[0]


def test_runs_that_held_out_other_radiographs_are_refused(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, one, two = trained
    other = shutil.copytree(two, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["training"]["config"]["development_fold"] = 1
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TrainingDataError, match="other held out other radiographs than seed1"):
        table([one, other], data=data, rounds=5)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"is no finished training run"):
        main([str(tmp_path)])
