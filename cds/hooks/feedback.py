"""What became of the cards: append-only, so that rules that nobody follows can be found and mended.

Two kinds of lines: a card that was issued (which rules, which suggestions; nothing about the patient), and what a
clinician did with it. A comment is free text and may name a patient: it is kept in the store
(`cds.store.feedback.HookFeedbackStore`) or, without one, in a file that only its owner can read, and nowhere else.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cds.hooks.errors import FeedbackStoreError

FEEDBACK_SCHEMA = "fracture-cds.hooks-feedback/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCard:
    """A card that was handed out."""

    card: str
    """Its UUID."""
    service: str
    hook: str
    hook_instance: str
    """UUID of the call."""
    kind: str
    indicator: str
    rules: tuple[str, ...]
    """What made it: care gaps, rules of the assessment."""
    suggestions: tuple[tuple[str, str], ...]
    """UUID and label of each."""
    issued: datetime
    """Timezone-aware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFeedback:
    """What a clinician did with a card."""

    card: str
    service: str
    client: str
    """Who reports it: issuer of the token, or address."""
    outcome: str
    """``accepted`` or ``overridden``."""
    accepted: tuple[str, ...]
    """UUIDs of the suggestions taken."""
    reason_system: str | None
    reason_code: str | None
    comment: str | None = field(repr=False)
    outcome_at: datetime
    """Timezone-aware, as the client says."""
    received: datetime


class FeedbackStore(Protocol):
    """Keeps cards and feedback."""

    def issued(self, cards: Sequence[IssuedCard]) -> None:
        """Keep which cards were handed out.

        Raises:
            FeedbackStoreError: they cannot be kept.
        """

    def keep(self, feedback: Sequence[CardFeedback]) -> None:
        """Keep feedback; on return it survives a power cut.

        Raises:
            FeedbackStoreError: it cannot be kept; none of it was.
        """


class NoFeedbackStore:
    """Keeps nothing; where the operator switched the store off."""

    def issued(self, cards: Sequence[IssuedCard]) -> None:
        """Forget the cards."""

    def keep(self, feedback: Sequence[CardFeedback]) -> None:
        """Forget the feedback."""


class JsonLinesFeedbackStore:
    """Appends lines of JSON to a file that only its owner can read; whole lines, also with several processes."""

    def __init__(self, path: Path) -> None:
        """Remember the path; folders and file are made on the first line."""
        self._path = path

    def issued(self, cards: Sequence[IssuedCard]) -> None:
        """Append; not forced to the disk, since a card lost in a power cut only lacks its rules."""
        self._append([{"line": "issued", **asdict(one)} for one in cards], force=False)

    def keep(self, feedback: Sequence[CardFeedback]) -> None:
        """Append and force to the disk."""
        self._append([{"line": "feedback", **asdict(one)} for one in feedback], force=True)

    def _append(self, items: Sequence[dict[str, object]], *, force: bool) -> None:
        if not items:
            return
        lines = (json.dumps({"schema": FEEDBACK_SCHEMA, **item}, default=_written) + "\n" for item in items)
        data = "".join(lines).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _write_all(descriptor, data, force=force)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise FeedbackStoreError(error.strerror or type(error).__name__) from error


def _write_all(descriptor: int, data: bytes, *, force: bool) -> None:
    """All of it or nothing: what a full disk cut short is taken back."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    before = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, data)
        if written != len(data):
            raise OSError(28, "No space left on device")
        if force:
            os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
