"""Whatever bytes or JSON come in: they are read, or refused by our own error, and nobody's data are told.

`FHIR_PROPERTY_EXAMPLES` sets how many cases each property is tried on (a handful by default, to be quick).
"""

import copy
import os
import random
import traceback
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds.mapping import map_features
from cds.warnings import WARNINGS as CDS_WARNINGS
from fhir_adapters.codes.observations import OBSERVABLES
from fhir_adapters.errors import FhirError
from fhir_adapters.patient import PatientSnapshot
from fhir_adapters.reader import READ_TYPES, is_relevant_line, read_bundle, read_resources, relevant_codes
from fhir_adapters.warnings import WARNINGS
from tests.unit.fhir_adapters.records import (
    AS_OF,
    ATC,
    ICD_10,
    ICD_10_CM,
    LOINC,
    RXNORM,
    SNOMED,
    SUBJECT,
    UCUM,
    Json,
    bundle,
    concept,
    condition,
    observation,
    patient,
    request,
)

EXAMPLES = int(os.environ.get("FHIR_PROPERTY_EXAMPLES", "60"))
quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

RESOURCES: tuple[Json, ...] = (
    patient(
        identifier=[{"system": "urn:mrn", "value": "7"}],
        name=[{"family": "Sample", "given": ["Ann"]}],
        extension=[{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F"}],
        _birthDate={"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime"}]},
    ),
    observation("29463-7", 61.0, "kg"),
    observation("8302-2", 161.0, "cm", interpretation=[concept("urn:x", "N")]),
    observation("39156-5", 23.5, "kg/m2"),
    observation("1989-3", valueString="18 ng/mL"),
    observation("4548-4", valueQuantity={"value": 14, "comparator": ">", "unit": "%", "code": "%", "system": UCUM}),
    observation("33914-3", 55.0, "mL/min", effectivePeriod={"start": "2024-01-01", "end": "2024-01-02"}),
    observation("80948-3", -2.6, "{T-score}", bodySite=concept(SNOMED, "29627003")),
    observation(
        "38269-7", component=[{"code": concept(LOINC, "38267-1"), "valueQuantity": {"value": -1.5, "code": "1"}}]
    ),
    observation("72166-2", valueCodeableConcept=concept(SNOMED, "8517006")),
    observation("74013-4", 1.0, "/d"),
    observation("52552-7", valueInteger=2),
    observation("82810-3", valueCodeableConcept=concept(LOINC, "LA15173-0")),
    observation("2000-8", dataAbsentReason=concept("urn:x", "unknown")),
    observation("391096007", valueBoolean=False) | {"code": concept(SNOMED, "391096007")},
    condition(SNOMED, "443165006", bodySite=[concept(SNOMED, "62413002")], onsetAge={"value": 61, "code": "a"}),
    condition(ICD_10_CM, "S52.501A", recordedDate="2015-05-05", category=[concept("urn:c", "encounter-diagnosis")]),
    condition(ICD_10_CM, "Z79.52"),
    condition(ICD_10, "E11", abatementAge={"value": 60, "unit": "a"}),
    condition(SNOMED, "64859006", verificationStatus=concept("urn:v", "refuted"), onsetString="2012"),
    request(
        RXNORM, "904419", dosageInstruction=[{"timing": {"repeat": {"boundsDuration": {"value": 3, "code": "mo"}}}}]
    ),
    request(ATC, "H02AB06", intent="plan", reportedBoolean=True),
    {
        "resourceType": "MedicationDispense",
        "id": "d1",
        "status": "completed",
        "subject": SUBJECT,
        "medicationReference": {"reference": "Medication/m1"},
        "whenHandedOver": "2024-06-01",
        "daysSupply": {"value": 30, "code": "d"},
    },
    {
        "resourceType": "Medication",
        "id": "m1",
        "ingredient": [{"itemCodeableConcept": concept(RXNORM, "8640"), "isActive": True}],
    },
    {
        "resourceType": "MedicationAdministration",
        "id": "a1",
        "status": "completed",
        "subject": SUBJECT,
        "medicationCodeableConcept": concept(RXNORM, "993449"),
        "effectiveDateTime": "2024-03-01T08:00:00+01:00",
    },
    {
        "resourceType": "MedicationStatement",
        "id": "s1",
        "status": "active",
        "subject": SUBJECT,
        "medicationCodeableConcept": {"text": "some tablets"},
        "effectivePeriod": {"start": "2020"},
    },
    {
        "resourceType": "FamilyMemberHistory",
        "id": "f1",
        "status": "completed",
        "patient": SUBJECT,
        "relationship": concept(SNOMED, "72705000"),
        "condition": [{"code": concept(SNOMED, "5913000")}],
    },
    {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "subject": SUBJECT,
        "effectiveDateTime": "2023-01-01",
        "contained": [observation("17861-6", 9.5, "mg/dL", id="x")],
    },
    {
        "resourceType": "Procedure",
        "id": "pr1",
        "status": "completed",
        "subject": SUBJECT,
        "code": concept(SNOMED, "312681000"),
        "performedPeriod": {"start": "2022-01-01", "end": "2022-01-02T09:00:00Z"},
    },
    {
        "resourceType": "DiagnosticReport",
        "id": "r2",
        "status": "final",
        "subject": SUBJECT,
        "code": concept("http://www.ama-assn.org/go/cpt", "77080"),
        "effectiveDateTime": "2021-01-01",
    },
    {"resourceType": "Claim", "id": "cl1", "patient": SUBJECT, "type": concept("urn:t", "29463-7")},
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        [
            "",
            "0001-01-01",
            "9999-12-31T23:59:59Z",
            "2024-02-30",
            "2024",
            "Patient/p1",
            "#x",
            "#",
            LOINC,
            SNOMED,
            "/",
            "1",
        ]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "code", "system", "value", "unit", "reference", "start", "end"])
            | st.text(max_size=6),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
KINDS = st.sampled_from(["drop", "replace", "graft", "wrap", "double"])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += places(child, (*path, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@st.composite
def broken_resources(draw: st.DrawFn) -> list[Any]:
    """Valid resources of which a few places were dropped, replaced, exchanged, wrapped or doubled."""
    resources: list[Any] = copy.deepcopy(list(RESOURCES))
    for _ in range(draw(st.integers(1, 5))):
        everywhere = places(resources)
        path = draw(st.sampled_from(everywhere))
        parent, key = at(resources, path[:-1]), path[-1]
        match draw(KINDS):
            case "drop":
                del parent[key]
            case "replace":
                parent[key] = draw(JSON)
            case "graft":
                parent[key] = copy.deepcopy(at(resources, draw(st.sampled_from(everywhere))))
            case "wrap":
                parent[key] = [parent[key]]
            case _:
                if isinstance(parent, list):
                    parent.append(copy.deepcopy(parent[key]))
                else:
                    parent[f"_{key}"] = copy.deepcopy(parent[key])
        if not resources:
            break
    return resources


def check(snapshot: PatientSnapshot) -> None:
    """Only known warnings; and the row of the risk model can be made of it."""
    assert {warning.partition(":")[0] for warning in snapshot.warnings} <= set(WARNINGS)
    mapped = map_features(snapshot)
    assert {warning.partition(":")[0] for warning in mapped.warnings} <= set(CDS_WARNINGS)
    assert mapped.features.age_years is None or 0 <= mapped.features.age_years <= 130


@quick
@given(
    st.binary(max_size=200) | JSON.map(orjson.dumps) | JSON.map(lambda value: orjson.dumps(bundle() | {"entry": value}))
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(FhirError):
        check(read_bundle(data, as_of=AS_OF))


@quick
@given(broken_resources())
def test_a_broken_record_is_read_or_refused(resources: list[Any]) -> None:
    with suppress(FhirError):
        check(read_resources(resources, as_of=AS_OF))
    entries = [{"resource": resource, "fullUrl": "urn:uuid:x"} for resource in resources]
    for broken in (entries, resources):
        with suppress(FhirError):
            check(read_bundle(orjson.dumps(bundle() | {"entry": broken}), as_of=AS_OF, patient_id="p1"))


@quick
@given(broken_resources())
def test_lines_found_irrelevant_change_nothing(resources: list[Any]) -> None:
    kept = {}
    for number, resource in enumerate(resources):
        # One version of each resource, as in an export.
        name = resource.get("id") if isinstance(resource, dict) else None
        kept[name if isinstance(name, str) else number] = resource
    lines = [orjson.dumps(resource) for resource in kept.values()]
    # In the place of an irrelevant line stands an empty resource, so that places keep their numbers.
    empty: Json = {"resourceType": "Basic"}
    relevant = [orjson.loads(line) if is_relevant_line(line) else empty for line in lines]
    try:
        whole = read_resources(map(orjson.loads, lines), as_of=AS_OF)
    except FhirError as error:
        with pytest.raises(type(error)):
            read_resources(relevant, as_of=AS_OF)
        return
    assert read_resources(relevant, as_of=AS_OF) == whole


@quick
@given(st.randoms(use_true_random=False), st.booleans())
def test_layout_of_a_line_does_not_matter(rng: random.Random, spaced: bool) -> None:
    resource: Json = dict(rng.choice(RESOURCES))
    keys = list(resource)
    rng.shuffle(keys)
    line = orjson.dumps({key: resource[key] for key in keys}, option=orjson.OPT_INDENT_2 if spaced else None)
    used = resource["resourceType"] in READ_TYPES and resource["id"] != "cl1"
    assert is_relevant_line(line.replace(b"\n", b"") + b"\n") or not used


@pytest.mark.parametrize("code", sorted(relevant_codes()))
def test_every_code_that_is_read_makes_a_line_relevant(code: str) -> None:
    line = orjson.dumps({"resourceType": "Observation", "code": concept(OBSERVABLES[code][0].value, code)})
    assert is_relevant_line(line)
    assert is_relevant_line(line.replace(b'":"', b'" : "'))
    assert is_relevant_line(line.replace(code.encode(), f"\\u{ord(code[0]):04x}{code[1:]}".encode()))


def test_a_line_that_is_no_object_is_kept_because_it_is_counted() -> None:
    assert is_relevant_line(b'[{"resourceType":"Observation","code":{}}]')


@pytest.mark.parametrize(
    "line",
    [
        b'{"resourceType":"Claim","item":[{"code":"29463-7"}]}',
        b'{"id":"1","resourceType":"Encounter"}',
        b'{"resourceType":"Observation","status":"final","code":{"coding":[{"code":"8480-6"}]}}',
        b'{"resourceType":"DiagnosticReport","contained":[{"resourceType":"Observation","code":{}}]}',
        b'{"resourceType":"Procedure","code":{"coding":[{"code":"80146002"}]}}',
    ],
)
def test_lines_that_need_no_parsing(line: bytes) -> None:
    assert not is_relevant_line(line)


SECRET = "Zephyrine O'Hara 1931"


@quick
@given(st.data())
def test_no_error_and_no_warning_tells_what_the_record_says(data: st.DataObject) -> None:
    resources: list[Any] = copy.deepcopy(list(RESOURCES))
    texts = [path for path in places(resources) if isinstance(at(resources, path), str)]
    structural = {"resourceType", "reference"}
    for path in data.draw(st.lists(st.sampled_from(texts), min_size=1, max_size=12, unique=True)):
        if path[-1] not in structural or data.draw(st.booleans()):
            at(resources, path[:-1])[path[-1]] = SECRET
    read = data.draw(st.sampled_from(["resources", "bundle", "broken", "missing"]))
    payload = orjson.dumps(bundle(*(item for item in resources if isinstance(item, dict))))
    try:
        match read:
            case "resources":
                snapshot = read_resources(resources, as_of=AS_OF, patient_id=SECRET)
            case "bundle":
                snapshot = read_bundle(payload, as_of=AS_OF)
            case "missing":
                snapshot = read_bundle(payload, as_of=AS_OF, patient_id=SECRET)
            case _:
                snapshot = read_bundle(payload[:-1] + SECRET.encode(), as_of=AS_OF)
    except FhirError as error:
        assert "Zephyrine" not in "".join(traceback.format_exception(error)) + error.remedy
        return
    assert not any("Zephyrine" in warning for warning in (*snapshot.warnings, *map_features(snapshot).warnings))


@quick
@given(st.randoms(use_true_random=False))
def test_the_order_of_resources_does_not_matter(rng: random.Random) -> None:
    resources = list(RESOURCES)
    rng.shuffle(resources)
    first, second = read_resources(RESOURCES, as_of=AS_OF), read_resources(resources, as_of=AS_OF)
    for name in PatientSnapshot.__slots__:
        if name == "warnings":
            assert set(first.warnings) == set(second.warnings)
        else:
            assert getattr(first, name) == getattr(second, name)
