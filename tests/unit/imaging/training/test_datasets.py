"""Reading labelled folders, and what is said of bad rows."""

from pathlib import Path

import pytest

from imaging.training.audit import REPORT_NAME
from imaging.training.datasets import read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.train import TrainingConfig, learn_and_development, split_development
from tests.support.radiographs import write_fracatlas
from tests.support.shared import requires_shared, shared_dir


def test_fracatlas_layout_with_and_without_split_list(tmp_path: Path) -> None:
    root = write_fracatlas(tmp_path / "fa")
    assert len(read_collection(root, "train").samples) == 12
    assert len(read_collection(root, "val").samples) == 4
    (root / "split.csv").unlink()
    everything = read_collection(root, "all")
    assert len(everything.samples) == 16
    assert sum(sample.fractured for sample in everything.samples) == 8
    with pytest.raises(TrainingDataError, match=r"no split\.csv") as caught:
        read_collection(root, "val")
    assert "--split all" in caught.value.remedy


def test_bad_rows_are_named_and_left_out(tmp_path: Path) -> None:
    root = write_fracatlas(tmp_path / "fa")
    labels = root / "Annotations" / "YOLO"
    (labels / "IMG0000000.txt").write_text("0 0.5 0.5 0.1\n")
    (labels / "IMG0000100.txt").write_text("0 1.7 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n")
    (labels / "IMG0000200.txt").unlink()
    (root / "split.csv").write_text((root / "split.csv").read_text() + "IMG0099999.jpg,train\n")
    collection = read_collection(root, "train")
    text = "\n".join(collection.problems)
    assert "IMG0000000.jpg: label line 1 is not" in text
    assert "IMG0000100.jpg: label line 1 lies outside" in text
    assert "IMG0000200.jpg: fractured, but no YOLO label file" in text
    assert "IMG0099999.jpg: listed in split.csv, but no image file" in text
    by_id = {sample.image_id: sample for sample in collection.samples}
    assert not by_id["IMG0000200.jpg"].boxes_known
    assert len(by_id["IMG0000100.jpg"].boxes) == 1


def test_unknown_layout_and_split(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"neither images\.csv nor"):
        read_collection(tmp_path)
    with pytest.raises(TrainingDataError, match="no folder"):
        read_collection(tmp_path / "absent")
    with pytest.raises(TrainingDataError, match="no split 'test'") as caught:
        read_collection(write_fracatlas(tmp_path / "fa"), "test")
    assert "Known splits: train, val" in caught.value.remedy


def test_csv_layout(tmp_path: Path) -> None:
    source = write_fracatlas(tmp_path / "fa", fractured=1, healthy=1)
    (tmp_path / "csv" / "images").mkdir(parents=True)
    for path in (source / "images").rglob("*.jpg"):
        path.rename(tmp_path / "csv" / "images" / path.name)
    (tmp_path / "csv" / "images.csv").write_text("image,has_fracture\nIMG0000000.jpg,1\nIMG0000100.jpg,0\nlost.jpg,0\n")
    (tmp_path / "csv" / "boxes.csv").write_text("image,x1,y1,x2,y2\nIMG0000000.jpg,10,20,40,60\nother.jpg,1,1,2,2\n")
    collection = read_collection(tmp_path / "csv")
    assert [sample.fractured for sample in collection.samples] == [True, False]
    assert collection.samples[0].boxes == ((10 / 96, 20 / 120, 40 / 96, 60 / 120),)
    assert any("lost.jpg" in problem for problem in collection.problems)
    assert any("other.jpg" in problem for problem in collection.problems)


def write_tables(root: Path, splits: tuple[str, ...]) -> Path:
    """The CSV layout, image n in the n-th of the splits."""
    source = write_fracatlas(root / "fa", fractured=2, healthy=2)
    folder = root / "csv"
    (folder / "images").mkdir(parents=True)
    rows = ["image,has_fracture,split"]
    for path, split in zip(sorted((source / "images").rglob("*.jpg")), splits, strict=True):
        rows.append(f"{path.name},{int(path.parent.name == 'Fractured')},{split}")
        path.rename(folder / "images" / path.name)
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_splits_that_the_table_does_not_name(tmp_path: Path) -> None:
    some = write_tables(tmp_path / "some", ("train", "train", "val", ""))
    assert len(read_collection(some, "train").samples) == 2
    with pytest.raises(TrainingDataError, match="no split 'test'") as caught:
        read_collection(some, "test")
    assert "Known splits: train, val, all" in caught.value.remedy
    none = write_tables(tmp_path / "none", ("",) * 4)
    assert len(read_collection(none, "all").samples) == 4
    with pytest.raises(TrainingDataError, match="puts no image into a split") as caught:
        read_collection(none, "train")
    assert "cds data split" in caught.value.remedy and "--split-list" in caught.value.remedy


def test_bad_rows_are_named_although_the_split_stops_the_training(tmp_path: Path) -> None:
    data = write_tables(tmp_path, ("",) * 4)
    (data / "images" / "IMG0000300.jpg").write_bytes(b"broken")
    lines: list[str] = []
    with pytest.raises(TrainingDataError, match="puts no image into a split"):
        learn_and_development(data, TrainingConfig(), out=tmp_path / "out", report=lines.append)
    assert any("IMG0000300.jpg" in line for line in lines)
    assert (tmp_path / "out" / REPORT_NAME).is_file()
    with pytest.raises(TrainingDataError, match=r"neither images\.csv nor"):
        learn_and_development(tmp_path / "out", TrainingConfig(), report=lines.append)


def test_development_blocks_never_share_a_group(tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa"), "all").samples
    learn, development = split_development(samples, folds=4, fold=1)
    assert learn and development
    assert not {sample.group for sample in learn} & {sample.group for sample in development}


@requires_shared
def test_real_folders_are_read() -> None:
    shared = shared_dir()
    assert shared is not None
    atlas = read_collection(shared / "data" / "fracatlas", "all")
    assert (len(atlas.samples), sum(s.fractured for s in atlas.samples)) == (3553, 634)
    assert sum(len(sample.boxes) for sample in atlas.samples) == 828
    hip = read_collection(shared / "data" / "hip")
    assert (len(hip.samples), sum(s.fractured for s in hip.samples)) == (354, 123)
    types = read_collection(shared / "data" / "fracture_types")
    assert len(types.samples) == 969
