"""What a file really is, and how a stored one may be served.

A file can be several things at once (a PNG that is also HTML or ZIP). Nothing here relies on telling that: a stored
file is served under a media type from a closed list, as a download, with ``nosniff`` and a policy that runs nothing,
so that a browser never gets to choose. `kind_of` is for what is accepted, by the first bytes and no name.
"""

import re
import zipfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import PurePosixPath

from cds.errors import InputError, InputKind, InputTooLargeError

SERVED_TYPES = frozenset(
    {
        "application/dicom",
        "application/fhir+json",
        "application/json",
        "application/octet-stream",
        "application/pdf",
        "application/zip",
        "image/jpeg",
        "image/png",
    }
)
"""Media types that a stored file may be served under; what else it claims to be becomes a stream of bytes."""
DOWNLOAD_POLICY = "default-src 'none'; sandbox"


class FileKind(StrEnum):
    """What an upload begins like."""

    DICOM = "application/dicom"
    PNG = "image/png"
    JPEG = "image/jpeg"
    GZIP = "application/gzip"
    JSON = "application/json"
    OTHER = "application/octet-stream"


def kind_of(data: bytes) -> FileKind:
    """What some bytes begin like."""
    if data[128:132] == b"DICM":
        return FileKind.DICOM
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return FileKind.PNG
    if data.startswith(b"\xff\xd8\xff"):
        return FileKind.JPEG
    if data.startswith(b"\x1f\x8b"):
        return FileKind.GZIP
    return FileKind.JSON if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")) else FileKind.OTHER


def download_headers(name: str, media_type: str) -> dict[str, str]:
    """Headers for a stored file, to be sent with `served_type` as its media type.

    Args:
        name: of the file; what does not belong into a file name is replaced.
        media_type: as stored.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(name.replace("\\", "/")).name).strip("._") or "file"
    return {
        "Content-Type": served_type(media_type),
        "Content-Disposition": f'attachment; filename="{plain[:100]}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": DOWNLOAD_POLICY,
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def served_type(media_type: str) -> str:
    """The media type a stored file is served under."""
    plain = media_type.partition(";")[0].strip().lower()
    return plain if plain in SERVED_TYPES else "application/octet-stream"


def zip_members(archive: zipfile.ZipFile, *, limit_bytes: int, most: int = 10_000) -> Iterator[tuple[str, bytes]]:
    """The files of an archive, in memory, each once and bounded; nothing is written, so nothing can slip out.

    Args:
        archive: open for reading.
        limit_bytes: largest size of all of them unpacked, counted while unpacking; the archive's word is not taken.
        most: largest number of files.

    Raises:
        InputError: a name leads out of the archive, comes twice, or there are too many.
        InputTooLargeError: they unpack to more than the limit.
    """
    entries = [one for one in archive.infolist() if not one.is_dir()]
    names = [one.filename for one in entries]
    if len(entries) > most or len(set(names)) != len(names) or not all(map(_stays_inside, names)):
        raise InputError(
            "The archive cannot be used: too many files, a name twice, or a name that leads out of it.",
            remedy="Pack the files again, with plain relative names.",
        )
    left = limit_bytes
    for entry in entries:
        if entry.external_attr >> 28 == 0xA:  # a link
            raise InputError("The archive holds a link.", remedy="Pack the files themselves.")
        with archive.open(entry) as stream:
            data = stream.read(left + 1)
        left -= len(data)
        if left < 0:
            raise InputTooLargeError(InputKind.REQUEST, limit_bytes=limit_bytes)
        yield entry.filename, data


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    return not path.is_absolute() and ".." not in path.parts and not drive and name.isprintable()
