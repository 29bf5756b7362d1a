"""What is proposed next, as FHIR: ServiceRequests, Goals, and the CarePlan that puts all of it in the order of time.

A step that asks somebody for a service is a ServiceRequest which the plan refers to; a date to keep (end of a cast,
full load) and a habit stand in the plan itself. Windows count from the injury, whose date the engine does not know.
"""

from collections.abc import Sequence

from cds.presenters import wording
from cds.presenters.fhir_judgements import PATHWAYS
from cds.presenters.fhir_nutrition import is_blocked
from cds.presenters.fhir_safety import PRIORITIES, REASON_TYPES
from cds.presenters.fhir_services import Service, service_of
from cds.presenters.fhir_transaction import Transaction, site_of, window_words
from cds.presenters.ordering import follow_up_by_due_week
from fhir_adapters import proposals
from fhir_adapters.proposals import Activity, GoalCategory, Window
from fhir_adapters.r4_types import SNOMED_CT, Code, Concept, JsonObject
from fusion.results import Advice, AdviceAction, BoneHealthPathway, FollowUp, HealingEstimate, Statement
from fusion.statements import IMAGE

_CATEGORY = Concept(text="Care plan", codes=(Code(system=SNOMED_CT, code="734163000", display="Care plan"),))
_TITLE = "After-care of a fracture and prevention of the next, proposed by decision support"
_DESCRIPTION = "For the clinician to confirm, change or refuse; weeks count from the injury."
_BONE_HEALTH_TITLE = "Bone health, proposed by decision support"
_BONE_HEALTH_DESCRIPTION = "For the clinician to confirm, change or refuse."
_NO_BONE_HEALTH = frozenset({BoneHealthPathway.NONE, BoneHealthPathway.LESION})


def add_care(bundle: Transaction, basis: Sequence[JsonObject], nutrition: dict[str, JsonObject]) -> None:
    """ServiceRequests, Goals and the CarePlan; nothing when nothing is proposed.

    Args:
        bundle: The transaction, of a case with a patient.
        basis: References to the judgements behind the plan.
        nutrition: References to the NutritionOrders, by statement id.
    """
    assessment = bundle.result.assessment
    steps = follow_up_by_due_week(assessment.follow_up)
    activities = [_step(bundle, place, step) for place, step in enumerate(steps, start=1)]
    lines = [f"{wording.capitalised(_window(step).words)}: {step.what}. {step.statement.text}" for step in steps]
    for one in assessment.supplementation:
        if one.action is not AdviceAction.CONSIDER or is_blocked(assessment.supplementation, one.agent):
            continue
        activities.append(_habit(one, nutrition.get(one.statement.id)))
        lines.append(one.statement.text)
    if not activities:
        return
    injured = assessment.healing is not None or assessment.fragility is not None
    plan = proposals.care_plan(
        business_id=bundle.business_id("care-plan"),
        category=_CATEGORY,
        title=_TITLE if injured else _BONE_HEALTH_TITLE,
        description=_DESCRIPTION if injured else _BONE_HEALTH_DESCRIPTION,
        subject=bundle.subject,
        created=bundle.created,
        author=bundle.device,
        supporting=basis,
        goals=_goals(bundle),
        activities=activities,
        lines=lines,
        notes=tuple(one.statement.text for one in assessment.supplementation if one.action is AdviceAction.INFORM),
    )
    bundle.add("care-plan", plan)


def _window(step: FollowUp) -> Window:
    return Window(
        words=window_words(step.earliest_week, step.latest_week),
        low_weeks=step.earliest_week,
        high_weeks=step.latest_week,
    )


def _step(bundle: Transaction, place: int, step: FollowUp) -> Activity:
    service = service_of(step)
    if service is not None:
        return Activity(reference=_request(bundle, f"service-{place}", step, service))
    return Activity(code=Concept(text=step.what), window=_window(step), description=step.statement.text)


def _request(bundle: Transaction, name: str, step: FollowUp, service: Service) -> JsonObject:
    statement = step.statement
    words = service.words or step.what
    resource = proposals.service_request(
        business_id=bundle.business_id(name),
        code=Concept(text=words, codes=service.codes),
        category=service.category,
        priority=PRIORITIES[step.urgency],
        subject=bundle.subject,
        authored=bundle.created,
        requester=bundle.device,
        window=_window(step),
        reasons=_reasons(bundle, statement),
        supporting=_supporting(bundle, statement),
        body_site=site_of(bundle.result) if service.local else None,
        notes=(statement.text, *bundle.sources(statement)),
    )
    return bundle.add(name, resource, f"{words}, {_window(step).words}")


def _reasons(bundle: Transaction, statement: Statement) -> tuple[JsonObject, ...]:
    """The radiograph's call and the entries of the record that may be a reason."""
    call: tuple[JsonObject, ...] = ()
    if IMAGE in statement.record and bundle.result.findings is not None:
        call = (bundle.address("fracture-call", "Observation"),)
    return (*call, *bundle.record(statement, REASON_TYPES))


def _supporting(bundle: Transaction, statement: Statement) -> tuple[JsonObject, ...]:
    named = {str(one["reference"]) for one in bundle.record(statement, REASON_TYPES)}
    return tuple(one for one in bundle.record(statement) if one["reference"] not in named)


def _habit(advice: Advice, order: JsonObject | None) -> Activity:
    """A line to consider: the order it became, or what it says."""
    if order is not None:
        return Activity(reference=order)
    agent = wording.capitalised(wording.words(advice.agent))
    return Activity(code=Concept(text=agent), description=advice.statement.text)


def _goals(bundle: Transaction) -> tuple[JsonObject, ...]:
    assessment = bundle.result.assessment
    made: list[JsonObject] = []
    if assessment.healing is not None:
        made.append(_union_goal(bundle, assessment.healing))
    fragility = assessment.fragility
    if fragility is not None and fragility.pathway not in _NO_BONE_HEALTH:
        addresses = [bundle.address("fragility", "Observation")]
        if bundle.result.risk is not None:
            addresses.append(bundle.address("risk", "RiskAssessment"))
        resource = proposals.goal(
            business_id=bundle.business_id("goal-next-fracture"),
            category=GoalCategory.SAFETY,
            description=f"Prevention of the next fracture. Pathway: {PATHWAYS[fragility.pathway]}.",
            subject=bundle.subject,
            addresses=addresses,
        )
        made.append(bundle.add("goal-next-fracture", resource, "Prevention of the next fracture"))
    return tuple(made)


def _union_goal(bundle: Transaction, healing: HealingEstimate) -> JsonObject:
    low, high = wording.weeks(healing.low_weeks), wording.weeks(healing.high_weeks)
    resource = proposals.goal(
        business_id=bundle.business_id("goal-union"),
        category=GoalCategory.PHYSIOTHERAPY,
        description=f"Union and return of function; union is expected {low} to {high} weeks after the injury.",
        subject=bundle.subject,
        due_weeks=round(2 * healing.high_weeks) / 2,
        addresses=(bundle.address("union", "Observation"),),
        notes=("The due date is the 90th percentile of the estimate, in weeks after the injury.",),
    )
    return bundle.add("goal-union", resource, "Union and return of function")
