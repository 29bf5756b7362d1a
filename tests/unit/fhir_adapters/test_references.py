import orjson
import pytest

from fhir_adapters.errors import NoPatientError, PatientNotFoundError, SeveralPatientsError
from fhir_adapters.reader import read_bundle
from tests.unit.fhir_adapters.records import AS_OF, Json, bundle, observation, patient

UUID = "urn:uuid:57a5a683-f51e-4976-ad1d-c2c4d3385cec"


def entry(resource: Json, full_url: str | None = None) -> Json:
    return {"resource": resource} | ({"fullUrl": full_url} if full_url else {})


def weight(subject: Json | None) -> Json:
    return observation("29463-7", 61.0, "kg", subject=subject)


def counts(patient_entry: Json, observation_entry: Json) -> bool:
    data = orjson.dumps({"resourceType": "Bundle", "entry": [patient_entry, observation_entry]})
    return read_bundle(data, as_of=AS_OF).weight_kg is not None


@pytest.mark.parametrize(
    ("patient_url", "observation_url", "reference", "expected"),
    [
        (None, None, "Patient/p1", True),
        (None, None, "Patient/p1/_history/3", True),
        (None, None, "Patient/p2", False),
        (None, None, "http://server/fhir/Patient/p1", True),
        ("http://server/fhir/Patient/p1", None, "http://server/fhir/Patient/p1", True),
        ("http://server/fhir/Patient/p1", None, "http://other/fhir/Patient/p1", False),
        ("http://server/fhir/Patient/p1", "http://server/fhir/Observation/1", "Patient/p1", True),
        ("http://server/fhir/Patient/p1", "http://other/fhir/Observation/1", "Patient/p1", False),
        (UUID, None, UUID, True),
        (UUID, None, "urn:uuid:00000000-0000-0000-0000-000000000000", False),
        (UUID, None, "Patient/p1", True),
        (None, None, "#p1", False),
        (None, None, "Group/p1", False),
        (None, None, "MyPatient/p1", False),
        (None, None, "Patient?identifier=http%3A%2F%2Fhospital%7C77", True),
        (None, None, "Patient?identifier=http://hospital|78", False),
    ],
)
def test_whose_resource_a_reference_makes_it(
    patient_url: str | None, observation_url: str | None, reference: str, expected: bool
) -> None:
    who = patient(identifier=[{"system": "http://hospital", "value": "77"}])
    found = counts(entry(who, patient_url), entry(weight({"reference": reference}), observation_url))
    assert found is expected


def test_a_subject_may_be_named_by_identifier_alone() -> None:
    who = patient(identifier=[{"system": "http://hospital", "value": "77"}])
    assert counts(entry(who), entry(weight({"identifier": {"system": "http://hospital", "value": "77"}})))
    assert not counts(entry(who), entry(weight({"identifier": {"system": "http://other", "value": "77"}})))


def test_entries_of_nobody_and_of_strangers_are_left_out_and_counted() -> None:
    strangers = [weight({"reference": f"Patient/x{number}"}) | {"id": f"w{number}"} for number in range(3)]
    snapshot = read_bundle(orjson.dumps(bundle(patient(), weight(None), *strangers)), as_of=AS_OF)
    assert snapshot.weight_kg is None
    assert "fhir.subject.missing:1 Observation" in snapshot.warnings
    assert "fhir.subject.unresolved:3 Observation" in snapshot.warnings


def test_several_patients_need_a_choice() -> None:
    other = patient(id="p2", gender="male")
    data = orjson.dumps(bundle(patient(), other, weight({"reference": "Patient/p2"})))
    with pytest.raises(SeveralPatientsError) as caught:
        read_bundle(data, as_of=AS_OF)
    assert caught.value.count == 2
    assert read_bundle(data, as_of=AS_OF, patient_id="p1").weight_kg is None
    chosen = read_bundle(data, as_of=AS_OF, patient_id="Patient/p2")
    assert chosen.patient_id == "p2"
    assert chosen.weight_kg is not None
    assert not any("subject" in warning for warning in chosen.warnings)
    with pytest.raises(PatientNotFoundError) as missing:
        read_bundle(data, as_of=AS_OF, patient_id="secret-id")
    assert "secret-id" not in str(missing.value)


def test_a_bundle_without_patient_is_an_error() -> None:
    with pytest.raises(NoPatientError):
        read_bundle(orjson.dumps(bundle(weight({"reference": "Patient/p1"}))), as_of=AS_OF)


def test_a_patient_without_id_is_known_by_its_full_url() -> None:
    who = patient()
    del who["id"]
    data = orjson.dumps({"resourceType": "Bundle", "entry": [entry(who, UUID), entry(weight({"reference": UUID}))]})
    snapshot = read_bundle(data, as_of=AS_OF)
    assert snapshot.patient_id == UUID.removeprefix("urn:uuid:")
    assert snapshot.weight_kg is not None
    assert read_bundle(data, as_of=AS_OF, patient_id=UUID) == snapshot
