"""The work list of radiographs: a CSV or Parquet table, one radiograph a row.

``image`` is the only column that must be there: the path of a DICOM, PNG or JPEG file, from the folder of the list
when it is relative. The others may be missing or empty; `COLUMNS` says what they mean, and every bedside finding of
`cds.bedside` may have a column, too. Columns with other names are not used, and the report of the run names them.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from cds.bedside import BEDSIDE_FIELDS, parse_context
from cds.errors import InputError, ScreeningInputError
from fusion.context import ClinicalContext

BEDSIDE: dict[str, str] = {item.name: item.explanation for item in BEDSIDE_FIELDS}
COLUMNS: dict[str, str] = {
    "image": "path of the radiograph; relative to the folder of the list",
    "patient": "path of the patient's FHIR Bundle (.json, .json.gz), or a Patient id that --input holds",
    "patient_id": "which Patient, when that Bundle holds several",
    "case_id": "your own name of the case; several views may share one; row-N by default",
    "laterality": "L, R, B or U as ordered; compared with the DICOM header",
    "frame": "which frame of a DICOM file with several, from 1",
} | BEDSIDE
"""Column to its meaning."""
LATERALITIES = frozenset({"L", "R", "B", "U"})
_SIDES = {"LEFT": "L", "RIGHT": "R", "BOTH": "B", "BILATERAL": "B", "UNPAIRED": "U"}
_BATCH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the list, checked; what is wrong with it stands in `reject`."""

    row: int
    """From 1, without the header."""
    image: str = ""
    case_id: str = ""
    patient: str = ""
    """As the list has it."""
    record: str = ""
    """Path of the Bundle, once `patient` is resolved."""
    patient_id: str = ""
    laterality: str = ""
    frame: int = 1
    bedside: dict[str, str] = field(default_factory=dict)
    reject: str = ""
    """Why the row cannot be assessed; a code of `cds.batch.image_rejects`."""
    record_reject: str = ""
    """Why it must be assessed without the patient."""

    @property
    def context(self) -> ClinicalContext:
        """The bedside findings.

        Raises:
            InputError: One of them cannot be read.
        """
        return parse_context(self.bedside)

    def to_line(self) -> bytes:
        """One line of JSON; `from_line` reads it."""
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Entry":
        """Read what `to_line` wrote."""
        return cls(**orjson.loads(line))


def unused_columns(path: Path) -> tuple[str, ...]:
    """Columns of the list that are not used.

    Raises:
        InputError: The list cannot be opened, or has the wrong suffix.
        ScreeningInputError: It is damaged, or has no column ``image``.
    """
    names = _header(path)
    if "image" not in names:
        raise ScreeningInputError(
            "The work list has no column 'image'.",
            remedy="Name the columns in the first row; cds screen --describe --images LIST tells them.",
        )
    if len(set(names)) != len(names):
        raise ScreeningInputError("The work list has two columns of one name.", remedy="Keep one of them.")
    return tuple(name for name in names if name not in COLUMNS)


def entries(path: Path) -> Iterator[Entry]:
    """The rows of the list, one after the other; memory does not grow with its length.

    Raises:
        ScreeningInputError: The list is damaged.
    """
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    for number, row in enumerate(rows, 1):
        yield _entry(number, row)


def _entry(number: int, row: Mapping[str, str] | None) -> Entry:
    if row is None:
        return Entry(row=number, case_id=f"row-{number}", reject="screen.row.columns")
    told = {name: row.get(name, "").strip() for name in COLUMNS}
    bedside = {name: told[name] for name in BEDSIDE if told[name]}
    side = told["laterality"].upper()
    side = _SIDES.get(side, side)
    frame = told["frame"] or "1"
    wrong = ""
    if not told["image"]:
        wrong = "screen.row.no_image"
    elif side and side not in LATERALITIES:
        wrong = "screen.row.value:laterality"
    elif not (frame.isascii() and frame.isdigit() and 0 < int(frame) < 1_000_000):
        wrong = "screen.row.value:frame"
    else:
        wrong = next((f"screen.row.value:{name}" for name in bedside if not _readable(name, bedside[name])), "")
    return Entry(
        row=number,
        image=told["image"],
        case_id=told["case_id"] or f"row-{number}",
        patient=told["patient"],
        patient_id=told["patient_id"],
        laterality="" if wrong else side,
        frame=1 if wrong else int(frame),
        bedside=bedside,
        reject=wrong,
    )


def _readable(name: str, text: str) -> bool:
    try:
        parse_context({name: text})
    except InputError:
        return False
    return True


def _header(path: Path) -> list[str]:
    if path.suffix.lower() == ".parquet":
        return list(_parquet(path).schema_arrow.names)
    if path.suffix.lower() != ".csv":
        raise InputError("The work list is neither CSV nor Parquet.", remedy="Give a .csv or a .parquet file.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [name.strip() for name in next(csv.reader(stream), [])]
    except OSError as error:
        raise InputError("The work list cannot be opened.", remedy="Give a file that you may read.") from error
    except (UnicodeDecodeError, csv.Error):
        raise _damaged() from None


def _csv_rows(path: Path) -> Iterator[Mapping[str, str] | None]:
    """None for a row with more or fewer fields than the header."""
    names = _header(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            next(reader, None)
            for fields in reader:
                if fields:
                    yield dict(zip(names, fields, strict=True)) if len(fields) == len(names) else None
    except (UnicodeDecodeError, csv.Error):
        raise _damaged() from None


def _parquet_rows(path: Path) -> Iterator[Mapping[str, str]]:
    file = _parquet(path)
    names = [name for name in file.schema_arrow.names if name in COLUMNS]
    for batch in file.iter_batches(batch_size=_BATCH, columns=names):
        for row in batch.to_pylist():
            yield {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid:
        raise _damaged() from None


def _damaged() -> ScreeningInputError:
    return ScreeningInputError(
        "The work list cannot be read.", remedy="Give a CSV in UTF-8 with commas, or a Parquet file."
    )
