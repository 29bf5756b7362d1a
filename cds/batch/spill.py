"""Records on disk, sorted into buckets while they are written: what lets a population pass through a small memory.

One unit of the input writes one spill file. Records gather in memory, a list a bucket; whenever they reach
`FLUSH_BYTES` they are written bucket by bucket as one run. The index says where the runs of each bucket lie, so that a
reader of one bucket touches only its own bytes. A record is ``key TAB piece TAB line TAB code TAB day TAB payload LF``;
code and day are empty unless the payload is an Observation whose bytes tell them (`fhir_adapters.superseded`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from zlib import crc32

from cds.batch.journal import RunFolder, Task

FLUSH_BYTES = 24 * 1024 * 1024

Segment = tuple[int, int, int]
"""Bucket, offset and length of one run in the spill file."""


class Record(NamedTuple):
    """One line of a spill file."""

    unit: int
    piece: int
    """Index of the piece in the unit."""
    line: int
    """Line of the piece, counted from 0; -1 for a file that is read as a whole."""
    payload: bytes

    @staticmethod
    def of(unit: int, told: bytes) -> "Record":
        """From what stands behind the key in a spill file."""
        piece, line, _, _, payload = told.split(b"\t", 4)
        return Record(unit, int(piece), int(line), payload)


def bucket_of(key: bytes, buckets: int) -> int:
    """The bucket of a key: the same in every process and on every machine."""
    return crc32(key) % buckets


class SpillWriter:
    """Writes the spill file of one task; nothing is visible under its final name before `close`."""

    def __init__(self, folder: RunFolder, task: Task, buckets: int) -> None:
        """Open a temporary file; an earlier attempt is overwritten."""
        self._folder, self._task = folder, task
        self._stream = folder.open_temporary(task, "spill")
        self._waiting: list[list[bytes]] = [[] for _ in range(buckets)]
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
        self, bucket: int, key: bytes, piece: int, line: int, payload: bytes, code: bytes = b"", day: bytes = b""
    ) -> None:
        """Add one record.

        Args:
            bucket: Where it belongs.
            key: Patient's or Medication's id; holds no tab and no line end.
            piece: Index of the piece in the unit.
            line: Line of the piece.
            payload: One line of JSON without its end.
            code: What `fhir_adapters.superseded.dated` told of it, or empty.
            day: Likewise.
        """
        record = b"%b\t%d\t%d\t%b\t%b\t%b\n" % (key, piece, line, code, day, payload)
        self._waiting[bucket].append(record)
        self._size += len(record)
        if self._size >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        for bucket, records in enumerate(self._waiting):
            if records:
                data = b"".join(records)
                self._stream.write(data)
                self.segments.append((bucket, self._offset, len(data)))
                self._offset += len(data)
                records.clear()
        self._size = 0


def read_bucket(path: Path, segments: Sequence[Segment], bucket: int) -> Iterator[tuple[bytes, bytes]]:
    """The records of one bucket of one spill file in the order they were written: key, and what `Record.of` reads."""
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
