"""Care gaps that a fracture liaison service acts on: what should have followed and is not in the record. Pure.

A gap says that the record is silent, not that nothing was done: a scan or a drug of another hospital may be missing
from it. A scan recorded as done counts as a measurement though nobody knows what it found; where it answers for a gap,
the gap that stands instead is that its result is missing. The thresholds are those of the evidence entries that each
gap cites; a rule without an entry cites none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from cds.mapping import NOT_FRAGILITY_SITES
from fhir_adapters.patient import DrugClass, FractureSiteGroup, PatientSnapshot, PriorFracture, Sourced
from tabular.results import RiskEstimate

FRAGILITY_FROM_YEARS = 50
"""``care.fls.identify``."""
OSTEOPOROTIC_T_SCORE = -2.5
"""``risk.threshold.bhof_t_score``."""
HIGH_MAJOR = 0.20
"""``risk.threshold.bhof_mof``, ten-year probability."""
HIGH_HIP = 0.03
"""``risk.threshold.bhof_hip``, ten-year probability."""
GLUCOCORTICOID_COURSE = timedelta(days=90)
"""``risk.threshold.glucocorticoid_exposure``: three months. The dose is not read."""
BISPHOSPHONATE_COURSE = timedelta(days=5 * 365.25)
RECENT_SCAN = timedelta(days=365)
"""A scan up to a year before a fracture or a course of glucocorticoids answers for it."""
REVIEW_SCAN = timedelta(days=2 * 365.25)
"""A scan this recent is taken for a review of long treatment."""
REFILL_GAP = timedelta(days=45)
"""Entries of one drug class closer together than this are one course."""
_DAYS_PER_YEAR = 365.25

BONE_DRUGS = frozenset(
    {
        DrugClass.ORAL_BISPHOSPHONATE,
        DrugClass.INTRAVENOUS_BISPHOSPHONATE,
        DrugClass.DENOSUMAB,
        DrugClass.ANABOLIC_BONE_DRUG,
    }
)
_BISPHOSPHONATES = frozenset({DrugClass.ORAL_BISPHOSPHONATE, DrugClass.INTRAVENOUS_BISPHOSPHONATE})


class CareGapKind(StrEnum):
    """The gaps that are looked for, most pressing first."""

    FRACTURE = "fragility_fracture_without_dxa_or_treatment"
    T_SCORE = "osteoporotic_t_score_without_treatment"
    GLUCOCORTICOID = "glucocorticoids_3_months_without_assessment"
    HIGH_RISK = "high_risk_without_dxa"
    RESULT = "dxa_without_result"
    BISPHOSPHONATE = "bisphosphonate_5_years_without_review"


GAP_WORDS: dict[CareGapKind, str] = {
    CareGapKind.FRACTURE: "Fracture from 50 years at a fragility site; neither a bone density measurement nor"
    " bone-protecting treatment since then is recorded",
    CareGapKind.T_SCORE: "T-score of \N{MINUS SIGN}2.5 or lower; no current bone-protecting treatment is recorded",
    CareGapKind.GLUCOCORTICOID: "Systemic glucocorticoids for three months or more; neither a bone density measurement"
    " nor bone-protecting treatment is recorded",
    CareGapKind.HIGH_RISK: "Ten-year probability of 20 % or more (major) or 3 % or more (hip); no bone density"
    " measurement and no bone-protecting treatment is recorded",
    CareGapKind.RESULT: "Bone density scan (DXA) recorded as done, without its result: ask for it",
    CareGapKind.BISPHOSPHONATE: "Bisphosphonate for more than five years; no bone density measurement within two years"
    " is recorded",
}
GAP_EVIDENCE: dict[CareGapKind, tuple[str, ...]] = {
    CareGapKind.FRACTURE: ("care.fls.identify", "care.fls.dxa", "care.fls.drug_started", "care.fls.any_fracture_50"),
    CareGapKind.T_SCORE: ("risk.threshold.bhof_t_score",),
    CareGapKind.GLUCOCORTICOID: ("risk.threshold.glucocorticoid_exposure",),
    CareGapKind.HIGH_RISK: ("risk.threshold.bhof_mof", "risk.threshold.bhof_hip"),
    CareGapKind.RESULT: (),
    CareGapKind.BISPHOSPHONATE: (),
}
"""Identifiers in the evidence base; an empty tuple is a rule of this software, and is shown as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CareGap:
    """One gap of one patient."""

    kind: CareGapKind
    resources: tuple[str, ...]
    """What triggered it, as relative references; empty where the whole record did (a high probability)."""
    scanned: date | None = None
    """With `CareGapKind.RESULT`: the day of the newest scan."""

    @property
    def words(self) -> str:
        """The gap in words, with the day of the scan whose result is wanted."""
        words = GAP_WORDS[self.kind]
        return words if self.scanned is None else f"{words} (scan of {self.scanned.isoformat()})"


def care_gaps(patient: PatientSnapshot, risk: RiskEstimate | None) -> tuple[CareGap, ...]:
    """The gaps in one patient's record at the time of the snapshot, in the order of `CareGapKind`.

    Args:
        patient: The record.
        risk: The estimate; None where there is none, and then no gap rests on it.
    """
    gaps = _gaps(patient, risk)
    scan = patient.scan_without_result
    if scan is not None and len(_gaps(replace(patient, bone_density_scans=()), risk)) > len(gaps):
        # The scan answers for a gap, and nobody knows what it found.
        asked = CareGap(kind=CareGapKind.RESULT, resources=(scan.resource,), scanned=scan.performed.date())
        gaps = sorted([*gaps, asked], key=lambda gap: list(CareGapKind).index(gap.kind))
    return tuple(gaps)


def _gaps(patient: PatientSnapshot, risk: RiskEstimate | None) -> list[CareGap]:
    """The gaps that stand although a scan without a result counts as done."""
    found = (
        (CareGapKind.FRACTURE, _fractures(patient)),
        (CareGapKind.T_SCORE, _t_scores(patient)),
        (CareGapKind.GLUCOCORTICOID, _glucocorticoids(patient)),
        (CareGapKind.HIGH_RISK, _high_risk(patient, risk)),
        (CareGapKind.BISPHOSPHONATE, _bisphosphonates(patient)),
    )
    return [CareGap(kind=kind, resources=resources) for kind, resources in found if resources is not None]


def _fractures(patient: PatientSnapshot) -> tuple[str, ...] | None:
    """Fractures from 50 years that nobody followed up."""
    open_ones = tuple(
        fracture.resource
        for fracture in patient.prior_fractures
        if _counts(fracture)
        and (_age_at(patient, fracture.onset) or 0) >= FRAGILITY_FROM_YEARS
        and not _scanned_since(patient, fracture.onset)
        and not _treated_since(patient, fracture.onset)
    )
    return open_ones or None


def _counts(fracture: PriorFracture) -> bool:
    if fracture.pathological:
        return True
    return fracture.site not in NOT_FRAGILITY_SITES and fracture.site is not FractureSiteGroup.OTHER


def _age_at(patient: PatientSnapshot, moment: datetime | None) -> int | None:
    """Completed years at a moment; None when the record does not tell."""
    if moment is None:
        return None
    born = patient.birth_date
    if born is not None:
        day = moment.date()
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    if patient.age_years is None:
        return None
    return int(patient.age_years - (patient.as_of - moment).days / _DAYS_PER_YEAR)


def _t_scores(patient: PatientSnapshot) -> tuple[str, ...] | None:
    if not _at_least(patient, FRAGILITY_FROM_YEARS) or is_treated(patient):
        return None
    return tuple(score.resource for score in _scores(patient) if score.value <= OSTEOPOROTIC_T_SCORE) or None


def _glucocorticoids(patient: PatientSnapshot) -> tuple[str, ...] | None:
    course = _course(patient, frozenset({DrugClass.SYSTEMIC_GLUCOCORTICOID}))
    if course is None or patient.as_of - course[0] < GLUCOCORTICOID_COURSE or is_treated(patient):
        return None
    return None if _scanned_since(patient, course[0]) else course[1]


def _high_risk(patient: PatientSnapshot, risk: RiskEstimate | None) -> tuple[str, ...] | None:
    if risk is None or not _at_least(patient, FRAGILITY_FROM_YEARS):
        return None
    high = risk.major_osteoporotic.value >= HIGH_MAJOR or risk.hip.value >= HIGH_HIP
    return () if high and not list(_scan_dates(patient)) and not is_treated(patient) else None


def _bisphosphonates(patient: PatientSnapshot) -> tuple[str, ...] | None:
    course = _course(patient, _BISPHOSPHONATES)
    if course is None or patient.as_of - course[0] <= BISPHOSPHONATE_COURSE:
        return None
    reviewed = any(day is None or patient.as_of - day <= REVIEW_SCAN for day in _scan_dates(patient))
    return None if reviewed else course[1]


def _course(patient: PatientSnapshot, classes: frozenset[DrugClass]) -> tuple[datetime, tuple[str, ...]] | None:
    """Beginning and entries of the course that runs now; None when none runs, or when it has no date."""
    dated = [
        (entry.start, entry.end or entry.start, entry)
        for entry in patient.medications
        if entry.drug_class in classes and entry.start is not None
    ]
    running = [(start, entry) for start, _, entry in dated if entry.active]
    if not running:
        return None
    begun = min(start for start, _ in running)
    used = {entry.resource: None for _, entry in running}
    for start, last, entry in sorted(dated, key=lambda one: one[1], reverse=True):
        if start < begun and begun - last <= REFILL_GAP:
            begun = start
            used[entry.resource] = None
    return begun, tuple(used)


def _scores(patient: PatientSnapshot) -> Iterator[Sourced[float]]:
    for score in (
        patient.t_score_femoral_neck,
        patient.t_score_total_hip,
        patient.t_score_spine,
        patient.t_score_unspecified,
    ):
        if score is not None:
            yield score


def _scan_dates(patient: PatientSnapshot) -> Iterator[datetime | None]:
    """When bone density was measured, by a T-score or by a scan recorded as done; None for an undated T-score."""
    for score in _scores(patient):
        yield score.effective
    for scan in patient.bone_density_scans:
        yield scan.performed


def _scanned_since(patient: PatientSnapshot, moment: datetime | None) -> bool:
    """Whether bone density was measured up to a year before a moment, or since; an undated scan counts."""
    return any(day is None or moment is None or moment - day <= RECENT_SCAN for day in _scan_dates(patient))


def is_treated(patient: PatientSnapshot) -> bool:
    """Whether a bone-protecting drug is taken at the time of the snapshot."""
    return any(entry.active and entry.drug_class in BONE_DRUGS for entry in patient.medications)


def _treated_since(patient: PatientSnapshot, moment: datetime | None) -> bool:
    """Whether a bone-protecting drug is taken now, or was at or after a moment; an undated entry counts."""
    for entry in patient.medications:
        if entry.drug_class in BONE_DRUGS:
            last = entry.end or entry.start
            if entry.active or last is None or moment is None or last >= moment:
                return True
    return False


def _at_least(patient: PatientSnapshot, years: int) -> bool:
    return patient.age_years is not None and patient.age_years >= years
