"""Records on disk, sorted into buckets while they are written: what lets a population pass through a small memory.

One unit of the input writes one spill file. Records gather in memory, by bucket and key; whenever they reach
`FLUSH_BYTES` they are written bucket by bucket as one run. The index says where the runs of each bucket lie, so that a
reader of one bucket touches only its own bytes. The records of one key stand together, column by column::

    key TAB places TAB codes TAB days TAB payloads LF

A place is ``piece:line``; a payload is one line of JSON; code and day are empty unless the payload need not be read at
once: then they are those that the bytes of an Observation tell (`fhir_adapters.superseded`), or `IDLE` and the id of
the resource (`fhir_adapters.idle`). Within a column the entries are separated by a control character that JSON cannot
hold; a payload that holds it all the same is no JSON, and stands alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from zlib import crc32

from cds.batch.journal import RunFolder, Task
from fhir_adapters.superseded import Dated

FLUSH_BYTES = 24 * 1024 * 1024

_BESIDE = 160
"""Bytes in memory that a waiting record needs besides its payload."""

Segment = tuple[int, int, int]
"""Bucket, offset and length of one run in the spill file."""


IDLE = b"-"
"""In the place of a code: the payload says nothing (`fhir_adapters.idle`); the id stands in the place of the day."""
BETWEEN = b"\x1e"
"""Stands between the entries of a column; JSON cannot hold it."""
Told = tuple[int, bytes, Dated]
"""Line of the piece, the line itself, and what its bytes tell."""
_Columns = tuple[list[bytes], list[bytes], list[bytes], list[bytes]]
"""Places, codes, days and payloads."""


class Record(NamedTuple):
    """One line of the input."""

    unit: int
    piece: int
    """Index of the piece in the unit."""
    line: int
    """Line of the piece, counted from 0; -1 for a file that is read as a whole."""
    payload: bytes


class Records(NamedTuple):
    """What one unit holds of one key, in the order of the input."""

    unit: int
    places: bytes
    """As in the spill file; only who rejects something asks for them."""
    codes: list[bytes]
    days: list[bytes]
    payloads: list[bytes]

    @staticmethod
    def of(unit: int, told: bytes) -> "Records":
        """From what stands behind the key in a spill file."""
        places, codes, days, payloads = told.split(b"\t", 3)
        if BETWEEN not in places:
            return Records(unit, places, [codes], [days], [payloads])
        return Records(unit, places, codes.split(BETWEEN), days.split(BETWEEN), payloads.split(BETWEEN))

    def one_by_one(self) -> Iterator[Record]:
        """Each record with its place."""
        for place, payload in zip(self.places.split(BETWEEN), self.payloads, strict=True):
            piece, line = place.split(b":")
            yield Record(self.unit, int(piece), int(line), payload)


def bucket_of(key: bytes, buckets: int) -> int:
    """The bucket of a key: the same in every process and on every machine."""
    return crc32(key) % buckets


class SpillWriter:
    """Writes the spill file of one task; nothing is visible under its final name before `close`."""

    def __init__(self, folder: RunFolder, task: Task, buckets: int, tables: int = 1) -> None:
        """Open a temporary file; an earlier attempt is overwritten.

        Args:
            folder: The run folder.
            task: Whose file it is.
            buckets: Of each table.
            tables: Sets of keys that have nothing to do with each other; the buckets of the second follow those of
                the first.
        """
        self._folder, self._task, self._buckets = folder, task, buckets
        self._stream = folder.open_temporary(task, "spill")
        self._waiting: list[dict[bytes, _Columns]] = [{} for _ in range(tables)]
        self._whole: list[list[bytes]] = [[] for _ in range(tables * buckets)]
        """Records, by bucket, that nothing is added to any more; they come before those of the same key that wait."""
        self._size = 0
        self._offset = 0
        self.segments: list[Segment] = []

    def __enter__(self) -> "SpillWriter":
        """Write inside a ``with`` block; the end of it closes the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish the file, or, after an error, only close it."""
        if kind is None:
            self._flush()
            self._folder.publish(self._stream, self._task, "spill")
        else:
            self._stream.close()

    def add(
        self, key: bytes, piece: int, line: int, payload: bytes, code: bytes = b"", day: bytes = b"", table: int = 0
    ) -> None:
        """Add one record.

        Args:
            key: Patient's or Medication's id; holds no control characters.
            piece: Index of the piece in the unit.
            line: Line of the piece.
            payload: One line of JSON without its end.
            code: What `fhir_adapters.superseded.dated` told of it, `IDLE`, or empty.
            day: The day that goes with the code, the id of an idle resource, or empty.
            table: The set of keys.
        """
        alone = BETWEEN in payload
        if alone:
            self._end(table, key)
        self.add_told(piece, [(line, payload, (key, code, day))], table)
        if alone:
            self._end(table, key)

    def add_told(self, piece: int, found: Sequence[Told], table: int = 0) -> None:
        """Add several records, of which none shares a key with one that holds `BETWEEN`.

        Args:
            piece: Index of the piece in the unit.
            found: In the order of the input.
            table: The set of keys.
        """
        waiting, size = self._waiting[table], len(found) * _BESIDE
        for line, payload, (key, code, day) in found:
            columns = waiting.get(key)
            if columns is None:
                columns = waiting[key] = ([], [], [], [])
            places, codes, days, payloads = columns
            places.append(b"%d:%d" % (piece, line))
            codes.append(code)
            days.append(day)
            payloads.append(payload)
            size += len(payload)
        self._size += size
        if self._size >= FLUSH_BYTES:
            self._flush()

    def _end(self, table: int, key: bytes) -> None:
        """Add nothing more to what waits of a key."""
        columns = self._waiting[table].pop(key, None)
        if columns is not None:
            self._whole[table * self._buckets + bucket_of(key, self._buckets)].append(_told(key, columns))

    def _flush(self) -> None:
        for table, waiting in enumerate(self._waiting):
            for key in list(waiting):
                self._end(table, key)
        for bucket, whole in enumerate(self._whole):
            if whole:
                self._stream.writelines(whole)
                size = sum(map(len, whole))
                self.segments.append((bucket, self._offset, size))
                self._offset += size
                whole.clear()
        self._size = 0


def _told(key: bytes, columns: _Columns) -> bytes:
    places, codes, days, payloads = map(BETWEEN.join, columns)
    return b"%b\t%b\t%b\t%b\t%b\n" % (key, places, codes, days, payloads)


def read_bucket(path: Path, segments: Sequence[Segment], bucket: int) -> Iterator[tuple[bytes, bytes]]:
    """The records of one bucket of one spill file, those of a key in the order they were added.

    Yields:
        Key, and what `Records.of` reads; a key comes as often as it was written.
    """
    wanted = [(offset, length) for number, offset, length in segments if number == bucket]
    if not wanted:
        return
    with path.open("rb") as stream:
        for offset, length in wanted:
            stream.seek(offset)
            for line in stream.read(length).split(b"\n"):
                if line:
                    key, _, told = line.partition(b"\t")
                    yield key, told
