from datetime import UTC, datetime

import pytest

from fhir_adapters.patient import ConditionKind, DiabetesType, FractureSiteGroup, SmokingStatus
from tests.unit.fhir_adapters.records import (
    ICD_10_CM,
    SNOMED,
    SUBJECT,
    Json,
    codes_of,
    concept,
    condition,
    read,
)

OSTEOPOROSIS, WRIST_FRACTURE = "64859006", "263102004"
ROLE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"


def status(code: str) -> Json:
    return concept("http://terminology.hl7.org/CodeSystem/condition-clinical", code)


def verification(code: str) -> Json:
    return concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", code)


def test_a_condition_carries_its_code_source_and_onset() -> None:
    snapshot = read(condition(SNOMED, OSTEOPOROSIS))
    entry = snapshot.has_condition(ConditionKind.OSTEOPOROSIS)
    assert entry is not None
    assert (entry.code, entry.resource) == (f"{SNOMED}|{OSTEOPOROSIS}", f"Condition/c-{OSTEOPOROSIS}")
    assert entry.onset == datetime(2019, 2, 3, tzinfo=UTC)
    assert snapshot.osteoporosis is not None
    assert snapshot.osteoporosis.value is True
    assert snapshot.warnings == ()


@pytest.mark.parametrize("code", ["refuted", "entered-in-error"])
def test_refuted_conditions_do_not_count(code: str) -> None:
    snapshot = read(condition(SNOMED, OSTEOPOROSIS, verificationStatus=verification(code)))
    assert (snapshot.conditions, snapshot.osteoporosis, snapshot.warnings) == ((), None, ())


def test_a_differential_diagnosis_does_not_count_an_unconfirmed_one_does_both_told() -> None:
    snapshot = read(condition(SNOMED, OSTEOPOROSIS, verificationStatus=verification("differential")))
    assert snapshot.osteoporosis is None
    assert codes_of(snapshot) == {"fhir.condition.differential"}
    snapshot = read(condition(SNOMED, OSTEOPOROSIS, verificationStatus=verification("provisional")))
    assert snapshot.osteoporosis is not None
    assert codes_of(snapshot) == {"fhir.condition.unconfirmed"}


@pytest.mark.parametrize(
    ("extra", "active"),
    [
        ({}, True),
        ({"clinicalStatus": None}, True),
        ({"clinicalStatus": status("recurrence")}, True),
        ({"clinicalStatus": status("inactive")}, False),
        ({"clinicalStatus": status("remission")}, False),
        ({"clinicalStatus": status("resolved")}, False),
        ({"abatementDateTime": "2020-01-01"}, False),
        ({"abatementString": "some years ago"}, False),
        ({"clinicalStatus": status("resolved"), "abatementDateTime": "2025-01-01"}, True),
    ],
)
def test_active_by_status_and_abatement_at_the_time_of_the_snapshot(extra: Json, active: bool) -> None:
    snapshot = read(condition(SNOMED, "34486009", **extra))
    assert [entry.active for entry in snapshot.conditions] == [active]
    assert (snapshot.has_condition(ConditionKind.HYPERTHYROIDISM) is not None) is active


def test_lifelong_diseases_count_even_when_marked_resolved() -> None:
    resolved = {"clinicalStatus": status("resolved")}
    snapshot = read(
        condition(SNOMED, OSTEOPOROSIS, **resolved),
        condition(SNOMED, "69896004", **resolved),
        condition(SNOMED, "44054006", **resolved),
    )
    assert snapshot.osteoporosis is not None
    assert snapshot.rheumatoid_arthritis is not None
    assert snapshot.diabetes is not None
    assert codes_of(snapshot) == {"fhir.condition.lifelong_inactive"}
    assert len(snapshot.warnings) == 3


def test_a_condition_after_the_time_of_the_snapshot_is_left_out() -> None:
    snapshot = read(condition(SNOMED, OSTEOPOROSIS, onsetDateTime="2024-08-01"))
    assert snapshot.osteoporosis is None
    assert snapshot.warnings == ("fhir.date.after_as_of:1 Condition",)


@pytest.mark.parametrize(
    ("codes", "expected", "conflict"),
    [
        (["46635009"], DiabetesType.TYPE_1, False),
        (["73211009"], DiabetesType.UNSPECIFIED, False),
        (["127013003", "44054006"], DiabetesType.TYPE_2, False),
        (["15777000"], None, False),
        (["46635009", "44054006"], DiabetesType.TYPE_2, True),
    ],
)
def test_diabetes_by_type(codes: list[str], expected: DiabetesType | None, conflict: bool) -> None:
    entries = [condition(SNOMED, code, onsetDateTime=f"201{place}-01-01") for place, code in enumerate(codes)]
    snapshot = read(*entries)
    assert (snapshot.diabetes.value if snapshot.diabetes else None) is expected
    assert ("fhir.diabetes.conflict" in codes_of(snapshot)) is conflict


@pytest.mark.parametrize(
    ("extra", "active"),
    [
        ({"onsetDateTime": "2024-05-20"}, True),
        ({"onsetDateTime": "2024-05-20", "clinicalStatus": None}, True),
        ({"onsetDateTime": "2024-05-20", "clinicalStatus": status("resolved")}, False),
        ({"onsetDateTime": "2023-05-20"}, False),
        ({"onsetDateTime": None, "recordedDate": "2024-05-20"}, True),
        ({"onsetDateTime": None, "recordedDate": "2014-05-20"}, False),
        ({"onsetDateTime": None}, True),
        ({"onsetDateTime": None, "clinicalStatus": None}, False),
    ],
)
def test_the_present_fracture_stays_active_an_old_one_does_not(extra: Json, active: bool) -> None:
    (found,) = read(condition(SNOMED, WRIST_FRACTURE, **extra)).prior_fractures
    assert (found.site, found.active, found.pathological) == (FractureSiteGroup.WRIST, active, False)


def test_fractures_come_newest_first_with_site_and_cause() -> None:
    snapshot = read(
        condition(ICD_10_CM, "S72.001A", onsetDateTime="2015-01-01"),
        condition(ICD_10_CM, "M80.08XA", onsetDateTime="2021-01-01"),
        condition(ICD_10_CM, "Z87.310", onsetDateTime="2022-01-01"),
        condition(ICD_10_CM, "S52.501S", onsetDateTime="2024-06-01"),
    )
    assert [(found.site, found.pathological, found.active) for found in snapshot.prior_fractures] == [
        (FractureSiteGroup.SPINE, True, False),
        (FractureSiteGroup.HIP, False, False),
        (FractureSiteGroup.OTHER, True, False),
        (FractureSiteGroup.WRIST, False, False),
    ]
    # A history code is dated when it was written down, which is not when the bone broke.
    assert [found.onset is None for found in snapshot.prior_fractures] == [False, False, True, True]
    assert snapshot.osteoporosis is not None


def test_site_from_the_second_coding_or_the_body_site() -> None:
    both = condition(SNOMED, "125605004")
    both["code"]["coding"].append({"system": ICD_10_CM, "code": "S42.201A"})
    assert read(both).prior_fractures[0].site is FractureSiteGroup.HUMERUS
    located = condition(SNOMED, "443165006", bodySite=[concept(SNOMED, "62413002")])
    (found,) = read(located).prior_fractures
    assert (found.site, found.pathological) == (FractureSiteGroup.FOREARM, True)


def test_a_disease_coded_twice_is_one_entry() -> None:
    both = condition(SNOMED, OSTEOPOROSIS)
    both["code"]["coding"].append({"system": ICD_10_CM, "code": "M81.0"})
    assert [entry.code for entry in read(both).conditions] == [f"{SNOMED}|{OSTEOPOROSIS}"]


def test_history_codes_are_not_active() -> None:
    snapshot = read(condition(ICD_10_CM, "Z87.442"), condition(ICD_10_CM, "Z85.3"))
    assert {(entry.kind, entry.active) for entry in snapshot.conditions} == {
        (ConditionKind.KIDNEY_STONES, False),
        (ConditionKind.CANCER, False),
    }


def test_a_pregnancy_nobody_closed_ends() -> None:
    assert read(condition(SNOMED, "72892002", onsetDateTime="2024-02-01")).has_condition(ConditionKind.PREGNANCY)
    assert not read(condition(SNOMED, "72892002", onsetDateTime="2020-02-01")).has_condition(ConditionKind.PREGNANCY)


def test_smoking_recorded_as_a_condition() -> None:
    for extra, expected in (
        ({}, SmokingStatus.CURRENT),
        ({"clinicalStatus": status("resolved")}, SmokingStatus.FORMER),
    ):
        found = read(condition(ICD_10_CM, "F17.210", **extra)).smoking
        assert found is not None
        assert found.value is expected


def relative(relationship: str, *conditions: Json, **extra: object) -> Json:
    return {
        "resourceType": "FamilyMemberHistory",
        "id": "f1",
        "status": "completed",
        "patient": SUBJECT,
        "relationship": concept(ROLE, relationship),
        "condition": [{"code": code} for code in conditions],
    } | extra


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (relative("MTH", concept(SNOMED, "5913000")), True),
        (relative("NFTH", concept(ICD_10_CM, "S72.001A")), True),
        (relative("STPMTH", concept(SNOMED, "5913000")), None),
        (relative("SIS", concept(SNOMED, "5913000")), None),
        (relative("MTH", concept(SNOMED, WRIST_FRACTURE)), None),
        (relative("MTH"), None),
        (relative("MTH", concept(SNOMED, "5913000"), status="entered-in-error"), None),
        (relative("MTH", concept(SNOMED, "5913000"), date="2025-01-01"), None),
        (relative("MTH", concept(SNOMED, "5913000"), patient={"reference": "Patient/p2"}), None),
    ],
)
def test_hip_fracture_of_a_parent(resource: Json, expected: bool | None) -> None:
    found = read(resource).parental_hip_fracture
    assert (found.value if found else None) is expected
