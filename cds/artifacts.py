"""Result files: all of them or none, and never a half-written one.

The files are first written, and flushed to the disk, in a temporary folder on the same file system. A new destination
then appears by one rename. In an existing folder the files are renamed into place one by one; should one fail, those
before it are put back. Only a machine that stops between two renames can leave a mixture, and the case identifier in
every file gives it away.

What is replaced: a file with one of our names *and* one of our marks. An earlier report is replaced as a whole, so
that the report of one patient never lies beside the bundle of another. A file of the same name without the mark
belongs to somebody else, and an input of this very run must survive it: both are refused, nothing is changed.

Permissions follow the umask: reports are patient data, and the umask is where an administrator decides who may read.
"""

import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from cds.errors import OutputError
from cds.presenters.wording import NOTICE

REPORT_FILES = frozenset(
    {
        "report.html",
        "report.json",
        "report.pdf",
        "patient.html",
        "bundle.json",
        "sr.dcm",
        "presentation.dcm",
        "overlay.dcm",
        "capture.dcm",
    }
)
"""The files of one report; an earlier set is replaced as a whole."""

MARKS = (b"fracture-cds", NOTICE.encode())
"""Every file that this application writes holds one of them."""


def write_artifacts(folder: Path, files: Mapping[str, bytes], *, inputs: Collection[Path] = ()) -> tuple[Path, ...]:
    """Write a set of result files into `folder`, all or none.

    Args:
        folder: destination; made when it does not exist, its parents too.
        files: file name to content.
        inputs: files that this run reads and that must not be overwritten.

    Returns:
        The paths written, in the order of `files`.

    Raises:
        OutputError: the files cannot be written; the destination is as it was.
    """
    try:
        made = _make_parents(folder.absolute().parent)
        try:
            _place(folder, files, inputs)
        except BaseException:
            _remove_empty(made)
            raise
    except OSError as error:
        raise OutputError(
            f"The result files cannot be written to {folder}: {error.strerror or type(error).__name__}.",
            remedy="Give a folder that can be written, with enough free space. Nothing was changed.",
        ) from error
    return tuple(folder / name for name in files)


def _place(folder: Path, files: Mapping[str, bytes], inputs: Collection[Path]) -> None:
    existing = folder.exists()
    # Inside an existing folder, which may be a mounted volume: its parent may be read-only or another file system.
    beside = folder if existing else folder.absolute().parent
    with tempfile.TemporaryDirectory(prefix=".fracture-cds-", dir=beside, ignore_cleanup_errors=True) as name:
        staged = Path(name) / "new"
        staged.mkdir()
        for file_name, content in files.items():
            _write_flushed(staged / file_name, content)
        _flush_folder(staged)
        if existing:
            replaced = _files_to_replace(folder, files, inputs)
            _exchange(folder, staged, Path(name) / "old", tuple(files), replaced)
            _flush_folder(folder)
        else:
            staged.rename(folder)
        _flush_folder(beside)


def _files_to_replace(folder: Path, files: Collection[str], inputs: Collection[Path]) -> tuple[str, ...]:
    """Names in `folder` that give way to the new set.

    Raises:
        OutputError: a name is taken by an input or by somebody else's file.
    """
    replaced: list[str] = []
    for name in sorted({*files, *REPORT_FILES}):
        target = folder / name
        if not os.path.lexists(target):
            continue
        is_input = any(path.exists() and path.samefile(target) for path in inputs if target.exists())
        if not is_input and _is_ours(target):
            replaced.append(name)
        elif name in files:
            raise OutputError(
                f"{target} already exists and is "
                + ("an input of this run." if is_input else "not a file of this application."),
                remedy="Give another folder, or move that file away. Nothing was changed.",
            )
    return tuple(replaced)


def _is_ours(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and _holds_mark(path.read_bytes())


def _holds_mark(content: bytes) -> bool:
    return any(mark in content for mark in MARKS)


def _exchange(folder: Path, staged: Path, kept: Path, names: tuple[str, ...], replaced: tuple[str, ...]) -> None:
    """Move the replaced files to `kept`, then the staged ones into `folder`; undo both on any failure."""
    kept.mkdir()
    moved_out: list[str] = []
    moved_in: list[str] = []
    try:
        for name in replaced:
            (folder / name).rename(kept / name)
            moved_out.append(name)
        for name in names:
            (staged / name).rename(folder / name)
            moved_in.append(name)
    except BaseException:
        for name in moved_in:
            (folder / name).unlink(missing_ok=True)
        for name in moved_out:
            (kept / name).rename(folder / name)
        raise


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the folder's entries durable, where the system allows opening a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_parents(folder: Path) -> list[Path]:
    """Make the missing folders and return them, outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _remove_empty(folders: list[Path]) -> None:
    for path in reversed(folders):
        try:
            path.rmdir()
        except OSError:
            return
