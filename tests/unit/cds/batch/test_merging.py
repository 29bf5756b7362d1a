"""Merging sorted parts: the order of one merge whatever the number of passes, and few files open at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cds.batch import merging
from cds.batch.merging import merged_rows

SCHEMA = pa.schema([("key", pa.int32()), ("part", pa.int32())])


def write_parts(folder: Path, count: int) -> list[Path]:
    """Parts of three rows each; every key stands in several of them."""
    parts = []
    for number in range(count):
        rows = [{"key": key, "part": number} for key in sorted(((number * 7) % 5, number % 3, 9))]
        parts.append(folder / f"part-{number}.arrow")
        with parts[-1].open("wb") as stream, pa.ipc.new_stream(stream, SCHEMA) as writer:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return parts


def by_key(row: Any) -> Any:
    return row["key"]


@pytest.fixture
def most_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The largest number of parts that were open at the same time."""
    real, now, most = merging._rows_of, [0], [0]

    def counted(part: Path) -> Iterator[Any]:
        now[0] += 1
        most[0] = max(most[0], now[0])
        yield from real(part)
        now[0] -= 1

    monkeypatch.setattr(merging, "_rows_of", counted)
    yield most


@pytest.mark.parametrize("count", [0, 1, 4, 5, 16, 17, 70])
def test_passes_change_nothing(
    tmp_path: Path, count: int, most_open: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = write_parts(tmp_path, count)
    plain = list(merged_rows(parts, SCHEMA, by_key))
    assert [row["key"] for row in plain] == sorted(by_key(row) for row in plain)
    assert len(plain) == 3 * count
    assert most_open == [count]
    most_open[0] = 0
    monkeypatch.setattr(merging, "MOST_OPEN", 4)
    monkeypatch.setattr(merging, "_ROWS_A_BATCH", 2)
    # Rows of equal key too come in the order of their parts.
    assert list(merged_rows(parts, SCHEMA, by_key)) == plain
    assert most_open[0] == min(count, 4)
    # A run that was killed while it merged begins again with the parts as they were.
    assert all(part.exists() for part in parts)
    assert list(merged_rows(parts, SCHEMA, by_key)) == plain


def test_a_plan_of_the_most_buckets_stays_below_the_limit_of_open_files(tmp_path: Path, most_open: list[int]) -> None:
    parts = write_parts(tmp_path, 600)
    assert sum(1 for _ in merged_rows(parts, SCHEMA, by_key)) == 1800
    assert most_open[0] == merging.MOST_OPEN < 1024
