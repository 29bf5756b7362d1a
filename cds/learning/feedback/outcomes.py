"""Follow-ups of a case to a row that ``cds train healing`` learns from.

A look at week w that finds the bone united says that it united by week w; the last look before that found it not united
says that it took longer. So union is known between two checks, and the row says just that. A bone that was never seen
united was watched until the last look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cds.bedside import parse_context
from cds.errors import InputError, NotStoredError
from cds.healing_outcomes import row_of
from cds.learning.feedback import reasons
from cds.learning.feedback.cases import JudgedCase
from cds.learning.feedback.readers import READER_ROLES, current
from cds.pipeline import RecordReader
from cds.store.feedback import Feedback, FeedbackKind
from cds.store.opening import Store
from cds.work.keeping import kept_request
from fhir_adapters.errors import FhirError
from fhir_adapters.patient import PatientSnapshot
from fusion.facts import CaseFacts
from tabular.healing.outcomes import FLAGS, MAX_WEEKS, REQUIRED, SITE_GROUPS, HealingRow

COLUMNS: Final = (*REQUIRED, "treatment", "lower_week", "upper_week")
"""Of ``healing_outcomes.csv``."""
OLDEST: Final = 90
"""Years: everybody of that age and above is told as that old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """When union was looked for, in weeks after the injury."""

    lower: float
    """Last look that found the fracture not united; 0 for none."""
    upper: float | None
    """First look that found it united; None where union was not seen."""


def follow_up(feedback: Iterable[Feedback]) -> FollowUp | str | None:
    """The follow-ups of a case as one, whatever their order.

    Args:
        feedback: of one case, superseded ones too.

    Returns:
        None where there is none; a code of `reasons` where they cannot be used.
    """
    seen = [one for one in current(feedback) if one.kind is FeedbackKind.OUTCOME and one.role in READER_ROLES]
    looks = [(one.content.weeks, one.content.united) for one in seen]
    united = [weeks for weeks, yes in looks if yes and weeks is not None]
    not_united = [weeks for weeks, yes in looks if yes is False and weeks is not None]
    if not united and not not_united:
        return None
    if united and not_united and max(not_united) >= min(united):
        return reasons.OUTCOMES_CONTRADICT
    found = FollowUp(lower=max(not_united, default=0.0), upper=min(united) if united else None)
    last = found.lower if found.upper is None else found.upper
    return found if 0 < last <= MAX_WEEKS else reasons.NO_TIME


def outcome_row(store: Store, judged: JudgedCase, read_record: RecordReader) -> Mapping[str, str] | str | None:
    """A case with follow-ups as a row of the table, its columns in the order of `COLUMNS`.

    Args:
        store: where the case is kept.
        judged: the case with its feedback; a pattern that its readers settled replaces the one of the bedside.
        read_record: reads the patient's record as it stood at the assessment.

    Returns:
        None where there is no follow-up; a code of `reasons` where no row can be made.

    Raises:
        StoreError: the case cannot be read.
    """
    seen = follow_up(judged.feedback)
    if seen is None or isinstance(seen, str):
        return seen
    try:
        raw = kept_request(store, judged.case.id, dated=True)
        context = parse_context(raw.bedside)
        moment = datetime.fromisoformat(str(raw.as_of))
        patient: PatientSnapshot | None = None
        if raw.bundle:
            patient = read_record(raw.bundle, as_of=moment, patient_id=raw.patient_id)
    except (NotStoredError, InputError, FhirError, ValueError):
        return reasons.RECORD_UNUSABLE
    if judged.truth.fracture_type is not None:
        context = replace(context, fracture_type=judged.truth.fracture_type)
    row = row_of(CaseFacts(findings=None, patient=patient, risk=None, context=context, as_of=moment))
    if row is None or row.site not in SITE_GROUPS:
        return reasons.NO_SITE
    return _written(row, seen)


def _written(row: HealingRow, seen: FollowUp) -> dict[str, str]:
    flags = {name: _flag(getattr(row, name)) for name in FLAGS}
    last = seen.lower if seen.upper is None else seen.upper
    values = {
        "site": row.site,
        "pattern": row.pattern or "",
        "age": "" if row.age_years is None else str(min(row.age_years, OLDEST)),
        "sex": "" if row.female is None else "female" if row.female else "male",
        **flags,
        "weeks_observed": f"{last:g}",
        "united": _flag(seen.upper is not None),
        "treatment": "" if row.operated is None else "operative" if row.operated else "conservative",
        "lower_week": "" if seen.upper is None else f"{seen.lower:g}",
        "upper_week": "" if seen.upper is None else f"{seen.upper:g}",
    }
    return {name: values[name] for name in COLUMNS}


def _flag(value: bool | None) -> str:
    return "" if value is None else str(int(value))
