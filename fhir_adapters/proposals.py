"""Requests of FHIR R4 that software may only propose: texts, numbers and times in, JSON objects out.

Everything here is a proposal for a clinician to confirm, so the status is always ``draft`` (``proposed`` for a Goal)
and the intent ``proposal``; there is no argument by which a caller could order anything.

When something is due is told in weeks after the injury. R4 has no data type for a window that counts from an event
whose date nobody stated, so it stands in words, with the numbers in an extension of the engine's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fhir_adapters.builders import asserted_by_machine
from fhir_adapters.r4_types import (
    Code,
    Concept,
    Json,
    JsonObject,
    Measured,
    as_object,
    coding,
    concept,
    instant,
    narrative,
    noted,
    quantity,
    without_empty,
)

WEEKS_AFTER_INJURY = "urn:fracture-cds:extension:weeks-after-injury"
"""Extension: a Range in weeks that count from the injury; its ends may be missing."""
_GOAL_CATEGORY = "http://terminology.hl7.org/CodeSystem/goal-category"
_COMMUNICATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/communication-category"


class Priority(StrEnum):
    """Value set ``request-priority`` of R4."""

    STAT = "stat"
    """At once."""
    URGENT = "urgent"
    """Next highest: sooner than routine."""
    ROUTINE = "routine"


class GoalCategory(StrEnum):
    """Those of R4's ``goal-category`` that the engine uses."""

    SAFETY = "safety"
    BEHAVIORAL = "behavioral"
    PHYSIOTHERAPY = "physiotherapy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When something is due, in weeks after the injury."""

    words: str
    low_weeks: float | None = None
    high_weeks: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One activity of a CarePlan: either what another resource of the bundle proposes, or told in full."""

    reference: JsonObject | None = None
    """To a ServiceRequest or NutritionOrder; the other fields are then left alone (invariant cpl-3)."""
    code: Concept | None = None
    window: Window | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nutrient:
    """A nutrient of an oral diet."""

    modifier: Concept
    amount: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplement:
    """A supplement beside food."""

    type: Concept
    daily: Measured | None
    """Amount per day in all, the day in its unit: how it is divided is not the engine's to say. None when only words
    can tell it."""
    instruction: str


def _window(window: Window) -> list[Json]:
    ends: JsonObject = {
        name: quantity(value, "weeks", "wk")
        for name, value in (("low", window.low_weeks), ("high", window.high_weeks))
        if value is not None
    }
    return [{"url": WEEKS_AFTER_INJURY, "valueRange": ends}] if ends else []


def service_request(
    *,
    business_id: JsonObject,
    code: Concept,
    category: Concept | None,
    priority: Priority,
    subject: JsonObject,
    authored: datetime,
    requester: JsonObject,
    window: Window | None,
    reasons: Sequence[JsonObject] = (),
    supporting: Sequence[JsonObject] = (),
    body_site: Concept | None = None,
    notes: Sequence[str] = (),
) -> JsonObject:
    """A proposal that something be done: imaging, tests, therapy, a referral.

    Args:
        business_id: From `identifier`.
        code: What is proposed.
        category: Kind of service.
        priority: How soon.
        subject: From `reference`.
        authored: When it was proposed.
        requester: Reference to the Device.
        window: When it is due.
        reasons: References to Conditions, Observations or DiagnosticReports.
        supporting: References to anything else that led to it.
        body_site: Where in the body.
        notes: The sentences behind it.
    """
    due: JsonObject | None = None
    if window is not None:
        due = {"extension": _window(window), "code": {"text": window.words}}
    resource: JsonObject = {
        "resourceType": "ServiceRequest",
        "meta": asserted_by_machine(),
        "text": narrative([f"Proposed: {code.text}{'' if window is None else f', {window.words}'}", *notes]),
        "identifier": [business_id],
        "status": "draft",
        "intent": "proposal",
        "category": [concept(category)] if category is not None else [],
        "priority": priority.value,
        "code": concept(code),
        "subject": subject,
        "occurrenceTiming": due,
        "authoredOn": instant(authored),
        "requester": requester,
        "reasonReference": list(reasons),
        "supportingInfo": list(supporting),
        "bodySite": [concept(body_site)] if body_site is not None else [],
        "note": noted(notes),
    }
    return as_object(without_empty(resource))


def nutrition_order(
    *,
    business_id: JsonObject,
    patient: JsonObject,
    proposed: datetime,
    diet_type: Concept | None = None,
    nutrients: Sequence[Nutrient] = (),
    diet_instruction: str = "",
    supplements: Sequence[Supplement] = (),
    notes: Sequence[str] = (),
) -> JsonObject:
    """A proposal for diet or supplements.

    Args:
        business_id: From `identifier`.
        patient: From `reference`.
        proposed: When.
        diet_type: What the diet is; with `nutrients` and `diet_instruction` it makes the oral diet.
        nutrients: Amounts of the oral diet.
        diet_instruction: The oral diet in words.
        supplements: What is taken beside food.
        notes: The sentences behind it.

    Raises:
        ValueError: With neither a diet nor a supplement (invariant nor-1).
    """
    diet: JsonObject = {
        "type": [concept(diet_type)] if diet_type is not None else [],
        "nutrient": [
            {
                "modifier": concept(one.modifier),
                "amount": quantity(one.amount.value, one.amount.unit, one.amount.ucum),
            }
            for one in nutrients
        ],
        "instruction": diet_instruction,
    }
    listed: list[Json] = [
        {
            "type": concept(one.type),
            "quantity": None if one.daily is None else quantity(one.daily.value, one.daily.unit, one.daily.ucum),
            "instruction": one.instruction,
        }
        for one in supplements
    ]
    if without_empty(diet) is None and not listed:
        raise ValueError("a NutritionOrder needs a diet or a supplement")
    resource: JsonObject = {
        "resourceType": "NutritionOrder",
        "meta": asserted_by_machine(),
        "text": narrative(["Proposed, for the clinician to confirm:", *notes]),
        "identifier": [business_id],
        "status": "draft",
        "intent": "proposal",
        "patient": patient,
        "dateTime": instant(proposed),
        "oralDiet": diet,
        "supplement": listed,
        "note": noted(notes),
    }
    return as_object(without_empty(resource))


def goal(
    *,
    business_id: JsonObject,
    category: GoalCategory,
    description: str,
    subject: JsonObject,
    due_weeks: float | None = None,
    addresses: Sequence[JsonObject] = (),
    notes: Sequence[str] = (),
) -> JsonObject:
    """A Goal that somebody may accept.

    Args:
        business_id: From `identifier`.
        category: Kind of goal.
        description: The goal in words.
        subject: From `reference`.
        due_weeks: Weeks after the injury by which it should be reached.
        addresses: References to Observations or RiskAssessments behind it.
        notes: Further sentences.
    """
    kind = Code(system=_GOAL_CATEGORY, code=category.value, display=category.value.capitalize())
    target: list[Json] = [] if due_weeks is None else [{"dueDuration": quantity(due_weeks, "weeks", "wk")}]
    resource: JsonObject = {
        "resourceType": "Goal",
        "meta": asserted_by_machine(),
        "text": narrative([f"Proposed goal: {description}", *notes]),
        "identifier": [business_id],
        "lifecycleStatus": "proposed",
        "category": [{"coding": [coding(kind)]}],
        "description": {"text": description},
        "subject": subject,
        "target": target,
        "addresses": list(addresses),
        "note": noted(notes),
    }
    return as_object(without_empty(resource))


def _activity(one: Activity) -> JsonObject:
    if one.reference is not None:
        return {"reference": one.reference}
    detail: JsonObject = {
        "code": concept(one.code) if one.code is not None else None,
        "status": "not-started",
        "scheduledString": one.window.words if one.window is not None else "",
        "description": one.description,
    }
    if one.window is not None:
        detail["_scheduledString"] = {"extension": _window(one.window)}
    return {"detail": detail}


def care_plan(
    *,
    business_id: JsonObject,
    category: Concept,
    title: str,
    description: str,
    subject: JsonObject,
    created: datetime,
    author: JsonObject,
    supporting: Sequence[JsonObject],
    goals: Sequence[JsonObject],
    activities: Sequence[Activity],
    lines: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> JsonObject:
    """A CarePlan that somebody may take up.

    Args:
        business_id: From `identifier`.
        category: Kind of plan.
        title: Its name.
        description: What it is for and what it rests on.
        subject: From `reference`.
        created: When it was proposed.
        author: Reference to the Device.
        supporting: References to the judgements behind it.
        goals: References to Goals.
        activities: What it proposes, in the order of time.
        lines: Further paragraphs of the narrative: the activities in words.
        notes: Further sentences.
    """
    listed: list[Json] = [_activity(one) for one in activities]
    resource: JsonObject = {
        "resourceType": "CarePlan",
        "meta": asserted_by_machine(),
        "text": narrative([f"{title}. {description}", *lines, *notes]),
        "identifier": [business_id],
        "status": "draft",
        "intent": "proposal",
        "category": [concept(category)],
        "title": title,
        "description": description,
        "subject": subject,
        "created": instant(created),
        "author": author,
        "supportingInfo": list(supporting),
        "goal": list(goals),
        "activity": listed,
        "note": noted(notes),
    }
    return as_object(without_empty(resource))


def communication_request(
    *,
    business_id: JsonObject,
    priority: Priority,
    subject: JsonObject,
    message: str,
    authored: datetime,
    requester: JsonObject,
    reasons: Sequence[JsonObject] = (),
    notes: Sequence[str] = (),
) -> JsonObject:
    """A proposal that the clinician in charge be alerted.

    Args:
        business_id: From `identifier`.
        priority: How soon.
        subject: From `reference` or `logical_reference`.
        message: What is to be told.
        authored: When it was proposed.
        requester: Reference to the Device.
        reasons: References to Conditions, Observations or DiagnosticReports.
        notes: Further sentences.
    """
    alert = Code(system=_COMMUNICATION_CATEGORY, code="alert", display="Alert")
    resource: JsonObject = {
        "resourceType": "CommunicationRequest",
        "meta": asserted_by_machine(),
        "text": narrative([f"Red flag ({priority.value}): {message}", *notes]),
        "identifier": [business_id],
        "status": "draft",
        "category": [{"coding": [coding(alert)]}],
        "priority": priority.value,
        "subject": subject,
        "payload": [{"contentString": message}],
        "authoredOn": instant(authored),
        "requester": requester,
        "reasonReference": list(reasons),
        "note": noted(notes),
    }
    return as_object(without_empty(resource))
