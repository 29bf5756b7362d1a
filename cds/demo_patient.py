"""The fictional patient of ``cds demo``: a FHIR R4 Bundle made here, every resource tagged as test health data.

Nobody is meant: the values are chosen so that each part of the report has something to say. All dates are counted back
from the time of the demonstration.
"""

from datetime import datetime, timedelta
from typing import Any

import orjson

TEST_TAG = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ATC = "http://www.whocc.no/atc"
UCUM = "http://unitsofmeasure.org"
CONDITION_STATUS = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION_STATUS = "http://terminology.hl7.org/CodeSystem/condition-ver-status"

AGE_YEARS = 67
SUBJECT = {"reference": "Patient/demo"}

Resource = dict[str, Any]


def demo_bundle(as_of: datetime) -> bytes:
    """The record of a fictional woman of 67 as a FHIR R4 collection Bundle, JSON.

    Args:
        as_of: the time of the demonstration; the record ends shortly before it.
    """
    resources = [_patient(as_of), *_conditions(as_of), *_observations(as_of), *_medications(as_of)]
    for resource in resources:
        resource["meta"] = {"source": "urn:fracture-cds:demo", "tag": [TEST_TAG]}
    bundle = {
        "resourceType": "Bundle",
        "meta": {"tag": [TEST_TAG]},
        "type": "collection",
        "timestamp": as_of.isoformat(timespec="seconds"),
        "entry": [
            {"fullUrl": f"urn:fracture-cds:demo:{item['resourceType']}:{item['id']}", "resource": item}
            for item in resources
        ],
    }
    return orjson.dumps(bundle, option=orjson.OPT_INDENT_2)


def _patient(as_of: datetime) -> Resource:
    # Half a year past the birthday, so that the age does not depend on the day of the demonstration.
    birthday = as_of.date() - timedelta(days=round((AGE_YEARS + 0.5) * 365.25))
    return {
        "resourceType": "Patient",
        "id": "demo",
        "name": [{"use": "anonymous", "text": "Fictional Patient"}],
        "gender": "female",
        "birthDate": birthday.isoformat(),
    }


def _coded(system: str, code: str, text: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": text}], "text": text}


def _day(as_of: datetime, days_before: int) -> str:
    return (as_of.date() - timedelta(days=days_before)).isoformat()


def _conditions(as_of: datetime) -> list[Resource]:
    def condition(name: str, code: str, text: str, days_before: int, status: str = "active") -> Resource:
        resource: Resource = {
            "resourceType": "Condition",
            "id": name,
            "clinicalStatus": {"coding": [{"system": CONDITION_STATUS, "code": status}]},
            "verificationStatus": {"coding": [{"system": VERIFICATION_STATUS, "code": "confirmed"}]},
            "code": _coded(SNOMED, code, text),
            "subject": SUBJECT,
            "onsetDateTime": _day(as_of, days_before),
        }
        if status == "resolved":
            resource["abatementDateTime"] = _day(as_of, days_before - 90)
        return resource

    return [
        condition("osteoporosis", "64859006", "Osteoporosis", 1100),
        condition("diabetes", "44054006", "Diabetes mellitus type 2", 3300),
        condition("hypothyroidism", "40930008", "Hypothyroidism", 2900),
        condition("earlier-forearm-fracture", "65966004", "Fracture of forearm", 560, "resolved"),
    ]


def _observations(as_of: datetime) -> list[Resource]:
    def observation(name: str, code: str, text: str, days_before: int, category: str) -> Resource:
        return {
            "resourceType": "Observation",
            "id": name,
            "status": "final",
            "category": [_coded("http://terminology.hl7.org/CodeSystem/observation-category", category, category)],
            "code": _coded(LOINC, code, text),
            "subject": SUBJECT,
            "effectiveDateTime": _day(as_of, days_before),
        }

    def measured(
        name: str, code: str, text: str, value: float, unit: str, days_before: int, category: str = "laboratory"
    ) -> Resource:
        quantity = {"value": value, "unit": unit, "system": UCUM, "code": unit}
        return {**observation(name, code, text, days_before, category), "valueQuantity": quantity}

    smoking = observation("smoking", "72166-2", "Tobacco smoking status", 40, "social-history")
    smoking["valueCodeableConcept"] = _coded(SNOMED, "449868002", "Smokes tobacco daily")
    t_score = measured("t-score", "38265-5", "DXA T-score", -2.7, "{T-score}", 300, "exam")
    t_score["bodySite"] = _coded(SNOMED, "29627003", "Structure of neck of femur")
    return [
        measured("weight", "29463-7", "Body weight", 58.0, "kg", 40, "vital-signs"),
        measured("height", "8302-2", "Body height", 161.0, "cm", 40, "vital-signs"),
        smoking,
        measured("vitamin-d", "1989-3", "25-hydroxyvitamin D3 in serum", 13.5, "ng/mL", 30),
        measured("calcium", "17861-6", "Calcium in serum", 9.3, "mg/dL", 30),
        measured("egfr", "62238-1", "Estimated glomerular filtration rate", 64.0, "mL/min/{1.73_m2}", 30),
        measured("hba1c", "4548-4", "Haemoglobin A1c", 7.4, "%", 30),
        t_score,
    ]


def _medications(as_of: datetime) -> list[Resource]:
    def statement(name: str, code: str, text: str, days_before: int) -> Resource:
        return {
            "resourceType": "MedicationStatement",
            "id": name,
            "status": "active",
            "medicationCodeableConcept": _coded(ATC, code, text),
            "subject": SUBJECT,
            "effectivePeriod": {"start": _day(as_of, days_before)},
        }

    return [
        statement("levothyroxine", "H03AA01", "Levothyroxine sodium", 2900),
        statement("metformin", "A10BA02", "Metformin", 3300),
        statement("calcium-carbonate", "A12AA04", "Calcium carbonate", 1000),
    ]
