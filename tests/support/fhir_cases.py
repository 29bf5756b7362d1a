"""A case with everything that a FHIR bundle can hold, and pieces to vary it; the words stand in for the engine's."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cds.case import CaseResult
from fusion.results import (
    Advice,
    AdviceAction,
    BoneHealthPathway,
    Certainty,
    CombinedAssessment,
    CombinedEstimate,
    CombinedPart,
    CombinedProbability,
    FollowUp,
    FragilityAssessment,
    FragilityLikelihood,
    FragilityVerdict,
    LogOddsContribution,
    Statement,
    Urgency,
)
from tests.support.cases import full_case

Json = dict[str, Any]


def say(rule: str, text: str, *record: str, evidence: tuple[str, ...] = ("BHOF2022",)) -> Statement:
    """A statement that cites a source of the example case."""
    return Statement(id=rule, text=text, certainty=Certainty.VERIFIED, evidence=evidence, record=record)


def step(
    rule: str, what: str, earliest: float | None, latest: float | None, urgency: Urgency = Urgency.ROUTINE, *record: str
) -> FollowUp:
    """One step of the follow-up."""
    return FollowUp(
        what=what,
        earliest_week=earliest,
        latest_week=latest,
        urgency=urgency,
        statement=say(f"follow_up.{rule}", f"{what}.", *record),
    )


def advice(
    action: AdviceAction,
    agent: str,
    *record: str,
    dose: tuple[float, float, str] | None = None,
    evidence: tuple[str, ...] = ("BHOF2022",),
) -> Advice:
    """One line of advice."""
    low, high, unit = dose if dose is not None else (None, None, None)
    return Advice(
        action=action,
        agent=agent,
        statement=say(f"example.{agent}.{action.value}", f"{action.value} {agent}.", *record, evidence=evidence),
        dose_low=low,
        dose_high=high,
        dose_unit=unit,
    )


FOLLOW_UP = (
    step("rehab.distal_radius_cast", "End of cast", 3.0, 6.0, Urgency.CLINIC, "clinician"),
    step("union", "Radiograph for union", 6.8, 11.7, Urgency.CLINIC, "image"),
    step("occult_hip", "Further imaging of the hip", 0.0, 0.0, Urgency.WITHIN_HOURS, "clinician"),
    step("fls.risk_assessed", "Fracture risk assessment", 0.0, 12.0),
    step("fls.dxa", "Bone density (DXA)", 0.0, 12.0, Urgency.ROUTINE, "Observation/dxa-1"),
    step("fls.strength_balance", "Strength and balance training", 0.0, 16.0),
    step("fls.drug_started", "Bone-protecting treatment", 0.0, 16.0, Urgency.ROUTINE, "MedicationRequest/ibuprofen-1"),
    step("weak_bone_tests", "Tests for causes of weak bone", None, None),
    step("nonunion", "Non-union review", 39.0, None, Urgency.CLINIC),
)
ADVICE = (
    advice(AdviceAction.CONSIDER, "vitamin_d", "Observation/vitd-1", dose=(800.0, 1000.0, "[iU]/d")),
    advice(AdviceAction.CONSIDER, "calcium", "clinician", dose=(700.0, 700.0, "mg/d")),
    advice(AdviceAction.CONSIDER, "protein", dose=(1.0, 1.2, "g/kg/d")),
    advice(AdviceAction.CONSIDER, "smoking", "Observation/smoking-1"),
    advice(AdviceAction.INFORM, "calcium_and_vitamin_d"),
    advice(AdviceAction.SEPARATE, "calcium", "MedicationRequest/levothyroxine-1", evidence=("KALCIPOS_SPC",)),
    advice(AdviceAction.AVOID, "nsaid", "MedicationRequest/ibuprofen-1", "Condition/stones-1"),
    advice(AdviceAction.CORRECT_FIRST, "bisphosphonate", "Observation/calcium-1"),
    advice(AdviceAction.CAUTION, "vitamin_c"),
)


def fragility() -> FragilityAssessment:
    """Likely to very likely weak bone."""
    return FragilityAssessment(
        verdict=FragilityVerdict.JUDGED,
        lowest=FragilityLikelihood.LIKELY,
        highest=FragilityLikelihood.VERY_LIKELY,
        low=0.6,
        high=1.0,
        meets_definition=True,
        pathway=BoneHealthPathway.FRACTURE_LIAISON,
        statement=say("fragility", "Weak bone rather than force alone: likely to very likely."),
        reasons=(say("fragility.low_energy", "Low-energy mechanism.", "clinician"),),
        remarks=(say("fragility.remark", "A T-score would narrow it."),),
    )


def _estimate(part: CombinedPart, value: float | None, low: float | None, high: float | None) -> CombinedEstimate:
    return CombinedEstimate(
        part=part, value=value, low=low, high=high, statement=say(f"combined.{part.value}", f"{part.value} in words.")
    )


def combined() -> CombinedAssessment:
    """Three probabilities of a fracture, and bands of weak bone of which the image knows nothing."""
    broken = CombinedProbability(
        question="broken_now",
        image=_estimate(CombinedPart.IMAGE, 0.8, 0.7, 0.88),
        patient=_estimate(CombinedPart.PATIENT, 0.3, 0.2, 0.4),
        together=_estimate(CombinedPart.TOGETHER, 0.87, 0.75, 0.94),
        contributions=(
            LogOddsContribution(
                part=CombinedPart.PATIENT,
                factor="mechanism",
                label="Low-energy fall",
                log_odds=0.4,
                low=0.1,
                high=0.7,
                statement=say("combined.mechanism", "A fall raises it."),
            ),
        ),
        not_counted=(say("combined.not_counted", "Smoking has no weight."),),
        statement=say("combined.broken_now", "80 %, 30 % and 87 %."),
    )
    weak = CombinedProbability(
        question="weak_bone",
        image=_estimate(CombinedPart.IMAGE, None, None, None),
        patient=_estimate(CombinedPart.PATIENT, None, 0.6, 1.0),
        together=_estimate(CombinedPart.TOGETHER, None, 0.6, 1.0),
        statement=say("combined.weak_bone", "Likely by the record; the image tells nothing."),
    )
    return CombinedAssessment(broken_now=broken, weak_bone=weak)


def complete_case() -> CaseResult:
    """The full example case with plans, orders, red flags, fragility and combined probabilities."""
    full = full_case()
    assessment = replace(
        full.assessment, follow_up=FOLLOW_UP, supplementation=ADVICE, fragility=fragility(), combined=combined()
    )
    return replace(full, assessment=assessment)


def resources_of(bundle: Json, kind: str) -> list[Json]:
    """The resources of a type, in the order of the bundle."""
    return [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind]


def nodes_of(node: Any) -> Iterator[Any]:
    """Every value of a JSON document, from the root down."""
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes_of(child)
