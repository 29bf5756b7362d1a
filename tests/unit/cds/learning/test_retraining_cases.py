"""A feedback export as labelled radiographs."""

import json
from pathlib import Path

import pytest

from cds.learning.retraining.cases import read_export, read_exports
from cds.learning.retraining.errors import RetrainingError
from tests.support.retraining import sign, write_feedback


def silent(_: str) -> None:
    """Report nothing."""


def test_bad_rows_are_told_one_by_one_and_the_rest_is_used(tmp_path: Path) -> None:
    folder = write_feedback(tmp_path / "round", fractured=4, healthy=4)
    (folder / "images" / "round001.png").write_bytes(b"no image")
    (folder / "images" / "round006.png").unlink()
    table = folder / "images.csv"
    table.write_text(table.read_text() + "round900.png,96,120,1,p9,,,,,,,,,1\n")
    boxes = folder / "boxes.csv"
    boxes.write_text(boxes.read_text().replace("round002.png", "round902.png"))
    sign(folder)
    lines: list[str] = []
    export = read_export(folder, report=lines.append)
    assert lines == list(export.problems)
    used = {one.image_id for one in export.samples}
    assert used == {f"round{number:03d}.png" for number in (0, 2, 3, 4, 5, 7)}
    assert export.left_out == 3
    for name in ("round001.png", "round006.png", "round900.png", "round902.png"):
        assert any(name in line for line in lines), name
    assert not next(one for one in export.samples if one.image_id == "round002.png").boxes_known


def test_a_table_that_was_changed_after_the_export_is_refused(tmp_path: Path) -> None:
    folder = write_feedback(tmp_path / "round")
    table = folder / "images.csv"
    table.write_text(table.read_text().replace(",1,p0", ",0,p0", 1))
    with pytest.raises(RetrainingError, match=r"images\.csv of the export round is not the file") as caught:
        read_export(folder, report=silent)
    assert caught.value.code == "cds.learning.retraining.changed_export"
    assert "adjudication" in caught.value.remedy


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"schema": "x"})])
def test_a_folder_without_a_usable_manifest_is_refused(tmp_path: Path, content: str) -> None:
    folder = write_feedback(tmp_path / "round")
    (folder / "manifest.json").write_text(content)
    with pytest.raises(RetrainingError, match="no readable manifest"):
        read_export(folder, report=silent)


def test_an_export_without_radiographs_is_refused(tmp_path: Path) -> None:
    folder = write_feedback(tmp_path / "round", fractured=0, healthy=0)
    with pytest.raises(RetrainingError, match="no labelled radiograph"):
        read_export(folder, report=silent)


def test_the_digest_changes_with_any_picture(tmp_path: Path) -> None:
    one = read_export(write_feedback(tmp_path / "a" / "round", seed=1), report=silent)
    same = read_export(write_feedback(tmp_path / "b" / "round", seed=1), report=silent)
    other = read_export(write_feedback(tmp_path / "c" / "round", seed=2), report=silent)
    assert one.sha256 == same.sha256 != other.sha256


def test_two_exports_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [write_feedback(tmp_path / part / "round") for part in ("a", "b")]
    with pytest.raises(RetrainingError, match="two exports bear the name round"):
        read_exports(folders, report=silent)
