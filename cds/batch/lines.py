"""Whole lines of a range of a file, in blocks: the unit of work of everything that reads text."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cds.errors import ScreeningInputError

BLOCK_BYTES = 512 * 1024
"""Small enough that what looks at a block several times finds it in the cache of the processor."""
_BOM = b"\xef\xbb\xbf"


def blocks(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Blocks of whole lines that begin in a range; only the very last line of a file may lack its end.

    Args:
        path: Text, plain or gzip (by its name; a gzip file is read whole).
        start: First byte of the range.
        end: First byte behind the range; None for the end of the file.

    Raises:
        ScreeningInputError: A gzip file is damaged or cut short.
        OSError: The file cannot be read.
    """
    if path.suffix.lower() == ".gz":
        yield from _gzip_blocks(path)
        return
    with path.open("rb") as stream:
        if start:
            # A line that begins exactly at `start` is ours: look at the byte before it.
            stream.seek(start - 1)
            stream.readline()
        yield from _blocks(stream, end)


def _gzip_blocks(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as stream:
            yield from _blocks(stream, None)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ScreeningInputError(
            f"The gzip file {path.name} is damaged or cut short: patients may be incomplete.",
            remedy="Transfer the file again in binary mode, then start anew with --fresh.",
        ) from None


def _blocks(stream: "IO[bytes] | gzip.GzipFile", end: int | None) -> Iterator[bytes]:
    position = stream.tell()
    first = position == 0
    while end is None or position < end:
        wanted = BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - position)
        data = stream.read(wanted)
        if not data:
            return
        if not data.endswith(b"\n"):
            data += stream.readline()
        position += len(data)
        yield data.removeprefix(_BOM) if first else data
        first = False
