"""Where observations are kept, and which of them are the reference."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cds.case import CaseResult
from cds.errors import InputError, StoreError
from cds.learning.drift.observation import Observation, observe
from cds.store.database import Database
from cds.store.tables import CaseRow, DriftObservationRow, DriftReferenceRow

_log = logging.getLogger(__name__)

REFERENCE_CASES: Final = 500
"""Cases in a reference: the first ones that a model answered, unless somebody sets others."""
REPEATED_WITHIN: Final = timedelta(days=30)
"""Another radiograph of the same patient within this time is not counted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """An observation with its place in time."""

    case_id: str
    created: datetime
    observation: Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The cases between two moments, which all later ones are compared with."""

    model: str
    began: datetime
    ended: datetime
    """Watching begins after this moment."""
    cases: int
    set_by: str | None
    """None for the first cases of a model, which nobody had to choose."""


class DriftRecords:
    """Observations and references in a database.

    Args:
        database: open and up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, case_id: str, observation: Observation) -> None:
        """Keep what is watched of a kept case; a second time changes nothing.

        Raises:
            StoreError: it is not kept.
        """
        with self._database.transaction() as session:
            case = session.get(CaseRow, case_id)
            if case is None or session.get(DriftObservationRow, case_id) is not None:
                return
            session.add(
                DriftObservationRow(
                    case_id=case_id,
                    created=case.created,
                    model=observation.model,
                    repeated=_seen_shortly_before(session, case),
                    numbers=dict(observation.numbers),
                    categories=dict(observation.categories),
                )
            )

    def model(self) -> str | None:
        """The detector that answered last; None before the first observation."""
        wanted = select(DriftObservationRow.model).order_by(
            DriftObservationRow.created.desc(), DriftObservationRow.case_id.desc()
        )
        with self._database.reading() as session:
            return session.scalars(wanted.limit(1)).first()

    def all(self, model: str, *, since: datetime | None = None) -> tuple[Observed, ...]:
        """Counted observations of one detector, the oldest first; repeated ones are left out."""
        wanted = select(DriftObservationRow).where(
            DriftObservationRow.model == model, DriftObservationRow.repeated.is_(False)
        )
        if since is not None:
            wanted = wanted.where(DriftObservationRow.created >= since)
        with self._database.reading() as session:
            rows = session.scalars(wanted.order_by(DriftObservationRow.created, DriftObservationRow.case_id))
            return tuple(_observed(row) for row in rows)

    def reference(self, model: str) -> Reference | None:
        """The reference of a detector; None while it has answered too few cases."""
        newest = select(DriftReferenceRow).where(DriftReferenceRow.model == model)
        with self._database.reading() as session:
            row = session.scalars(newest.order_by(DriftReferenceRow.created.desc()).limit(1)).first()
            if row is not None:
                return Reference(model=model, began=row.began, ended=row.ended, cases=row.cases, set_by=row.actor)
        return reference_of(self.all(model)[:REFERENCE_CASES])

    def set_reference(self, *, actor: str, since: datetime | None = None) -> Reference:
        """Make a new reference; what was observed before it no longer counts.

        Args:
            actor: who sets it.
            since: the first cases from then on; None: the newest cases.

        Raises:
            InputError: there are fewer than `REFERENCE_CASES` cases.
        """
        model = self.model()
        observed = () if model is None else self.all(model, since=since)
        chosen = observed[-REFERENCE_CASES:] if since is None else observed[:REFERENCE_CASES]
        found = reference_of(chosen, set_by=actor)
        if found is None:
            raise InputError(
                f"A reference needs {REFERENCE_CASES} cases of the detector in use; there are {len(observed)}.",
                remedy="Wait for more cases, or give an earlier date.",
            )
        with self._database.transaction() as session:
            session.add(
                DriftReferenceRow(
                    id=str(uuid4()),
                    created=datetime.now(UTC),
                    actor=actor,
                    model=found.model,
                    began=found.began,
                    ended=found.ended,
                    cases=found.cases,
                )
            )
        return found


def reference_of(observed: Sequence[Observed], *, set_by: str | None = None) -> Reference | None:
    """The reference that some cases make; None where they are too few."""
    if len(observed) < REFERENCE_CASES:
        return None
    return Reference(
        model=observed[0].observation.model,
        began=observed[0].created,
        ended=observed[-1].created,
        cases=len(observed),
        set_by=set_by,
    )


def note(database: Database, case_id: str, result: CaseResult) -> None:
    """Keep what is watched of a case that was just kept; a failure is logged and withholds no answer."""
    try:
        observation = observe(result)
        if observation is not None:
            DriftRecords(database).add(case_id, observation)
    except StoreError as error:
        _log.warning("a case is not watched for drift [%s]", error.code)


def _seen_shortly_before(session: Session, case: CaseRow) -> bool:
    """Whether another case of the same study, or of the same patient within a month, is kept."""
    same: list[ColumnElement[bool]] = []
    if case.study_uid is not None:
        same.append(CaseRow.study_uid == case.study_uid)
    if case.patient_key is not None:
        same.append((CaseRow.patient_key == case.patient_key) & (CaseRow.created >= case.created - REPEATED_WITHIN))
    for one in same:
        before = select(CaseRow.id).where(one, CaseRow.id != case.id, CaseRow.created <= case.created)
        if session.scalars(before.limit(1)).first() is not None:
            return True
    return False


def _observed(row: DriftObservationRow) -> Observed:
    return Observed(
        case_id=row.case_id,
        created=row.created,
        observation=Observation(model=row.model, numbers=row.numbers, categories=row.categories),
    )
