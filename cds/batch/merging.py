"""Sorted parts to one sorted stream of rows, with few files open and a small batch of each in memory."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from cds.batch.columns import Row

MOST_OPEN = 256
"""Parts that are merged at once: systems allow a process about a thousand open files."""
_ROWS_A_BATCH = 100
SortKey = Callable[[Mapping[str, object]], Any]


def merged_rows(parts: Sequence[Path], schema: pa.Schema, key: SortKey) -> Iterator[Row]:
    """The rows of all parts in order; more than `MOST_OPEN` parts are first merged, in passes, into fewer.

    Args:
        parts: Arrow IPC files, each sorted by `key`. The larger parts of a pass are written beside them, and a part
            that was itself made by a pass is deleted once it has been merged.
        schema: Their columns.
        key: The order. Rows that are equal in it keep the order of their parts.
    """
    return _merged(_few(list(parts), schema, key), key)


def _few(parts: list[Path], schema: pa.Schema, key: SortKey) -> list[Path]:
    """Merge groups of parts into larger ones until all that are left can be open at the same time."""
    made = False
    while len(parts) > MOST_OPEN:
        groups = [parts[start : start + MOST_OPEN] for start in range(0, len(parts), MOST_OPEN)]
        larger = [_merge_group(group, schema, key) for group in groups]
        if made:
            for part in parts:
                part.unlink()
        parts, made = larger, True
    return parts


def _merge_group(group: Sequence[Path], schema: pa.Schema, key: SortKey) -> Path:
    target = group[0].with_name(f"{group[0].stem}+.arrow")
    with target.open("wb") as stream, pa.ipc.new_stream(stream, schema) as writer:
        for rows in _batches(_merged(group, key)):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    return target


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_A_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _merged(parts: Sequence[Path], key: SortKey) -> Iterator[Row]:
    return heapq.merge(*(_rows_of(part) for part in parts), key=key)


def _rows_of(part: Path) -> Iterator[Row]:
    """The rows of a part file, one batch at a time."""
    with pa.memory_map(str(part)) as stream, pa.ipc.open_stream(stream) as reader:
        for batch in reader:
            yield from batch.to_pylist()
