"""The tables as SQLAlchemy sees them; ``migrations`` builds the same, and a test compares both.

Times are UTC. Patients are named by a key (the logical id in their record system), never by name or birth date in a
column of their own; what a record and a report say lies in files by content, which erasure deletes.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID_LENGTH = 64
DIGEST_LENGTH = 64
CODE_LENGTH = 120
KEY_LENGTH = 255


class UtcTime(TypeDecorator[datetime]):
    """An aware time in, an aware UTC time out, on databases with and without time zones.

    Raises:
        ValueError: a time without a zone is to be stored.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite drops the zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without a zone cannot be stored.")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Every table; constraints have names, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


BigId = BigInteger().with_variant(Integer, "sqlite")
"""Counts up by itself on both databases."""


class CaseRow(Base):
    """One assessed case."""

    __tablename__ = "cases"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcTime, index=True)
    actor: Mapped[str] = mapped_column(String(KEY_LENGTH))
    request_key: Mapped[str | None] = mapped_column(String(KEY_LENGTH), unique=True)
    """What makes a repeated request the same one (``Idempotency-Key``, SOP Instance UID with model)."""
    patient_key: Mapped[str | None] = mapped_column(String(KEY_LENGTH), index=True)
    study_uid: Mapped[str | None] = mapped_column(String(KEY_LENGTH), index=True)
    title: Mapped[str] = mapped_column(Text)
    """The summary sentence of the report, which names no patient."""
    call: Mapped[str | None] = mapped_column(String(CODE_LENGTH), index=True)
    severity: Mapped[str] = mapped_column(String(CODE_LENGTH))
    urgency: Mapped[str] = mapped_column(String(CODE_LENGTH), index=True)
    region: Mapped[str | None] = mapped_column(String(CODE_LENGTH))
    probability: Mapped[float | None] = mapped_column()
    engine_version: Mapped[str] = mapped_column(String(CODE_LENGTH))
    model_versions: Mapped[list[str]] = mapped_column(JSON)
    image_sha256: Mapped[str | None] = mapped_column(String(DIGEST_LENGTH), index=True)
    record_sha256: Mapped[str | None] = mapped_column(String(DIGEST_LENGTH))
    context: Mapped[dict[str, Any]] = mapped_column(JSON)
    signed_by: Mapped[str | None] = mapped_column(String(KEY_LENGTH))
    signed: Mapped[datetime | None] = mapped_column(UtcTime)


class CaseFileRow(Base):
    """A file that belongs to a case: what was given, and what was shown."""

    __tablename__ = "case_files"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(CODE_LENGTH))
    sha256: Mapped[str] = mapped_column(String(DIGEST_LENGTH), index=True)
    size: Mapped[int] = mapped_column(BigInteger)


class JobRow(Base):
    """Accepted work; it is done when ``state`` says so, whatever crashed in between."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state_created", "state", "created"),)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    kind: Mapped[str] = mapped_column(String(CODE_LENGTH))
    state: Mapped[str] = mapped_column(String(CODE_LENGTH))
    created: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(String(KEY_LENGTH))
    request_key: Mapped[str | None] = mapped_column(String(KEY_LENGTH), unique=True)
    patient_key: Mapped[str | None] = mapped_column(String(KEY_LENGTH), index=True)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What to do, with digests in place of files."""
    progress: Mapped[float] = mapped_column(default=0.0)
    step: Mapped[str | None] = mapped_column(String(CODE_LENGTH))
    attempts: Mapped[int] = mapped_column(default=0)
    leased_by: Mapped[str | None] = mapped_column(String(KEY_LENGTH))
    lease_ends: Mapped[datetime | None] = mapped_column(UtcTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcTime)
    finished: Mapped[datetime | None] = mapped_column(UtcTime)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error_code: Mapped[str | None] = mapped_column(String(CODE_LENGTH))
    error_text: Mapped[str | None] = mapped_column(Text)
    cancel_asked: Mapped[bool] = mapped_column(default=False)


class JobFileRow(Base):
    """A file that a job needs; erased with the job, or kept by the case that it becomes."""

    __tablename__ = "job_files"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(DIGEST_LENGTH), index=True)


class FeedbackRow(Base):
    """What somebody said about a case or one of its findings; a correction is a new row that supersedes."""

    __tablename__ = "feedback"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(UtcTime)
    author: Mapped[str] = mapped_column(String(KEY_LENGTH))
    role: Mapped[str] = mapped_column(String(CODE_LENGTH))
    kind: Mapped[str] = mapped_column(String(CODE_LENGTH))
    """``own_read``, ``agree``, ``correct``, ``reject``, ``missed``, ``outcome`` or ``adjudication``."""
    finding: Mapped[int | None] = mapped_column()
    """Index of the detection it speaks of, from 0; None for the whole image."""
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Boxes, type, outcome: what `cds.store.feedback` checks."""
    supersedes: Mapped[str | None] = mapped_column(ForeignKey("feedback.id", ondelete="SET NULL"))
    model_versions: Mapped[list[str]] = mapped_column(JSON)


class HookFeedbackRow(Base):
    """What an EHR reported about a card."""

    __tablename__ = "hook_feedback"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcTime)
    service: Mapped[str] = mapped_column(String(CODE_LENGTH))
    card: Mapped[str] = mapped_column(String(KEY_LENGTH), index=True)
    outcome: Mapped[str] = mapped_column(String(CODE_LENGTH))
    content: Mapped[dict[str, Any]] = mapped_column(JSON)


class ApiKeyRow(Base):
    """A key that programs log in with; only its digest is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(String(KEY_LENGTH))
    role: Mapped[str] = mapped_column(String(CODE_LENGTH))
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH), unique=True)
    created: Mapped[datetime] = mapped_column(UtcTime)
    created_by: Mapped[str] = mapped_column(String(KEY_LENGTH))
    expires: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked: Mapped[datetime | None] = mapped_column(UtcTime)


class AuditEventRow(Base):
    """One link of the audit chain; the database itself refuses to change or delete it."""

    __tablename__ = "audit_events"
    __table_args__ = (UniqueConstraint("previous_hash"),)

    sequence: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    recorded: Mapped[datetime] = mapped_column(UtcTime, index=True)
    kind: Mapped[str] = mapped_column(String(CODE_LENGTH))
    actor: Mapped[str] = mapped_column(String(KEY_LENGTH))
    patient_key_hash: Mapped[str | None] = mapped_column(String(DIGEST_LENGTH), index=True)
    event: Mapped[bytes] = mapped_column(LargeBinary)
    """The FHIR AuditEvent as the bytes that were hashed."""
    previous_hash: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    """Of the link before; two links cannot follow the same one."""
    hash: Mapped[str] = mapped_column(String(DIGEST_LENGTH), unique=True)


class ErasureRow(Base):
    """Proof of an erasure: what was deleted, counted, without saying whose it was."""

    __tablename__ = "erasures"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(String(KEY_LENGTH))
    reason: Mapped[str] = mapped_column(String(CODE_LENGTH))
    """``patient_request`` or ``retention``."""
    patient_key_hash: Mapped[str | None] = mapped_column(String(DIGEST_LENGTH), index=True)
    counts: Mapped[dict[str, int]] = mapped_column(JSON)


class LockerRow(Base):
    """What opens only with a secret that a browser holds, for minutes or hours (`cds.security.lockers`)."""

    __tablename__ = "lockers"

    name: Mapped[str] = mapped_column(String(DIGEST_LENGTH), primary_key=True)
    """Digest of the secret."""
    kind: Mapped[str] = mapped_column(String(CODE_LENGTH), index=True)
    ends: Mapped[datetime] = mapped_column(UtcTime, index=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Nonce and ciphertext; the key is made from the secret."""


class DriftObservationRow(Base):
    """What is watched of a case: figures of picture and answer, nothing of the patient but an age band and the sex."""

    __tablename__ = "drift_observations"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcTime, index=True)
    model: Mapped[str] = mapped_column(String(KEY_LENGTH), index=True)
    """Identifier of the detector."""
    repeated: Mapped[bool] = mapped_column()
    """Another radiograph of the same study or patient came shortly before: it says nothing new, and is not counted."""
    numbers: Mapped[dict[str, float]] = mapped_column(JSON)
    categories: Mapped[dict[str, str]] = mapped_column(JSON)


class DriftReferenceRow(Base):
    """A reference: the cases between two moments, with figures that stay when the cases are erased."""

    __tablename__ = "drift_references"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(String(KEY_LENGTH))
    model: Mapped[str] = mapped_column(String(KEY_LENGTH))
    began: Mapped[datetime] = mapped_column(UtcTime)
    ended: Mapped[datetime] = mapped_column(UtcTime)
    cases: Mapped[int] = mapped_column()
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Sorted values and counts by monitor, in no relation to a case, and the alarms raised, each with its day and
    evidence; NULL in a row that an earlier version wrote."""


class ShadowDifferenceRow(Base):
    """What a model that ran silently said of a case, beside what was answered."""

    __tablename__ = "shadow_differences"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True)
    candidate: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    """Identifier of the silent model."""
    current: Mapped[str] = mapped_column(String(KEY_LENGTH))
    """Identifier of the model that answered."""
    created: Mapped[datetime] = mapped_column(UtcTime)
    current_call: Mapped[str] = mapped_column(String(CODE_LENGTH))
    candidate_call: Mapped[str | None] = mapped_column(String(CODE_LENGTH))
    current_probability: Mapped[float | None] = mapped_column()
    candidate_probability: Mapped[float | None] = mapped_column()
    box_iou: Mapped[float | None] = mapped_column()
    """Of the best box of each; None where one of them has none."""
    hardness: Mapped[float] = mapped_column(default=0.0)
    """0..1, how far the two are apart."""
    error: Mapped[str | None] = mapped_column(String(CODE_LENGTH))
    """Code of the reason why the silent model gave no answer."""
