"""A folder of DICOM, PNG and JPEG files to one that may leave: new names, one record of it, nothing half-written."""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging.deidentify_picture import deidentify_picture
from imaging.dicom.deidentify import METHOD, Deidentified, DeidentifyOptions, deidentify
from imaging.errors import ImagingError, UnreadableFileError
from imaging.limits import DEFAULT_LIMITS
from imaging.raster import JPEG_SIGNATURE, PNG_SIGNATURE

RECORD = "deidentified.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderResult:
    """What became of a folder."""

    written: int
    pictures: int
    """Of these, PNG and JPEG files: they name no patient, so each counts as one."""
    patients: int
    masked: int
    """Files in which text was painted over."""
    review: tuple[str, ...]
    """New names of files that said text is burned in where none was found."""
    refused: tuple[tuple[int, str], ...]
    """Number of the file in sorted order, from 1, and the code of the error; names may hold a patient's."""


def deidentify_folder(
    source: Path, out: Path, options: DeidentifyOptions, *, mapping: Path | None = None
) -> FolderResult:
    """De-identify a file, or every file below a folder.

    Args:
        source: file or folder.
        out: folder for the results; it must not exist or be empty.
        options: key, and what may stay.
        mapping: CSV file (old path, new name) for the owner of the data; outside `out`, readable by its owner only.

    Raises:
        UnreadableFileError: `out` is not empty or lies within the source, or `mapping` lies within `out`.
    """
    _check(source, out, mapping)
    out.mkdir(parents=True, exist_ok=True)
    done: list[tuple[str, Deidentified]] = []
    refused: list[tuple[int, str]] = []
    pairs: list[tuple[str, str]] = []
    for number, path in enumerate(_files(source), 1):
        try:
            if path.stat().st_size > DEFAULT_LIMITS.max_file_bytes:
                raise UnreadableFileError("The file is too large.")
            result = _deidentified(path.read_bytes(), options)
        except ImagingError as error:
            refused.append((number, error.code))
            continue
        name = f"{result.instance_uid}{result.suffix}"
        (out / name).write_bytes(result.data)
        done.append((name, result))
        pairs.append((str(path), name))
    summary = FolderResult(
        written=len(done),
        pictures=sum(one.suffix == ".png" for _, one in done),
        patients=len({one.patient for _, one in done}),
        masked=sum(bool(one.masked) for _, one in done),
        review=tuple(name for name, one in done if one.needs_review),
        refused=tuple(refused),
    )
    files = [{"file": name, "patient": one.patient, "masked": len(one.masked)} for name, one in done]
    record = {"method": METHOD, "shift_dates": options.shift_dates, **asdict(summary), "files": files}
    (out / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if mapping is not None:
        descriptor = os.open(mapping, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("original", "file"), *pairs])
    return summary


def _deidentified(data: bytes, options: DeidentifyOptions) -> Deidentified:
    if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        return deidentify_picture(data, options)
    return deidentify(data, options)


def _check(source: Path, out: Path, mapping: Path | None) -> None:
    inner, outer = out.resolve(), source.resolve()
    if (out.exists() and (not out.is_dir() or any(out.iterdir()))) or inner == outer or outer in inner.parents:
        raise UnreadableFileError(
            "The folder for the results is not empty, or lies in the source.", remedy="Give a new folder elsewhere."
        )
    if mapping is not None and inner in mapping.resolve().parents:
        raise UnreadableFileError(
            "The table of old and new names would leave with the results.", remedy="Write it to another folder."
        )


def _files(source: Path) -> Iterator[Path]:
    """Regular files in order; links are not followed out of the folder."""
    if source.is_file():
        yield source
        return
    yield from sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
