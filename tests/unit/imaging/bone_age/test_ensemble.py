"""Several networks and several views of a hand answer as one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.bone_age.data import folds_of, read_hands
from imaging.bone_age.engine import BoneAgeEngine
from imaging.bone_age.ensemble import PLAIN, VIEWS, Ensemble, View, shown
from imaging.bone_age.manifest import read_manifest
from imaging.bone_age.release import release
from imaging.bone_age.training import make_network, train_folds
from imaging.bone_age.trainings import training_in
from imaging.training.errors import TrainingDataError
from tests.support.hands import TINY


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def other(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of the same folds whose network works on a finer grid."""
    out = tmp_path_factory.mktemp("other")
    train_folds(data, replace(TINY, zoom=1.5, epochs=1), out=out, fold=0, report=silent)
    return out


def spot(row: int, column: int) -> torch.Tensor:
    image = torch.zeros(1, 1, 112, 112)
    image[0, 0, row - 2 : row + 3, column - 2 : column + 3] = 1.0
    return image


def place(image: torch.Tensor) -> tuple[int, int]:
    row, column = divmod(int(torch.nn.functional.avg_pool2d(image, 5, 1, 2).argmax()), 112)
    return row, column


def test_views_turn_clockwise_enlarge_and_mirror() -> None:
    above = spot(26, 56)
    row, column = place(shown(above, View(turn_degrees=20)))
    assert 26 <= row <= 30 and 64 <= column <= 68
    assert abs(place(shown(above, View(scale=1.5)))[0] - 11) <= 1
    assert place(shown(spot(56, 20), View(mirrored=True))) == (56, 91)
    assert torch.equal(shown(above, View()), above)


@pytest.mark.parametrize("wrong", [{"turn_degrees": 31.0}, {"scale": 0.4}, {"scale": float("nan")}])
def test_views_stay_within_what_a_film_shows(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="too"):
        View(**wrong)  # type: ignore[arg-type]


def test_nothing_answers_nothing() -> None:
    network = make_network(TINY, started=False)
    [(months, scales)] = Ensemble([network]).answers(torch.zeros(0, 112, 112, dtype=torch.uint8), [torch.zeros(0)])
    assert months.shape == scales.shape == (0,)
    with pytest.raises(ValueError, match="needs a network"):
        Ensemble([])


def test_answers_are_the_weighed_mean_over_networks_and_views() -> None:
    torch.manual_seed(3)
    networks = [make_network(one, started=False).eval() for one in (TINY, replace(TINY, zoom=1.5))]
    pictures = torch.randint(0, 255, (5, 112, 112), dtype=torch.uint8)
    sexes = (torch.tensor([1.0, -1.0, 0.0, 1.0, -1.0]), torch.zeros(5))
    told = Ensemble(networks, VIEWS).answers(pictures, sexes, batch_size=2)
    for (months, scales), sex in zip(told, sexes, strict=True):
        with torch.inference_mode():
            each = [[network(shown(pictures[:, None] / 255.0, view), sex) for view in VIEWS] for network in networks]
        answers = torch.stack([torch.stack([mean for mean, _ in one]) for one in each])
        stated = torch.stack([torch.stack([scale for _, scale in one]) for one in each])
        weighed = (answers / stated**2).sum(1) / (1 / stated**2).sum(1)
        assert torch.allclose(months, weighed.mean(0), atol=1e-3)
        assert torch.allclose(scales, stated.mean((0, 1)), atol=1e-3)


def test_trainings_answer_together(trained: Path, other: Path, data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    out = release(other, data, tmp_path, beside=[trained], report=told.append)
    assert any("2 network(s)" in line for line in told)
    document = json.loads((out / "manifest.json").read_text())
    assert document["network"]["zooms"] == [1.5, 1.0]
    assert document["network"]["folds"] == [0]
    assert [one["config"]["zoom"] for one in document["training"]["beside"]] == [1.0]
    assert read_manifest(out).views == VIEWS

    # What is measured is what answers in use, for hands that neither network had seen.
    hands = read_hands(data)
    unseen = hands.take(folds_of(hands.ids, 2) == 0)
    answers = BoneAgeEngine.load(out).answers(unseen.pictures, unseen.sex)
    mae = document["cross_validation"]["with_sex"]["mae_months"]
    assert mae["n"] == len(unseen)
    assert np.abs(answers.months - unseen.months).mean() == pytest.approx(mae["value"], abs=0.5)


def test_a_network_that_may_have_seen_the_hands_does_not_answer(
    trained: Path, other: Path, data: Path, tmp_path: Path
) -> None:
    thirds = tmp_path / "thirds"
    train_folds(data, replace(TINY, folds=3, epochs=1), out=thirds, fold=0, report=silent)
    with pytest.raises(TrainingDataError, match="cannot answer together"):
        release(other, data, tmp_path / "out", beside=[thirds], report=silent)
    # The release is of fold 1 as well, which the other training has not finished.
    with pytest.raises(TrainingDataError, match="cannot be read"):
        release(trained, data, tmp_path / "out", beside=[other], report=silent)
    assert not (tmp_path / "out").exists()


def test_releases_of_one_network_a_fold_are_still_read(trained: Path, tmp_path: Path) -> None:
    document = json.loads((trained / "manifest.json").read_text())
    del document["network"]["zooms"], document["network"]["views"]
    document["network"]["zoom"] = 1.0
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    manifest = read_manifest(tmp_path)
    assert (manifest.zooms, manifest.views) == ((1.0,), PLAIN)


def test_a_training_says_what_it_began_with(trained: Path) -> None:
    assert training_in(trained, None).start == "random weights"
