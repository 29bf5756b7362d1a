"""Fracture types of a small collection: what is too little is counted out, and a failed fit leaves nothing behind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.labels import FracturePattern
from imaging.training import attributes
from imaging.training.attributes import AttributeConfig
from imaging.training.attributes_data import TYPES, AttributeSample, collection_folders, read_samples
from imaging.training.attributes_features import FeatureTable
from imaging.training.attributes_fit import folds_of
from imaging.training.attributes_heads import HeadSettings, check_patterns, fit_flag, fit_patterns
from imaging.training.errors import TrainingDataError
from imaging.training.pattern_network import NETWORK_NAME
from tests.support.radiographs import write_fracatlas, write_types, write_weights


def sample(number: int, pattern: str, *, group: str | None = None, source: str = "web") -> AttributeSample:
    return AttributeSample(
        image_id=f"{number}.png",
        path=Path(f"{number}.png"),
        collection=TYPES,
        source=source,
        group=group or f"g{number}",
        pattern=FracturePattern(pattern),
    )


def table_of(samples: list[AttributeSample]) -> FeatureTable:
    vectors = np.random.default_rng(0).normal(size=(len(samples), 6)).astype(np.float32)
    vectors[:, 0] += [9.0 * (one.pattern is FracturePattern.SPIRAL) for one in samples]
    return FeatureTable(samples=tuple(samples), vectors=vectors, max_scores=np.zeros(len(samples)))


def test_patterns_need_as_many_groups_as_there_are_folds() -> None:
    enough = [sample(number, "spiral" if number < 5 else "oblique") for number in range(10)]
    check_patterns([*enough, sample(10, "avulsion")], 5)
    of_one_patient = [replace(one, group="same") if one.pattern is FracturePattern.OBLIQUE else one for one in enough]
    for few, counts in (
        (enough[:9], "oblique 4, spiral 5"),
        (enough[:5], "spiral 5"),
        (of_one_patient, "oblique 1, spiral 5"),
        ([], "none"),
    ):
        with pytest.raises(TrainingDataError, match=f"groups of each pattern: {counts}") as caught:
            check_patterns(few, 5)
        assert "5 groups (patients) or more each" in caught.value.remedy


def test_many_sources_of_a_picture_each() -> None:
    samples = [sample(number, "spiral" if number % 2 else "oblique", source=f"s{number}") for number in range(12)]
    patterns, head = fit_patterns(table_of(samples), HeadSettings(rounds=0))
    assert len(patterns) == 2 and head.metrics["macro_auc"]["value"] > 0.9


def test_folds_of_what_cannot_be_divided() -> None:
    assert len(set(folds_of(["a", "b", "c", "d"], [0, 0, 1, 1], 5, 0))) == 2
    for groups, strata in ((["a"] * 4, [0, 0, 1, 1]), (["a", "b"], [0, 1])):
        with pytest.raises(TrainingDataError, match="cannot be cross-validated"):
            folds_of(groups, strata, 5, 0)


def test_a_flag_of_one_group_gets_no_head() -> None:
    samples = [sample(number, "spiral", group="a" if number < 8 else f"g{number}") for number in range(16)]
    labels: list[bool | None] = [number < 8 for number in range(16)]
    assert fit_flag(table_of(samples), labels, HeadSettings(rounds=0)) is None
    alone = [replace(one, group="a") for one in samples]
    assert fit_flag(table_of(alone), labels, HeadSettings(rounds=0)) is None


@pytest.mark.parametrize("there", [False, True])
def test_too_small_a_collection_leaves_nothing_behind(
    tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    types = write_types(tmp_path / "data" / TYPES, 6)
    model, out = write_weights(tmp_path / "model", image_size=96), tmp_path / "out"
    if there:
        out.mkdir()
    with pytest.raises(TrainingDataError, match="avulsion 3, spiral 3"):
        attributes.run(types, out, model=model, runtime="torch", report=lambda _: None)
    assert out.is_dir() is there

    def failing(*_: object, **__: object) -> None:
        assert (out / NETWORK_NAME).is_file()
        raise TrainingDataError("no more", "stop here")

    monkeypatch.setattr(attributes, "extract_for_patterns", failing)
    few = AttributeConfig(heads=HeadSettings(folds=2))
    with pytest.raises(TrainingDataError, match="no more"):
        attributes.run(types, out, model=model, config=few, runtime="torch", report=lambda _: None)
    assert out.is_dir() is there and not list(out.glob("*"))


def test_a_collection_may_be_given_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    types = write_types(tmp_path / TYPES, 4)
    write_fracatlas(tmp_path / "fracatlas")
    assert collection_folders(tmp_path) == {"fracatlas": tmp_path / "fracatlas", TYPES: types}
    lines: list[str] = []
    assert set(read_samples(types, "train", lines.append)) == {TYPES}
    assert lines == [f"no folder {name!r}: what only it teaches is left out" for name in ("fracatlas", "hip")]
    assert {name: len(some) for name, some in read_samples(tmp_path / "fracatlas", "train", print).items()} == {
        "fracatlas": 12
    }
    monkeypatch.chdir(types)
    assert collection_folders(Path()) == {TYPES: Path()}
    with pytest.raises(TrainingDataError, match="holds none of the folders fracatlas, hip, fracture_types") as caught:
        collection_folders(types.rename(tmp_path / "mine"))
    assert "called fracture_types" in caught.value.remedy
