"""A patient snapshot to the row the risk model reads.

The rule for absence: *silence is None*. A FHIR record is an open world: a problem list without rheumatoid arthritis
says that nobody recorded it, not that somebody looked and found none. A field therefore becomes False only where the
record makes a statement that implies it ("never smoked" is not a current smoker; type 2 diabetes is not type 1; a
stated intake below the threshold). Everything else is None, and the model applies its declared missing-value rule.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from fhir_adapters.patient import (
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    PatientSnapshot,
    PriorFracture,
    Sex,
    SmokingStatus,
    Sourced,
)
from tabular.features import RiskFeatures

V = TypeVar("V")

PRESENT_FRACTURE_WINDOW = timedelta(days=180)
"""An active fracture with an onset this close to the assessment is the present one, not a previous one.

Long bones may take six months to unite; a fracture still listed as active after that is an old problem-list entry.
"""

RECENT_FRACTURE_WINDOW = timedelta(days=730)
"""Two years, the window of `RiskFeatures.recent_fracture_2y`."""

DAYS_PER_YEAR = 365.25

ADULT_AGE_YEARS = 18
"""A fracture before this age is a childhood fracture and says nothing about bone fragility."""

GLUCOCORTICOID_COURSE = timedelta(days=90)
"""A finished course counts from three months on (the definition of `RiskFeatures.glucocorticoids`)."""

GLUCOCORTICOID_GAP = timedelta(days=31)
"""Prescriptions and dispenses no further apart than a month are one course: tablets are left over, refills are late."""

HEAVY_ALCOHOL_UNITS_PER_WEEK = 3 * 7
"""Three UK units a day."""

NOT_FRAGILITY_SITES = frozenset({FractureSiteGroup.SKULL, FractureSiteGroup.HAND, FractureSiteGroup.FOOT})
"""Skull and face, fingers and hand, toes and foot: not counted as fragility fractures, whatever broke them."""

MAJOR_OSTEOPOROTIC_SITES = frozenset(
    {
        FractureSiteGroup.HIP,
        FractureSiteGroup.SPINE,
        FractureSiteGroup.FOREARM,
        FractureSiteGroup.WRIST,
        FractureSiteGroup.HUMERUS,
    }
)
"""The sites of a major osteoporotic fracture."""

LIFELONG_SECONDARY_CAUSES = frozenset({ConditionKind.OSTEOGENESIS_IMPERFECTA})
"""Causes of secondary osteoporosis that count even when the entry is not active."""

ACTIVE_SECONDARY_CAUSES = frozenset(
    {
        ConditionKind.MALNUTRITION,
        ConditionKind.HYPERTHYROIDISM,
        ConditionKind.PRIMARY_HYPERPARATHYROIDISM,
        ConditionKind.HYPOGONADISM,
        ConditionKind.MALABSORPTION,
        ConditionKind.CHRONIC_LIVER_DISEASE,
        ConditionKind.ANOREXIA_NERVOSA,
    }
)
"""Causes of secondary osteoporosis that count while active; type 1 diabetes is added from the diabetes field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedFeatures:
    """The row, and what had to be left out of it."""

    features: RiskFeatures
    warnings: tuple[str, ...] = ()
    """Codes of `cds.warnings.WARNINGS`; the detail is the FHIR reference."""


def map_features(patient: PatientSnapshot) -> MappedFeatures:
    """Read the risk factors of one person at one time from the record.

    Args:
        patient: the snapshot; its `as_of` is the reference time of every window.

    Returns:
        The row and the warnings for what the record says too vaguely to be used.
    """
    previous, fracture_warnings = _previous_fragility_fractures(patient)
    current_smoker, former_smoker = _smoking(patient.smoking)
    diabetes_type_1, diabetes_type_2 = _diabetes(patient.diabetes)
    features = RiskFeatures(
        age_years=None if patient.age_years is None else float(patient.age_years),
        female=_female(patient.sex),
        bmi_kg_m2=_value(patient.bmi_kg_m2),
        weight_kg=_value(patient.weight_kg),
        height_cm=_value(patient.height_cm),
        prior_fragility_fracture=True if previous else None,
        recent_fracture_2y=_recent_major(previous, patient.as_of),
        parental_hip_fracture=_value(patient.parental_hip_fracture),
        current_smoker=current_smoker,
        former_smoker=former_smoker,
        glucocorticoids=_glucocorticoids(patient),
        rheumatoid_arthritis=_stated_or_listed(
            patient, patient.rheumatoid_arthritis, ConditionKind.RHEUMATOID_ARTHRITIS
        ),
        alcohol_3_or_more_units_per_day=_heavy_alcohol(patient),
        secondary_osteoporosis=_secondary_osteoporosis(patient),
        diabetes_type_1=diabetes_type_1,
        diabetes_type_2=diabetes_type_2,
        osteoporosis_diagnosed=_stated_or_listed(patient, patient.osteoporosis, ConditionKind.OSTEOPOROSIS),
        femoral_neck_t_score=_value(patient.t_score_femoral_neck),
        vitamin_d_nmol_l=_value(patient.vitamin_d_nmol_l),
        hba1c_percent=_value(patient.hba1c_percent),
        falls_last_year=_value(patient.falls_last_year),
        dementia=_listed(patient, ConditionKind.DEMENTIA),
        parkinson=_listed(patient, ConditionKind.PARKINSON),
        epilepsy_or_anticonvulsant=_listed(patient, ConditionKind.EPILEPSY, drug=DrugClass.ANTICONVULSANT),
        cardiovascular_disease=_listed(patient, ConditionKind.ISCHAEMIC_HEART_DISEASE, ConditionKind.STROKE),
        antidepressant=_listed(patient, drug=DrugClass.ANTIDEPRESSANT),
        chronic_kidney_disease=_listed(patient, ConditionKind.CHRONIC_KIDNEY_DISEASE, active_only=True),
        chronic_liver_disease=_listed(patient, ConditionKind.CHRONIC_LIVER_DISEASE, active_only=True),
        asthma_or_copd=_listed(patient, ConditionKind.ASTHMA_OR_COPD, active_only=True),
        cancer=_listed(patient, ConditionKind.CANCER),
        endocrine_disease=_listed(
            patient, ConditionKind.HYPERTHYROIDISM, ConditionKind.PRIMARY_HYPERPARATHYROIDISM, active_only=True
        ),
        hormone_replacement=_listed(patient, drug=DrugClass.HORMONE_REPLACEMENT),
    )
    return MappedFeatures(features=features, warnings=(*fracture_warnings, *_vague_entries(patient)))


def is_present_fracture(fracture: PriorFracture, as_of: datetime) -> bool:
    """Whether a recorded fracture is the one under treatment at `as_of`.

    An active entry without a date is taken for the present one: counting it as a previous fracture would let one
    broken wrist raise its own risk.
    """
    if not fracture.active:
        return False
    return fracture.onset is None or as_of - fracture.onset <= PRESENT_FRACTURE_WINDOW


def _value(sourced: Sourced[V] | None) -> V | None:
    return None if sourced is None else sourced.value


def _female(sex: Sex | None) -> bool | None:
    if sex is Sex.FEMALE:
        return True
    return False if sex is Sex.MALE else None


def _previous_fragility_fractures(patient: PatientSnapshot) -> tuple[list[PriorFracture], list[str]]:
    """Adult fractures before the present one at a fragility site, and warnings for those too vague to count.

    A fracture coded as due to bone disease counts at any site and without a date, unless the disease is a tumour. One
    without onset counts when it was entered into the record of an adult, since childhood fractures seldom are; the
    warning says so.
    """
    counted: list[PriorFracture] = []
    warnings: list[str] = []
    for fracture in patient.prior_fractures:
        if is_present_fracture(fracture, patient.as_of):
            warnings.append(f"cds.fracture.present:{fracture.resource}")
        elif _in_childhood(patient, fracture.onset) is True:
            continue
        elif fracture.neoplastic:
            warnings.append(f"cds.fracture.neoplastic:{fracture.resource}")
        elif fracture.pathological:
            counted.append(fracture)
        elif fracture.site in NOT_FRAGILITY_SITES:
            continue
        elif fracture.site is FractureSiteGroup.OTHER:
            warnings.append(f"cds.fracture.site_unknown:{fracture.resource}")
        elif fracture.onset is None and _in_childhood(patient, fracture.recorded) is False:
            warnings.append(f"cds.fracture.dated_by_record:{fracture.resource}")
            counted.append(fracture)
        elif _in_childhood(patient, fracture.onset) is None:
            warnings.append(f"cds.fracture.undated:{fracture.resource}")
        else:
            counted.append(fracture)
    return counted, warnings


def _in_childhood(patient: PatientSnapshot, onset: datetime | None) -> bool | None:
    """Whether the patient was under age at `onset`; None when the record does not tell."""
    if onset is None:
        return None
    if patient.birth_date is not None:
        born, day = patient.birth_date, onset.date()
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day)) < ADULT_AGE_YEARS
    if patient.age_years is None:
        return None
    return patient.age_years - (patient.as_of - onset).days / DAYS_PER_YEAR < ADULT_AGE_YEARS


def _recent_major(previous: list[PriorFracture], as_of: datetime) -> bool | None:
    recent = any(
        fracture.onset is not None
        and as_of - fracture.onset <= RECENT_FRACTURE_WINDOW
        and (fracture.site in MAJOR_OSTEOPOROTIC_SITES or fracture.pathological)
        for fracture in previous
    )
    return True if recent else None


def _smoking(smoking: Sourced[SmokingStatus] | None) -> tuple[bool | None, bool | None]:
    """Current and former smoker; a current smoker is by definition not a former one."""
    match _value(smoking):
        case SmokingStatus.CURRENT:
            return True, False
        case SmokingStatus.FORMER:
            return False, True
        case SmokingStatus.NEVER:
            return False, False
        case _:
            return None, None


def _diabetes(diabetes: Sourced[DiabetesType] | None) -> tuple[bool | None, bool | None]:
    """Type 1 and type 2; naming one excludes the other, "unspecified" tells neither."""
    match _value(diabetes):
        case DiabetesType.TYPE_1:
            return True, False
        case DiabetesType.TYPE_2:
            return False, True
        case _:
            return None, None


def _stated_or_listed(patient: PatientSnapshot, stated: Sourced[bool] | None, kind: ConditionKind) -> bool | None:
    """An explicit statement wins; else a problem-list entry, active or not, is a yes; else silence."""
    if stated is not None:
        return stated.value
    return _listed(patient, kind)


def _listed(
    patient: PatientSnapshot, *kinds: ConditionKind, drug: DrugClass | None = None, active_only: bool = False
) -> bool | None:
    """A yes for any of these diseases in the record or a drug of this class taken now; else silence."""
    for entry in patient.conditions:
        if entry.kind in kinds and (entry.active or not active_only):
            return True
    return True if drug is not None and patient.takes(drug) is not None else None


def _glucocorticoids(patient: PatientSnapshot) -> bool | None:
    """Taken now, or for three months or more in the past, in one course or in several that follow each other.

    A single administration, such as dexamethasone against vomiting in theatre, is no course.
    """
    entries = [
        entry
        for entry in patient.medications
        if entry.drug_class is DrugClass.SYSTEMIC_GLUCOCORTICOID and not entry.single_dose
    ]
    if any(entry.active for entry in entries):
        return True
    spans = sorted((entry.start, entry.end) for entry in entries if entry.start is not None and entry.end is not None)
    begun = until = None
    for start, end in spans:
        if begun is None or until is None or start - until > GLUCOCORTICOID_GAP:
            begun, until = start, end
        until = max(until, end)
        if until - begun >= GLUCOCORTICOID_COURSE:
            return True
    return None


def _heavy_alcohol(patient: PatientSnapshot) -> bool | None:
    """Three or more units a day from the recorded weekly amount.

    An alcohol use disorder without an amount stays None: it may be in abstinence, and an amount is not invented.
    """
    stated = patient.alcohol_units_per_week
    if stated is None:
        return None
    heavy = stated.value >= HEAVY_ALCOHOL_UNITS_PER_WEEK
    open_side = ("<", "<=") if heavy else (">", ">=")
    return None if stated.comparator in open_side else heavy  # a bound may leave the threshold undecided


def _secondary_osteoporosis(patient: PatientSnapshot) -> bool | None:
    if _value(patient.diabetes) is DiabetesType.TYPE_1:
        return True
    listed = any(
        entry.kind in LIFELONG_SECONDARY_CAUSES or (entry.active and entry.kind in ACTIVE_SECONDARY_CAUSES)
        for entry in patient.conditions
    )
    return True if listed else None


def _vague_entries(patient: PatientSnapshot) -> list[str]:
    """Warnings for facts that are recorded, matter, and could not be used."""
    warnings: list[str] = []
    disorder = patient.has_condition(ConditionKind.ALCOHOL_USE_DISORDER)
    if disorder is not None and patient.alcohol_units_per_week is None:
        warnings.append(f"cds.alcohol.quantity_missing:{disorder.resource}")
    falls = patient.has_condition(ConditionKind.REPEATED_FALLS)
    if falls is not None and patient.falls_last_year is None:
        warnings.append(f"cds.falls.count_missing:{falls.resource}")
    steroid = _recent_steroid(patient)
    if steroid is not None:
        warnings.append(f"cds.glucocorticoids.recent:{steroid}")
    if patient.diabetes is not None and patient.diabetes.value is DiabetesType.UNSPECIFIED:
        warnings.append(f"cds.diabetes.type_unknown:{patient.diabetes.resource}")
    return warnings


def _recent_steroid(patient: PatientSnapshot) -> str | None:
    """The entry of a systemic glucocorticoid that counts as current use although it began under three months ago."""
    current = [
        entry
        for entry in patient.medications
        if entry.drug_class is DrugClass.SYSTEMIC_GLUCOCORTICOID and entry.active and not entry.single_dose
    ]
    fresh = [entry.start is not None and patient.as_of - entry.start < GLUCOCORTICOID_COURSE for entry in current]
    return current[0].resource if current and all(fresh) else None
