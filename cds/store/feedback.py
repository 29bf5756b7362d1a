"""What clinicians say about findings and outcomes; nothing is ever overwritten: a correction supersedes.

Boxes are in pixels of the radiograph as read (x0, y0, x1, y1), the way `imaging.results` counts them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sqlalchemy import select

from cds.errors import ConflictError, InputError, NotStoredError, StoreError
from cds.store.database import Database
from cds.store.tables import CaseRow, FeedbackRow, HookFeedbackRow
from fusion.context import FractureType

if TYPE_CHECKING:  # cards are a matter of the hooks; the store only keeps them
    from cds.hooks.feedback import CardFeedback, IssuedCard

ISSUED: Final = "issued"
"""Outcome of a card that was handed out and of which nothing else is known."""
MAX_BOXES: Final = 50
MAX_WEEKS: Final = 520.0
Box = tuple[float, float, float, float]


class FeedbackKind(StrEnum):
    """What is said."""

    OWN_READ = "own_read"
    """The clinician's read before the machine's was shown: fracture or not, and where."""
    AGREE = "agree"
    """The finding is right."""
    CORRECT = "correct"
    """There is a fracture, with another box or type."""
    REJECT = "reject"
    """There is no fracture: a false alarm."""
    MISSED = "missed"
    """A fracture that was not found."""
    OUTCOME = "outcome"
    """What became of the fracture at follow-up."""
    ADJUDICATION = "adjudication"
    """The last word where two disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackContent:
    """The parts of a feedback; what a kind does not use stays None."""

    fracture: bool | None = None
    """Whether there is a fracture (own read, adjudication)."""
    unsure: bool | None = None
    """True where the reader could not decide (own read); `fracture` is None then."""
    boxes: tuple[Box, ...] = ()
    """Where (own read, correction, missed fracture, adjudication)."""
    fracture_type: FractureType | None = None
    weeks: float | None = None
    """Weeks after the injury at which the outcome was seen."""
    united: bool | None = None
    """Whether the fracture had united by then (outcome)."""
    seconds: float | None = None
    """How long the own read took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One feedback as it is kept."""

    id: str
    case_id: str
    created: datetime
    author: str
    role: str
    kind: FeedbackKind
    finding: int | None
    content: FeedbackContent
    supersedes: str | None
    model_versions: tuple[str, ...]
    """Models of the case at the time: feedback is about what they said."""


class FeedbackStore:
    """Feedback in a database.

    Args:
        database: open and up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        case_id: str,
        kind: FeedbackKind,
        *,
        author: str,
        role: str,
        content: FeedbackContent | None = None,
        finding: int | None = None,
        supersedes: str | None = None,
    ) -> Feedback:
        """Keep a feedback.

        Args:
            case_id: of which case.
            kind: what is said.
            author: who says it.
            role: in which role (``clinician``, ``radiologist``).
            content: the details.
            finding: index of the detection, from 0.
            supersedes: the author's own earlier feedback that this one replaces.

        Raises:
            InputError: the details do not fit the kind.
            NotStoredError: there is no such case.
            ConflictError: what it supersedes is not the author's own, or of another case, or superseded already.
        """
        details = content or FeedbackContent()
        check(kind, details, finding)
        with self._database.transaction() as session:
            case = session.get(CaseRow, case_id)
            if case is None:
                raise NotStoredError("There is no such case.", remedy="Check the identifier.")
            if supersedes is not None:
                before = session.get(FeedbackRow, supersedes)
                taken = session.scalars(select(FeedbackRow.id).where(FeedbackRow.supersedes == supersedes)).first()
                if before is None or before.case_id != case_id or before.author != author or taken is not None:
                    raise ConflictError(
                        "The feedback to be replaced is not your newest one on this case.",
                        remedy="Load the case again and correct its newest feedback.",
                    )
            row = FeedbackRow(
                id=str(uuid4()),
                case_id=case_id,
                created=datetime.now(UTC),
                author=author,
                role=role,
                kind=kind.value,
                finding=finding,
                content=to_json(details),
                supersedes=supersedes,
                model_versions=list(case.model_versions),
            )
            session.add(row)
            session.flush()
            return _feedback(row)

    def of_case(self, case_id: str, *, current: bool = True) -> tuple[Feedback, ...]:
        """Feedback on one case, the oldest first.

        Args:
            case_id: which case.
            current: leave out what was superseded.
        """
        return self.all(case_id=case_id, current=current)

    def all(
        self, *, case_id: str | None = None, since: datetime | None = None, current: bool = True
    ) -> tuple[Feedback, ...]:
        """Feedback on all cases, the oldest first."""
        wanted = select(FeedbackRow).order_by(FeedbackRow.created, FeedbackRow.id)
        if case_id is not None:
            wanted = wanted.where(FeedbackRow.case_id == case_id)
        if since is not None:
            wanted = wanted.where(FeedbackRow.created >= since)
        with self._database.reading() as session:
            found = tuple(_feedback(row) for row in session.scalars(wanted))
        gone = {one.supersedes for one in found} if current else set()
        return tuple(one for one in found if one.id not in gone)


class HookFeedbackStore:
    """What EHRs report about cards; a `cds.hooks.feedback.FeedbackStore` in the database.

    A comment is free text and may name a patient: it is kept here and nowhere else.

    Args:
        database: open and up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def issued(self, cards: "Sequence[IssuedCard]") -> None:
        """Keep which cards were handed out, with the outcome `ISSUED`.

        Raises:
            FeedbackStoreError: they cannot be kept; none of them was.
        """
        self._keep((one.service, one.card, ISSUED, asdict(one)) for one in cards)

    def keep(self, feedback: "Sequence[CardFeedback]") -> None:
        """Keep feedback; on return it survives a power cut.

        Raises:
            FeedbackStoreError: it cannot be kept; none of it was.
        """
        self._keep((one.service, one.card, one.outcome, asdict(one)) for one in feedback)

    def of_card(self, card: str) -> tuple[dict[str, Any], ...]:
        """What is kept of one card, the oldest first: how it was issued, and what became of it."""
        wanted = select(HookFeedbackRow).where(HookFeedbackRow.card == card)
        with self._database.reading() as session:
            rows = session.scalars(wanted.order_by(HookFeedbackRow.created, HookFeedbackRow.id))
            return tuple({**one.content, "outcome": one.outcome} for one in rows)

    def _keep(self, entries: Iterable[tuple[str, str, str, Mapping[str, Any]]]) -> None:
        from cds.hooks.errors import FeedbackStoreError  # which imports the error tree of hooks

        now = datetime.now(UTC)
        try:
            with self._database.transaction() as session:
                session.add_all(
                    HookFeedbackRow(
                        id=str(uuid4()),
                        created=now,
                        service=service,
                        card=card,
                        outcome=outcome,
                        content={name: _as_json(value) for name, value in content.items()},
                    )
                    for service, card, outcome, content in entries
                )
        except StoreError as error:
            raise FeedbackStoreError("the store does not take it", remedy=error.remedy) from error

    def add(self, service: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Keep the entries of one report: all or none.

        Args:
            service: identifier of the CDS service.
            entries: each with ``card`` and ``outcome``, and whatever else the standard allows.
        """
        with self._database.transaction() as session:
            session.add_all(
                HookFeedbackRow(
                    id=str(uuid4()),
                    created=datetime.now(UTC),
                    service=service,
                    card=str(entry["card"]),
                    outcome=str(entry["outcome"]),
                    content=dict(entry),
                )
                for entry in entries
            )


def _as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def check(kind: FeedbackKind, content: FeedbackContent, finding: int | None) -> None:
    """Whether the details fit the kind.

    Raises:
        InputError: they do not.
    """
    if wrong := _wrong(kind, content, finding):
        raise InputError(f"The feedback cannot be kept: {wrong}.", remedy="Correct it and send it again.")


def _wrong(kind: FeedbackKind, content: FeedbackContent, finding: int | None) -> str | None:
    about_finding = {FeedbackKind.AGREE, FeedbackKind.CORRECT, FeedbackKind.REJECT}
    says_whether = {FeedbackKind.OWN_READ, FeedbackKind.ADJUDICATION}
    outcome = kind is FeedbackKind.OUTCOME
    unsure_read = kind is FeedbackKind.OWN_READ and content.unsure is True and content.fracture is None
    numbers = [one for box in content.boxes for one in box]
    rules = (
        (finding is not None and (kind not in about_finding or finding < 0), "it cannot speak of that finding"),
        (kind is FeedbackKind.CORRECT and not content.boxes and content.fracture_type is None, "nothing is corrected"),
        (kind is FeedbackKind.MISSED and not content.boxes, "the place of the missed fracture is not given"),
        (
            kind in says_whether and content.fracture is None and not unsure_read,
            "it does not say whether there is a fracture",
        ),
        (content.unsure is not None and not unsure_read, "only an own read without an answer can be unsure"),
        (content.fracture is False and bool(content.boxes), "there is a place but no fracture"),
        (outcome != (content.weeks is not None), "weeks belong to an outcome, and every outcome has them"),
        (outcome != (content.united is not None), "union belongs to an outcome, and every outcome has it"),
        (content.weeks is not None and not 0 <= content.weeks <= MAX_WEEKS, f"weeks must be 0 to {MAX_WEEKS:.0f}"),
        (len(content.boxes) > MAX_BOXES, f"there are more than {MAX_BOXES} boxes"),
        (not all(math.isfinite(one) and one >= 0 for one in numbers), "a box is no finite place in the image"),
        (not all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in content.boxes), "a box has no size"),
    )
    return next((words for true, words in rules if true), None)


def to_json(content: FeedbackContent) -> dict[str, Any]:
    """As it stands in the database; what is None is left out."""
    values: dict[str, Any] = {
        "fracture": content.fracture,
        "unsure": content.unsure,
        "boxes": [list(box) for box in content.boxes] or None,
        "fracture_type": None if content.fracture_type is None else content.fracture_type.value,
        "weeks": content.weeks,
        "united": content.united,
        "seconds": content.seconds,
    }
    return {name: value for name, value in values.items() if value is not None}


def from_json(values: Mapping[str, Any]) -> FeedbackContent:
    """From what stands in the database or came over the wire.

    Raises:
        InputError: a value has the wrong type, or a name is unknown.
    """
    known = {"fracture", "unsure", "boxes", "fracture_type", "weeks", "united", "seconds"}
    try:
        if unknown := set(values) - known:
            raise ValueError(unknown)
        for name in ("fracture", "unsure", "united"):
            if not isinstance(values.get(name), bool | None):
                raise TypeError(name)
        boxes = []
        for box in values.get("boxes") or ():
            x0, y0, x1, y1 = (float(one) for one in box)
            boxes.append((x0, y0, x1, y1))
        weeks, seconds, pattern = values.get("weeks"), values.get("seconds"), values.get("fracture_type")
        return FeedbackContent(
            fracture=values.get("fracture"),
            unsure=values.get("unsure"),
            boxes=tuple(boxes),
            fracture_type=None if pattern is None else FractureType(pattern),
            weeks=None if weeks is None else float(weeks),
            united=values.get("united"),
            seconds=None if seconds is None else float(seconds),
        )
    except (TypeError, ValueError, KeyError):
        raise InputError(
            "The details of the feedback cannot be read.", remedy=f"Known details: {', '.join(sorted(known))}."
        ) from None


def _feedback(row: FeedbackRow) -> Feedback:
    return Feedback(
        id=row.id,
        case_id=row.case_id,
        created=row.created,
        author=row.author,
        role=row.role,
        kind=FeedbackKind(row.kind),
        finding=row.finding,
        content=from_json(row.content),
        supersedes=row.supersedes,
        model_versions=tuple(row.model_versions),
    )
