"""The key, the names that replace identifiers, and the groups of cases that no split may separate."""

import contextlib
import hashlib
import hmac
import os
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from cds.errors import InputError

KEY_NAME: Final = "feedback-export.key"
"""In the data folder, where no other key file is given."""
KEY_BYTES: Final = 32
_LEAST_BYTES: Final = 16
PATIENT: Final = "patient"
STUDY: Final = "study"
IMAGE: Final = "image"
"""Kinds of identity; a group is named by a patient where it can be, so that its name stays when studies are added."""
_RANKS: Final = {PATIENT: 0, STUDY: 1, IMAGE: 2}
_LETTERS: Final = 20
"""Hexadecimal digits of a pseudonym: 80 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudonyms:
    """Names by HMAC-SHA-256: without the key nobody can try identifiers against them."""

    key: bytes = field(repr=False)

    def case(self, case_id: str) -> str:
        """Of a case."""
        return self._name("C", "case", case_id)

    def image(self, case_id: str) -> str:
        """File name of a case's image."""
        return f"{self._name('I', 'image', case_id)}.png"

    def group(self, identity: str) -> str:
        """Of a patient."""
        return self._name("G", "group", identity)

    def fingerprint(self) -> str:
        """Tells whether two exports were made with one key, and nothing about the key."""
        return self._name("K", "fingerprint", "")

    def _name(self, letter: str, kind: str, value: str) -> str:
        digest = hmac.new(self.key, f"feedback-export {kind} {value}".encode(), hashlib.sha256)
        return letter + digest.hexdigest()[:_LETTERS]


def read_key(path: Path, *, make: bool) -> bytes:
    """The key of an export.

    Args:
        path: its file.
        make: whether to make one where there is none, readable by its owner only.

    Raises:
        InputError: the file cannot be read or written, or holds too few bytes.
    """
    try:
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name(f".{path.name}.{uuid4().hex}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(temporary, path)
            temporary.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The key file cannot be used: {error.strerror or type(error).__name__}.",
            remedy="Give a file that you may read, or leave --key-file out.",
        ) from None
    if len(key) < _LEAST_BYTES:
        raise InputError(
            f"The key file holds fewer than {_LEAST_BYTES} bytes.", remedy="Write 32 random bytes into it, and keep it."
        )
    return key


def groups_of(identities: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, str]:
    """Cases that share an identity, directly or over other cases, are one group.

    Args:
        identities: case to whom it may belong, such as ``("patient", "4711")``, ``("study", "1.2.3")``.

    Returns:
        Case to the identity that names its group; the same for all of a group.
    """
    parents: dict[Hashable, Hashable] = {}

    def root(one: Hashable) -> Hashable:
        while parents.setdefault(one, one) != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    for case, known in identities.items():
        for identity in known:
            parents[root(identity)] = root(("case", case))
    names: dict[Hashable, tuple[int, str, str]] = {}
    for case, known in identities.items():
        group = root(("case", case))
        for kind, value in (*known, ("", case)):
            told = (_RANKS.get(kind, len(_RANKS)), kind, value)
            names[group] = min(names.get(group, told), told)
    return {case: "\x1f".join(names[root(("case", case))][1:]) for case in identities}
