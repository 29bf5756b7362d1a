"""Builders for the cases that the tests of `fusion` assess."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from fhir_adapters.patient import (
    ConditionEntry,
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    MedicationEntry,
    PatientSnapshot,
    PriorFracture,
    Sex,
    SmokingStatus,
    Sourced,
)
from fusion.combination import statements_of_combined
from fusion.context import ClinicalContext, Mechanism
from fusion.engine import FusionEngine
from fusion.evidence_base import EvidenceBase
from fusion.facts import CaseFacts
from fusion.results import Advice, Assessment, Statement
from fusion.sites import FractureSite
from fusion.statements import Writer
from imaging.labels import BodyRegion
from imaging.results import FractureCall, ImageFindings
from tabular.results import Contribution, FractureProbability, RelativeRisk, RiskEstimate

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
T = TypeVar("T")


@lru_cache
def engine() -> FusionEngine:
    return FusionEngine.load()


def writer() -> Writer:
    return Writer(EvidenceBase.load())


def sourced(value: T, resource: str, *, days: int = 10) -> Sourced[T]:
    return Sourced(value=value, resource=resource, effective=NOW - timedelta(days=days))


def condition(kind: ConditionKind, *, active: bool = True) -> ConditionEntry:
    return ConditionEntry(kind=kind, code="s|c", resource=f"Condition/{kind.value}", active=active)


def drug(kind: DrugClass, *, active: bool = True) -> MedicationEntry:
    return MedicationEntry(drug_class=kind, code="s|c", resource=f"MedicationRequest/{kind.value}", active=active)


def prior(site: FractureSiteGroup, *, active: bool = False) -> PriorFracture:
    return PriorFracture(site=site, code="s|c", resource=f"Condition/{site.value}", active=active)


def patient(age: int | None = 40, **fields: Any) -> PatientSnapshot:
    born = None if age is None else date(NOW.year - age, 1, 1)
    return PatientSnapshot(
        **{"patient_id": "p", "as_of": NOW, "birth_date": born, "age_years": age, "sex": Sex.FEMALE, **fields}
    )


def findings(call: FractureCall, region: BodyRegion | None = BodyRegion.WRIST, **fields: Any) -> ImageFindings:
    return ImageFindings(
        model_id="m",
        model_validation="v",
        image_sha256="0" * 64,
        width_px=100,
        height_px=100,
        call=call,
        max_score=None if call is FractureCall.CANNOT_JUDGE else 0.5,
        region=region,
        **fields,
    )


def probability(outcome: str, value: float, *adjustments: RelativeRisk) -> FractureProbability:
    return FractureProbability(
        outcome=outcome,
        value=value,
        low=0.7 * value,
        high=min(1.0, 1.4 * value),
        horizon_years=10.0,
        base_log_odds=-3.0,
        contributions=(
            Contribution(feature="age_years", label="age", value=70.0, log_odds=0.8),
            Contribution(feature="bmi_kg_m2", label="body mass index", value=30.0, log_odds=-0.3),
            Contribution(feature="femoral_neck_t_score", label="T-score", value=None, log_odds=0.9),
        ),
        model_value=value / 2 if adjustments else value,
        adjustments=adjustments,
    )


def risk(major: float = 0.1, hip: float = 0.01, *adjustments: RelativeRisk, **fields: Any) -> RiskEstimate:
    return RiskEstimate(
        model_id="r",
        model_validation="v",
        major_osteoporotic=probability("major_osteoporotic", major),
        hip=probability("hip", hip, *adjustments),
        interval_meaning="i",
        **fields,
    )


def facts(
    *,
    image: ImageFindings | None = None,
    person: PatientSnapshot | None = None,
    estimate: RiskEstimate | None = None,
    **context: Any,
) -> CaseFacts:
    return CaseFacts(findings=image, patient=person, risk=estimate, context=ClinicalContext(**context), as_of=NOW)


def assess(
    *,
    image: ImageFindings | None = None,
    person: PatientSnapshot | None = None,
    estimate: RiskEstimate | None = None,
    **context: Any,
) -> Assessment:
    return engine().assess(findings=image, patient=person, risk=estimate, context=ClinicalContext(**context), as_of=NOW)


def statements(assessment: Assessment) -> tuple[Statement, ...]:
    """Every statement of an assessment."""
    severity, healing = assessment.severity, assessment.healing
    of_healing: tuple[Statement, ...] = ()
    if healing is not None:
        of_healing = (
            healing.baseline,
            *(one.statement for one in healing.factors),
            *((healing.nonunion,) if healing.nonunion is not None else ()),
            *healing.notes,
            *(one.statement for one in healing.what_if),
        )
    return (
        assessment.summary,
        *(flag.statement for flag in severity.red_flags),
        *severity.reasons,
        *severity.clinician_must_check,
        *severity.not_judged,
        *of_healing,
        *assessment.growth,
        *assessment.risk_statements,
        *(one.statement for one in assessment.supplementation),
        *(one.statement for one in assessment.follow_up),
        *assessment.limitations,
        *fragility_statements(assessment),
        *statements_of_combined(assessment.combined),
    )


def fragility_statements(assessment: Assessment) -> tuple[Statement, ...]:
    found = assessment.fragility
    return () if found is None else (found.statement, *found.reasons, *found.remarks)


def rules(assessment: Assessment) -> set[str]:
    return {one.id for one in statements(assessment)}


def advice(assessment: Assessment, rule: str) -> Advice:
    return next(one for one in assessment.supplementation if one.statement.id == rule)


def text(assessment: Assessment, rule: str) -> str:
    return next(one.text for one in statements(assessment) if one.id == rule)


WRIST = {
    "image": findings(FractureCall.DEFINITE, BodyRegion.WRIST),
    "person": patient(
        64,
        smoking=sourced(SmokingStatus.CURRENT, "Observation/smoking"),
        osteoporosis=sourced(True, "Condition/osteoporosis"),
        vitamin_d_nmol_l=sourced(38.0, "Observation/vitamin-d"),
        t_score_femoral_neck=sourced(-2.7, "Observation/t-score"),
        medications=(drug(DrugClass.LEVOTHYROXINE),),
    ),
    "estimate": risk(0.22, 0.04),
    "site": FractureSite.DISTAL_RADIUS,
    "mechanism": Mechanism.LOW_ENERGY,
    "displaced": True,
    "calcium_diet_mg_per_day": 600.0,
}
"""Wrist fracture, osteoporosis, smoker."""
HIP = {
    "image": findings(FractureCall.DEFINITE, BodyRegion.HIP),
    "person": patient(
        86,
        egfr_ml_min_1_73m2=sourced(25.0, "Observation/egfr"),
        diabetes=sourced(DiabetesType.TYPE_2, "Condition/diabetes"),
        medications=(drug(DrugClass.ORAL_BISPHOSPHONATE), drug(DrugClass.CALCIUM_SUPPLEMENT)),
    ),
    "estimate": risk(0.35, 0.19),
}
"""Hip fracture at 86 years with an eGFR of 25."""
CHILD = {"image": findings(FractureCall.SUSPECTED, BodyRegion.FOREARM), "person": patient(8, sex=Sex.MALE)}
"""Suspected forearm fracture of a child."""
NEGATIVE = {
    "image": findings(FractureCall.NOT_SEEN, BodyRegion.WRIST),
    "person": patient(71, sex=Sex.MALE, osteoporosis=sourced(True, "Condition/osteoporosis")),
    "estimate": risk(0.12, 0.035),
}
"""No fracture seen, osteoporosis in the record."""
