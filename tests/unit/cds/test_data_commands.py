"""``cds data``: import, check and split on a handful of made-up radiographs, as a person meets them."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cds.entrypoints.cli import app
from imaging.training.datasets import read_grey
from tests.support.radiographs import striped_bone, write_fracatlas


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    return write_fracatlas(tmp_path / "fa", fractured=6, healthy=6)


def write_yolo(root: Path) -> Path:
    """Three fractured shafts and a healthy one with an empty label file; a fifth has no label file at all."""
    rng = np.random.default_rng(4)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "data.yaml").write_text("names: [fracture, screw]\n")
    for number in range(5):
        image, box = striped_bone(rng, number < 3)
        cv2.imwrite(str(root / "images" / f"p{number}_a.png"), image)
        if number < 4:
            rows = (
                "" if box is None else f"0 {(box[0] + box[2]) / 2} {(box[1] + box[3]) / 2} 0.2 0.1\n1 0.5 0.5 0.1 0.1\n"
            )
            (root / "labels" / f"p{number}_a.txt").write_text(rows)
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_imported_labels_can_be_checked_and_split(tmp_path: Path) -> None:
    source, out = write_yolo(tmp_path / "yolo"), tmp_path / "new"
    done = cds(
        "data", "import", "--source", source, "--out", out, "--format", "yolo", "--fracture-label", "fracture",
        "--group-pattern", r"(p\d+)_",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "label 'screw': 3 boxes, ignored" in done.stdout and f"next: cds data check --data {out}" in done.stdout
    assert f"then: cds data split --data {out}" in done.stdout
    images = rows_of(out / "images.csv")
    assert [(row["image"], row["has_fracture"], row["group"]) for row in images] == [
        (f"p{number}_a.png", str(int(number < 3)), f"p{number}") for number in range(4)
    ]
    assert len(rows_of(out / "boxes.csv")) == 3
    assert cds("data", "check", "--data", out).exit_code == 0
    done = cds("data", "split", "--data", out, "--out", tmp_path / "list.csv", "--scheme", "80-20")
    assert done.exit_code == 0 and {row["split"] for row in rows_of(tmp_path / "list.csv")} == {"train", "val"}


def test_a_picture_that_was_cut_short_is_named_twice(tmp_path: Path) -> None:
    source, out = write_yolo(tmp_path / "yolo"), tmp_path / "new"
    picture = source / "images" / "p1_a.png"
    cv2.imwrite(str(picture.with_suffix(".jpg")), read_grey(picture))
    picture.unlink()
    picture = picture.with_suffix(".jpg")
    picture.write_bytes(picture.read_bytes()[:-500])
    done = cds("data", "import", "--source", source, "--out", out, "--format", "yolo", "--fracture-label", "fracture")
    assert done.exit_code == 0 and "images/p1_a.jpg: the file seems cut short" in done.stderr
    done = cds("data", "check", "--data", out)
    assert done.exit_code == 1 and "p1_a.jpg" in done.stdout


def test_training_on_what_was_imported_asks_for_a_split(tmp_path: Path) -> None:
    out = tmp_path / "new"
    cds(
        "data", "import", "--source", write_yolo(tmp_path / "yolo"), "--out", out, "--format", "yolo",
        "--fracture-label", "fracture",
    )  # fmt: skip
    done = cds("train", "detector", "--data", out, "--out", tmp_path / "trained")
    assert done.exit_code == 2 and "puts no image into a split" in done.stderr
    assert "cds data split" in done.stderr and "--split-list" in done.stderr


def test_import_never_replaces_a_folder(tmp_path: Path) -> None:
    source = write_yolo(tmp_path / "yolo")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "notes.txt").write_text("mine")
    done = cds("data", "import", "--source", source, "--out", tmp_path / "new", "--format", "yolo")
    assert done.exit_code != 0 and "mend:" in done.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["notes.txt"]


def test_check_tells_by_its_exit_code(atlas: Path, tmp_path: Path) -> None:
    sound = cds("data", "check", "--data", atlas)
    assert sound.exit_code == 0
    assert "12 images, 6 fractured, 6 boxes; 0 findings, 0 of them cost a row or an image" in sound.stdout
    (atlas / "images" / "Non_fractured" / "IMG0001000.jpg").write_bytes(b"broken")
    done = cds("data", "check", "--data", atlas, "--json", tmp_path / "report.json")
    assert done.exit_code == 1 and "IMG0001000.jpg" in done.stdout
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["unusable"] == 1 and document["counts"] == {"data.image.corrupt": 1}


def test_look_alikes_are_warnings(atlas: Path) -> None:
    """A copy with the opposite label is no error, but must be looked at."""
    picture = read_grey(atlas / "images/Fractured/IMG0000000.jpg")
    cv2.imwrite(str(atlas / "images/Non_fractured/IMG0001200.png"), picture)
    with (atlas / "split.csv").open("a") as handle:
        handle.write("IMG0001200.png,train\n")
    done = cds("data", "check", "--data", atlas)
    assert done.exit_code == 0
    assert "looks like IMG0000000.jpg, with the opposite label" in done.stdout
    assert "1 findings, 0 of them cost" in done.stdout


def test_split_by_folds_is_repeatable_and_checked_for_leaks(atlas: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    for path in (first, second):
        done = cds("data", "split", "--data", atlas, "--out", path, "--scheme", "kfold", "--k", 3, "--seed", 5)
        assert done.exit_code == 0 and done.stdout.count(": 4 images, 2 fractured (50.0%), 4 groups") == 3
    assert first.read_text() == second.read_text()
    assert cds("data", "check", "--data", atlas, "--split-list", first).exit_code == 0
    names = {row["image_id"]: row["split"] for row in rows_of(first)}
    healthy = atlas / "images" / "Non_fractured"
    one = "IMG0000600.jpg"
    other = next(name for name in sorted(names) if (healthy / name).is_file() and names[name] != names[one])
    shutil.copy(healthy / one, healthy / other)
    leaking = cds("data", "check", "--data", atlas, "--split-list", first)
    assert leaking.exit_code == 1 and "near-duplicates in different splits: 1 pairs" in leaking.stdout


@pytest.mark.parametrize("scheme", ["80-30", "thirds"])
def test_bad_schemes_say_how_to_mend_them(atlas: Path, tmp_path: Path, scheme: str) -> None:
    done = cds("data", "split", "--data", atlas, "--out", tmp_path / "a.csv", "--scheme", scheme)
    assert done.exit_code != 0 and "80-10-10" in done.stderr
    assert not (tmp_path / "a.csv").exists()
