"""Result files: all or none, and nobody else's."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cds.artifacts import REPORT_FILES, write_artifacts
from cds.errors import OutputError

ONE = {"report.html": b"<p>fracture-cds one</p>", "report.json": b'{"by": "fracture-cds", "n": 1}'}
TWO = {"report.html": b"<p>fracture-cds two</p>", "bundle.json": b'{"by": "fracture-cds", "n": 2}'}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_new_folder_with_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert write_artifacts(folder, ONE) == (folder / "report.html", folder / "report.json")
    assert content(tmp_path) == {f"a/b/{name}": data for name, data in ONE.items()}


def test_earlier_report_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_artifacts(tmp_path, ONE)
    write_artifacts(tmp_path, TWO)
    assert content(tmp_path) == {**TWO, "notes.txt": b"mine"}
    assert "report.json" in REPORT_FILES


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("a report of another program")
    with pytest.raises(OutputError, match="not a file of this application"):
        write_artifacts(tmp_path, ONE)
    assert content(tmp_path) == {"report.html": b"a report of another program"}


def test_a_foreign_file_that_is_not_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    write_artifacts(tmp_path, ONE)
    assert content(tmp_path) == {**ONE, "bundle.json": b"{}"}


def test_an_input_of_the_run_is_never_overwritten(tmp_path: Path) -> None:
    write_artifacts(tmp_path, TWO)
    before = content(tmp_path)
    with pytest.raises(OutputError, match="an input of this run"):
        write_artifacts(tmp_path, TWO, inputs=[tmp_path / "bundle.json"])
    assert content(tmp_path) == before
    write_artifacts(tmp_path, ONE, inputs=[tmp_path / "bundle.json"])
    assert content(tmp_path) == {**ONE, "bundle.json": TWO["bundle.json"]}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.html"
    target.write_bytes(ONE["report.html"])
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.html").symlink_to(target)
    with pytest.raises(OutputError):
        write_artifacts(folder, ONE)
    assert target.read_bytes() == ONE["report.html"]


def test_destination_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError) as caught:
        write_artifacts(tmp_path / "out", ONE)
    assert caught.value.remedy
    assert content(tmp_path) == {"out": b"x"}


@pytest.fixture(params=[1, 2, 3, 4])
def failing_rename(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The n-th rename fails once, as on a full or vanished disk."""
    original = Path.rename
    seen = 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == request.param:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    yield request.param


def test_failure_between_two_renames_puts_everything_back(tmp_path: Path, failing_rename: int) -> None:
    for name, data in ONE.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(OutputError, match="No space left"):
        write_artifacts(tmp_path, TWO)
    assert content(tmp_path) == ONE
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(ONE)


def test_failure_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = 0

    def fsync(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        if synced == 2:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match="Input/output error"):
        write_artifacts(tmp_path / "deep" / "out", ONE)
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        write_artifacts(tmp_path / "out", ONE)
    assert list(tmp_path.iterdir()) == []


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_artifacts(tmp_path / "out", ONE)
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out" / "report.html").stat().st_mode & 0o777 == 0o600
