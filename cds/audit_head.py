"""The signed head of an audit trail: how many entries there are and the hash of the last, under a key.

A hash chain alone cannot tell that its end was cut off; the head can. It is signed with HMAC-SHA-256 under a key that
lies beside the trail unless the operator puts it elsewhere, and it is worth most where somebody else keeps a copy:
``cds audit head`` prints it, ``cds audit verify --anchor`` holds the trail against that copy.
"""

import hmac
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from cds.errors import AuditError, TamperedAuditError


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a trail ended."""

    sequence: int
    """Number of entries, counted from 1."""
    hash: str
    """Of the last entry, 64 hexadecimal digits."""


class SignedHead:
    """One head in a file.

    Args:
        path: of the head.
        key_path: of the key, which is made when it is first needed.
    """

    def __init__(self, path: Path, key_path: Path) -> None:
        self._path = path
        self._key_path = key_path

    @property
    def expected(self) -> bool:
        """Whether a head was ever written: the key is made with the first."""
        return self._key_path.is_file()

    def write(self, head: Head) -> None:
        """Replace the head.

        Raises:
            AuditError: it cannot be written.
        """
        try:
            temporary = self._path.with_name(f".{self._path.name}.{uuid4().hex}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self.text(head))
            temporary.replace(self._path)
        except OSError as error:
            raise _not_written(error) from None

    def disputes(self, hash_at: Callable[[int], str | None]) -> bool:
        """Whether the chain does not hold the entry that the head names.

        It has to be asked before the head is replaced: an append would hide that the end was cut off.

        Args:
            hash_at: the hash of the entry of a number; None where there is none.
        """
        try:
            own = self.read()
        except TamperedAuditError:
            return True
        return own is not None and hash_at(own.sequence) != own.hash

    def text(self, head: Head) -> str:
        """The head as JSON with its signature.

        Raises:
            AuditError: the key cannot be used.
        """
        return json.dumps({**asdict(head), "mac": _mac(self._key(), head)}) + "\n"

    def read(self) -> Head | None:
        """The head; None where there is none.

        Raises:
            TamperedAuditError: it is not signed with the key.
            AuditError: it cannot be read.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _not_written(error) from None
        return self.checked(text)

    def checked(self, text: str) -> Head:
        """A head from its text.

        Raises:
            TamperedAuditError: it is not signed with the key.
            AuditError: the key cannot be read.
        """
        try:
            fields = json.loads(text)
            head = Head(sequence=fields["sequence"], hash=fields["hash"])
            good = hmac.compare_digest(str(fields["mac"]), _mac(self._key(), head))
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise TamperedAuditError(
                "The head of the audit trail is not signed with its key.",
                remedy="Compare the trail with a copy of its head kept elsewhere: 'cds audit verify --anchor FILE'.",
            )
        return head

    def _key(self) -> bytes:
        try:
            if not self._key_path.is_file():
                self._key_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                temporary = self._key_path.with_name(f".{self._key_path.name}.{uuid4().hex}")
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(os.urandom(32))
                    os.fsync(file.fileno())
                try:
                    os.link(temporary, self._key_path)  # fails where another process was first
                except FileExistsError:
                    pass
                finally:
                    temporary.unlink()
            return self._key_path.read_bytes()
        except OSError as error:
            raise _not_written(error) from None


def _mac(key: bytes, head: Head) -> str:
    return hmac.new(key, f"fracture-cds head {head.sequence} {head.hash}".encode(), "sha256").hexdigest()


def _not_written(error: Exception) -> AuditError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return AuditError(
        f"The head of the audit trail, or its key, cannot be used: {reason}.",
        remedy="Check the rights of the folder of the audit trail, and FRACTURE_CDS_AUDIT_KEY_FILE.",
    )
