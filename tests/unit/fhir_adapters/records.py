"""Small FHIR records made for the tests of the reader."""

from datetime import UTC, datetime
from typing import Any

import orjson

from fhir_adapters.patient import PatientSnapshot
from fhir_adapters.reader import read_bundle

Json = dict[str, Any]

AS_OF = datetime(2024, 6, 15, 12, 0, tzinfo=UTC)
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
ICD_9_CM = "http://hl7.org/fhir/sid/icd-9-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
UCUM = "http://unitsofmeasure.org"
SUBJECT: Json = {"reference": "Patient/p1"}


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def patient(**extra: Any) -> Json:
    return {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1954-03-02"} | extra


def observation(code: str, value: float | None = None, unit: str | None = None, **extra: Any) -> Json:
    resource: Json = {
        "resourceType": "Observation",
        "id": f"o-{code}",
        "status": "final",
        "code": concept(LOINC, code),
        "subject": SUBJECT,
        "effectiveDateTime": "2024-05-01T09:00:00Z",
    }
    if value is not None:
        resource["valueQuantity"] = {"value": value} | ({"system": UCUM, "code": unit} if unit else {})
    return resource | extra


def condition(system: str, code: str, **extra: Any) -> Json:
    return {
        "resourceType": "Condition",
        "id": f"c-{code.replace('.', '-')}",
        "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "verificationStatus": concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
        "code": concept(system, code),
        "subject": SUBJECT,
        "onsetDateTime": "2019-02-03",
    } | extra


def request(system: str, code: str, **extra: Any) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "id": f"m-{code}",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept(system, code),
        "subject": SUBJECT,
        "authoredOn": "2023-11-01",
    } | extra


def bundle(*resources: Json, **extra: Any) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]} | extra


def read(*resources: Json, as_of: datetime = AS_OF, who: Json | None = None) -> PatientSnapshot:
    """The snapshot of a collection with the usual patient (or `who`) and these resources."""
    return read_bundle(orjson.dumps(bundle(who or patient(), *resources)), as_of=as_of)


def codes_of(snapshot: PatientSnapshot) -> set[str]:
    """The codes of all warnings, without details."""
    return {warning.partition(":")[0] for warning in snapshot.warnings}
