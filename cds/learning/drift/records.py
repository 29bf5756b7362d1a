"""Where observations are kept, and which of them are the reference.

Observations are erased with their cases. The figures of a reference are kept apart from them, without a case's
identifier or its place in time, as soon as it is complete: retention would otherwise let an old reference shrink, and
the first cases of a model slide forward until they have swallowed a slow drift. Beside them stand the alarms that were
raised against them (`cds.learning.drift.alarms`): erasing the cases behind an alarm does not end it, a new reference
does. An alarm of a detector that has no reference yet waits in a row of no cases for the first one.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from cds.case import CaseResult
from cds.errors import InputError, StoreError
from cds.learning.drift.alarms import RaisedAlarm, read_alarms, written
from cds.learning.drift.observation import Observation, observe
from cds.store.database import Database
from cds.store.tables import CaseRow, DriftObservationRow, DriftReferenceRow

_log = logging.getLogger(__name__)

REFERENCE_CASES: Final = 500
"""Cases in a reference: the first ones that a model answered, unless somebody sets others."""
REPEATED_WITHIN: Final = timedelta(days=30)
"""Another radiograph of the same patient within this time is not counted again."""
_NOBODY: Final = ""
"""Actor of a reference that nobody had to choose."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFigures:
    """What an outcome monitor begins with."""

    values: tuple[float, ...]
    """Rising."""
    ended: datetime
    """Cases judged up to this moment are among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFigures:
    """The values of a reference, by the name of their monitor."""

    numbers: Mapping[str, tuple[float, ...]]
    """Rising."""
    categories: Mapping[str, Mapping[str, int]]
    """How often each was seen."""
    outcomes: Mapping[str, OutcomeFigures] = field(default_factory=dict)
    """Of the first judged cases, which come in later than the others."""


class DriftRecords:
    """Observations and references in a database.

    Args:
        database: open and up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, case_id: str, observation: Observation) -> None:
        """Keep what is watched of a kept case; a second time changes nothing. The last of a reference completes it.

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
            session.flush()
            _complete(session, observation.model)

    def model(self, *, until: datetime | None = None) -> str | None:
        """The detector that answered last, or last up to a moment; None before the first observation.

        Where every observation was erased, it is the one of the newest reference, whose alarms still stand.
        """
        wanted = select(DriftObservationRow.model).order_by(
            DriftObservationRow.created.desc(), DriftObservationRow.case_id.desc()
        )
        if until is not None:
            wanted = wanted.where(DriftObservationRow.created <= until)
        with self._database.reading() as session:
            found = session.scalars(wanted.limit(1)).first()
            if found is not None or session.scalars(select(DriftObservationRow.case_id).limit(1)).first() is not None:
                return found
            left = select(DriftReferenceRow.model).order_by(DriftReferenceRow.created.desc())
            return session.scalars(left.limit(1)).first()

    def all(self, model: str, *, since: datetime | None = None, until: datetime | None = None) -> tuple[Observed, ...]:
        """Counted observations of one detector, the oldest first; repeated ones are left out."""
        wanted = _counted(model)
        if until is not None:
            wanted = wanted.where(DriftObservationRow.created <= until)
        if since is not None:
            wanted = wanted.where(DriftObservationRow.created >= since)
        with self._database.reading() as session:
            return tuple(_observed(row) for row in session.scalars(wanted))

    def reference(self, model: str) -> Reference | None:
        """The reference of a detector; None while it has answered too few cases."""
        with self._database.reading() as session:
            row = _newest_reference(session, model)
            if row is not None:
                return Reference(
                    model=model, began=row.began, ended=row.ended, cases=row.cases, set_by=row.actor or None
                )
        return reference_of(self.all(model)[:REFERENCE_CASES])

    def figures(self, model: str) -> ReferenceFigures | None:
        """The values of the reference of a detector; None where they are not kept apart from the cases."""
        with self._database.reading() as session:
            row = _newest_reference(session, model)
            if row is None or row.figures is None or "numbers" not in row.figures:
                return None
            kept = row.figures
        return ReferenceFigures(
            numbers={name: tuple(values) for name, values in kept["numbers"].items()},
            categories=kept["categories"],
            outcomes={
                name: OutcomeFigures(values=tuple(one["values"]), ended=datetime.fromisoformat(one["ended"]))
                for name, one in kept.get("outcomes", {}).items()
            },
        )

    def keep_outcomes(self, reference: Reference, found: Mapping[str, OutcomeFigures]) -> None:
        """Keep what outcome monitors begin with beside a reference; what is kept already stays.

        Args:
            reference: which they belong to; nothing is kept where it is no longer the newest.
            found: by monitor.

        Raises:
            StoreError: it is not kept.
        """
        new = {name: {"values": sorted(one.values), "ended": one.ended.isoformat()} for name, one in found.items()}
        with self._database.transaction() as session:
            row = _newest_reference(session, reference.model, change=True)
            if row is not None and _is(row, reference) and row.figures is not None:
                _keep_beside(row, "outcomes", new)

    def alarms(self, model: str) -> dict[str, RaisedAlarm]:
        """Alarms that stand against the reference of a detector, by monitor."""
        with self._database.reading() as session:
            row = _newest_reference(session, model) or _before_reference(session, model)
            return read_alarms((row.figures or {}).get("alarms", {})) if row is not None else {}

    def keep_alarms(self, model: str, reference: Reference | None, found: Mapping[str, RaisedAlarm]) -> None:
        """Keep alarms until a new reference is set; what is kept already stays.

        Args:
            model: of which detector.
            reference: against which they were raised; nothing is kept where it is no longer the newest, since what
                was true of another one says nothing of it.
            found: by monitor.

        Raises:
            StoreError: they are not kept.
        """
        with self._database.transaction() as session:
            row = _newest_reference(session, model, change=True)
            if row is not None and (reference is None or not _is(row, reference)):
                return
            row = row or _before_reference(session, model)
            if row is None:
                row = _row_of_no_cases(model)
                session.add(row)
            _keep_beside(row, "alarms", written(found))

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
            session.add(_row(found, chosen))
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


def figures_of(observed: Sequence[Observed]) -> ReferenceFigures:
    """The values of some cases, in no relation to these."""
    numbers: dict[str, list[float]] = defaultdict(list)
    categories: dict[str, Counter[str]] = defaultdict(Counter)
    for one in observed:
        for name, value in one.observation.numbers.items():
            numbers[name].append(value)
        for name, category in one.observation.categories.items():
            categories[name][category] += 1
    return ReferenceFigures(
        numbers={name: tuple(sorted(values)) for name, values in sorted(numbers.items())},
        categories={name: dict(sorted(counts.items())) for name, counts in sorted(categories.items())},
    )


def note(database: Database, case_id: str, result: CaseResult) -> None:
    """Keep what is watched of a case that was just kept; a failure is logged and withholds no answer."""
    try:
        observation = observe(result)
        if observation is not None:
            DriftRecords(database).add(case_id, observation)
    except StoreError as error:
        _log.warning("a case is not watched for drift [%s]", error.code)


def _counted(model: str) -> Select[DriftObservationRow]:
    """Observations of one detector that count, the oldest first."""
    counted = select(DriftObservationRow).where(
        DriftObservationRow.model == model, DriftObservationRow.repeated.is_(False)
    )
    return counted.order_by(DriftObservationRow.created, DriftObservationRow.case_id)


def _newest_reference(session: Session, model: str, *, change: bool = False) -> DriftReferenceRow | None:
    """The row of a detector's reference.

    Args:
        session: open.
        model: of which detector.
        change: whether it is to be changed, and nobody else may do so until then.
    """
    wanted = select(DriftReferenceRow).where(DriftReferenceRow.model == model, DriftReferenceRow.cases > 0)
    wanted = wanted.order_by(DriftReferenceRow.created.desc()).limit(1)
    return session.scalars(wanted.with_for_update() if change else wanted).first()


def _before_reference(session: Session, model: str) -> DriftReferenceRow | None:
    """The row of no cases that holds the alarms of a detector before its first reference."""
    return session.get(DriftReferenceRow, _name_before_reference(model))


def _name_before_reference(model: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"drift before the first reference of {model}"))


def _row_of_no_cases(model: str) -> DriftReferenceRow:
    now = datetime.now(UTC)
    return DriftReferenceRow(
        id=_name_before_reference(model),
        created=now,
        actor=_NOBODY,
        model=model,
        began=now,
        ended=now,
        cases=0,
        figures={},
    )


def _is(row: DriftReferenceRow, reference: Reference) -> bool:
    return (row.began, row.ended, row.cases) == (reference.began, reference.ended, reference.cases)


def _keep_beside(row: DriftReferenceRow, part: str, new: Mapping[str, object]) -> None:
    """Add to a part of a row's figures; what it holds already stays."""
    figures: dict[str, Any] = row.figures or {}
    kept = figures.get(part)
    row.figures = {**figures, part: {**new, **(kept if isinstance(kept, dict) else {})}}


def _complete(session: Session, model: str) -> None:
    """Keep the first cases of a detector as its reference, once there are enough and it has none."""
    if _newest_reference(session, model) is not None:
        return
    if (session.scalar(select(func.count()).select_from(_counted(model).subquery())) or 0) < REFERENCE_CASES:
        return
    observed = [_observed(row) for row in session.scalars(_counted(model).limit(REFERENCE_CASES))]
    found = reference_of(observed)
    if found is None:
        return
    row, before = _row(found, observed), _before_reference(session, model)
    if before is not None:  # nobody set this reference: what was raised before it stands
        row.figures = {**(row.figures or {}), **(before.figures or {})}
        session.delete(before)
    session.add(row)


def _row(found: Reference, observed: Sequence[Observed]) -> DriftReferenceRow:
    figures = figures_of(observed)
    return DriftReferenceRow(
        id=str(uuid4()),
        created=datetime.now(UTC),
        actor=found.set_by or _NOBODY,
        model=found.model,
        began=found.began,
        ended=found.ended,
        cases=found.cases,
        figures={"numbers": dict(figures.numbers), "categories": dict(figures.categories)},
    )


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
