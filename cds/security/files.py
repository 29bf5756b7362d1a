"""What a file really is, and how a stored one may be served.

A file can be several things at once (a PNG that is also HTML or ZIP). Nothing here relies on telling that: a stored
file is served under a media type from a closed list, as a download, with ``nosniff`` and a policy that runs nothing,
so that a browser never gets to choose. `kind_of` is for what is accepted, by the first bytes and no name. Archives are
accepted nowhere, so nothing can slip out of one.
"""

import re
from enum import StrEnum
from pathlib import PurePosixPath

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
