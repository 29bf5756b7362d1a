"""What a card offers to do with one click: requests to create, orders to remove or to complete.

Everything created is a draft that the clinician still signs. An order without an id can be neither removed nor
completed, so nothing is offered for it.
"""

import re
from collections.abc import Iterator
from uuid import UUID, uuid5

from cds.batch.care_gaps import CareGapKind
from cds.hooks.news import DrugNews, HistoryNews, RiskNews
from cds.hooks.risk import is_scan_due
from fhir_adapters.cds_hooks.orders import DraftOrder
from fhir_adapters.cds_hooks.response import Action, ActionType, Suggestion
from fhir_adapters.shapes import JsonObject, as_list, as_object
from fusion.evidence_base import EvidenceBase
from fusion.results import AdviceAction

SNOMED = "http://snomed.info/sct"
BONE_DENSITY_SCAN = ("312681000", "Bone density scan (procedure)")
MAX_SUPPORTING = 20
"""Entries of the record that are attached to an order."""
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{2,40}/[A-Za-z0-9\-.]{1,64}")
_CONDITION = re.compile(r"Condition/[A-Za-z0-9\-.]{1,64}")


def risk_suggestions(news: RiskNews, card: UUID) -> tuple[Suggestion, ...]:
    """A bone density scan where none is recorded, and the fracture liaison service after a fracture."""
    patient_id, reasons = news.patient.patient_id, _reasons(news)
    found: list[Suggestion] = []
    if is_scan_due(news):
        code, display = BONE_DENSITY_SCAN
        coded: JsonObject = {"coding": [{"system": SNOMED, "code": code, "display": display}], "text": "DXA"}
        found.append(
            _suggestion(
                card,
                "Order a bone density scan (DXA)",
                Action(
                    type=ActionType.CREATE,
                    description="Draft an order for a bone density scan",
                    resource=_request(patient_id, coded, reasons),
                ),
                recommended=news.lead is CareGapKind.FRACTURE and not _known_osteoporosis(news),
            )
        )
    if news.lead is CareGapKind.FRACTURE:
        found.append(
            _suggestion(
                card,
                "Refer to the fracture liaison service",
                Action(
                    type=ActionType.CREATE,
                    description="Draft a referral to the fracture liaison service",
                    resource=_request(patient_id, {"text": "Referral to fracture liaison service"}, reasons),
                ),
            )
        )
    return tuple(found)


def history_suggestions(news: HistoryNews, card: UUID) -> tuple[Suggestion, ...]:
    """The history attached to each order, so that whoever reads the radiograph has it."""
    references = [one for entry in news.entries for one in entry.resources if _REFERENCE.fullmatch(one)]
    found = []
    for order in news.orders:
        held = {as_object(one).get("reference") for one in as_list(order.resource.get("supportingInfo"))}
        added: list[object] = [{"reference": one} for one in references[:MAX_SUPPORTING] if one not in held]
        if order.reference is None or not added:
            continue
        resource = {**order.resource, "supportingInfo": [*as_list(order.resource.get("supportingInfo")), *added]}
        action = Action(
            type=ActionType.UPDATE, description="Attach the history to the radiograph order", resource=resource
        )
        found.append(_suggestion(card, "Attach this history to the order", action, about=order.reference))
    return tuple(found)


def drug_suggestions(news: DrugNews, card: UUID, evidence: EvidenceBase) -> tuple[Suggestion, ...]:
    """Remove what is contraindicated; write on the label what must be taken apart.

    Unverified evidence alone offers nothing: it may be read, and drives no click.
    """
    order = news.order
    if order.reference is None:
        return ()
    sound = [one for one in news.advice if not evidence.only_unverified(one.statement.evidence)]
    found = []
    if any(one.action in {AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY} for one in sound):
        remove = Action(
            type=ActionType.DELETE, description="Remove the order from the session", resourceId=order.reference
        )
        avoid = any(one.action is AdviceAction.AVOID for one in sound)
        found.append(_suggestion(card, "Remove this order", remove, recommended=avoid))
    else:
        apart = [one.statement.text for one in sound if one.action is AdviceAction.SEPARATE]
        if apart:
            action = Action(
                type=ActionType.UPDATE,
                description="Add the timing to the patient's instructions",
                resource=_instructed(order, " ".join(apart)),
            )
            found.append(_suggestion(card, "Write the timing into the instructions", action))
    return tuple(found)


def _known_osteoporosis(news: RiskNews) -> bool:
    return news.patient.osteoporosis is not None and news.patient.osteoporosis.value


def _instructed(order: DraftOrder, text: str) -> JsonObject:
    """The order with a sentence added to the instructions for the patient."""
    dosages = as_list(order.resource.get("dosageInstruction")) or [{}]
    first = as_object(dosages[0])
    before = first.get("patientInstruction")
    words = f"{before} {text}" if isinstance(before, str) and before else text
    return {**order.resource, "dosageInstruction": [{**first, "patientInstruction": words}, *dosages[1:]]}


def _request(patient_id: str, code: JsonObject, reasons: list[object]) -> JsonObject:
    """A draft ServiceRequest."""
    resource: JsonObject = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "code": code,
        "subject": {"reference": f"Patient/{patient_id}"},
    }
    return {**resource, "reasonReference": reasons} if reasons else resource


def _reasons(news: RiskNews) -> list[object]:
    """The diagnoses behind the gaps, each once."""
    found = dict.fromkeys(one for gap in news.gaps for one in _conditions(gap.resources))
    return [{"reference": one} for one in list(found)[:MAX_SUPPORTING]]


def _conditions(resources: tuple[str, ...]) -> Iterator[str]:
    return (one for one in resources if _CONDITION.fullmatch(one))


def _suggestion(
    card: UUID, label: str, action: Action, *, recommended: bool = False, about: str | None = None
) -> Suggestion:
    uuid = uuid5(card, label if about is None else f"{label}/{about}")
    return Suggestion(label=label, uuid=str(uuid), isRecommended=recommended, actions=(action,))
