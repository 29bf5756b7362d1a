"""Groups stay whole, fractures are spread, lists come back, copies across splits are found."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.training.datasets import Collection, LabelledRadiograph, read_collection, read_grey
from imaging.training.errors import TrainingDataError
from imaging.training.splits import (
    REST,
    describe_splits,
    group_leaks,
    near_duplicates,
    part_of,
    plan_splits,
    read_list,
    shares_of,
    with_rest,
    write_list,
)
from tests.support.radiographs import write_fracatlas
from tests.support.shared import requires_shared, shared_dir


def samples_of(groups: list[tuple[int, int]]) -> list[LabelledRadiograph]:
    """One group per pair of (fractured, healthy) images."""
    return [
        LabelledRadiograph(
            image_id=f"g{group}-{number}",
            path=Path(f"g{group}-{number}.png"),
            boxes=(),
            fractured=number < fractured,
            group=f"g{group}",
        )
        for group, (fractured, healthy) in enumerate(groups)
        for number in range(fractured + healthy)
    ]


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8)).filter(any), min_size=6, max_size=40),
    seed=st.integers(0, 99),
)
def test_groups_stay_whole_and_the_seed_decides(groups: list[tuple[int, int]], seed: int) -> None:
    samples = samples_of(groups)
    assignment = plan_splits(samples, shares_of("kfold", 3), seed=seed)
    assert set(assignment) == {sample.image_id for sample in samples}
    assert group_leaks(samples, assignment) == {}
    assert assignment == plan_splits(samples, shares_of("kfold", 3), seed=seed)


def test_shares_and_fractures_come_out_as_wanted() -> None:
    rng = np.random.default_rng(0)
    samples = samples_of([(int(rng.integers(0, 5)), int(rng.integers(2, 20))) for _ in range(120)])
    assignment = plan_splits(samples, shares_of("80-10-10"), seed=1)
    for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        part = [sample for sample in samples if assignment[sample.image_id] == split]
        assert len(part) / len(samples) == pytest.approx(share, abs=0.02)
        fractured = sum(sample.fractured for sample in part) / sum(sample.fractured for sample in samples)
        assert fractured == pytest.approx(share, abs=0.02)
    assert len(describe_splits(samples, assignment)) == 3


@pytest.mark.parametrize("scheme", ["80-10", "100-0", "thirds", "80-10-5-5"])
def test_bad_schemes(scheme: str) -> None:
    with pytest.raises(TrainingDataError):
        shares_of(scheme)
    with pytest.raises(TrainingDataError, match="cannot be dealt"):
        plan_splits(samples_of([(1, 1)]), shares_of("80-20"), seed=0)


def test_lists_come_back_and_parts_name_what_is_missing(tmp_path: Path) -> None:
    samples = samples_of([(1, 2)] * 6)
    assignment = plan_splits(samples, shares_of("80-20"), seed=0)
    path = write_list(tmp_path / "split.csv", samples, assignment)
    assert read_list(path) == assignment
    collection = Collection(name="made", samples=tuple(samples[1:]))
    del assignment[samples[-1].image_id]
    part = part_of(collection, assignment, assignment[samples[0].image_id])
    assert f"{samples[0].image_id}: in the split list, but not in the data set" in part.problems
    assert f"{samples[-1].image_id}: not in the split list" in part.problems
    with pytest.raises(TrainingDataError, match="no split 'test'"):
        part_of(collection, assignment, "test")
    path.write_text("image_id,split\na,train\na,val\n")
    with pytest.raises(TrainingDataError, match=r"split\.csv:3 puts an image into a second split"):
        read_list(path)


def test_a_fold_that_the_list_does_not_have() -> None:
    folds = {"a": "fold0", "b": "fold1", "c": "fold2"}
    assert with_rest(folds, REST, "fold1") == {"a": REST, "b": "fold1", "c": REST}
    with pytest.raises(TrainingDataError, match="no split 'fold9'") as caught:
        with_rest(folds, REST, "fold9")
    assert "fold0, fold1, fold2" in caught.value.remedy


def test_copies_are_found_and_kept_together(tmp_path: Path) -> None:
    samples = list(read_collection(write_fracatlas(tmp_path / "fa", fractured=3, healthy=3)).samples)
    rng = np.random.default_rng(0)
    for sample in samples:  # blurred noise: each picture unlike every other
        picture = cv2.GaussianBlur(rng.integers(0, 255, (120, 96)).astype(np.uint8), (0, 0), 6)
        cv2.imwrite(str(sample.path), cv2.equalizeHist(picture))
    original = read_grey(samples[0].path)
    small = cv2.resize(original, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(samples[3].path), cv2.convertScaleAbs(small, alpha=0.9, beta=8))
    cv2.imwrite(str(samples[4].path), original[:, ::-1])
    samples[5].path.write_bytes(b"broken")
    found = {(pair.first, pair.second, pair.mirrored) for pair in near_duplicates(samples, distance=24)}
    ids = [sample.image_id for sample in samples]
    assert {(ids[0], ids[3], False), (ids[0], ids[4], True)} <= found
    assert not {pair for pair in found if ids[1] in pair or ids[2] in pair}
    together = [(first, second) for first, second, _ in found]
    for seed in range(5):
        joined = plan_splits(samples, shares_of("80-20"), seed=seed, together=together)
        assert near_duplicates(samples, joined, distance=24) == []


@requires_shared
def test_ten_folds_of_real_blocks() -> None:
    shared = shared_dir()
    assert shared is not None
    samples = read_collection(shared / "data" / "fracatlas", "all").samples
    assignment = plan_splits(samples, shares_of("kfold", 5), seed=0)
    counts = [sum(s.fractured for s in samples if assignment[s.image_id] == f"fold{k}") for k in range(5)]
    assert group_leaks(samples, assignment) == {}
    assert min(counts) > 0.7 * max(counts)
