"""What real records do to a reader: absent, negated, historical, contradictory and impossible entries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_adapters.errors import NoPatientError, SeveralPatientsError
from fhir_adapters.patient import ConditionKind, DrugClass, FractureSiteGroup, Sex, SmokingStatus
from fhir_adapters.reader import read_resources
from fhir_adapters.units import ADULT_PLAUSIBLE, PLAUSIBLE, Measure, parse_quantity
from tests.unit.fhir_adapters.records import (
    AS_OF,
    ATC,
    ICD_9_CM,
    ICD_10,
    ICD_10_CM,
    LOINC,
    RXNORM,
    SNOMED,
    SUBJECT,
    UCUM,
    Json,
    bundle,
    codes_of,
    concept,
    condition,
    observation,
    patient,
    read,
    request,
)

PREDNISONE = "312617"
ROLE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
YES, NO = concept(LOINC, "LA33-6"), concept(LOINC, "LA32-8")
FIELDS: dict[Measure, tuple[str, str, str]] = {
    Measure.WEIGHT: ("29463-7", "kg", "weight_kg"),
    Measure.HEIGHT: ("8302-2", "cm", "height_cm"),
    Measure.BMI: ("39156-5", "kg/m2", "bmi_kg_m2"),
    Measure.VITAMIN_D: ("1989-3", "nmol/L", "vitamin_d_nmol_l"),
    Measure.CALCIUM: ("2000-8", "mmol/L", "calcium_mmol_l"),
    Measure.EGFR: ("33914-3", "mL/min/{1.73_m2}", "egfr_ml_min_1_73m2"),
    Measure.HBA1C: ("4548-4", "%", "hba1c_percent"),
    Measure.T_SCORE: ("38267-1", "{T-score}", "t_score_spine"),
    Measure.FALLS: ("52552-7", "{falls}", "falls_last_year"),
    Measure.ALCOHOL: ("1082641000000106", "{UK units}/wk", "alcohol_units_per_week"),
}


def measured(measure: Measure, value: float, **extra: Any) -> Json:
    code, unit, _ = FIELDS[measure]
    resource = observation(code, value, unit, **extra)
    return resource | {"code": concept(SNOMED, code)} if measure is Measure.ALCOHOL else resource


# --- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", list(Measure))
def test_a_value_out_of_physiologic_range_is_refused_with_a_warning(measure: Measure) -> None:
    low, high = (ADULT_PLAUSIBLE | {key: PLAUSIBLE[key] for key in PLAUSIBLE if key not in ADULT_PLAUSIBLE})[measure]
    field = FIELDS[measure][2]
    for value in (low, high):
        snapshot = read(measured(measure, value))
        assert getattr(snapshot, field).value == value
        assert snapshot.warnings == ()
    for value in (low - 1, high + 1, high * 1e6, -1e308):
        snapshot = read(measured(measure, value))
        assert getattr(snapshot, field) is None
        assert codes_of(snapshot) == {"fhir.value.implausible"}


def test_ranges_of_children_are_wider_and_need_the_age_at_the_measurement() -> None:
    newborn = patient(birthDate="2024-04-30")
    assert read(measured(Measure.HEIGHT, 48.0), who=newborn).height_cm is not None
    assert read(measured(Measure.HEIGHT, 48.0)).height_cm is None
    assert read(measured(Measure.HEIGHT, 48.0), who=patient(birthDate=None)).height_cm is not None
    as_child = measured(Measure.WEIGHT, 3.2, effectiveDateTime="1954-03-03")
    assert read(as_child).weight_kg is not None


def test_an_older_possible_value_replaces_an_impossible_one() -> None:
    older = measured(Measure.WEIGHT, 61.0, id="old", effectiveDateTime="2023-05-01")
    found = read(measured(Measure.WEIGHT, 6100.0), older).weight_kg
    assert found is not None
    assert (found.value, found.resource) == (61.0, "Observation/old")


# --- values ----------------------------------------------------------------------------------------------------------


REASON = concept("urn:x", "unknown")


def weight(value: float | None = None, unit: str | None = None, **extra: Any) -> Json:
    return observation("29463-7", value, unit, **extra)


@pytest.mark.parametrize(
    ("resource", "value", "told"),
    [
        (weight(valueString="61.5 kg"), 61.5, {"fhir.value.from_text"}),
        (weight(valueString="135 lbs"), pytest.approx(61.235, abs=0.01), {"fhir.value.from_text"}),
        (weight(valueString="61.5"), None, {"fhir.value.from_text", "fhir.unit.missing"}),
        (weight(valueString="61,5 kg"), None, {"fhir.value.missing"}),
        (weight(valueString="60-62 kg"), None, {"fhir.value.missing"}),
        (weight(valueString="refused"), None, {"fhir.value.missing"}),
        (weight(valueInteger=61), None, {"fhir.unit.missing"}),
        (weight(61.0, "kg", dataAbsentReason=REASON), None, {"fhir.value.contradiction"}),
        (weight(dataAbsentReason=REASON), None, {"fhir.value.missing"}),
        (weight(valueQuantity={"_value": {"extension": []}, "code": "kg"}), None, {"fhir.value.missing"}),
        (
            weight(valueQuantity={"value": 61, "code": "kg", "unit": "lbs", "system": UCUM}),
            None,
            {"fhir.unit.conflict"},
        ),
        (weight(valueQuantity={"value": 61, "code": "kg", "unit": "Kg", "system": UCUM}), 61.0, set()),
        (weight(61.0, "kg", interpretation=[concept("urn:v3", ">")]), None, {"fhir.value.bound_unusable"}),
        (weight(61.0, "kg", interpretation=[concept("urn:v3", "H")]), 61.0, set()),
        (observation("27113001", 61.0, "kg") | {"code": concept(SNOMED, "27113001")}, 61.0, set()),
        (weight(61.0, "kg", implicitRules="http://rules"), None, {"fhir.modifier.unknown"}),
        (
            weight(61.0, "kg", effectiveDateTime="1900-01-01T00:00:00Z"),
            61.0,
            {"fhir.date.before_birth", "fhir.date.missing"},
        ),
        (weight(61.0, "kg", effectiveDateTime=None, _effectiveDateTime={"extension": []}), 61.0, {"fhir.date.missing"}),
        (weight(61.0, "kg", status="entered-in-error"), None, set()),
        (weight(61.0, "kg", status="cancelled"), None, set()),
    ],
)
def test_how_a_weight_is_written(resource: Json, value: float | None, told: set[str]) -> None:
    snapshot = read(resource)
    assert (snapshot.weight_kg.value if snapshot.weight_kg is not None else None) == value
    assert codes_of(snapshot) == told


@pytest.mark.parametrize(
    "text", ["", "about 5", "5 6", "1e5", "5.", ".5", "5 kg kg", "NaN", "-", "<", "5;6", "5:6", "1/2"]
)
def test_text_that_is_not_one_number_is_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None


def test_text_that_is_one_number() -> None:
    assert parse_quantity(" >= 90 mL/min ") == {"value": 90.0, "comparator": ">=", "unit": "mL/min"}
    assert parse_quantity("\u22122.5") == {"value": -2.5}


def test_a_component_with_an_unknown_modifier_is_left_out() -> None:
    part = {"code": concept(LOINC, "38267-1"), "valueQuantity": {"value": -2.0, "code": "1"}}
    assert read(observation("38269-7", component=[part])).t_score_spine is not None
    snapshot = read(observation("38269-7", component=[part | {"modifierExtension": [{"url": "urn:negated"}]}]))
    assert snapshot.t_score_spine is None
    assert codes_of(snapshot) == {"fhir.modifier.unknown"}


def test_two_values_of_one_moment_that_contradict_each_other_are_told() -> None:
    first, second = measured(Measure.WEIGHT, 61.0), measured(Measure.WEIGHT, 161.0, id="o2")
    assert codes_of(read(first, second)) == {"fhir.value.conflict"}
    assert read(first, measured(Measure.WEIGHT, 61.5, id="o2")).warnings == ()
    assert read(first, measured(Measure.WEIGHT, 161.0, id="o2", effectiveDateTime="2020-01-01")).warnings == ()
    hips = [measured(Measure.T_SCORE, value, id=f"t{value}") for value in (-2.1, -2.6)]
    assert read(*hips).warnings == ()


def test_a_body_mass_index_that_contradicts_weight_and_height_is_told() -> None:
    body = (measured(Measure.WEIGHT, 61.0), measured(Measure.HEIGHT, 161.0))
    assert codes_of(read(*body, measured(Measure.BMI, 23.5))) == set()
    assert codes_of(read(*body, measured(Measure.BMI, 40.0))) == {"fhir.bmi.contradiction"}
    assert codes_of(read(*body, measured(Measure.BMI, 40.0, effectiveDateTime="2024-05-20"))) == set()


@pytest.mark.parametrize(
    ("extra", "falls"),
    [
        ({"valueBoolean": True}, 1),
        ({"valueBoolean": False}, 0),
        ({"valueCodeableConcept": YES}, 1),
        ({"valueCodeableConcept": NO}, 0),
        ({"valueString": "3"}, 3),
        ({"valueQuantity": {"value": 2.5}}, None),
    ],
)
def test_answers_to_the_question_of_falls(extra: Json, falls: int | None) -> None:
    found = read(observation("52552-7", **extra)).falls_last_year
    assert (None if found is None else found.value) == falls


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({}, SmokingStatus.FORMER),
        ({"valueBoolean": True}, SmokingStatus.FORMER),
        ({"valueCodeableConcept": YES}, SmokingStatus.FORMER),
        ({"valueBoolean": False}, None),
        ({"valueCodeableConcept": NO}, None),
        ({"valueString": "?"}, None),
        ({"dataAbsentReason": concept("urn:x", "asked-declined")}, None),
    ],
)
def test_a_smoking_finding_in_the_place_of_the_question(extra: Json, status: SmokingStatus | None) -> None:
    found = read(observation("8517006", **extra) | {"code": concept(SNOMED, "8517006")}).smoking
    assert (None if found is None else found.value) == status


# --- the person ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gender", "sex", "told"),
    [
        (None, Sex.MALE, {"fhir.patient.sex_at_birth_used"}),
        ("unknown", Sex.MALE, {"fhir.patient.sex_at_birth_used"}),
        ("other", Sex.MALE, {"fhir.patient.sex_at_birth_used"}),
        ("female", Sex.FEMALE, {"fhir.patient.birth_sex_differs"}),
        ("male", Sex.MALE, set()),
    ],
)
@pytest.mark.parametrize(("name", "code"), [("us-core-birthsex", "M"), ("us-core-sex", "248153007")])
def test_sex_at_birth_stands_in_for_a_gender_that_tells_nothing(
    gender: str | None, sex: Sex, told: set[str], name: str, code: str
) -> None:
    url = f"http://hl7.org/fhir/us/core/StructureDefinition/{name}"
    snapshot = read(who=patient(gender=gender, extension=[{"url": url, "valueCode": code}]))
    assert snapshot.sex is sex
    assert codes_of(snapshot) == told


def test_a_birth_date_of_extensions_only_is_no_birth_date() -> None:
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    who = {"resourceType": "Patient", "id": "p1", "gender": "female", "_birthDate": absent}
    assert codes_of(read(who=who)) == {"fhir.patient.birth_date_missing"}


def test_a_modifier_of_the_patient_is_told() -> None:
    assert codes_of(read(who=patient(modifierExtension=[{"url": "urn:animal"}]))) == {"fhir.patient.modifier"}


# --- diagnoses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "onset"),
    [
        ({"onsetAge": {"value": 60, "code": "a", "system": UCUM}}, datetime(2014, 3, 2, tzinfo=UTC)),
        ({"onsetAge": {"value": 720, "code": "mo"}}, datetime(2014, 3, 2, tzinfo=UTC)),
        ({"onsetAge": {"value": 60}}, None),
        ({"onsetAge": {"value": 600, "code": "a"}}, None),
        ({"onsetAge": {"value": 60, "code": "a", "comparator": "<"}}, None),
        ({"onsetRange": {"low": {"value": 60, "code": "a"}}}, datetime(2014, 3, 2, tzinfo=UTC)),
        ({"onsetPeriod": {"start": "2014-03"}}, datetime(2014, 3, 1, tzinfo=UTC)),
        ({"onsetPeriod": {"end": "2014-03"}}, datetime(2014, 3, 1, tzinfo=UTC)),
        ({"onsetString": "2014"}, datetime(2014, 1, 1, tzinfo=UTC)),
        ({"onsetString": "in childhood"}, None),
        ({"onsetDateTime": "1930-01-01"}, None),
    ],
)
def test_when_a_disease_began(extra: Json, onset: datetime | None) -> None:
    snapshot = read(condition(SNOMED, "64859006", onsetDateTime=None) | extra)
    found = snapshot.conditions[0].onset
    assert found == onset or (found is not None and onset is not None and abs(found - onset) < timedelta(days=2))


@pytest.mark.parametrize(
    ("extra", "active"),
    [
        ({"clinicalStatus": concept("urn:c", "resolved")}, False),
        ({"clinicalStatus": "resolved"}, False),
        ({"abatementAge": {"value": 60, "code": "a"}}, False),
        ({"abatementString": "long ago"}, False),
        ({"abatementPeriod": {"start": "2020-01-01"}}, False),
        ({"abatementPeriod": {"start": "2030-01-01"}}, True),
        ({"abatementDateTime": None}, True),
        ({"abatementDateTime": "2030-01-01"}, True),
        ({"verificationStatus": "refuted"}, None),
        ({"verificationStatus": concept("urn:v", "entered-in-error")}, None),
        ({"onsetDateTime": "2030-01-01"}, None),
    ],
)
def test_negated_historical_and_future_diagnoses(extra: Json, active: bool | None) -> None:
    found = read(condition(SNOMED, "34486009", **extra)).conditions
    assert [entry.active for entry in found] == ([] if active is None else [active])


@pytest.mark.parametrize(
    ("system", "code"),
    [
        (ICD_10_CM, "Z82.62"),  # family history of osteoporosis
        (ICD_10_CM, "Z13.820"),  # screening for osteoporosis
        (ICD_10_CM, "Z80.3"),  # family history of breast cancer
        (ICD_10_CM, "Z83.3"),  # family history of diabetes
        (ICD_10_CM, "R73.03"),  # prediabetes
        (SNOMED, "160274005"),  # no family history of diabetes
        (SNOMED, "15777000"),  # prediabetes
        ("urn:local", "64859006"),
    ],
)
def test_codes_that_name_a_disease_and_do_not_state_it(system: str, code: str) -> None:
    snapshot = read(condition(system, code))
    assert (snapshot.conditions, snapshot.prior_fractures, snapshot.diabetes) == ((), (), None)


def test_a_disease_stated_and_refuted_counts_with_a_warning() -> None:
    refuted = condition(ICD_10_CM, "M81.0", verificationStatus=concept("urn:v", "refuted"))
    assert read(refuted).osteoporosis is None
    snapshot = read(refuted, condition(SNOMED, "64859006"))
    assert snapshot.osteoporosis is not None
    assert codes_of(snapshot) == {"fhir.condition.refuted_elsewhere"}


@pytest.mark.parametrize(
    ("code", "extra", "dated"),
    [
        ("S72.001A", {}, True),
        ("S72.001D", {}, False),
        ("S72.001D", {"category": [concept("urn:c", "encounter-diagnosis")]}, False),
        ("S72.00", {"category": [concept("urn:c", "encounter-diagnosis")]}, True),
        ("S72.00", {"category": [concept("urn:c", "problem-list-item")]}, False),
    ],
)
def test_a_fracture_without_onset_is_dated_by_the_encounter_that_found_it(code: str, extra: Json, dated: bool) -> None:
    resource = condition(ICD_10_CM, code, onsetDateTime=None, recordedDate="2023-05-05", **extra)
    snapshot = read(resource)
    (found,) = snapshot.prior_fractures
    recorded = datetime(2023, 5, 5, tzinfo=UTC)
    assert (found.onset, found.recorded) == ((recorded, None) if dated else (None, recorded))
    assert codes_of(snapshot) == ({"fhir.fracture.dated_by_record"} if dated else set())


@pytest.mark.parametrize(
    ("system", "code", "site"),
    [
        (ICD_10_CM, "M84.559A", FractureSiteGroup.HIP),
        (ICD_10_CM, "M84.58XA", FractureSiteGroup.OTHER),
        (ICD_10, "M90.7", FractureSiteGroup.OTHER),
    ],
)
def test_fractures_through_tumours(system: str, code: str, site: FractureSiteGroup) -> None:
    (found,) = read(condition(system, code)).prior_fractures
    assert (found.site, found.neoplastic) == (site, True)


@pytest.mark.parametrize(
    ("system", "code", "kind"),
    [
        (ICD_10_CM, "E43", ConditionKind.MALNUTRITION),
        (ICD_9_CM, "261", ConditionKind.MALNUTRITION),
        (ICD_10, "E23.0", ConditionKind.HYPOGONADISM),
        (ICD_10_CM, "E28.319", ConditionKind.HYPOGONADISM),
        (SNOMED, "373717006", ConditionKind.HYPOGONADISM),
    ],
)
def test_causes_of_secondary_osteoporosis(system: str, code: str, kind: ConditionKind) -> None:
    assert read(condition(system, code)).has_condition(kind) is not None


# --- the family ------------------------------------------------------------------------------------------------------


def relative(system: str, code: str, *conditions: Json, **extra: Any) -> Json:
    return {
        "resourceType": "FamilyMemberHistory",
        "id": "f1",
        "status": "completed",
        "patient": SUBJECT,
        "relationship": concept(system, code),
        "condition": list(conditions),
    } | extra


HIP = {"code": concept(SNOMED, "5913000")}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (relative(ROLE, "MTH", HIP), True),
        (relative(SNOMED, "66839005", HIP), True),
        (relative(SNOMED, "65656005", HIP, deceasedBoolean=True, bornDate="1920"), True),
        (relative(ROLE, "STPMTH", HIP), None),
        (relative(ROLE, "MGRMTH", HIP), None),
        (relative(ROLE, "SIS", HIP), None),
        (relative(ROLE, "MTH", {"code": concept(ICD_10, "S52.5")}), None),
        (relative(ROLE, "MTH", {"code": {"text": "hip fracture"}}), None),
        (relative(ROLE, "MTH"), None),
        (relative(ROLE, "MTH", HIP, status="entered-in-error"), None),
        (relative(ROLE, "MTH", HIP, status="health-unknown"), None),
        (relative(ROLE, "MTH", HIP | {"modifierExtension": [{"url": "urn:negated"}]}), None),
        (condition(SNOMED, "445501000124107"), True),
        (condition(SNOMED, "445501000124107", verificationStatus=concept("urn:v", "refuted")), None),
        (observation("391096007") | {"code": concept(SNOMED, "391096007")}, True),
        (observation("391096007", valueBoolean=False) | {"code": concept(SNOMED, "391096007")}, False),
    ],
)
def test_hip_fractures_of_the_parents(resource: Json, expected: bool | None) -> None:
    found = read(resource).parental_hip_fracture
    assert (None if found is None else found.value) is expected


def test_contradicting_answers_on_the_parents_are_told() -> None:
    no = observation("391096007", valueBoolean=False) | {"code": concept(SNOMED, "391096007")}
    snapshot = read(no, relative(ROLE, "FTH", HIP))
    assert snapshot.parental_hip_fracture is not None
    assert snapshot.parental_hip_fracture.value is True
    assert codes_of(snapshot) == {"fhir.family.conflict"}


# --- drugs -----------------------------------------------------------------------------------------------------------


def repeat(**bounds: Any) -> Json:
    return {"timing": {"repeat": bounds}}


@pytest.mark.parametrize(
    ("extra", "active"),
    [
        ({"intent": "plan"}, None),
        ({"intent": "plan", "reportedBoolean": True}, True),
        ({"intent": "plan", "reportedReference": {"reference": "Patient/p1"}}, True),
        ({"dosageInstruction": [repeat(boundsDuration={"value": 5, "code": "d"})]}, False),
        ({"dosageInstruction": [repeat(boundsDuration={"value": 5, "unit": "a"})]}, True),
        ({"dosageInstruction": [repeat(boundsRange={"high": {"value": 2, "code": "wk"}})]}, False),
        ({"dosageInstruction": [repeat(boundsPeriod={"end": "2024-02"}), repeat(boundsPeriod={"end": "2030"})]}, True),
        ({"dosageInstruction": [repeat(boundsPeriod={"end": "2024-02"}), {}]}, True),
        ({"dosageInstruction": [repeat(boundsPeriod={"start": "2025-01-01T00:00:00Z"})]}, None),
        ({"dispenseRequest": {"validityPeriod": {"end": "2024-01-01"}}}, True),
    ],
)
def test_when_a_prescribed_drug_is_taken(extra: Json, active: bool | None) -> None:
    found = read(request(RXNORM, PREDNISONE, **extra)).medications
    assert [entry.active for entry in found] == ([] if active is None else [active])


@pytest.mark.parametrize(
    ("concept_", "told"),
    [
        ({"text": "Prednisone 5 mg"}, {"fhir.medication.uncoded"}),
        ({"coding": [{"display": "Prednisone 5 mg"}]}, {"fhir.medication.uncoded"}),
        (None, {"fhir.medication.uncoded"}),
        (concept("http://hl7.org/fhir/sid/ndc", "0591-5442-01"), {"fhir.medication.unclassified"}),
    ],
)
@pytest.mark.parametrize("status", ["active", "stopped"])
def test_a_drug_is_never_known_by_its_name(concept_: Json | None, told: set[str], status: str) -> None:
    snapshot = read(request(RXNORM, "x", medicationCodeableConcept=concept_, status=status))
    assert snapshot.medications == ()
    assert codes_of(snapshot) == (told if status == "active" else set())


def test_inactive_ingredients_do_not_count_and_ingredients_may_be_referred_to() -> None:
    calcium = {"itemCodeableConcept": concept(RXNORM, "1897"), "isActive": False}
    drug = {
        "resourceType": "Medication",
        "id": "m",
        "ingredient": [calcium, {"itemReference": {"reference": "Medication/n"}}],
    }
    part = {"resourceType": "Medication", "id": "n", "code": concept(RXNORM, "8640")}
    taken = request(RXNORM, "x", medicationCodeableConcept=None, medicationReference={"reference": "Medication/m"})
    assert {entry.drug_class for entry in read(drug, part, taken).medications} == {DrugClass.SYSTEMIC_GLUCOCORTICOID}


def test_one_dose_is_marked_and_a_supply_that_ran_out_ends_a_dispense() -> None:
    dose = {
        "resourceType": "MedicationAdministration", "id": "a", "status": "completed", "subject": SUBJECT,
        "medicationCodeableConcept": concept(RXNORM, PREDNISONE), "effectiveDateTime": "2024-06-14T08:00:00Z",
    }  # fmt: skip
    handed = {
        "resourceType": "MedicationDispense", "id": "d", "status": "completed", "subject": SUBJECT,
        "medicationCodeableConcept": concept(RXNORM, PREDNISONE), "whenHandedOver": "2024-01-01",
        "daysSupply": {"value": 30},
    }  # fmt: skip
    given, dispensed = read(dose, handed).medications
    assert (given.single_dose, given.active) == (True, True)
    assert (dispensed.single_dose, dispensed.active) == (False, False)
    assert dispensed.end == datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("system", "code", "drug_class"),
    [
        (ICD_10_CM, "Z79.52", DrugClass.SYSTEMIC_GLUCOCORTICOID),
        (ICD_10_CM, "Z79.01", DrugClass.ANTICOAGULANT),
        (ICD_9_CM, "V58.65", DrugClass.SYSTEMIC_GLUCOCORTICOID),
        (ICD_10_CM, "Z79.51", None),
        (ICD_10_CM, "Z79.4", None),
    ],
)
def test_long_term_use_coded_as_a_diagnosis(system: str, code: str, drug_class: DrugClass | None) -> None:
    found = read(condition(system, code)).medications
    assert [entry.drug_class for entry in found] == ([] if drug_class is None else [drug_class])


@pytest.mark.parametrize("code", ["8640", "198144", "198148", "259966", "2669799"])
def test_common_oral_glucocorticoids_are_known(code: str) -> None:
    assert read(request(RXNORM, code)).takes(DrugClass.SYSTEMIC_GLUCOCORTICOID) is not None


# --- resources without a Bundle --------------------------------------------------------------------------------------


def test_resources_are_read_as_a_bundle_of_them_is() -> None:
    resources = [patient(), measured(Measure.WEIGHT, 61.0), condition(SNOMED, "64859006"), request(ATC, "H02AB06")]
    snapshot = read_resources(iter(resources), as_of=AS_OF)
    assert snapshot == read(*resources[1:])
    assert snapshot == read_resources([bundle(*resources)], as_of=AS_OF)


def test_resources_of_no_or_several_patients_are_refused() -> None:
    with pytest.raises(NoPatientError):
        read_resources([measured(Measure.WEIGHT, 61.0)], as_of=AS_OF)
    with pytest.raises(SeveralPatientsError):
        read_resources([patient(), patient(id="p2")], as_of=AS_OF)
    found = read_resources([patient(), patient(id="p2"), measured(Measure.WEIGHT, 61.0)], as_of=AS_OF, patient_id="p1")
    assert found.weight_kg is not None


@pytest.mark.parametrize(
    "spelling", ["Patient/p1", "urn:uuid:p1", "https://server/fhir/Patient/p1", "Patient/p1/_history/3"]
)
def test_spellings_of_the_subject_in_exported_lines(spelling: str) -> None:
    weight = measured(Measure.WEIGHT, 61.0, subject={"reference": spelling})
    assert read_resources([patient(), weight], as_of=AS_OF).weight_kg is not None


def test_as_of_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="timezone-aware"):
        read_resources([patient()], as_of=datetime(2024, 1, 1))
