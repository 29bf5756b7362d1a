"""What must outlast one process for minutes or hours, and opens only with a secret that a browser holds.

Logins under way, sessions, and the tokens of launches lie in the store, so that a restart, or another process behind
the same address, finds them. The store alone gives nothing away: a row is found by a digest of the secret and sealed
with a key made from it (AES-256-GCM), so whoever reads the database or a backup of it, without the browser's secret,
reads noise. Where nothing is kept (``FRACTURE_CDS_STORE=off``) the same rows lie in this process.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, func, select

from cds.store.database import Database
from cds.store.tables import LockerRow

NONCE_BYTES = 12
"""Of AES-GCM (NIST SP 800-38D, section 8.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    name: str
    kind: str
    ends: float
    sealed: bytes


class _Rows(Protocol):
    def add(self, row: _Row, *, now: float, capacity: int) -> None: ...

    def find(self, name: str) -> _Row | None: ...

    def remove(self, name: str) -> _Row | None: ...


class Lockers:
    """Small secrets of browsers, of several kinds, each for a limited time."""

    def __init__(self, database: Database | None = None, *, clock: Callable[[], float] = time.time) -> None:
        """Prepare.

        Args:
            database: where they lie; None for this process only.
            clock: seconds since 1970.
        """
        self._rows: _Rows = _RowsHere() if database is None else _RowsKept(database)
        self._clock = clock

    def keep(self, kind: str, secret: str, content: bytes, *, ends: float, capacity: int) -> None:
        """Lock something away; what has ended is thrown out first.

        Args:
            kind: what it is for, such as ``session``; the same secret opens nothing of another kind.
            secret: opens it: at least 128 random bits, used for nothing else of this kind.
            content: what to keep.
            ends: when it opens no longer, in seconds since 1970.
            capacity: of this kind at once; the one that would end first makes room.

        Raises:
            StoreError: it cannot be kept.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + AESGCM(_derived("key", kind, secret)).encrypt(nonce, content, kind.encode())
        row = _Row(name=_derived("name", kind, secret).hex(), kind=kind, ends=ends, sealed=sealed)
        self._rows.add(row, now=self._clock(), capacity=capacity)

    def look(self, kind: str, secret: str) -> bytes | None:
        """What lies there; None for nothing, or where its time has ended.

        Raises:
            StoreError: the store does not answer.
        """
        return self._opened(kind, secret, self._rows.find(_derived("name", kind, secret).hex()))

    def take(self, kind: str, secret: str) -> bytes | None:
        """What lies there, once: of several processes that ask at the same moment, one gets it.

        Raises:
            StoreError: the store does not answer.
        """
        return self._opened(kind, secret, self._rows.remove(_derived("name", kind, secret).hex()))

    def _opened(self, kind: str, secret: str, row: _Row | None) -> bytes | None:
        if row is None or row.ends <= self._clock():
            return None
        nonce, sealed = row.sealed[:NONCE_BYTES], row.sealed[NONCE_BYTES:]
        try:
            return AESGCM(_derived("key", kind, secret)).decrypt(nonce, sealed, kind.encode())
        except (InvalidTag, ValueError):  # a row that somebody changed
            return None


class _RowsHere:
    """In this process."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()

    def add(self, row: _Row, *, now: float, capacity: int) -> None:
        with self._lock:
            self._rows = {name: one for name, one in self._rows.items() if one.ends > now}
            same = sorted((one.ends, name) for name, one in self._rows.items() if one.kind == row.kind)
            for _, name in same[: max(0, len(same) - capacity + 1)]:
                del self._rows[name]
            self._rows[row.name] = row

    def find(self, name: str) -> _Row | None:
        with self._lock:
            return self._rows.get(name)

    def remove(self, name: str) -> _Row | None:
        with self._lock:
            return self._rows.pop(name, None)


class _RowsKept:
    """In the store, for every process that uses it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: _Row, *, now: float, capacity: int) -> None:
        with self._database.transaction() as session:
            session.execute(delete(LockerRow).where(LockerRow.ends <= datetime.fromtimestamp(now, UTC)))
            of_kind = LockerRow.kind == row.kind
            held = session.scalar(select(func.count()).select_from(LockerRow).where(of_kind)) or 0
            if held >= capacity:
                oldest = select(LockerRow.name).where(of_kind).order_by(LockerRow.ends).limit(held - capacity + 1)
                session.execute(delete(LockerRow).where(LockerRow.name.in_(oldest)))
            ends = datetime.fromtimestamp(row.ends, UTC)
            session.add(LockerRow(name=row.name, kind=row.kind, ends=ends, sealed=row.sealed))

    def find(self, name: str) -> _Row | None:
        with self._database.reading() as session:
            return _known(session.get(LockerRow, name))

    def remove(self, name: str) -> _Row | None:
        # One statement, so that the database decides who was first.
        with self._database.transaction() as session:
            return _known(session.scalar(delete(LockerRow).where(LockerRow.name == name).returning(LockerRow)))


def _known(row: LockerRow | None) -> _Row | None:
    return None if row is None else _Row(name=row.name, kind=row.kind, ends=row.ends.timestamp(), sealed=row.sealed)


def _derived(purpose: str, kind: str, secret: str) -> bytes:
    """32 bytes; a plain hash suffices, since the secret is random and cannot be guessed."""
    return hashlib.sha256("\0".join(("fracture-cds", purpose, kind, secret)).encode(errors="replace")).digest()
