"""One file of an export onto the disk: streamed, taken up where it broke off, checked before it gets its name.

What is checked: every byte that was announced has come (HTTP framing), the last line is whole, the first line is a
resource of the type that the manifest names, and there are as many lines as the manifest says.
"""

import os
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

import orjson

from fhir_adapters.client.bulk_manifest import ManifestFile
from fhir_adapters.client.bulk_state import ExportedFile
from fhir_adapters.client.http import Download, HttpClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import (
    ExportDamagedError,
    ExportExpiredError,
    FhirServerError,
    GoneFromServerError,
    NotOnServerError,
    ServerAnswerTooLargeError,
    ServerBusyError,
    ServerContentError,
    ServerFailureError,
    ServerTimeoutError,
    ServerUnreachableError,
)

NDJSON = "application/fhir+ndjson"
_NEVER = frozenset({"text/html", "application/xhtml+xml", "application/xml", "text/xml", "application/fhir+xml"})
"""Media types of error pages and of other formats; storage services give NDJSON all sorts of others."""
_TRANSIENT = (429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_WHOLE = re.compile(r"bytes \*/(\d+)")
_GZIP = b"\x1f\x8b"
_INFLATED_AT_ONCE = 1 << 20
_FIRST_LINE = 64 << 20
_DAMAGED_ATTEMPTS = 3
"""Times a file is fetched whole before its content is believed to be wrong."""


@dataclass(slots=True)
class Budget:
    """Bytes that all files of an export may take together."""

    limit: int | None
    used: int = 0

    def add(self, size: int) -> None:
        """Count bytes; fewer when a file is begun anew.

        Raises:
            ServerAnswerTooLargeError: too many.
        """
        self.used += size
        if self.limit is not None and self.used > self.limit:
            raise ServerAnswerTooLargeError(
                f"The export is larger than {self.limit / 2**30:.1f} GiB.",
                remedy="Raise FRACTURE_CDS_FHIR_EXPORT_MAX_GIB, or export a group.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRules:
    """How files are fetched."""

    retries: RetryPolicy
    """`attempts` counts attempts in a row that bring no whole line."""
    token: bool
    """Whether the server wants the token; it goes to the server itself only."""
    accept_counts: bool
    """Whether a file may hold fewer resources than the manifest says."""
    budget: Budget
    sleep: Callable[[float], Awaitable[None]]
    arrived: Callable[[int], None] = field(default=lambda size: None)
    """Told of bytes as they arrive."""


async def fetch_file(client: HttpClient, file: ManifestFile, path: Path, rules: FileRules) -> ExportedFile:
    """Fetch one file.

    Args:
        client: of the server.
        file: as the manifest names it.
        path: where it goes when it is whole.
        rules: how.

    Raises:
        ExportExpiredError: the server no longer has it.
        ExportDamagedError: it is cut short, or holds too few resources, each time.
        ServerContentError: it is something else than NDJSON of its type.
        FhirServerError: by status, or no answer.
        OSError: it cannot be written.
    """
    with _Part(path.with_name(f".{path.name}.part"), rules.budget) as part:
        lines = await _Fetching(client, file, part, rules).until_whole()
        part.publish(path)
    return ExportedFile(key=file.key, name=path.name, type=file.type, lines=lines, bytes=part.size, promised=file.count)


class _Part:
    """A file that is being written, and how far its whole lines go."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path, self._budget = path, budget
        self.size = self.whole = self.lines = 0
        self._stream: BinaryIO = path.open("w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.path.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        self._budget.add(len(piece))
        self._stream.write(piece)
        end = piece.rfind(b"\n") + 1
        if end:
            self.whole = self.size + end
            self.lines += piece.count(b"\n")
        self.size += len(piece)

    def cut(self, size: int) -> None:
        """Keep the first bytes only: all whole lines, or none."""
        self._budget.add(size - self.size)
        self._stream.seek(size)
        self._stream.truncate()
        self.size = self.whole = size
        if size == 0:
            self.lines = 0

    def last_line(self) -> bytes:
        """What follows the last end of line."""
        self._stream.seek(self.whole)
        rest = self._stream.read(self.size - self.whole)
        self._stream.seek(self.size)
        return rest

    def first_line(self) -> bytes:
        """The first line that is not empty."""
        self._stream.seek(0)
        line = self._stream.readline(_FIRST_LINE)
        while line and not line.strip():
            line = self._stream.readline(_FIRST_LINE)
        self._stream.seek(self.size)
        return line

    def resources(self) -> int:
        """Lines that are not empty, counted one by one."""
        self._stream.seek(0)
        number = sum(1 for line in self._stream if line.strip())
        self._stream.seek(self.size)
        return number

    def publish(self, path: Path) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self.path.replace(path)


class _Fetching:
    """The attempts at one file."""

    def __init__(self, client: HttpClient, file: ManifestFile, part: _Part, rules: FileRules) -> None:
        self._client, self._file, self._part, self._rules = client, file, part, rules
        self._validator: str | None = None
        self._packed = False
        """Whether the file itself is gzip; such a file is not taken up in the middle."""

    async def until_whole(self) -> int:
        """Fetch until the file is whole; returns the number of its resources."""
        failures = damaged = furthest = 0
        while True:
            retry_after: str | None = None
            try:
                retry_after = await self._once()
                if retry_after is None:
                    return self._checked()
                problem: FhirServerError = ServerBusyError("The server is too busy to hand out a file of the export.")
            except (NotOnServerError, GoneFromServerError):
                raise ExportExpiredError("The server no longer has a file of the export.") from None
            except (ServerContentError, ExportDamagedError) as error:
                damaged += 1
                if damaged >= _DAMAGED_ATTEMPTS:
                    raise
                self._part.cut(0)
                furthest, problem = 0, error
            except (ServerBusyError, ServerFailureError, ServerUnreachableError, ServerTimeoutError) as error:
                problem = error
            failures = 1 if self._part.whole > furthest else failures + 1
            furthest = max(furthest, self._part.whole)
            if failures >= self._rules.retries.attempts:
                raise problem
            self._part.cut(0 if self._packed else self._part.whole)
            self._client.traffic.retries += 1
            await self._rules.sleep(self._rules.retries.wait_s(failures, retry_after))

    async def _once(self) -> str | None:
        """One attempt; returns what the server asks to wait, or None when its answer has been read to the end."""
        start = self._part.size
        async with self._client.download(
            self._file.url,
            accept=NDJSON,
            headers=self._from(start),
            ok=(200, 206, 416, *_TRANSIENT),
            anonymous=not self._rules.token,
            foreign=True,
        ) as answer:
            if answer.status in _TRANSIENT:
                return answer.headers.get("retry-after") or "0"
            if answer.status == 416:
                self._must_end_at(start, answer.headers)
                return None
            if answer.status == 200:
                self._part.cut(0)
                self._validator = _validator(answer.headers)
            elif not _continues(answer.headers, start):
                self._part.cut(0)
                self._validator = None
                raise ServerUnreachableError("The server sent another part of a file of the export than it was asked.")
            await self._write(answer)
        return None

    def _from(self, start: int) -> Mapping[str, str]:
        """Headers that ask for the rest of a file; if it has changed meanwhile, the server sends it whole."""
        if start == 0:
            return {}
        asked = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        return asked if self._validator is None else asked | {"If-Range": self._validator}

    def _must_end_at(self, start: int, headers: Mapping[str, str]) -> None:
        found = _WHOLE.fullmatch(headers.get("content-range", "").strip())
        if start == 0 or (found is not None and int(found.group(1)) != start):
            self._part.cut(0)
            raise ServerUnreachableError("The server does not hand out the rest of a file of the export.")

    async def _write(self, answer: Download) -> None:
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in _NEVER:
            raise ServerContentError(f"The server sent {media_type} instead of a file of the export.")
        fresh = self._part.size == 0
        async for piece in _unpacked(answer.pieces, self._saw_gzip) if fresh else answer.pieces:
            self._part.write(piece)
            self._rules.arrived(len(piece))

    def _saw_gzip(self) -> None:
        self._packed = True

    def _checked(self) -> int:
        """The number of resources of a file that is whole.

        Raises:
            ExportDamagedError: cut short, or fewer resources than promised.
            ServerContentError: no resources of the type.
        """
        part = self._part
        rest = part.last_line()
        if rest.strip():
            if _type_of(rest) is None:
                raise ExportDamagedError(f"The last line of a file of type {self._file.type} is cut short.")
            part.write(b"\n")
        first = part.first_line()
        if first and _type_of(first) != self._file.type:
            raise ServerContentError(f"A file of the export does not hold resources of type {self._file.type}.")
        promised = self._file.count
        lines = part.lines
        if promised is not None and lines != promised:
            lines = part.resources()
        if promised is not None and lines < promised and not self._rules.accept_counts:
            raise ExportDamagedError(
                f"A file of type {self._file.type} holds {lines} resources, and the server promised {promised}."
            )
        return lines


async def _unpacked(pieces: AsyncIterator[bytes], packed: Callable[[], None]) -> AsyncIterator[bytes]:
    """The pieces of a file, inflated if the file itself is gzip; in small pieces, whatever they inflate to."""
    head = b""
    inflater = None
    begun = False
    async for piece in pieces:
        if not begun:
            head += piece
            if len(head) < len(_GZIP):
                continue
            begun = True
            piece = head
            if piece.startswith(_GZIP):
                packed()
                inflater = zlib.decompressobj(wbits=31)
        if inflater is None:
            yield piece
            continue
        more = True
        while more:
            try:
                inflated = inflater.decompress(piece, _INFLATED_AT_ONCE)
            except zlib.error:
                raise ServerContentError("A file of the export is damaged gzip.") from None
            yield inflated
            piece = inflater.unconsumed_tail
            if inflater.eof and inflater.unused_data:
                piece, inflater = inflater.unused_data, zlib.decompressobj(wbits=31)
            # All input may be taken while output still waits.
            more = bool(piece) or len(inflated) == _INFLATED_AT_ONCE
    if not begun and head:
        yield head
    if inflater is not None and not inflater.eof:
        raise ServerUnreachableError("A file of the export broke off in the middle of its gzip.")


def _validator(headers: Mapping[str, str]) -> str | None:
    """What tells whether a file has changed; a weak ETag does not promise the same bytes."""
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else headers.get("last-modified")


def _continues(headers: Mapping[str, str], start: int) -> bool:
    """Whether a partial answer begins where this file ends, in plain bytes."""
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    plain = headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}
    return plain and found is not None and int(found.group(1)) == start


def _type_of(line: bytes) -> str | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    told = value.get("resourceType") if isinstance(value, dict) else None
    return told if isinstance(told, str) else None
