"""Feedback as one verdict per case: was there a fracture, and did the detector say so?

What is held to be true is what the export for learning holds to be true (`cds.learning.feedback.truth`): a case whose
readers leave it open, or differ while nobody adjudicated, says nothing.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cds.errors import DamagedBlobError, NotStoredError
from cds.learning.feedback.cases import JudgedCase, judged_case
from cds.learning.feedback.readers import READER_ROLES
from cds.store.opening import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One case with the verdict of the clinicians."""

    case_id: str
    moment: datetime
    """Of the first word on it: later ones may change the verdict, not its place in time."""
    fracture: bool


def judged(store: Store, positive: Mapping[str, bool]) -> tuple[Judged, ...]:
    """The verdicts, by the time of the first word.

    Args:
        store: where cases and feedback are kept.
        positive: what the detector said of each case that it judged; other cases are left out.

    Raises:
        StoreError: the store does not answer.
    """
    found = [
        Judged(
            case_id=one.case.id,
            moment=min(said.created for said in one.feedback if said.role in READER_ROLES),
            fracture=one.truth.fracture,
        )
        for one in _spoken_of(store, positive)
        if one.truth.fracture is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.moment, one.case_id)))


def _spoken_of(store: Store, wanted: Mapping[str, bool]) -> Iterator[JudgedCase]:
    """The wanted cases that somebody spoke about; one that was just erased or is damaged is left out."""
    for case_id in dict.fromkeys(one.case_id for one in store.feedback.all(current=False)):
        if case_id not in wanted:
            continue
        try:
            yield judged_case(store, case_id)
        except (NotStoredError, DamagedBlobError) as error:
            _log.warning("a judged case is not watched for drift [%s]", error.code)


def outcome_numbers(*, called: bool, probability: float | None, fracture: bool) -> dict[str, float]:
    """What the outcome monitors read of a judged case; what says nothing of it is left out."""
    numbers = {"agreement": float(called == fracture)}
    if called:
        numbers["false_alarm"] = float(not fracture)
    if fracture:
        numbers["missed"] = float(not called)
    if probability is not None:
        numbers["calibration"] = float(fracture) - probability
    return numbers
