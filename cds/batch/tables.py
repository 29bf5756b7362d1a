"""Rows of risk factors from CSV and Parquet: ``patient_id`` and the fields of `RiskFeatures`, empty where not known.

A yes-or-no field takes true, false, yes, no, 1 and 0; a number takes a point as decimal separator. One row a line: a
field must not hold a line break.
"""

import csv
import gzip
import math
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Protocol, get_args, get_type_hints

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from cds.batch.keys import usable_key
from cds.batch.lines import blocks
from cds.errors import ScreeningInputError
from tabular.features import RiskFeatures

ID_COLUMN = "patient_id"


def _kind(hint: Any) -> type:
    kinds: tuple[type, ...] = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next(kind for kind in kinds if kind is not type(None))


FIELDS: Mapping[str, type] = {name: _kind(hint) for name, hint in get_type_hints(RiskFeatures).items()}
"""Column to bool, int or float."""
KIND_WORDS: Mapping[type, str] = {bool: "yes/no", int: "int", float: "float"}
"""As the description of the columns names their kinds."""
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class RowRouter(Protocol):
    """What rows are handed to; `cds.batch.sources.Router` is one."""

    @property
    def counts(self) -> "RowCounts":
        """Totals of the unit."""

    def patient(self, key: bytes, line: int, payload: bytes) -> None:
        """Keep a row."""

    def reject(self, line: int, code: str, resource: str = "", *, patients: int = 0) -> None:
        """Note a row that cannot be used."""


class RowCounts(Protocol):
    """The totals that rows add to."""

    bytes: int
    patients: int


def csv_rows(path: Path, start: int, end: int | None, router: RowRouter) -> int:
    """Read a range of a CSV file; the header is read from the beginning of the file.

    Returns:
        Lines in the range.
    """
    header = _header(path)
    number = 0
    for block in blocks(path, start, end):
        router.counts.bytes += len(block)
        lines = block.removesuffix(b"\n").split(b"\n")
        for line in lines:
            if (number or start) and line.strip():
                _csv_row(line, header, number, router)
            number += 1
    return number


def parquet_rows(path: Path, group: int, router: RowRouter) -> int:
    """Read one row group of a Parquet file; a line is a row, counted from 1 within the file's pieces."""
    table = _parquet(path).read_row_group(group)
    _check_columns(table.column_names)
    router.counts.bytes += table.nbytes
    for number, row in enumerate(table.to_pylist()):
        _keep(row, number, router)
    return int(table.num_rows)


def parquet_row_groups(path: Path) -> list[int]:
    """Size in bytes of each row group, uncompressed."""
    metadata = _parquet(path).metadata
    return [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]


def features_of(row: Mapping[str, Any]) -> RiskFeatures:
    """The features of a row that `scan` has checked."""
    return RiskFeatures(**{name: row.get(name) for name in FIELDS})


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid:
        raise ScreeningInputError(
            f"{path.name} is not a Parquet file, or is cut short.", remedy="Transfer or export the file again."
        ) from None


def _header(path: Path) -> list[str]:
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        line = stream.readline()
    try:
        names = next(csv.reader([line.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error):
        names = []
    names = [name.strip() for name in names]
    _check_columns(names)
    return names


def _check_columns(names: list[str]) -> None:
    unknown = sorted(set(names) - {ID_COLUMN, *FIELDS})
    if ID_COLUMN not in names or unknown or len(set(names)) != len(names):
        wrong = f"unknown: {len(unknown)}" if unknown else "patient_id is missing, or a column is repeated"
        raise ScreeningInputError(
            f"The columns are not those of a table of risk factors ({wrong}).",
            remedy=f"Use {ID_COLUMN} and any of: {', '.join(FIELDS)}.",
        )


def _csv_row(line: bytes, header: list[str], number: int, router: RowRouter) -> None:
    try:
        values = next(csv.reader([line.decode().rstrip("\r")], strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        values = []
    if len(values) != len(header):
        router.counts.patients += 1
        router.reject(number, "screen.row.columns", patients=1)
        return
    _keep(dict(zip(header, values, strict=True)), number, router)


def _keep(row: Mapping[str, Any], number: int, router: RowRouter) -> None:
    router.counts.patients += 1
    told = row.get(ID_COLUMN)
    text = "" if told is None else str(told).strip()
    key = usable_key(text)
    if key is None:
        router.reject(number, "screen.row.no_id", patients=1)
        return
    features: dict[str, Any] = {}
    for name, kind in FIELDS.items():
        try:
            features[name] = _value(row.get(name), kind)
        except ValueError:
            router.reject(number, f"screen.row.value:{name}", patients=1)
            return
    router.patient(key, number, orjson.dumps(features))


def _value(told: object, kind: type) -> float | bool | None:
    """A cell as a value of its column.

    Raises:
        ValueError: It is none.
    """
    if told is None or (isinstance(told, str) and not told.strip()):
        return None
    if isinstance(told, float) and math.isnan(told):
        return None
    if kind is bool:
        word = str(told).strip().lower().removesuffix(".0")
        if word not in _WORDS:
            raise ValueError
        return _WORDS[word]
    if isinstance(told, bool) or not isinstance(told, str | int | float):
        raise ValueError
    number = float(told)
    if not math.isfinite(number) or (kind is int and number != int(number)):
        raise ValueError
    return int(number) if kind is int else number
