from datetime import UTC, datetime, timedelta

import orjson
import pytest

from fhir_adapters.patient import DrugClass
from fhir_adapters.reader import read_bundle
from tests.unit.fhir_adapters.records import (
    AS_OF,
    ATC,
    RXNORM,
    SNOMED,
    SUBJECT,
    Json,
    bundle,
    codes_of,
    concept,
    patient,
    read,
    request,
)

ALENDRONATE, PREDNISONE, DIGOXIN = "904419", "312617", "197604"


def other(resource_type: str, code: str = PREDNISONE, **extra: object) -> Json:
    return {
        "resourceType": resource_type,
        "id": "x1",
        "medicationCodeableConcept": concept(RXNORM, code),
        "subject": SUBJECT,
    } | extra


def route(code: str) -> list[Json]:
    return [{"route": concept(SNOMED, code)}]


def test_an_active_request_is_a_current_drug_with_code_source_and_start() -> None:
    snapshot = read(request(RXNORM, ALENDRONATE))
    entry = snapshot.takes(DrugClass.ORAL_BISPHOSPHONATE)
    assert entry is not None
    assert (entry.code, entry.resource) == (f"{RXNORM}|{ALENDRONATE}", f"MedicationRequest/m-{ALENDRONATE}")
    assert (entry.start, entry.end) == (datetime(2023, 11, 1, tzinfo=UTC), None)
    assert snapshot.warnings == ()


@pytest.mark.parametrize(
    ("extra", "active"),
    [
        ({"status": "completed"}, False),
        ({"status": "stopped"}, False),
        ({"status": "on-hold"}, False),
        ({"status": "draft"}, None),
        ({"status": "cancelled"}, None),
        ({"status": "entered-in-error"}, None),
        ({"status": "unknown"}, None),
        ({"intent": "plan"}, None),
        ({"intent": "proposal"}, None),
        ({"intent": "instance-order"}, True),
        ({"doNotPerform": True}, None),
        ({"authoredOn": "2024-07-01"}, None),
    ],
)
def test_status_and_intent_of_requests(extra: Json, active: bool | None) -> None:
    snapshot = read(request(RXNORM, PREDNISONE, **extra))
    assert [entry.active for entry in snapshot.medications] == ([] if active is None else [active])
    assert (snapshot.takes(DrugClass.SYSTEMIC_GLUCOCORTICOID) is not None) is (active is True)


def test_a_request_without_status_is_refused_with_a_warning() -> None:
    snapshot = read(request(RXNORM, PREDNISONE, status=None))
    assert snapshot.medications == ()
    assert codes_of(snapshot) == {"fhir.status.missing"}


@pytest.mark.parametrize(("end", "active"), [("2024-06-14", False), ("2024-06-15", True), ("2024-09-01", True)])
def test_a_course_whose_bounds_have_passed_is_over(end: str, active: bool) -> None:
    dosage = [{"timing": {"repeat": {"boundsPeriod": {"start": "2024-01-01", "end": end}}}}]
    (entry,) = read(request(RXNORM, PREDNISONE, dosageInstruction=dosage)).medications
    assert entry.active is active
    assert (entry.end is None) is active


@pytest.mark.parametrize(
    ("extra", "active"),
    [
        ({"status": "active"}, True),
        ({"status": "active", "effectivePeriod": {"start": "2020-01-01", "end": "2021-01-01"}}, False),
        ({"status": "completed"}, False),
        ({"status": "not-taken"}, None),
        ({"status": "intended"}, None),
    ],
)
def test_statements(extra: Json, active: bool | None) -> None:
    snapshot = read(other("MedicationStatement", **extra))
    assert [entry.active for entry in snapshot.medications] == ([] if active is None else [active])


@pytest.mark.parametrize(
    ("resource_type", "code", "days_ago", "extra", "active"),
    [
        ("MedicationAdministration", "77655", 300, {}, True),  # zoledronic acid lasts a year
        ("MedicationAdministration", "77655", 400, {}, False),
        ("MedicationAdministration", "993449", 150, {}, True),  # denosumab half a year
        ("MedicationAdministration", "993449", 200, {}, False),
        ("MedicationAdministration", PREDNISONE, 3, {}, True),
        ("MedicationAdministration", PREDNISONE, 30, {}, False),
        ("MedicationAdministration", PREDNISONE, 3, {"status": "not-done"}, None),
        ("MedicationDispense", PREDNISONE, 20, {}, True),
        ("MedicationDispense", PREDNISONE, 60, {}, False),
        ("MedicationDispense", PREDNISONE, 60, {"daysSupply": {"value": 90}}, True),
        ("MedicationDispense", PREDNISONE, 10, {"daysSupply": {"value": 7}}, False),
        ("MedicationDispense", PREDNISONE, 10, {"status": "declined"}, None),
    ],
)
def test_single_doses_and_dispenses_count_for_as_long_as_they_last(
    resource_type: str, code: str, days_ago: int, extra: Json, active: bool | None
) -> None:
    date = (AS_OF - timedelta(days=days_ago)).isoformat()
    when = {"whenHandedOver": date} if resource_type == "MedicationDispense" else {"effectiveDateTime": date}
    snapshot = read(other(resource_type, code, **({"status": "completed"} | when | extra)))
    assert [entry.active for entry in snapshot.medications] == ([] if active is None else [active])


def test_current_drugs_come_first_then_the_newest() -> None:
    snapshot = read(
        request(RXNORM, PREDNISONE, id="a", status="stopped", authoredOn="2024-05-01"),
        request(RXNORM, PREDNISONE, id="b", authoredOn="2022-05-01"),
        request(RXNORM, PREDNISONE, id="c", authoredOn="2023-05-01"),
    )
    assert [entry.resource[-1] for entry in snapshot.medications] == ["c", "b", "a"]


def test_drug_by_reference_contained_in_the_bundle_or_by_ingredient() -> None:
    base = request(RXNORM, DIGOXIN)
    del base["medicationCodeableConcept"]
    medication = {"resourceType": "Medication", "id": "d1", "code": concept(RXNORM, DIGOXIN)}
    mixture = {
        "resourceType": "Medication",
        "id": "d1",
        "ingredient": [{"itemCodeableConcept": concept(ATC, "C01AA05")}],
    }
    contained = base | {"contained": [medication], "medicationReference": {"reference": "#d1"}}
    assert read(contained).takes(DrugClass.DIGOXIN)
    bundled = base | {"medicationReference": {"reference": "Medication/d1"}}
    assert read(bundled, medication).takes(DrugClass.DIGOXIN)
    assert read(bundled, mixture).takes(DrugClass.DIGOXIN)
    assert read(base | {"medicationReference": {"reference": "http://server/Medication/d1"}}, medication).medications
    url = "urn:uuid:00000000-0000-0000-0000-0000000000d1"
    entries = bundle(patient(), base | {"medicationReference": {"reference": url}})
    entries["entry"].append({"fullUrl": url, "resource": medication})
    assert read_bundle(orjson.dumps(entries), as_of=AS_OF).takes(DrugClass.DIGOXIN)
    lost = read(bundled)
    assert lost.medications == ()
    assert "fhir.medication.unresolved" in codes_of(lost)


def test_unknown_current_drugs_are_counted_known_irrelevant_and_past_ones_are_not() -> None:
    snapshot = read(
        request(RXNORM, "99999901"),
        request(RXNORM, "99999902"),
        request(RXNORM, "99999903", status="stopped"),
        request(RXNORM, "316672"),
        request(ATC, "C10AA01"),
    )
    assert snapshot.medications == ()
    assert snapshot.warnings == ("fhir.medication.unclassified:2 MedicationRequest",)


@pytest.mark.parametrize(
    ("system", "code", "routes", "classes", "warned"),
    [
        (RXNORM, "3264", "26643006", [DrugClass.SYSTEMIC_GLUCOCORTICOID], False),
        (RXNORM, "3264", "54485002", [], False),
        (RXNORM, "3264", None, [], True),
        (RXNORM, "8640", None, [DrugClass.SYSTEMIC_GLUCOCORTICOID], False),
        (RXNORM, "3355", "6064005", [], False),
        (RXNORM, "3355", "26643006", [DrugClass.NSAID], False),
        (RXNORM, "115264", "26643006", [DrugClass.ORAL_BISPHOSPHONATE], False),
        (RXNORM, "115264", "47625008", [DrugClass.INTRAVENOUS_BISPHOSPHONATE], False),
        (ATC, "M05BA06", None, [], True),
        (ATC, "G03CA03", "16857009", [], False),
    ],
)
def test_the_route_decides_where_a_drug_may_act_locally(
    system: str, code: str, routes: str | None, classes: list[DrugClass], warned: bool
) -> None:
    extra = {"dosageInstruction": route(routes)} if routes else {}
    snapshot = read(request(system, code, **extra))
    assert [entry.drug_class for entry in snapshot.medications] == classes
    assert ("fhir.medication.route_unknown" in codes_of(snapshot)) is warned


def test_a_combination_is_an_entry_for_each_of_its_classes() -> None:
    snapshot = read(request(ATC, "M05BB05"))
    assert {entry.drug_class for entry in snapshot.medications} == {
        DrugClass.ORAL_BISPHOSPHONATE,
        DrugClass.CALCIUM_SUPPLEMENT,
        DrugClass.VITAMIN_D_SUPPLEMENT,
    }
