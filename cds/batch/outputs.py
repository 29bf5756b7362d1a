"""The finished parts to files: the ranked list, the rejects, the report. Every file appears whole or not at all."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from cds.batch.columns import Row
from cds.batch.merging import merged_rows
from cds.batch.plan import InputKind, Plan
from cds.batch.rejects import COLUMNS, Reject, explanation
from cds.batch.rows import RANKING, SCHEMA, Status, sort_key
from cds.errors import InputError, OutputError
from cds.presenters.wording import NOTICE
from cds.security.cells import harmless

ROW_GROUP = 20_000
"""Rows of one row group of the Parquet file."""


class Sink(Protocol):
    """A table that is being written."""

    def write(self, rows: list[Row]) -> None:
        """Write rows."""


def check_output(output: Path, source: Path) -> None:
    """Refuse an output that is no table, or that would overwrite or join the input.

    Raises:
        InputError: Wrong suffix, or a place inside the input.
    """
    if output.suffix.lower() not in {".parquet", ".csv"}:
        raise InputError("The output must end in .parquet or .csv.", remedy="Name it risk.parquet or risk.csv.")
    inside = output.absolute().resolve()
    root = source.absolute().resolve()
    if inside == root or (root.is_dir() and root in inside.parents):
        raise InputError(
            "The output lies in the input, where the next run would read it.", remedy="Give another folder."
        )


def ranked_rows(parts: Sequence[Path]) -> Iterator[Row]:
    """All rows in the order of the list, with their rank."""
    rank = 0
    for row in merged_rows(parts, SCHEMA, sort_key):
        if row["status"] == Status.ESTIMATED:
            rank += 1
            row["rank"] = rank
        yield row


def write_list(path: Path, rows: Iterator[Row], plan: Plan, shown: int) -> list[Row]:
    """Write the list as Parquet or CSV, by its suffix.

    Returns:
        The first `shown` rows, for the summary.
    """
    first: list[Row] = []

    def noted() -> Iterator[Row]:
        for row in rows:
            if len(first) < shown:
                first.append(row)
            yield row

    write_rows(path, noted(), _schema(plan))
    return first


def write_rows(path: Path, rows: Iterable[Row], schema: pa.Schema, *, at_once: int = ROW_GROUP) -> None:
    """Write a table as Parquet or CSV, by its suffix, some rows at a time.

    Raises:
        OutputError: The file cannot be written.
    """
    with replacing(path) as temporary, table_sink(path, temporary, schema) as sink:
        waiting: list[Row] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == at_once:
                sink.write(waiting)
                waiting = []
        if waiting:
            sink.write(waiting)


def write_rejects(path: Path, rejects: Sequence[Reject], plan: Plan, first_lines: Callable[[int, int], int]) -> None:
    """Write the rejects, by file and line.

    Args:
        path: Where to.
        rejects: All rejects of the run.
        plan: Tells the files.
        first_lines: Unit and piece to the number of lines of the same file in front of it.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        told = []
        for one in rejects:
            file = plan.units[one.unit][one.piece].file
            line = first_lines(one.unit, one.piece) + one.line + 1
            told.append((file, line, one))
        for file, line, one in sorted(told):
            shown = line if one.line >= 0 and plan.kind is not InputKind.BUNDLE else ""
            name = plan.files[file].name
            cells = (name, shown, one.resource, one.code, one.count, explanation(one.code))
            writer.writerow([harmless(cell) for cell in cells])


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the run report."""
    with replacing(path) as temporary:
        temporary.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")


def beside(output: Path, suffix: str) -> Path:
    """``risk.rejects.csv`` beside ``risk.parquet``."""
    return output.with_name(f"{output.stem}.{suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    Raises:
        OutputError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be written: {error.strerror or type(error).__name__}.",
            remedy="Give a folder that can be written, with enough free space, and repeat the command: what is"
            " finished is not done again.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def table_sink(path: Path, temporary: Path, schema: pa.Schema) -> "AbstractContextManager[Sink]":
    """What writes a table as Parquet or CSV.

    Args:
        path: Its name, whose suffix decides.
        temporary: Where it is written.
        schema: Its columns; the metadata go into the Parquet file.
    """
    if path.suffix.lower() == ".parquet":
        return _ParquetSink(temporary, schema)
    return _CsvSink(temporary, schema)


def _schema(plan: Plan) -> pa.Schema:
    told = {
        "fracture_cds.run_id": plan.run_id,
        "fracture_cds.model_id": plan.model_id,
        "fracture_cds.engine_version": plan.engine_version,
        "fracture_cds.as_of": plan.as_of.isoformat(),
        "fracture_cds.ranking": RANKING,
        "fracture_cds.notice": NOTICE,
    }
    return SCHEMA.with_metadata(told)


class _ParquetSink:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def __enter__(self) -> "_ParquetSink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def write(self, rows: list[Row]) -> None:
        self._writer.write_table(pa.Table.from_pylist(rows, schema=self._schema), row_group_size=ROW_GROUP)


class _CsvSink:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._stream: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._stream, schema.names, lineterminator="\n")
        self._writer.writeheader()

    def __enter__(self) -> "_CsvSink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def write(self, rows: list[Row]) -> None:
        self._writer.writerows({name: harmless(value) for name, value in row.items()} for row in rows)
