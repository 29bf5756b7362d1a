"""Files by content: each is kept once, under its SHA-256, readable by its owner only."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cds.errors import DamagedBlobError, StoreUnavailableError

_FOLDER = "files"


class BlobStore:
    """A folder of files named by their digest, two letters to a subfolder.

    Args:
        folder: made on the first file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def put(self, data: bytes) -> str:
        """Keep some bytes; the same bytes a second time change nothing.

        The file is complete and on the disk before its name exists.

        Returns:
            Their SHA-256, hexadecimal.

        Raises:
            StoreUnavailableError: the disk is full or cannot be written; nothing was kept.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if path.is_file() and path.stat().st_size == len(data):
                return digest
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(path)
                _sync_folder(path.parent)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreUnavailableError(
                f"A file cannot be kept: {error.strerror}.",
                remedy="Check the free space and the rights of the data folder.",
            ) from None
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of a digest.

        Raises:
            DamagedBlobError: the file is missing, cannot be read, or holds something else.
        """
        try:
            data = self._path(digest).read_bytes()
        except OSError:
            data = None
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            raise DamagedBlobError(
                f"The stored file {digest[:12]} is missing or damaged.",
                remedy="Restore the data folder from its backup.",
            )
        return data

    def holds(self, digest: str) -> bool:
        """Whether there is such a file."""
        return self._path(digest).is_file()

    def kept_since(self, digest: str) -> datetime:
        """When the file was written; the end of time for none."""
        try:
            return datetime.fromtimestamp(self._path(digest).stat().st_mtime, UTC)
        except OSError:
            return datetime.max.replace(tzinfo=UTC)

    def delete(self, digests: Iterable[str]) -> int:
        """Delete files; those already gone do not matter.

        Returns:
            How many were there.

        Raises:
            StoreUnavailableError: one cannot be deleted.
        """
        count = 0
        for digest in digests:
            try:
                self._path(digest).unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreUnavailableError(
                    f"A stored file cannot be deleted: {error.strerror}.", remedy="Check the rights of the data folder."
                ) from None
            count += 1
        return count

    def digests(self) -> Iterator[str]:
        """Every file that is there, in no order."""
        for path in self._folder.glob("??/*"):
            if not path.name.startswith("."):
                yield path.name

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise DamagedBlobError("That is no digest of a stored file.", remedy="Give 64 hexadecimal digits.")
        return self._folder / digest[:2] / digest


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
