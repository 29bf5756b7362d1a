"""The audit chain of the store: FHIR AuditEvents, each bound to the one before it.

The database refuses to change or delete a row (triggers); whoever gets around that breaks a hash, and whoever cuts the
end contradicts the signed head in the data folder.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cds.audit import AccessRecord, AuditKind, AuditRecord, AuditTrail, alert, head_faults, link_faults, record_access
from cds.audit_head import Head, SignedHead
from cds.errors import AuditError, StoreError
from cds.security.events import EventSource, event_of
from cds.settings import Settings
from cds.store.database import Database
from cds.store.privacy import Privacy
from cds.store.tables import AuditEventRow

GENESIS: Final = hashlib.sha256(b"fracture-cds audit chain").hexdigest()
"""What the first entry follows."""
_LOCK_NUMBER: Final = 742_017_312
"""PostgreSQL advisory lock under which one process appends."""
_PAGE: Final = 1000


class AuditChain:
    """Appends to the chain and verifies it.

    Args:
        database: open and up to date.
        privacy: gives the keyed digest of a patient.
        head: where the chain's head is kept.
        source: how this service names itself in the events.
    """

    def __init__(self, database: Database, privacy: Privacy, head: SignedHead, source: EventSource) -> None:
        self._database = database
        self._privacy = privacy
        self._head = head
        self._source = source

    @property
    def head(self) -> SignedHead:
        """The signed head."""
        return self._head

    def append(self, entry: AccessRecord) -> str:
        """Keep one event.

        Returns:
            The hash of the new entry.

        Raises:
            AuditError: it cannot be kept.
        """
        try:
            patient = None if entry.patient_key is None else self._privacy.patient_digest(entry.patient_key)
            event = event_of(entry, patient, self._source)
            return self._append(entry, patient, event)
        except StoreError as error:
            raise AuditError(
                "The audit record cannot be kept in the store.", remedy=str(getattr(error, "remedy", ""))
            ) from None

    def events(self) -> Iterator[bytes]:
        """Every AuditEvent as JSON, the oldest first."""
        for row in self._rows():
            yield row.event

    def current(self) -> Head | None:
        """Where the chain ends now; None while it is empty."""
        with self._database.reading() as session:
            row = session.scalar(select(AuditEventRow).order_by(AuditEventRow.sequence.desc()).limit(1))
            return None if row is None else Head(sequence=row.sequence, hash=row.hash)

    def verify(self, anchor: str | None = None) -> tuple[int, tuple[str, ...]]:
        """Look whether the chain is as it was written.

        Args:
            anchor: text of a head that somebody else kept; it stands in addition to the chain's own.

        Returns:
            The number of entries, and what is wrong, one sentence each; none when nothing is.
        """
        rows = [(one.sequence, one.previous_hash, one.hash, _digest(one), one.kind) for one in self._rows()]
        known = {row[2] for row in rows}
        faults: list[str] = []
        expected, hashes = GENESIS, []
        for position, (sequence, previous, stated, found, kind) in enumerate(rows, 1):
            if found != stated:
                faults.append(f"Entry {sequence} was changed.")
            faults += link_faults(f"Entry {sequence}", previous, expected, known)
            if sequence != position and previous == expected:
                faults.append(f"Entry {sequence} is number {position}: the numbers were changed.")
            if kind == AuditKind.ALERT:
                faults.append(alert(f"Entry {sequence}"))
            hashes.append(stated)
            expected = stated
        return len(rows), tuple(faults + head_faults(self._head, hashes, anchor))

    def _append(self, entry: AccessRecord, patient: str | None, event: bytes) -> str:
        with self._database.transaction() as session:
            if not self._database.is_sqlite:  # SQLite has one writer at a time anyway
                session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
            last = session.scalar(select(AuditEventRow).order_by(AuditEventRow.sequence.desc()).limit(1))

            def hash_at(sequence: int) -> str | None:
                return session.scalar(select(AuditEventRow.hash).where(AuditEventRow.sequence == sequence))

            if self._head.disputes(hash_at):
                noted = AccessRecord(occurred=entry.occurred, kind=AuditKind.ALERT, actor="audit")
                last = _link(session, last, noted, None, event_of(noted, None, self._source))
            row = _link(session, last, entry, patient, event)
            # Within the transaction: of two that append, the later one writes the later head.
            self._head.write(Head(sequence=row.sequence, hash=row.hash))
            return row.hash

    def _rows(self) -> Iterator[AuditEventRow]:
        after: int | None = None
        while True:
            wanted = select(AuditEventRow).order_by(AuditEventRow.sequence).limit(_PAGE)
            if after is not None:
                wanted = wanted.where(AuditEventRow.sequence > after)
            with self._database.reading() as session:
                rows = list(session.scalars(wanted))
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].sequence


class StoreAuditTrail:
    """Keeps records in the store's chain, and in the lines beside it where there are any."""

    def __init__(self, chain: AuditChain, lines: AuditTrail) -> None:
        """Write to both.

        Args:
            chain: of the store.
            lines: the JSON-lines trail, or one that keeps nothing.
        """
        self._chain = chain
        self._lines = lines

    def record(self, entry: AuditRecord) -> None:
        """Keep an assessment.

        Raises:
            AuditError: one of them cannot be written.
        """
        self._lines.record(entry)
        self._chain.append(
            AccessRecord(
                occurred=entry.started,
                kind=AuditKind.CREATE,
                actor=entry.actor,
                outcome=entry.outcome,
                target=f"case/{entry.case_id}",
                patient_key=entry.patient_key,
            )
        )

    def record_access(self, entry: AccessRecord) -> None:
        """Keep who looked.

        Raises:
            AuditError: one of them cannot be written.
        """
        record_access(self._lines, entry)
        self._chain.append(entry)


def open_chain(settings: Settings, database: Database, privacy: Privacy) -> AuditChain:
    """The chain of a store, its head in the data folder."""
    folder: Path = settings.data_dir
    head = SignedHead(folder / "audit-chain.head", settings.audit_key_file or folder / "audit-chain.key")
    return AuditChain(database, privacy, head, EventSource(address=f"{settings.host}:{settings.port}"))


def _link(
    session: Session, last: AuditEventRow | None, entry: AccessRecord, patient: str | None, event: bytes
) -> AuditEventRow:
    """Add the entry after the last one."""
    row = AuditEventRow(
        sequence=1 if last is None else last.sequence + 1,
        recorded=entry.occurred.astimezone(UTC),
        kind=entry.kind.value,
        actor=entry.actor[:255],
        patient_key_hash=patient,
        event=event,
        previous_hash=GENESIS if last is None else last.hash,
    )
    row.hash = _digest(row)
    session.add(row)
    session.flush()
    return row


def _digest(row: AuditEventRow) -> str:
    recorded: datetime = row.recorded
    told = [
        row.previous_hash,
        row.sequence,
        recorded.astimezone(UTC).isoformat(timespec="microseconds"),
        row.kind,
        row.actor,
        row.patient_key_hash,
        hashlib.sha256(_bytes(row.event)).hexdigest(),
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _bytes(event: bytes | str) -> bytes:
    """SQLite gives back text where somebody wrote text into the column."""
    return event if isinstance(event, bytes) else str(event).encode()
