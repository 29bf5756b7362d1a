"""What the bytes of a line tell is what its parsed resource says."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.batch.keys import reference_key
from fhir_adapters.idle import idle_line, is_idle

Json = dict[str, Any]
SNOMED, RXNORM = "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"
MISCARRIAGE, OSTEOPOROSIS, PARACETAMOL, PREDNISONE = "19169002", "64859006", "161", "312617"


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code, "display": 'a "word"'}], "text": "é \\ /"}


def disease(code: str) -> Json:
    return {
        "resourceType": "Condition",
        "id": "c-1",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "code": concept(SNOMED, code),
        "subject": {"reference": "Patient/p.1"},
        "onsetDateTime": "1993-06-20T21:31:48+00:00",
    }


def drug(code: str) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "id": "m-1",
        "status": "active",
        "medicationCodeableConcept": concept(RXNORM, code),
        "subject": {"reference": "urn:uuid:p.1"},
        "authoredOn": "2010-05-12",
    }


@pytest.mark.parametrize("resource", [disease(MISCARRIAGE), drug(PARACETAMOL)])
def test_the_usual_form_is_told(resource: Json) -> None:
    assert idle_line(orjson.dumps(resource)) == (b"p.1", resource["id"].encode())


@pytest.mark.parametrize("resource", [disease(OSTEOPOROSIS), drug(PREDNISONE), drug("no such drug")])
def test_what_says_something_is_parsed(resource: Json) -> None:
    assert idle_line(orjson.dumps(resource)) is None


IDLE = orjson.dumps(disease(MISCARRIAGE))


@pytest.mark.parametrize(
    "line",
    [
        IDLE[:-40] + orjson.dumps(disease(OSTEOPOROSIS)),
        IDLE.replace(b'"subject"', b'"contained":[' + orjson.dumps(disease(OSTEOPOROSIS)) + b'],"subject"'),
        IDLE.replace(b'"onsetDateTime"', b'"contained":[' + orjson.dumps(disease(OSTEOPOROSIS)) + b'],"onsetDateTime"'),
        IDLE.replace(b'"onsetDateTime"', b'"\\u0063ode"'),
        IDLE.replace(b'"code":{', b'"kode":{'),
        IDLE.replace(b'"id":"c-1"', b'"id":"c/1"'),
        IDLE.replace(b'"c-1",', b'"c-1"'),
        IDLE.replace(b"Patient/", b"Group/"),
        IDLE.replace(b',"subject"', b' "subject"'),
        IDLE.replace(b'"subject":{', b'"subject": {'),
        IDLE[: IDLE.index(b'"subject"')] + b"}",
        orjson.dumps(drug(PARACETAMOL)).replace(b'"authoredOn"', b'"implicitRules"'),
        b"{}",
        b'{"resourceType":"Condition"}',
    ],
)
def test_an_unusual_form_is_parsed(line: bytes) -> None:
    assert idle_line(line) is None


EXTRA: list[Json] = [
    {},
    {"modifierExtension": [{"url": "http://x"}]},
    {"implicitRules": "http://x"},
    {"medicationReference": {"reference": "Medication/1"}},
    {"contained": [disease(OSTEOPOROSIS)]},
    {"note": [{"text": '"subject":{"reference":"Patient/q"},"resourceType":"Condition"'}]},
    {"subject": {"reference": "https://s/fhir/Patient/q"}},
    {"subject": {"reference": "Patient/q", "display": "Q"}},
    {"subject": {"display": "q", "reference": "Patient/q"}},
    {"id": "m 1"},
    {"id": ""},
    {"meta": {"lastUpdated": "2024-01-01T00:00:00Z"}},
    {"code": {"coding": [{"system": SNOMED, "code": OSTEOPOROSIS}]}},
    {"code": None},
    {"medicationCodeableConcept": {"coding": [{"system": RXNORM, "code": PREDNISONE}]}},
]


@given(
    resource=st.sampled_from([disease(MISCARRIAGE), disease(OSTEOPOROSIS), drug(PARACETAMOL), drug(PREDNISONE)]),
    extra=st.lists(st.sampled_from(EXTRA), max_size=3),
    data=st.data(),
)
def test_the_bytes_never_tell_more_than_the_resource(resource: Json, extra: list[Json], data: st.DataObject) -> None:
    for one in extra:
        resource = resource | one
    names = data.draw(st.one_of(st.just(list(resource)), st.permutations(list(resource))))
    line = orjson.dumps({name: resource[name] for name in names})
    told = idle_line(line)
    if told is not None:
        assert is_idle(resource)
        patient = reference_key(resource["subject"]["reference"], "Patient")
        assert told == (patient, resource["id"].encode())
