"""Feedback as one verdict per case: was there a fracture, and did the detector say so?

What is held to be true is what the export for learning holds to be true (`cds.learning.feedback.truth`): a case whose
readers leave it open, or differ while nobody adjudicated, says nothing.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cds.errors import DamagedBlobError, NotStoredError
from cds.learning.feedback.cases import JudgedCase, judged_case
from cds.learning.feedback.readers import MachineRead
from cds.learning.feedback.truth import truth_of
from cds.store.feedback import Feedback
from cds.store.opening import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One case with the verdict of the clinicians."""

    case_id: str
    moment: datetime
    """When this verdict became known: what is said later and leaves it as it is leaves its place in time, too."""
    fracture: bool


def judged(store: Store, positive: Mapping[str, bool], *, until: datetime | None = None) -> tuple[Judged, ...]:
    """The verdicts, in the order in which they became known.

    A dispute that is settled late is news of that day. Put at its first word, it would come before verdicts that were
    looked at without it, and what was said of these would no longer hold. A verdict that is taken back is left out: it
    is no longer held to be true. An alarm that it helped to raise stands nevertheless (`cds.learning.drift.alarms`).

    Args:
        store: where cases and feedback are kept.
        positive: what the detector said of each case that it judged; other cases are left out.
        until: only what was said up to then.

    Raises:
        StoreError: the store does not answer.
    """
    found = []
    for one in _spoken_of(store, positive):
        said = [each for each in one.feedback if until is None or each.created <= until]
        verdict = truth_of(said, one.facts.machine).fracture
        if verdict is not None:
            moment = known_since(said, one.facts.machine)
            found.append(Judged(case_id=one.case.id, moment=moment, fracture=verdict))
    return tuple(sorted(found, key=lambda one: (one.moment, one.case_id)))


def known_since(said: Sequence[Feedback], machine: MachineRead) -> datetime:
    """The moment from which on the verdict that stands at the end has stood.

    Args:
        said: all feedback on one case, superseded one too, in any order; at least one.
        machine: what the machine had said of it.
    """
    verdict = truth_of(said, machine).fracture
    since, *earlier = sorted({one.created for one in said}, reverse=True)
    for moment in earlier:
        if truth_of([one for one in said if one.created <= moment], machine).fracture is not verdict:
            break
        since = moment
    return since


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
