"""API keys: made once, shown once, kept as a digest.

A key is ``cds_`` and 256 random bits; its digest needs no slow hash, since there is nothing to guess.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import func, select

from cds.errors import InputError, NotStoredError
from cds.security.roles import Principal, PrincipalKind, Role, tail
from cds.store.database import Database
from cds.store.tables import ApiKeyRow

PREFIX = "cds_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key; not the key."""

    id: str
    name: str
    role: Role
    created: datetime
    created_by: str
    expires: datetime | None
    revoked: datetime | None

    def good(self, now: datetime) -> bool:
        """Whether it opens anything at a time."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A key just made."""

    key: ApiKey
    secret: str = field(repr=False)
    """To be shown once."""


class ApiKeys:
    """The keys of a store.

    Args:
        database: open and up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, role: Role, *, created_by: str, expires: datetime | None = None) -> NewApiKey:
        """Make a key.

        Args:
            name: who uses it, such as ``pacs-gateway``.
            role: what it may do.
            created_by: who makes it.
            expires: when it stops working, timezone-aware; None for never.

        Raises:
            InputError: the name cannot be used, is taken by a working key, or the time has passed.
            StoreError: it cannot be kept.
        """
        now = datetime.now(UTC)
        if not _NAME.fullmatch(name):
            raise InputError(
                "The name of the key cannot be used.",
                remedy="Give 1 to 64 letters, digits, spaces, or any of . _ @ -, first a letter or digit.",
            )
        if expires is not None and expires <= now:
            raise InputError("The key would have expired already.", remedy="Give a time to come.")
        secret = PREFIX + secrets.token_urlsafe(32)
        row = ApiKeyRow(
            id=uuid4().hex[:12],
            name=name,
            role=role.value,
            digest=_digest(secret),
            created=now,
            created_by=created_by,
            expires=expires,
            revoked=None,
        )
        with self._database.transaction() as session:
            same = session.scalars(select(ApiKeyRow).where(ApiKeyRow.name == name, ApiKeyRow.revoked.is_(None)))
            if any(_known(one).good(now) for one in same):
                raise InputError(
                    "A working key has this name already.", remedy="Give another name, or revoke that key first."
                )
            session.add(row)
        return NewApiKey(key=_known(row), secret=secret)

    def listed(self) -> tuple[ApiKey, ...]:
        """Every key, the newest first."""
        with self._database.reading() as session:
            rows = session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created.desc(), ApiKeyRow.id))
            return tuple(_known(row) for row in rows)

    def revoke(self, key_id: str) -> ApiKey:
        """Stop a key from working, at once and for good.

        Raises:
            NotStoredError: there is no such key.
        """
        with self._database.transaction() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is None:
                raise NotStoredError("There is no such key.", remedy="'cds access key list' shows the identifiers.")
            row.revoked = row.revoked or datetime.now(UTC)
            return _known(row)

    def principal(self, secret: str) -> Principal | None:
        """Who holds a key; None where it opens nothing."""
        if not secret.startswith(PREFIX) or len(secret) > 100:
            return None
        return self._principal(ApiKeyRow.digest, _digest(secret), tail(secret))

    def still(self, key_id: str) -> Principal | None:
        """The principal of a key by its identifier, while it works."""
        return self._principal(ApiKeyRow.id, key_id, None)

    def configured(self) -> bool:
        """Whether there is any key that was not revoked; an expired one counts, so that its end opens nothing."""
        with self._database.reading() as session:
            count = session.scalar(select(func.count()).select_from(ApiKeyRow).where(ApiKeyRow.revoked.is_(None)))
        return bool(count)

    def _principal(self, column: object, value: str, shown: str | None) -> Principal | None:
        with self._database.reading() as session:
            row = session.scalar(select(ApiKeyRow).where(column == value))  # type: ignore[arg-type]
            key = None if row is None else _known(row)
        if key is None or not key.good(datetime.now(UTC)):
            return None
        return Principal(
            name=key.name, role=key.role, kind=PrincipalKind.API_KEY, credential_id=key.id, token_tail=shown
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _known(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        created=row.created,
        created_by=row.created_by,
        expires=row.expires,
        revoked=row.revoked,
    )
