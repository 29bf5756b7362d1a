"""The columns of a list, whatever a row of it is about: names, kinds, percentages with their interval, description."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

Row = dict[str, object]

TEXT, NUMBER, COUNT = pa.string(), pa.float64(), pa.int32()
_KINDS = {TEXT: "text", NUMBER: "float64", COUNT: "int32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the list."""

    name: str
    kind: pa.DataType
    meaning: str


class Interval(Protocol):
    """A probability, 0 to 1, with the ends of its interval."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


def interval_columns(name: str, meaning: str) -> tuple[Column, ...]:
    """The three columns of a probability in percent; `interval_cells` fills them."""
    return (
        Column(name=f"{name}_percent", kind=NUMBER, meaning=meaning),
        Column(name=f"{name}_low_percent", kind=NUMBER, meaning="lower end of its interval"),
        Column(name=f"{name}_high_percent", kind=NUMBER, meaning="upper end of its interval"),
    )


def interval_cells(name: str, one: Interval | None) -> Row:
    """A probability in the columns of `interval_columns`; empty cells for None."""
    values = (None, None, None) if one is None else (one.value, one.low, one.high)
    names = (f"{name}_percent", f"{name}_low_percent", f"{name}_high_percent")
    return {key: percent(value) for key, value in zip(names, values, strict=True)}


def percent(value: float | None) -> float | None:
    """A probability, 0 to 1, in percent, rounded to four decimals so that Parquet and CSV hold the same number."""
    return None if value is None else round(100.0 * value, 4)


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The columns as Arrow takes them."""
    return pa.schema([(column.name, column.kind) for column in columns])


def described(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """One line for each column: name, kind, meaning.

    Args:
        columns: The columns.
        width: Of the names; None means that of the longest.
    """
    room = max(len(column.name) for column in columns) if width is None else width
    return [f"{column.name:{room}}  {_KINDS[column.kind]:7}  {column.meaning}" for column in columns]
