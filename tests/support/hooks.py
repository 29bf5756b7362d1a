"""CDS Hooks calls about one invented woman, and a service that answers them without the form."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from fastapi.testclient import TestClient

from cds.audit import AuditTrail
from cds.bootstrap import build_engines
from cds.entrypoints.hooks import HooksCors, mount_hooks
from cds.entrypoints.problems import install_problem_handlers
from cds.hooks.feedback import CardFeedback, IssuedCard
from cds.pipeline import Engines
from cds.settings import Settings
from tests.support.fakes import RememberingAuditTrail

Json = dict[str, Any]
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
RXNORM, UCUM = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://unitsofmeasure.org"
PATIENT_ID = "p1"
NOW = datetime.now(UTC)
PREFETCH_KEYS = ("patient", "conditions", "observations", "medicationRequests", "medicationStatements", "familyHistory")
IBUPROFEN, CELECOXIB, PREDNISONE, CALCIUM, VITAMIN_D = "197805", "140587", "312617", "1897", "2418"
WARFARIN, LEVOTHYROXINE, ALENDRONATE, PARACETAMOL = "855332", "10582", "904419", "161"
HIP_FRACTURE, WRIST_FRACTURE, OSTEOPOROSIS = "359817006", "263102004", "64859006"
HYPERCALCAEMIA, PREGNANCY = "66931009", "77386006"


def ago(days: int) -> str:
    """A date so many days back."""
    return (NOW - timedelta(days=days)).date().isoformat()


def concept(system: str, code: str, text: str | None = None) -> Json:
    """A CodeableConcept."""
    coded: Json = {"coding": [{"system": system, "code": code}]}
    return coded if text is None else {**coded, "text": text}


def subject() -> Json:
    """The reference to the patient."""
    return {"reference": f"Patient/{PATIENT_ID}"}


def woman(age: int, **more: Any) -> Json:
    """The Patient, so many years old."""
    born = NOW.date().replace(year=NOW.year - age, day=1)
    name = [{"family": "Plantedname", "given": ["Plantedgiven"]}]
    resource = {"resourceType": "Patient", "id": PATIENT_ID, "gender": "female", "birthDate": born.isoformat()}
    return {**resource, "name": name, **more}


def condition(name: str, code: str, *, days: int | None = None, active: bool = True, **more: Any) -> Json:
    """A diagnosis."""
    status = "active" if active else "resolved"
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    resource: Json = {
        "resourceType": "Condition",
        "id": name,
        "clinicalStatus": concept(system, status),
        "code": concept(SNOMED, code),
        "subject": subject(),
        **more,
    }
    return resource if days is None else {**resource, "onsetDateTime": ago(days)}


def observation(name: str, code: str, value: float, unit: str, *, days: int = 30) -> Json:
    """A measurement."""
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": concept(LOINC, code),
        "effectiveDateTime": f"{ago(days)}T08:00:00Z",
        "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
        "subject": subject(),
    }


def drug(name: str, code: str, *, days: int = 100, status: str = "active", **more: Any) -> Json:
    """A prescription."""
    return {
        "resourceType": "MedicationRequest",
        "id": name,
        "status": status,
        "intent": "order",
        "medicationCodeableConcept": concept(RXNORM, code),
        "authoredOn": ago(days),
        "subject": subject(),
        **more,
    }


def draft(name: str, code: str, text: str | None = None, **more: Any) -> Json:
    """A prescription that is not signed yet."""
    resource = drug(name, code, status="draft", days=0)
    return {**resource, "medicationCodeableConcept": concept(RXNORM, code, text), **more}


def radiograph_order(name: str = "x1", **more: Any) -> Json:
    """An order for a radiograph of the wrist."""
    return {
        "resourceType": "ServiceRequest",
        "id": name,
        "status": "draft",
        "intent": "order",
        "code": concept(SNOMED, "60027007"),
        "subject": subject(),
        **more,
    }


def bundle(resources: Iterable[Json], kind: str = "searchset") -> Json:
    """A Bundle."""
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": one} for one in resources]}


def prefetch(*resources: Json, patient: Json | None = None) -> Json:
    """Every key, with the resources where they belong."""

    def of(resource_type: str) -> Json:
        return bundle(one for one in resources if one["resourceType"] == resource_type)

    return {
        "patient": patient or woman(70),
        "conditions": of("Condition"),
        "observations": of("Observation"),
        "medicationRequests": of("MedicationRequest"),
        "medicationStatements": of("MedicationStatement"),
        "familyHistory": of("FamilyMemberHistory"),
        "procedures": of("Procedure"),
        "diagnosticReports": of("DiagnosticReport"),
    }


def hook_call(hook: str, values: Json | None, *, orders: Iterable[Json] = (), **more: Any) -> Json:
    """A call as a client sends it; order-select selects every order."""
    context: Json = {"userId": "Practitioner/g1", "patientId": PATIENT_ID, "encounterId": "e1"}
    drafts = list(orders)
    if hook != "patient-view":
        context["draftOrders"] = bundle(drafts, "collection")
    if hook == "order-select":
        context["selections"] = [f"{one['resourceType']}/{one.get('id')}" for one in drafts]
    call: Json = {"hook": hook, "hookInstance": str(uuid4()), "context": context, **more}
    return call if values is None else {**call, "prefetch": values}


@dataclass(slots=True)
class RememberingFeedback:
    """Keeps cards and feedback in memory."""

    cards: list[IssuedCard] = field(default_factory=list)
    items: list[CardFeedback] = field(default_factory=list)

    def issued(self, cards: Iterable[IssuedCard]) -> None:
        """Keep the cards."""
        self.cards.extend(cards)

    def keep(self, feedback: Iterable[CardFeedback]) -> None:
        """Keep the feedback."""
        self.items.extend(feedback)


@dataclass(frozen=True, slots=True)
class HooksClient:
    """The service in process, and what it noted."""

    http: TestClient
    audit: RememberingAuditTrail
    feedback: RememberingFeedback

    def post(self, service: str, call: Json, **headers: str) -> Any:
        """Call a service."""
        return self.http.post(f"/cds-services/{service}", content=json.dumps(call), headers=JSON_HEADERS | headers)

    def cards(self, service: str, call: Json) -> list[Json]:
        """The cards of a call that succeeds."""
        response = self.post(service, call)
        assert response.status_code == 200, response.text
        found: list[Json] = response.json()["cards"]
        return found


JSON_HEADERS = {"content-type": "application/json"}


def hooks_client(
    settings: Settings | None = None, engines: Engines | None = None, audit: AuditTrail | None = None
) -> HooksClient:
    """A service with the real engines unless others are given."""
    chosen = settings or Settings(hooks_auth="none")
    trail, feedback = RememberingAuditTrail(), RememberingFeedback()
    app = FastAPI()
    install_problem_handlers(app)
    mount_hooks(app, settings=chosen, engines=engines or ENGINES, audit=audit or trail, feedback=feedback)
    app.add_middleware(HooksCors, origins=chosen.hooks_origins)
    return HooksClient(TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False), trail, feedback)


ENGINES = build_engines(Settings())
"""The real ones, loaded on first use and shared."""
