"""The case as the rules see it: what is known, what was stated, and what follows directly from that."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fhir_adapters.patient import (
    BoneDensityScan,
    ConditionEntry,
    ConditionKind,
    DiabetesType,
    DrugClass,
    MedicationEntry,
    PatientSnapshot,
    Sex,
    SmokingStatus,
    Sourced,
)
from fusion.context import ClinicalContext, FractureType, Gustilo, Mechanism
from fusion.sites import HIP_SITES, REGION_SITES, SCAPHOID_SITES, FractureSite, site_fits_region
from fusion.statements import CLINICIAN, IMAGE
from imaging.labels import BodyRegion
from imaging.results import BoneAgeEstimate, FractureCall, ImageFindings
from tabular.results import RiskEstimate

ADULT_FROM_YEARS = 18
CHILD_BELOW_YEARS = 16
"""Below: children's union figures. From 16 to 17 years both children's and adults' figures are covered."""
OLDER_FROM_YEARS = 65
"""From here on NSAIDs are advised against and protein targets for older people apply (a rule of this engine)."""
FRAGILITY_FROM_YEARS = 50
HIP_OLDER_FROM_YEARS = 60
"""From here on a hip fracture counts as that of an older person; below, the femoral head is to be kept."""
OBESE_FROM_BMI = 30.0
OSTEOPOROTIC_T_SCORE = -2.5
"""Definition of osteoporosis by bone density."""
MAX_DIETARY_CALCIUM_MG = 10_000.0
"""A higher daily intake from food is an input error."""


class FracturePresence(StrEnum):
    """Whether there is a fracture to assess."""

    STATED = "stated"
    """The clinician says so."""
    SEEN = "seen"
    """Definite on the radiograph."""
    SUSPECTED = "suspected"
    """Between the operating points on the radiograph, and not stated."""
    NOT_SEEN = "not_seen"
    """Not on the radiograph, and not stated."""
    NOT_JUDGED = "not_judged"
    """The radiograph is not fit to be judged, and none was stated."""
    NO_IMAGE = "no_image"
    """No radiograph, and none was stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """One case, with the answers that several rules need."""

    findings: ImageFindings | None
    patient: PatientSnapshot | None
    risk: RiskEstimate | None
    context: ClinicalContext
    as_of: datetime
    bone_age: BoneAgeEstimate | None = None
    """Skeletal age, where it was read from a hand."""

    # --- the fracture

    @property
    def presence(self) -> FracturePresence:
        """Whether there is a fracture, the clinician's word before the detector's."""
        if self.stated:
            return FracturePresence.STATED
        if self.findings is None:
            return FracturePresence.NO_IMAGE
        return {
            FractureCall.DEFINITE: FracturePresence.SEEN,
            FractureCall.SUSPECTED: FracturePresence.SUSPECTED,
            FractureCall.NOT_SEEN: FracturePresence.NOT_SEEN,
            FractureCall.CANNOT_JUDGE: FracturePresence.NOT_JUDGED,
        }[self.findings.call]

    @property
    def stated(self) -> bool:
        """The clinician's input describes a fracture: its site, pattern, grade, displacement or joint."""
        c = self.context
        described = (c.site, c.fracture_type, c.gustilo)
        return any(one is not None for one in described) or c.displaced is True or c.intra_articular is True

    @property
    def has_fracture(self) -> bool:
        """A fracture is stated, definite or suspected."""
        return self.presence in {FracturePresence.STATED, FracturePresence.SEEN, FracturePresence.SUSPECTED}

    @property
    def only_suspected(self) -> bool:
        """The fracture rests on a suspected finding alone; what is said about it is conditional."""
        return self.presence is FracturePresence.SUSPECTED

    @property
    def fracture_record(self) -> tuple[str, ...]:
        """Where the fracture comes from."""
        if not self.has_fracture:
            return ()
        return (CLINICIAN,) if self.presence is FracturePresence.STATED else (IMAGE,)

    @property
    def region(self) -> BodyRegion | None:
        """Body region of the radiograph."""
        return None if self.findings is None else self.findings.region

    @property
    def sites(self) -> tuple[FractureSite, ...]:
        """The stated site, else the sites that the region may show; empty when neither is known."""
        if self.context.site is not None:
            return (self.context.site,)
        return () if self.region is None else REGION_SITES[self.region]

    @property
    def is_hip(self) -> bool:
        """The fracture, if any, is one of the proximal femur."""
        if self.context.site is not None:
            return self.context.site in HIP_SITES
        return self.region is BodyRegion.HIP

    @property
    def hip_in_view(self) -> bool:
        """The hip is stated, or on the radiograph: one of the hip or of the whole pelvis."""
        return self.is_hip or (self.context.site is None and self.region is BodyRegion.PELVIS)

    @property
    def is_wrist(self) -> bool:
        """The fracture, if any, is one of the wrist (distal radius or scaphoid)."""
        if self.context.site is not None:
            return self.context.site is FractureSite.DISTAL_RADIUS or self.context.site in SCAPHOID_SITES
        return self.region is BodyRegion.WRIST

    @property
    def open_fracture(self) -> bool | None:
        """Whether the fracture is open; a grade means yes."""
        return True if self.context.gustilo is not None else self.context.open_wound

    @property
    def vascular_deficit(self) -> bool | None:
        """Whether perfusion is impaired; Gustilo IIIC means an artery that needs repair."""
        return True if self.context.gustilo is Gustilo.IIIC else self.context.vascular_deficit

    @property
    def gustilo_two_or_more(self) -> bool:
        """The clinician graded the open fracture II or worse."""
        return self.context.gustilo is not None and self.context.gustilo is not Gustilo.I

    @property
    def pathological(self) -> bool:
        """The clinician suspects a lesion."""
        return (
            self.context.mechanism is Mechanism.PATHOLOGICAL or self.context.fracture_type is FractureType.PATHOLOGICAL
        )

    @property
    def dislocated(self) -> bool | None:
        """Whether a joint is dislocated; a fracture-dislocation means yes."""
        return True if self.context.fracture_type is FractureType.FRACTURE_DISLOCATION else self.context.dislocation

    # --- the person

    @property
    def age_years(self) -> int | None:
        """Completed years."""
        return None if self.patient is None else self.patient.age_years

    @property
    def sex(self) -> Sex | None:
        """Female or male; None for anything else."""
        sex = None if self.patient is None else self.patient.sex
        return sex if sex in {Sex.FEMALE, Sex.MALE} else None

    @property
    def age_months(self) -> int | None:
        """Completed months, for infants; None without a birth date."""
        born = None if self.patient is None else self.patient.birth_date
        if born is None:
            return None
        today = self.as_of.date()
        return max(0, (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day))

    def at_least(self, years: int) -> bool:
        """The age is known and reaches a bound."""
        return self.age_years is not None and self.age_years >= years

    def younger_than(self, years: int) -> bool:
        """The age is known, or an infant was stated, and lies below a bound."""
        if self.age_years is None:
            return self.context.non_ambulant_infant is True
        return self.age_years < years

    @property
    def between_child_and_adult(self) -> bool:
        """An age whose union figures are both those of children and of adults."""
        return self.age_years is not None and CHILD_BELOW_YEARS <= self.age_years < ADULT_FROM_YEARS

    def condition(self, *kinds: ConditionKind) -> ConditionEntry | None:
        """The first active disease of some kinds."""
        if self.patient is None:
            return None
        return next((found for kind in kinds if (found := self.patient.has_condition(kind)) is not None), None)

    def drugs(self, *classes: DrugClass) -> tuple[MedicationEntry, ...]:
        """Every drug of some classes that is being taken."""
        if self.patient is None:
            return ()
        return tuple(m for m in self.patient.medications if m.active and m.drug_class in classes)

    @property
    def smoking(self) -> Sourced[SmokingStatus] | None:
        """Smoking as recorded; None for unknown."""
        found = None if self.patient is None else self.patient.smoking
        return None if found is None or found.value is SmokingStatus.UNKNOWN else found

    @property
    def diabetes(self) -> Sourced[DiabetesType] | None:
        """Diabetes as recorded."""
        return None if self.patient is None else self.patient.diabetes

    @property
    def t_scores(self) -> tuple[tuple[str, Sourced[float]], ...]:
        """Measured T-scores with their site in words, lowest first."""
        if self.patient is None:
            return ()
        measured = (
            ("femoral neck", self.patient.t_score_femoral_neck),
            ("total hip", self.patient.t_score_total_hip),
            ("spine", self.patient.t_score_spine),
            ("site not recorded", self.patient.t_score_unspecified),
        )
        known = [(name, value) for name, value in measured if value is not None]
        return tuple(sorted(known, key=lambda one: one[1].value))

    @property
    def scan_without_result(self) -> BoneDensityScan | None:
        """The newest bone density scan, if its T-score is not in the record."""
        return None if self.patient is None else self.patient.scan_without_result

    @property
    def osteoporosis(self) -> str | None:
        """Reference of a recorded osteoporosis or of a T-score of -2.5 or lower; None when the record has neither."""
        if self.patient is None:
            return None
        if self.patient.osteoporosis is not None and self.patient.osteoporosis.value:
            return self.patient.osteoporosis.resource
        if (entry := self.condition(ConditionKind.OSTEOPOROSIS)) is not None:
            return entry.resource
        scores = self.t_scores
        return scores[0][1].resource if scores and scores[0][1].value <= OSTEOPOROTIC_T_SCORE else None

    @property
    def obese(self) -> str | None:
        """Reference of a body mass index of 30 or more."""
        bmi = None if self.patient is None else self.patient.bmi_kg_m2
        return bmi.resource if bmi is not None and bmi.value >= OBESE_FROM_BMI else None

    @property
    def egfr(self) -> Sourced[float] | None:
        """Estimated glomerular filtration rate in mL/min/1.73 m2."""
        return None if self.patient is None else self.patient.egfr_ml_min_1_73m2

    @property
    def bone_drugs(self) -> tuple[MedicationEntry, ...]:
        """Bone-protecting drugs that are being taken."""
        return self.drugs(
            DrugClass.ORAL_BISPHOSPHONATE,
            DrugClass.INTRAVENOUS_BISPHOSPHONATE,
            DrugClass.DENOSUMAB,
            DrugClass.ANABOLIC_BONE_DRUG,
        )

    @property
    def bone_health_case(self) -> bool:
        """From 50 years, with a fracture or osteoporosis: the guideline for fragility fractures applies."""
        return self.at_least(FRAGILITY_FROM_YEARS) and (self.has_fracture or self.osteoporosis is not None)

    @property
    def dietary_calcium_mg(self) -> float | None:
        """Calcium from food in mg a day; None when not stated or not plausible."""
        stated = self.context.calcium_diet_mg_per_day
        return stated if stated is not None and self.plausible_diet else None

    @property
    def plausible_diet(self) -> bool:
        """False when a dietary calcium is stated that cannot be right."""
        stated = self.context.calcium_diet_mg_per_day
        return stated is None or (math.isfinite(stated) and 0 <= stated <= MAX_DIETARY_CALCIUM_MG)

    def age_of(self, value: Sourced[float]) -> int | None:
        """Days since a value was taken; None when its time is not known."""
        return None if value.effective is None else (self.as_of - value.effective).days

    # --- contradictions

    def contradictions(self) -> tuple[str, ...]:
        """Fields of the context that contradict each other, as ``one_and_other``."""
        c = self.context
        found = {
            "gustilo_and_open_wound": c.gustilo is not None and c.open_wound is False,
            "gustilo_and_vascular_deficit": c.gustilo is Gustilo.IIIC and c.vascular_deficit is False,
            "fracture_type_and_dislocation": (
                c.fracture_type is FractureType.FRACTURE_DISLOCATION and c.dislocation is False
            ),
            "fracture_type_and_displaced": c.fracture_type is FractureType.HAIRLINE and c.displaced is True,
            "fracture_type_and_mechanism": (
                c.fracture_type is FractureType.PATHOLOGICAL
                and c.mechanism in {Mechanism.LOW_ENERGY, Mechanism.HIGH_ENERGY}
            ),
            "non_ambulant_infant_and_age": (
                c.non_ambulant_infant is True and self.age_years is not None and self.age_years >= 2
            ),
        }
        return tuple(name for name, true in found.items() if true)

    @property
    def site_contradicts_region(self) -> bool:
        """The stated site cannot lie in the region of the radiograph."""
        site, region = self.context.site, self.region
        return site is not None and region is not None and not site_fits_region(site, region)


def highest(value: Sourced[float]) -> float:
    """The value, or a higher one that the record gives for the same moment: for a rule that fears high values."""
    return max((value.value, *(other for other, _ in value.conflicting)))


def lowest(value: Sourced[float]) -> float:
    """The value, or a lower one that the record gives for the same moment: for a rule that fears low values."""
    return min((value.value, *(other for other, _ in value.conflicting)))


def resources(value: Sourced[float]) -> tuple[str, ...]:
    """Where a value, and any that contradicts it, come from."""
    return (value.resource, *(resource for _, resource in value.conflicting))


def references(items: Iterable[ConditionEntry | MedicationEntry]) -> tuple[str, ...]:
    """The resources of some entries, each once."""
    return tuple(dict.fromkeys(item.resource for item in items))
