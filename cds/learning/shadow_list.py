"""How often the shadow differs from what was answered, and on which cases most."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from sqlalchemy import func, select

from cds.store.database import Database
from cds.store.tables import ShadowDifferenceRow

LEVEL: Final = 0.95
"""Of the interval of the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardCase:
    """A case on which two models differ: worth a second read, and worth learning from."""

    case_id: str
    current: str
    current_call: str
    candidate_call: str | None
    current_probability: float | None
    candidate_probability: float | None
    box_iou: float | None
    hardness: float
    """0..1, see `cds.learning.shadow.hardness`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """All that one shadow said so far."""

    model_id: str | None
    cases: int
    """Answered by both."""
    disagreements: int
    """With another call."""
    errors: int
    """Cases that the shadow could not answer."""
    low: float
    """95 % interval of the rate (Wilson 1927), 0..1."""
    high: float
    hardest: tuple[HardCase, ...]
    """The ones furthest apart first; those that agree to within rounding are left out."""

    @property
    def rate(self) -> float:
        """Share of radiographs on which the calls differ, 0..1."""
        return self.disagreements / self.cases if self.cases else 0.0


def agreement_of(database: Database, model_id: str | None, *, limit: int = 20) -> Agreement:
    """What a shadow said so far.

    Args:
        database: of the cases.
        model_id: the shadow; None where none runs.
        limit: cases to list.

    Raises:
        StoreUnavailableError: the database does not answer.
    """
    row = ShadowDifferenceRow
    mine = row.candidate == (model_id or "")
    with database.reading() as session:
        answered = mine & row.error.is_(None)
        cases = session.scalar(select(func.count()).where(answered)) or 0
        differ = session.scalar(select(func.count()).where(answered, row.current_call != row.candidate_call)) or 0
        errors = session.scalar(select(func.count()).where(mine, row.error.is_not(None))) or 0
        hard = select(row).where(answered, row.hardness > 0).order_by(row.hardness.desc(), row.case_id).limit(limit)
        hardest = tuple(_case(one) for one in session.scalars(hard))
    low, high = wilson(differ, cases)
    return Agreement(
        model_id=model_id, cases=cases, disagreements=differ, errors=errors, low=low, high=high, hardest=hardest
    )


def wilson(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share (Wilson 1927); 0 to 1 without observations."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, scale = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5 / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def _case(row: ShadowDifferenceRow) -> HardCase:
    return HardCase(
        case_id=row.case_id,
        current=row.current,
        current_call=row.current_call,
        candidate_call=row.candidate_call,
        current_probability=row.current_probability,
        candidate_probability=row.candidate_probability,
        box_iou=row.box_iou,
        hardness=row.hardness,
    )
