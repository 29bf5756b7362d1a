"""YOLO, Pascal VOC, COCO and CSV give one and the same collection; bad rows are named; nothing is half written."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from imaging.training.audit import Effect, audit
from imaging.training.datasets import read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.importers import convert as converting
from imaging.training.importers.convert import ImportOptions, Placement, Unlabelled, convert
from imaging.training.importers.found import DatasetFormat, split_of, upright_size

WIDTH, HEIGHT = 100, 80
BOX = (20.0, 16.0, 60.0, 40.0)
"""Pixels of the fracture in the image ``broken``."""


def write_image(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8))
    return path


def write_yolo(root: Path) -> Path:
    write_image(root / "train/images/broken.png", 1)
    write_image(root / "valid/images/whole.png", 2)
    for split in ("train", "valid"):
        (root / split / "labels").mkdir()
    (root / "train/labels/broken.txt").write_text("1 0.4 0.35 0.4 0.3\n0 0.9 0.9 0.1 0.1\n")
    (root / "valid/labels/whole.txt").write_text("")
    (root / "data.yaml").write_text(yaml.safe_dump({"names": ["metal", "fracture"], "train": "../train/images"}))
    return root


def write_voc(root: Path) -> Path:
    def item(label: str, x1: float, y1: float, x2: float, y2: float) -> str:
        corners = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        return f"<object><name>{label}</name><bndbox>{corners}</bndbox></object>"

    def annotation(name: str, objects: str) -> str:
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        return f"<annotation><filename>{name}</filename>{size}{objects}</annotation>"

    write_image(root / "JPEGImages/broken.png", 1)
    write_image(root / "JPEGImages/whole.png", 2)
    (root / "Annotations").mkdir()
    both = item("fracture", *BOX) + item("metal", 85, 68, 95, 76)
    (root / "Annotations/broken.xml").write_text(annotation("broken.png", both))
    (root / "Annotations/whole.xml").write_text(annotation("whole.png", ""))
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/train.txt").write_text("broken\n")
    (root / "ImageSets/Main/val.txt").write_text("whole\n")
    return root


def write_coco(root: Path) -> Path:
    write_image(root / "train/broken.png", 1)
    write_image(root / "valid/whole.png", 2)
    categories = [{"id": 1, "name": "metal"}, {"id": 7, "name": "fracture"}]
    boxes = [
        {"id": 1, "image_id": 5, "category_id": 7, "bbox": [20, 16, 40, 24]},
        {"id": 2, "image_id": 5, "category_id": 1, "bbox": [85, 68, 10, 8]},
    ]
    for split, name, annotations in (("train", "broken.png", boxes), ("valid", "whole.png", [])):
        document = {"images": [{"id": 5, "file_name": name}], "annotations": annotations, "categories": categories}
        (root / split / "_annotations.coco.json").write_text(json.dumps(document))
    return root


def write_csv(root: Path) -> Path:
    write_image(root / "pictures/broken.png", 1)
    write_image(root / "pictures/whole.png", 2)
    (root / "labels.csv").write_text(
        "filename,xmin,ymin,xmax,ymax,class,patient,set\n"
        "broken.png,20,16,60,40,fracture,p1,train\n"
        "broken.png,85,68,95,76,metal,p1,train\n"
        "whole.png,,,,,,p2,valid\n"
    )
    return root


WRITERS = {
    DatasetFormat.YOLO: write_yolo,
    DatasetFormat.VOC: write_voc,
    DatasetFormat.COCO: write_coco,
    DatasetFormat.CSV: write_csv,
}
FRACTURE = ImportOptions(fracture_labels=frozenset({"Fracture"}))


@pytest.mark.parametrize("kind", list(DatasetFormat))
def test_every_format_gives_the_same_collection(kind: DatasetFormat, tmp_path: Path) -> None:
    source = WRITERS[kind](tmp_path / "source")
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    result = convert(source, tmp_path / "out", kind, FRACTURE)
    assert result.problems == ()
    assert (result.images, result.fractured, result.boxes) == (2, 1, 1)
    assert result.labels == (("fracture", 1, True), ("metal", 1, False))
    collection = read_collection(tmp_path / "out", "train")
    assert collection.problems == ()
    (sample,) = collection.samples
    assert sample.boxes[0] == pytest.approx((0.2, 0.2, 0.6, 0.5), abs=1e-3)
    (healthy,) = read_collection(tmp_path / "out", "val").samples
    assert not healthy.fractured and healthy.boxes == ()
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before


def test_several_labels_need_a_word(tmp_path: Path) -> None:
    source = write_yolo(tmp_path / "source")
    with pytest.raises(TrainingDataError, match="several labels") as caught:
        convert(source, tmp_path / "out", DatasetFormat.YOLO)
    assert "--fracture-label" in caught.value.remedy
    with pytest.raises(TrainingDataError, match="no box is labelled break"):
        convert(source, tmp_path / "out", DatasetFormat.YOLO, ImportOptions(fracture_labels=frozenset({"break"})))
    assert not (tmp_path / "out").exists()


def test_bad_yolo_rows_are_named(tmp_path: Path) -> None:
    source = write_yolo(tmp_path / "source")
    (source / "train/labels/broken.txt").write_text(
        "1 0.4 0.35 0.4 0.3\n1 0.4 0.35 0.4 0.3\n5 0.5 0.5 0.1 0.1\nnonsense\n1 0.5 0.5 0 0.1\n1 1.8 0.5 0.1 0.1\n"
        "1 0.2 0.2 0.6 0.2 0.6 0.5\n"
    )
    (source / "train/labels/orphan.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    (source / "valid/labels/whole.txt").unlink()
    (source / "train/images/scan.bmp").write_bytes(b"BM")
    (source / "train/images/broken-file.png").write_bytes(b"not a picture")
    result = convert(source, tmp_path / "out", DatasetFormat.YOLO, FRACTURE)
    text = "\n".join(result.problems)
    for words in (
        "broken.txt:2: the same box again",
        "broken.txt:3: class 5 is not one of",
        "broken.txt:4: not 'class cx cy w h'",
        "broken.txt:5: the box has no area",
        "broken.txt:6: the box lies outside",
        "orphan.txt: label file without an image",
        "scan.bmp: neither JPEG nor PNG",
        "broken-file.png: cannot be opened",
        "whole.png: no label mentions it, left out",
    ):
        assert words in text
    # Row 7 is a polygon around the same place as row 1.
    assert (result.images, result.boxes) == (1, 1)


def test_unlabelled_and_doubtful_images(tmp_path: Path) -> None:
    source = write_yolo(tmp_path / "source")
    write_image(source / "train/images/unknown.png", 3)
    (source / "valid/labels/whole.txt").write_text("nonsense\n")
    options = ImportOptions(fracture_labels=frozenset({"fracture"}), unlabelled=Unlabelled.HEALTHY)
    result = convert(source, tmp_path / "out", DatasetFormat.YOLO, options)
    assert {sample.image_id for sample in read_collection(tmp_path / "out").samples} == {"broken.png", "unknown.png"}
    assert any("whole.png: left out, since a row" in problem for problem in result.problems)


def test_bad_voc_coco_and_csv_rows_are_named(tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc")
    text = (voc / "Annotations/broken.xml").read_text()
    (voc / "Annotations/broken.xml").write_text(text.replace(f"<width>{WIDTH}", "<width>999"))
    (voc / "Annotations/other.xml").write_text("<annotation><filename>gone.png</filename></annotation>")
    (voc / "Annotations/torn.xml").write_text("<annotation><obj")
    found = convert(voc, tmp_path / "voc-out", DatasetFormat.VOC, FRACTURE)
    assert [words for words in ("another size", "without an image", "not a Pascal VOC") if words in str(found.problems)]
    assert (found.fractured, found.boxes) == (1, 0)

    coco = write_coco(tmp_path / "coco")
    path = coco / "train/_annotations.coco.json"
    document = json.loads(path.read_text())
    document["annotations"] += [
        {"image_id": 99, "category_id": 7, "bbox": [1, 1, 2, 2]},
        {"image_id": 5, "category_id": 42, "bbox": [1, 1, 2, 2]},
        {"image_id": 5, "category_id": 7, "bbox": [1, 1, 2]},
    ]
    path.write_text(json.dumps(document))
    problems = str(convert(coco, tmp_path / "coco-out", DatasetFormat.COCO, FRACTURE).problems)
    for words in ("annotations[2]: label without", "annotations[3]: category 42", "annotations[4]: bbox is not"):
        assert words in problems

    table = write_csv(tmp_path / "csv")
    with (table / "labels.csv").open("a") as handle:
        handle.write("gone.png,1,1,2,2,fracture,,\nbroken.png,a,1,2,2,fracture,,\n")
    problems = str(convert(table, tmp_path / "csv-out", DatasetFormat.CSV, FRACTURE).problems)
    assert "labels.csv:5: no image file 'gone.png'" in problems
    assert "labels.csv:6: x1, y1, x2, y2 are not four numbers" in problems


def test_exported_copies_and_patients_are_groups(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for split, name in (("train", "a_jpg.rf.0123456789ab.png"), ("valid", "a_jpg.rf.ba9876543210.png")):
        write_image(source / split / "images" / name, len(split))
        (source / split / "labels").mkdir()
        (source / split / "labels" / name).with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
    convert(source, tmp_path / "out", DatasetFormat.YOLO)
    assert {sample.group for sample in read_collection(tmp_path / "out").samples} == {"a_jpg"}
    convert(source, tmp_path / "out2", DatasetFormat.YOLO, ImportOptions(group_pattern=r"rf\.(\d)"))
    assert {sample.group for sample in read_collection(tmp_path / "out2").samples} == {"0", "a_jpg"}
    with pytest.raises(TrainingDataError, match="has no group"):
        convert(source, tmp_path / "out3", DatasetFormat.YOLO, ImportOptions(group_pattern="rf"))


def test_links_names_and_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_yolo(tmp_path / "source")
    shutil.copy(source / "train/images/broken.png", source / "valid/images/broken.png")
    (source / "valid/labels/broken.txt").write_text("")
    options = ImportOptions(fracture_labels=FRACTURE.fracture_labels, placement=Placement.LINK)
    convert(source, tmp_path / "out", DatasetFormat.YOLO, options)
    names = {path.name for path in (tmp_path / "out/images").iterdir()}
    assert names == {"images_broken.png", "valid_images_broken.png", "whole.png"}
    assert all(path.is_symlink() for path in (tmp_path / "out/images").iterdir())
    with pytest.raises(TrainingDataError, match="not empty"):
        convert(source, tmp_path / "out", DatasetFormat.YOLO, options)

    def full(*_: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(converting, "_write_table", full)
    with pytest.raises(OSError, match="no space"):
        convert(source, tmp_path / "late", DatasetFormat.YOLO, options)
    assert [path.name for path in tmp_path.iterdir() if "late" in path.name] == []


def test_upright_size_and_split_names(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert upright_size(tmp_path / "turned.jpg") == (20, 30)
    assert split_of(Path("valid/images")) == "val"
    assert split_of(Path("images/other")) == ""


def test_tables_without_columns_or_with_fractions(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "source")
    (source / "second.csv").write_text("image,x1,y1,x2,y2\nbroken.png,0.2,0.2,0.6,0.5\nwhole.png,,,,\n")
    with pytest.raises(TrainingDataError, match="several CSV files"):
        convert(source, tmp_path / "out", DatasetFormat.CSV)
    convert(source / "second.csv", tmp_path / "out", DatasetFormat.CSV)
    with (tmp_path / "out/boxes.csv").open() as handle:
        (row,) = csv.DictReader(handle)
    assert (row["x1"], row["y2"], row["source_label"]) == ("20.00", "40.00", "fracture")
    (source / "second.csv").write_text("image,x1,y1,x2\n")
    with pytest.raises(TrainingDataError, match="lacks the column"):
        convert(source / "second.csv", tmp_path / "out2", DatasetFormat.CSV)


def test_pictures_that_were_cut_short_are_named(tmp_path: Path) -> None:
    root = tmp_path / "yolo"
    (root / "labels").mkdir(parents=True)
    for number, suffix in enumerate((".jpg", ".jpg", ".jpg", ".png")):
        path = write_image(root / "images" / f"{number}{suffix}", number)
        (root / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n" if number else "")
        if number > 1:
            path.write_bytes(path.read_bytes()[:-200])
    with (root / "images" / "1.jpg").open("ab") as stream:
        stream.write(bytes(100))  # some programs pad their files
    result = convert(root, tmp_path / "out", DatasetFormat.YOLO)
    assert result.images == 3 and result.splits == ()
    assert result.problems == (
        "images/2.jpg: the file seems cut short, its end is missing; replace the file",
        "images/3.png: cannot be opened as an image; replace the file",
        "labels/3.txt: label file without an image",
    )
    assert [(one.image, one.effect) for one in audit(tmp_path / "out").unusable] == [("2.jpg", Effect.IMAGE_OUT)]
