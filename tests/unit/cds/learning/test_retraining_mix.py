"""Old and new cases in one data set."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from cds.learning.retraining.cases import REPLAY, read_exports
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.mix import HELD_OUT, LEARN, Mix, mix, write_mix
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.training.splits import read_list
from tests.support.radiographs import write_fracatlas
from tests.support.retraining import write_feedback


def silent(_: str) -> None:
    """Report nothing."""


@pytest.fixture
def old(tmp_path: Path) -> tuple[list[LabelledRadiograph], list[LabelledRadiograph]]:
    samples = read_collection(write_fracatlas(tmp_path / "old", fractured=6, healthy=10)).samples
    held_out = [one for number, one in enumerate(samples) if number % 4 == 0]
    return [one for one in samples if one not in held_out], held_out


def share_of_old(mixed: Mix, *, fractured: bool) -> float:
    cases = [one for one in mixed.part(LEARN) if one.sample.fractured is fractured]
    total = sum(one.sample.weight for one in cases)
    return sum(one.sample.weight for one in cases if one.source == REPLAY) / total


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_share_of_old_draws_is_as_asked_in_either_class(
    tmp_path: Path, old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]], share: float
) -> None:
    exports = read_exports([write_feedback(tmp_path / "new", fractured=6, healthy=2)], report=silent)
    mixed = mix(*old, exports, replay_share=share, held_out_share=0.0, seed=1)
    assert share_of_old(mixed, fractured=True) == pytest.approx(share)
    assert share_of_old(mixed, fractured=False) == pytest.approx(share)


def test_a_class_that_is_only_old_or_only_new_is_drawn_all_the_same(
    tmp_path: Path, old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]]
) -> None:
    exports = read_exports([write_feedback(tmp_path / "new", fractured=0, healthy=4)], report=silent)
    mixed = mix(*old, exports, replay_share=0.5, held_out_share=0.0, seed=1)
    assert share_of_old(mixed, fractured=True) == 1.0
    assert share_of_old(mixed, fractured=False) == pytest.approx(0.5)


def test_without_replay_the_old_cases_only_set_thresholds(
    tmp_path: Path, old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]]
) -> None:
    exports = read_exports([write_feedback(tmp_path / "new")], report=silent)
    mixed = mix(*old, exports, replay_share=0.0, held_out_share=0.0, seed=1)
    assert not mixed.part(LEARN, source=REPLAY)
    assert len(mixed.part(HELD_OUT, source=REPLAY)) == len(old[1])


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_on_both_sides_and_old_patients_stay_where_they_were(
    tmp_path: Path, old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]], seed: int
) -> None:
    learn, held_out = old
    new = write_feedback(tmp_path / "new", fractured=12, healthy=12, per_patient=3)
    known = replace(held_out[0], group="p1")  # a patient of the new round who was held out before
    mixed = mix(learn, [known, *held_out[1:]], read_exports([new], report=silent),
                replay_share=0.5, held_out_share=0.3, seed=seed)  # fmt: skip
    sides = {split: {one.sample.group for one in mixed.part(split)} for split in (LEARN, HELD_OUT)}
    assert not sides[LEARN] & sides[HELD_OUT]
    assert "p1" in sides[HELD_OUT]
    new_held_out = mixed.part(HELD_OUT, source="new")
    assert any(one.sample.fractured for one in new_held_out)
    assert any(not one.sample.fractured for one in new_held_out)


def test_a_radiograph_that_comes_again_takes_the_later_label_and_the_old_place(
    tmp_path: Path, old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]]
) -> None:
    first = write_feedback(tmp_path / "first", seed=7)
    second = write_feedback(tmp_path / "second", seed=7, prefix="q")
    exports = read_exports([first, second], report=silent)
    learn, held_out = old
    again = replace(exports[0].samples[0], image_id="again.png", group="earlier")
    mixed = mix(learn, [*held_out, again], exports, replay_share=0.5, held_out_share=0.0, seed=1)
    assert not mixed.part(LEARN, source="first")
    held = [one.sample.group for one in mixed.part(HELD_OUT, source="second")]
    assert set(held) == {"q0"}, "the whole patient follows the radiograph that was held out before"
    assert sum("later label" in note for note in mixed.notes) == 8
    assert sum("old case" in note for note in mixed.notes) == 1
    assert len({one.pixels for one in mixed.cases}) == len(mixed.cases)


def test_what_is_written_is_read_again(
    tmp_path: Path, old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]]
) -> None:
    exports = read_exports([write_feedback(tmp_path / "new")], report=silent)
    mixed = mix(*old, exports, replay_share=0.5, held_out_share=0.3, seed=1)
    listed = write_mix(mixed, tmp_path / "data", report=silent)
    first = (tmp_path / "data" / "images.csv").read_bytes()
    write_mix(mixed, tmp_path / "data", report=silent)
    assert (tmp_path / "data" / "images.csv").read_bytes() == first
    again = {one.image_id: one for one in read_collection(tmp_path / "data").samples}
    places = read_list(listed)
    assert set(again) == set(places)
    for one in mixed.cases:
        found = again[one.sample.image_id]
        assert found.fractured is one.sample.fractured
        assert found.group == one.sample.group
        assert found.weight == pytest.approx(one.sample.weight, rel=1e-4)
        assert places[one.sample.image_id] == one.split
        for box, wanted in zip(found.boxes, one.sample.boxes, strict=True):
            assert box == pytest.approx(wanted, abs=1e-4)


def test_a_weight_that_is_no_number_is_told(tmp_path: Path) -> None:
    data = write_feedback(tmp_path / "new")
    with (data / "images.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row, weight in zip(rows, ("2.5", "0", "many", "inf", "", "1", "1", "1"), strict=True):
        row["weight"] = weight
    with (data / "images.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    collection = read_collection(data)
    assert [one.weight for one in collection.samples[:5]] == [2.5, 1.0, 1.0, 1.0, 1.0]
    assert sum("weight" in line for line in collection.problems) == 3


def test_nothing_to_learn_from_is_refused(old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]]) -> None:
    with pytest.raises(RetrainingError, match="no case is left"):
        mix(*old, (), replay_share=0.0, held_out_share=0.0, seed=1)


def test_a_copy_bears_its_name_once_it_is_whole(
    tmp_path: Path,
    old: tuple[list[LabelledRadiograph], list[LabelledRadiograph]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_link(*_: object) -> None:
        raise OSError

    def crash(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:20])
        raise KeyboardInterrupt

    mixed = mix(*old, (), replay_share=0.5, held_out_share=0.0, seed=1)
    monkeypatch.setattr("cds.learning.retraining.mix.os.link", no_link)
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("cds.learning.retraining.mix.shutil.copyfile", crash)
        write_mix(mixed, tmp_path / "mix", report=silent)
    write_mix(mixed, tmp_path / "mix", report=silent)
    images = tmp_path / "mix" / "images"
    assert sorted(one.name for one in images.iterdir()) == sorted(one.sample.image_id for one in mixed.cases)
    for one in mixed.cases:
        assert (images / one.sample.image_id).read_bytes() == one.sample.path.read_bytes()
