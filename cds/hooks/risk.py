"""patient-view: whether the ten-year risk or a care gap is worth a card.

One card at most, since a second one on the same chart is not read. No card for what nobody can act on: a dead patient,
a risk below the treatment thresholds, a fracture that was followed up.
"""

from datetime import timedelta

from cds.batch.care_gaps import (
    FRAGILITY_FROM_YEARS,
    GAP_EVIDENCE,
    HIGH_HIP,
    HIGH_MAJOR,
    OSTEOPOROTIC_T_SCORE,
    CareGap,
    CareGapKind,
    care_gaps,
    is_treated,
)
from cds.hooks.news import OpenFracture, Pressure, RiskNews
from cds.mapping import RECENT_FRACTURE_WINDOW
from fhir_adapters.patient import PatientSnapshot, Sourced
from fhir_adapters.warnings import FhirWarning
from tabular.results import RiskEstimate

DXA_DUE = timedelta(weeks=12)
"""``care.fls.dxa``: until then a missing scan is a task, not a gap."""
OSTEOPENIC_T_SCORE = -1.0
"""``risk.threshold.bhof_osteopenia``, upper end."""
_DAYS_PER_YEAR = 365.25

_PRESSURE: dict[CareGapKind, Pressure] = {
    CareGapKind.FRACTURE: Pressure.WARNING,
    CareGapKind.T_SCORE: Pressure.WARNING,
    CareGapKind.GLUCOCORTICOID: Pressure.WARNING,
    CareGapKind.HIGH_RISK: Pressure.INFO,
    CareGapKind.RESULT: Pressure.INFO,
    CareGapKind.BISPHOSPHONATE: Pressure.INFO,
}


def risk_news(patient: PatientSnapshot, risk: RiskEstimate | None) -> RiskNews | None:
    """What a chart that was just opened should say about fractures; None for nothing.

    Args:
        patient: the record.
        risk: the estimate; None when it could not be made.
    """
    if is_deceased(patient):
        return None
    gaps = care_gaps(patient, risk)
    # A rule of this software alone, without a cited source, does not interrupt.
    leading = [gap for gap in gaps if GAP_EVIDENCE[gap.kind]]
    lowest = _lowest_t_score(patient)
    if not leading:
        if not _treatable_by_risk(patient, risk, lowest):
            return None
        return RiskNews(patient=patient, pressure=Pressure.INFO, lead=None, gaps=gaps, risk=risk, t_score=lowest)
    lead = leading[0]
    fracture = _newest_open(patient, lead) if lead.kind is CareGapKind.FRACTURE else None
    return RiskNews(
        patient=patient,
        pressure=max((_pressure(gap, fracture) for gap in leading), key=list(Pressure).index),
        lead=lead.kind,
        gaps=gaps,
        risk=risk,
        fracture=fracture,
        t_score=lowest,
    )


def is_deceased(patient: PatientSnapshot) -> bool:
    """Whether the record says that the patient is dead."""
    return FhirWarning.PATIENT_DECEASED in {code.partition(":")[0] for code in patient.warnings}


def _pressure(gap: CareGap, fracture: OpenFracture | None) -> Pressure:
    """An old fracture is worth a line, not an alarm; a fresh one is a task that is not late yet."""
    if gap.kind is not CareGapKind.FRACTURE or fracture is None:
        return _PRESSURE[gap.kind]
    since = timedelta(days=fracture.days)
    return Pressure.WARNING if DXA_DUE < since <= RECENT_FRACTURE_WINDOW else Pressure.INFO


def _newest_open(patient: PatientSnapshot, gap: CareGap) -> OpenFracture | None:
    found = [one for one in patient.prior_fractures if one.resource in gap.resources and one.onset is not None]
    newest = max(found, key=lambda one: one.onset or patient.as_of, default=None)
    if newest is None or newest.onset is None or patient.age_years is None:
        return None
    days = (patient.as_of - newest.onset).days
    return OpenFracture(fracture=newest, age_years=_age_at(patient, days), days=days)


def _age_at(patient: PatientSnapshot, days_ago: int) -> int:
    """Completed years then."""
    born, moment = patient.birth_date, patient.as_of.date() - timedelta(days=days_ago)
    if born is None:
        return int((patient.age_years or 0) - days_ago / _DAYS_PER_YEAR)
    return moment.year - born.year - ((moment.month, moment.day) < (born.month, born.day))


def _lowest_t_score(patient: PatientSnapshot) -> Sourced[float] | None:
    scores = (
        patient.t_score_femoral_neck,
        patient.t_score_total_hip,
        patient.t_score_spine,
        patient.t_score_unspecified,
    )
    return min((one for one in scores if one is not None), key=lambda one: one.value, default=None)


def _treatable_by_risk(patient: PatientSnapshot, risk: RiskEstimate | None, lowest: Sourced[float] | None) -> bool:
    """Osteopenia with a probability at the threshold, untreated: ``risk.threshold.bhof_mof`` and ``bhof_hip``."""
    if risk is None or lowest is None or patient.age_years is None or is_treated(patient):
        return False
    osteopenic = OSTEOPOROTIC_T_SCORE < lowest.value < OSTEOPENIC_T_SCORE
    high = risk.major_osteoporotic.value >= HIGH_MAJOR or risk.hip.value >= HIGH_HIP
    return osteopenic and high and patient.age_years >= FRAGILITY_FROM_YEARS


def is_scan_due(news: RiskNews) -> bool:
    """Whether a bone density scan is what the gaps of a card miss."""
    missed = {CareGapKind.FRACTURE, CareGapKind.GLUCOCORTICOID, CareGapKind.HIGH_RISK, CareGapKind.BISPHOSPHONATE}
    return any(gap.kind in missed for gap in news.gaps)
