"""Every kind of bad row is named with its place and its remedy, and left out of a training."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from imaging.training.audit import REPORT_NAME, Effect, audit, clean, vet
from imaging.training.audit.files import filled_share
from imaging.training.datasets import read_collection, read_grey
from imaging.training.errors import TrainingDataError
from tests.support.radiographs import write_fracatlas


def findings(root: Path) -> dict[str, list[tuple[str, int | None, Effect]]]:
    found: dict[str, list[tuple[str, int | None, Effect]]] = {}
    for one in audit(root).findings:
        assert one.reason and one.remedy and one.line()
        found.setdefault(one.code, []).append((Path(one.file).name, one.row, one.effect))
    return found


def test_a_sound_data_set_has_no_findings(tmp_path: Path) -> None:
    report = audit(write_fracatlas(tmp_path / "fa"))
    assert report.findings == ()
    assert (report.images, report.fractured, report.boxes) == (16, 8, 8)


def test_fracatlas_rows(tmp_path: Path) -> None:
    root = write_fracatlas(tmp_path / "fa")
    labels = root / "Annotations" / "YOLO"
    (labels / "IMG0000000.txt").write_text(
        "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n3 0.3 0.3 0.1 0.1\n0 0.5 0.5 0 0.1\n0 1.9 0.5 0.1 0.1\n"
        "0 0.5 0.5 x 1\n0 0.95 0.5 0.2 0.2\n"
    )
    (labels / "IMG0000100.txt").unlink()
    (labels / "IMG0077777.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (labels / "IMG0000900.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    healthy = root / "images" / "Non_fractured"
    whole = (healthy / "IMG0001000.jpg").read_bytes()
    (healthy / "IMG0001000.jpg").write_bytes(whole[: len(whole) // 2])
    (healthy / "IMG0001100.jpg").write_bytes(b"")
    (healthy / "IMG0001200.jpg").write_bytes((root / "images/Fractured/IMG0000200.jpg").read_bytes())
    (healthy / "scan.tif").write_bytes(b"II*")
    with (root / "split.csv").open("a") as handle:
        handle.write("IMG0099999.jpg,train\nIMG0000400.jpg,val\n")
    found = findings(root)
    assert found == {
        "data.image.format": [("scan.tif", None, Effect.IMAGE_OUT)],
        "data.image.corrupt": [
            ("IMG0001000.jpg", None, Effect.IMAGE_OUT),
            ("IMG0001100.jpg", None, Effect.IMAGE_OUT),
        ],
        "data.image.contradiction": [("IMG0001200.jpg", None, Effect.IMAGE_OUT)],
        "data.box.duplicate": [("IMG0000000.txt", 2, Effect.ROW_OUT)],
        "data.label.class": [("IMG0000000.txt", 3, Effect.ROW_OUT)],
        "data.box.no_area": [("IMG0000000.txt", 4, Effect.ROW_OUT)],
        "data.box.outside": [
            ("IMG0000000.txt", 5, Effect.ROW_OUT),
            ("IMG0000000.txt", 7, Effect.CHANGED),
        ],
        "data.label.malformed": [("IMG0000000.txt", 6, Effect.ROW_OUT)],
        "data.label.no_image": [("IMG0077777.txt", None, Effect.ROW_OUT)],
        "data.label.contradiction": [("IMG0000900.txt", None, Effect.NOTE)],
        "data.label.missing": [("IMG0000100.jpg", None, Effect.NOTE)],
        "data.image.missing": [("split.csv", 18, Effect.ROW_OUT)],
        "data.split.twice": [("split.csv", 19, Effect.IMAGE_OUT)],
    }
    left = {sample.image_id: sample for sample in clean(read_collection(root), audit(root)).samples}
    assert len(left) == 12
    assert len(left["IMG0000000.jpg"].boxes) == 2


def test_a_wrong_class_alone_leaves_an_image_without_boxes(tmp_path: Path) -> None:
    root = write_fracatlas(tmp_path / "fa")
    (root / "Annotations/YOLO/IMG0000000.txt").write_text("2 0.5 0.5 0.2 0.2\n")
    left = {sample.image_id: sample for sample in clean(read_collection(root), audit(root)).samples}
    assert left["IMG0000000.jpg"].boxes == () and not left["IMG0000000.jpg"].boxes_known


def write_tables(root: Path) -> Path:
    source = write_fracatlas(root / "fa", fractured=4, healthy=4)
    (root / "images").mkdir()
    for path in (source / "images").rglob("*.jpg"):
        path.rename(root / "images" / path.name)
    rows = [f"IMG{n * 100:07d}.jpg,{int(n < 4)},g{n},train,96,120" for n in range(8)]
    (root / "images.csv").write_text("image,has_fracture,group,split,width,height\n" + "\n".join(rows) + "\n")
    boxes = [f"IMG{n * 100:07d}.jpg,10,20,40,60" for n in range(4)]
    (root / "boxes.csv").write_text("image,x1,y1,x2,y2\n" + "\n".join(boxes) + "\n")
    return root


def test_table_rows(tmp_path: Path) -> None:
    root = write_tables(tmp_path)
    assert findings(root) == {}
    with (root / "images.csv").open("a") as handle:
        handle.write("gone.jpg,1,,,,\nIMG0000000.jpg,1,g0,val,96,120\nblank.jpg,,,,,\nwide.jpg,0,,,50,50\n")
    for name in ("blank.jpg", "wide.jpg", "unlisted.jpg"):
        picture = np.random.default_rng(len(name)).integers(0, 255, (90, 90)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / name), picture)
    with (root / "boxes.csv").open("a") as handle:
        handle.write("other.jpg,1,1,2,2\nblank.jpg,1,1,2,2\nIMG0000400.jpg,1,1,9,9\nIMG0000000.jpg,a,1,9,9\n")
        handle.write("IMG0000000.jpg,10,20,40,60\nIMG0000000.jpg,30,20,30,60\n")
    assert findings(root) == {
        "data.image.missing": [("images.csv", 10, Effect.ROW_OUT)],
        "data.image.twice": [("images.csv", 11, Effect.NOTE)],
        "data.class.blank": [("images.csv", 12, Effect.IMAGE_OUT)],
        "data.image.size": [("images.csv", 13, Effect.NOTE)],
        "data.split.leak": [("images.csv", 2, Effect.NOTE)],
        "data.image.unlisted": [("unlisted.jpg", None, Effect.NOTE)],
        "data.label.no_image": [("boxes.csv", 6, Effect.ROW_OUT), ("boxes.csv", 7, Effect.ROW_OUT)],
        "data.label.contradiction": [("boxes.csv", 8, Effect.NOTE)],
        "data.label.malformed": [("boxes.csv", 9, Effect.ROW_OUT)],
        "data.box.duplicate": [("boxes.csv", 10, Effect.ROW_OUT)],
        "data.box.no_area": [("boxes.csv", 11, Effect.ROW_OUT)],
    }


def test_one_class_and_labelled_parts(tmp_path: Path) -> None:
    assert "data.class.empty" in findings(write_fracatlas(tmp_path / "one", healthy=0))
    root = write_tables(tmp_path)
    (root / "boxes.csv").write_text("image,label,x1,y1,x2,y2\nIMG0000000.jpg,femur,10,20,40,60\n")
    assert set(findings(root)) == {"data.box.labelled"}
    with pytest.raises(TrainingDataError, match="neither") as caught:
        audit(tmp_path / "images")
    assert "cds data import" in caught.value.remedy


def test_a_file_cut_short_and_saved_again_is_noted() -> None:
    pixels = np.random.default_rng(0).random((200, 100), dtype=np.float32)
    assert filled_share(pixels) == 0.0
    pixels[150:, 20:] = 128 / 255
    assert filled_share(pixels) == pytest.approx(0.25)


def test_look_alikes_matter_between_groups_and_labels(tmp_path: Path) -> None:
    """Two views of one block may look alike; a copy in another block, or with another label, is named."""
    root = write_fracatlas(tmp_path / "fa")
    healthy = root / "images" / "Non_fractured"
    one = read_grey(healthy / "IMG0000800.jpg")
    (root / "split.csv").unlink()
    cv2.imwrite(str(healthy / "IMG0000801.png"), one)
    assert findings(root) == {}
    cv2.imwrite(str(healthy / "IMG0001600.png"), one, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert findings(root) == {"data.image.near_duplicate": [("IMG0001600.png", None, Effect.NOTE)] * 2}
    (healthy / "IMG0001600.png").rename(root / "images" / "Fractured" / "IMG0001600.png")
    found = findings(root)
    assert found.keys() == {"data.image.near_contradiction", "data.label.missing"}
    assert {effect for _, _, effect in found["data.image.near_contradiction"]} == {Effect.NOTE}


def test_training_goes_on_or_stops(tmp_path: Path) -> None:
    root = write_fracatlas(tmp_path / "fa")
    collection = read_collection(root)
    (root / "images/Non_fractured/IMG0001000.jpg").write_bytes(b"broken")
    lines: list[str] = []
    left = vet(collection, root, out=tmp_path / "out", report=lines.append)
    assert len(left.samples) == 15 and "IMG0001000.jpg" in lines[0]
    document = json.loads((tmp_path / "out" / REPORT_NAME).read_text())
    assert document["unusable"] == 1 and document["findings"][0]["remedy"]
    with pytest.raises(TrainingDataError, match="1 rows or images cannot be used") as caught:
        vet(collection, root, on_bad_data="stop", report=lines.append)
    assert "on_bad_data: report" in caught.value.remedy
