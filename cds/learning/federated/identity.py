"""Who a hospital is to the others: an Ed25519 key, an allow-list, and signatures over all that is sent.

A key names a hospital, never a person. The allow-list is a text file, one hospital a line: 64 hexadecimal digits of the
public key, then optionally a name. A signature covers the federation, the round, a fresh random number of the server,
the count and every byte of the tensors, so that an update can be neither forged, altered nor sent twice.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cds.learning.federated.errors import FederationError

KEY_BYTES = 32


class KeyFileError(FederationError):
    """A key or an allow-list cannot be read or written."""

    code = "cds.federation.key"


class Identity:
    """A hospital's private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Hold a key; see `load_identity`."""
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        """32 bytes."""

    def sign(self, statement: bytes) -> bytes:
        """64 bytes over a statement of `statement`."""
        return self._key.sign(statement)


def load_identity(path: Path) -> Identity:
    """The key in a file (64 hexadecimal digits); a new key is made where there is no file, readable by its owner only.

    Raises:
        KeyFileError: the file cannot be used.
    """
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(raw.hex() + "\n")
        return Identity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip())))
    except (OSError, ValueError) as error:
        raise KeyFileError("the hospital's key cannot be read or written", remedy="Give another --key.") from error


def read_allowed(path: Path) -> dict[bytes, str]:
    """Allowed public keys, with their names (a fingerprint where none is given).

    Raises:
        KeyFileError: the file cannot be read, a line is no key, or two lines have one key or one name.
    """
    allowed: dict[bytes, str] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split("#")[0].split(maxsplit=1)
            if not words:
                continue
            key = bytes.fromhex(words[0])
            if len(key) != KEY_BYTES:
                raise ValueError
            name = words[1].strip() if len(words) > 1 else fingerprint(key)
            if key in allowed or name in allowed.values():
                # Weights and history go by name: two hospitals of one name would count as one.
                raise KeyFileError(
                    "the allow-list has one key or one name twice", remedy="Give every hospital a name of its own."
                )
            allowed[key] = name
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise KeyFileError(
            "the allow-list cannot be read", remedy="One hospital a line: 64 hexadecimal digits, then a name."
        ) from error
    return allowed


def fingerprint(key: bytes) -> str:
    """Twelve hexadecimal digits that tell keys apart in a history."""
    return hashlib.sha256(key).hexdigest()[:12]


def statement(purpose: str, *, run: str, round_number: int, nonce: bytes, parts: Iterable[bytes] = ()) -> bytes:
    """What a signature covers: every part with its length, so that no two statements read alike."""
    total = hashlib.sha256()
    fields: Sequence[bytes] = (
        b"fracture-cds.federation/1",
        purpose.encode(),
        run.encode(),
        b"%d" % round_number,
        nonce,
    )
    for part in (*fields, *parts):
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.digest()


def is_signed(key: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether the owner of `key` signed it."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
