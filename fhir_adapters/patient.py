"""What a patient record tells the rest of the engine: `PatientSnapshot` and its parts. Imports no framework.

Every value keeps the resource it came from. None means "the record does not say", never "no".
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")
RESULT_BEFORE_SCAN = timedelta(days=31)
"""A T-score dated up to this much before a scan is its result: records date one by the visit, one by entry."""


class Sex(StrEnum):
    """Administrative gender as FHIR records it."""

    FEMALE = "female"
    MALE = "male"
    OTHER = "other"
    UNKNOWN = "unknown"


class SmokingStatus(StrEnum):
    """Tobacco smoking, from LOINC 72166-2 or a coded condition."""

    CURRENT = "current"
    FORMER = "former"
    NEVER = "never"
    UNKNOWN = "unknown"


class DiabetesType(StrEnum):
    """Diabetes mellitus; prediabetes is none of these."""

    TYPE_1 = "type_1"
    TYPE_2 = "type_2"
    UNSPECIFIED = "unspecified"


class ConditionKind(StrEnum):
    """Diseases that move risk, healing or the safety of a supplement."""

    OSTEOPOROSIS = "osteoporosis"
    OSTEOPENIA = "osteopenia"
    RHEUMATOID_ARTHRITIS = "rheumatoid_arthritis"
    HYPERCALCAEMIA = "hypercalcaemia"
    HYPOCALCAEMIA = "hypocalcaemia"
    KIDNEY_STONES = "kidney_stones"
    HYPERCALCIURIA = "hypercalciuria"
    SARCOIDOSIS = "sarcoidosis"
    PRIMARY_HYPERPARATHYROIDISM = "primary_hyperparathyroidism"
    HYPERTHYROIDISM = "hyperthyroidism"
    CHRONIC_KIDNEY_DISEASE = "chronic_kidney_disease"
    CHRONIC_LIVER_DISEASE = "chronic_liver_disease"
    MALABSORPTION = "malabsorption"
    ALCOHOL_USE_DISORDER = "alcohol_use_disorder"
    DEMENTIA = "dementia"
    PARKINSON = "parkinson"
    EPILEPSY = "epilepsy"
    STROKE = "stroke"
    CANCER = "cancer"
    PREGNANCY = "pregnancy"
    VITAMIN_D_DEFICIENCY = "vitamin_d_deficiency"
    HYPOGONADISM = "hypogonadism"
    ANOREXIA_NERVOSA = "anorexia_nervosa"
    OSTEOGENESIS_IMPERFECTA = "osteogenesis_imperfecta"
    REPEATED_FALLS = "repeated_falls"
    PERIPHERAL_ARTERY_DISEASE = "peripheral_artery_disease"
    DIABETIC_NEUROPATHY = "diabetic_neuropathy"
    """Neuropathy due to diabetes, which may have taken the protective sensation of the foot; Charcot included."""
    MALNUTRITION = "malnutrition"
    """Protein-energy malnutrition, moderate or severe."""
    HEART_FAILURE = "heart_failure"
    ISCHAEMIC_HEART_DISEASE = "ischaemic_heart_disease"
    """Angina, infarction, coronary heart disease."""
    ASTHMA_OR_COPD = "asthma_or_copd"
    PEPTIC_ULCER = "peptic_ulcer"
    """Ulcer of stomach, duodenum or jejunum, now or ever."""
    OESOPHAGEAL_DISEASE = "oesophageal_disease"
    """Oesophagitis, reflux, stricture, achalasia, Barrett's oesophagus."""


class DrugClass(StrEnum):
    """Drug classes that move risk, healing or the safety of a supplement."""

    SYSTEMIC_GLUCOCORTICOID = "systemic_glucocorticoid"
    NSAID = "nsaid"
    COX2_INHIBITOR = "cox2_inhibitor"
    OPIOID = "opioid"
    THIAZIDE = "thiazide"
    DIGOXIN = "digoxin"
    LEVOTHYROXINE = "levothyroxine"
    ORAL_BISPHOSPHONATE = "oral_bisphosphonate"
    INTRAVENOUS_BISPHOSPHONATE = "intravenous_bisphosphonate"
    DENOSUMAB = "denosumab"
    ANABOLIC_BONE_DRUG = "anabolic_bone_drug"
    TETRACYCLINE = "tetracycline"
    QUINOLONE = "quinolone"
    IRON = "iron"
    ZINC = "zinc"
    STRONTIUM = "strontium"
    ORLISTAT = "orlistat"
    CHOLESTYRAMINE = "cholestyramine"
    CALCIUM_SUPPLEMENT = "calcium_supplement"
    VITAMIN_D_SUPPLEMENT = "vitamin_d_supplement"
    ANTICONVULSANT = "anticonvulsant"
    ANTIDEPRESSANT = "antidepressant"
    ANTICOAGULANT = "anticoagulant"
    PROTON_PUMP_INHIBITOR = "proton_pump_inhibitor"
    AROMATASE_INHIBITOR = "aromatase_inhibitor"
    ANDROGEN_DEPRIVATION = "androgen_deprivation"
    HORMONE_REPLACEMENT = "hormone_replacement"
    ACE_INHIBITOR_OR_ARB = "ace_inhibitor_or_arb"
    """Inhibitor of the angiotensin converting enzyme, or blocker of the angiotensin receptor."""
    DIURETIC = "diuretic"
    """Loop or potassium-sparing; thiazides have a class of their own."""
    ANTIPLATELET = "antiplatelet"


class FractureSiteGroup(StrEnum):
    """Where a recorded fracture was, as coarse as codes allow."""

    HIP = "hip"
    SPINE = "spine"
    FOREARM = "forearm"
    WRIST = "wrist"
    HUMERUS = "humerus"
    CLAVICLE = "clavicle"
    RIB = "rib"
    PELVIS = "pelvis"
    FEMUR = "femur"
    LOWER_LEG = "lower_leg"
    ANKLE = "ankle"
    FOOT = "foot"
    HAND = "hand"
    SKULL = "skull"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced(Generic[T]):
    """A value and the FHIR resource that says so."""

    value: T
    resource: str
    """Relative reference such as ``Observation/123``; no patient data."""
    effective: datetime | None = None
    """Clinically relevant time, timezone-aware; None when the resource gives none."""
    derived_from: tuple[str, ...] = ()
    """Every resource a computed value rests on (`resource` is the newest of them); empty for a recorded value."""
    comparator: str | None = None
    """``<``, ``<=``, ``>`` or ``>=`` when the record gives only this bound; None for an exact value."""
    conflicting: tuple[tuple[T, str], ...] = ()
    """Other values of the same moment that cannot be right together with `value`, each with its resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionEntry:
    """A coded disease that counts (not refuted, not entered in error)."""

    kind: ConditionKind
    code: str
    """``system|code`` that matched."""
    resource: str
    onset: datetime | None = None
    active: bool = True
    """False when resolved, inactive or in remission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MedicationEntry:
    """A drug that counts (not stopped in error, not refuted)."""

    drug_class: DrugClass
    code: str
    """``system|code`` that matched."""
    resource: str
    start: datetime | None = None
    end: datetime | None = None
    active: bool = True
    """True when taken at the time of the snapshot, as far as the record tells."""
    single_dose: bool = False
    """True for one recorded administration: it says nothing about regular use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFracture:
    """A fracture in the record."""

    site: FractureSiteGroup
    code: str
    resource: str
    onset: datetime | None = None
    active: bool = False
    """True when the condition is recorded as active: it may be the present fracture."""
    pathological: bool = False
    """True for a fracture coded as due to osteoporosis or another bone disease."""
    neoplastic: bool = False
    """True for a fracture coded as due to a tumour of the bone: no sign of osteoporosis."""
    recorded: datetime | None = None
    """When it was entered into the record: the fracture is no younger than this; only set without `onset`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneDensityScan:
    """A bone density scan (DXA) that was done; what it found is not part of it."""

    code: str
    """``system|code`` that matched."""
    resource: str
    performed: datetime
    """Timezone-aware; the first moment of a partial date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientSnapshot:
    """What one patient's record says at one time, in the engine's units, each value with its source."""

    patient_id: str
    """Logical id of the Patient resource: an identifier, keep it out of logs."""
    as_of: datetime
    """The time the snapshot describes, timezone-aware; later entries are refused."""
    birth_date: date | None = None
    age_years: int | None = None
    """Completed years at `as_of`; None without a full birth date (or year)."""
    sex: Sex | None = None
    weight_kg: Sourced[float] | None = None
    height_cm: Sourced[float] | None = None
    bmi_kg_m2: Sourced[float] | None = None
    smoking: Sourced[SmokingStatus] | None = None
    alcohol_units_per_week: Sourced[float] | None = None
    """UK units (8 g ethanol) per week."""
    osteoporosis: Sourced[bool] | None = None
    diabetes: Sourced[DiabetesType] | None = None
    rheumatoid_arthritis: Sourced[bool] | None = None
    parental_hip_fracture: Sourced[bool] | None = None
    prior_fractures: tuple[PriorFracture, ...] = ()
    """Newest first."""
    conditions: tuple[ConditionEntry, ...] = ()
    medications: tuple[MedicationEntry, ...] = ()
    t_score_femoral_neck: Sourced[float] | None = None
    t_score_total_hip: Sourced[float] | None = None
    t_score_spine: Sourced[float] | None = None
    t_score_unspecified: Sourced[float] | None = None
    """A DXA T-score whose site the record does not say (LOINC 38265-5)."""
    bone_density_scans: tuple[BoneDensityScan, ...] = ()
    """Scans recorded as done, newest first, also those whose T-scores are in the record."""
    vitamin_d_nmol_l: Sourced[float] | None = None
    calcium_mmol_l: Sourced[float] | None = None
    """Total serum calcium, not corrected for albumin."""
    egfr_ml_min_1_73m2: Sourced[float] | None = None
    hba1c_percent: Sourced[float] | None = None
    falls_last_year: Sourced[int] | None = None
    warnings: tuple[str, ...] = field(default=())
    """Dotted codes, ``fhir.unit.unknown:Observation/12``; never patient data."""

    @property
    def scan_without_result(self) -> BoneDensityScan | None:
        """The newest scan, if no T-score of that time or later is recorded; an undated T-score may be its result."""
        scan = next(iter(self.bone_density_scans), None)
        scores = (self.t_score_femoral_neck, self.t_score_total_hip, self.t_score_spine, self.t_score_unspecified)
        dates = [one.effective for one in scores if one is not None]
        if scan is None or any(one is None or one >= scan.performed - RESULT_BEFORE_SCAN for one in dates):
            return None
        return scan

    def has_condition(self, kind: ConditionKind, *, active_only: bool = True) -> ConditionEntry | None:
        """The first entry of a kind, or None."""
        return next((c for c in self.conditions if c.kind is kind and (c.active or not active_only)), None)

    def takes(self, drug_class: DrugClass) -> MedicationEntry | None:
        """The first entry of a drug class taken at the time of the snapshot, or None."""
        return next((m for m in self.medications if m.drug_class is drug_class and m.active), None)
