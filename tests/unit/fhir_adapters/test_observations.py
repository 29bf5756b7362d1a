from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_adapters.patient import ConditionKind, SmokingStatus
from tests.unit.fhir_adapters.records import AS_OF, LOINC, SNOMED, UCUM, Json, codes_of, concept, observation, read

VITAMIN_D, EGFR, HBA1C, WEIGHT, HEIGHT, BMI = "1989-3", "33914-3", "4548-4", "29463-7", "8302-2", "39156-5"
SMOKING, ALCOHOL, FALLS, T_ANY, T_HIP, T_FEMUR, T_SPINE = (
    "72166-2", "74013-4", "52552-7", "38265-5", "38264-8", "38263-0", "38267-1",
)  # fmt: skip


def answer(code: str, system: str, value: str, **extra: Any) -> Json:
    return observation(code, valueCodeableConcept=concept(system, value), **extra)


def bound(code: str, comparator: str, value: float, unit: str) -> Json:
    return observation(code, valueQuantity={"value": value, "comparator": comparator, "system": UCUM, "code": unit})


def test_values_arrive_in_the_engines_units_with_source_and_time() -> None:
    snapshot = read(
        observation(VITAMIN_D, 20.0, "ng/mL"),
        observation("17861-6", 9.6, "mg/dL"),
        observation(EGFR, 71.0, "mL/min/{1.73_m2}"),
        observation(HBA1C, 48.0, "mmol/mol"),
        observation(WEIGHT, 150.0, "[lb_av]"),
        observation(HEIGHT, 63.0, "[in_i]"),
        observation(BMI, 26.6, "kg/m2"),
    )
    assert snapshot.warnings == ()
    found = snapshot.vitamin_d_nmol_l
    assert found is not None
    assert found.value == pytest.approx(49.92)
    assert found.resource == f"Observation/o-{VITAMIN_D}"
    assert found.effective == datetime(2024, 5, 1, 9, tzinfo=UTC)
    pairs = [
        (snapshot.calcium_mmol_l, 2.3952),
        (snapshot.egfr_ml_min_1_73m2, 71.0),
        (snapshot.hba1c_percent, 6.54304),
        (snapshot.weight_kg, 68.0388555),
        (snapshot.height_cm, 160.02),
        (snapshot.bmi_kg_m2, 26.6),
    ]
    for sourced, value in pairs:
        assert sourced is not None
        assert sourced.value == pytest.approx(value)


def test_printed_unit_serves_when_there_is_no_code() -> None:
    found = read(observation(VITAMIN_D, valueQuantity={"value": 50, "unit": "nmol/l"})).vitamin_d_nmol_l
    assert found is not None
    assert found.value == 50.0


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        (observation(VITAMIN_D, 30.0), "fhir.unit.missing"),
        (observation(VITAMIN_D, 30.0, "mmol/L"), "fhir.unit.unknown"),
        (observation(VITAMIN_D, 3000.0, "ng/mL"), "fhir.value.implausible"),
        (observation(VITAMIN_D, -1.0, "ng/mL"), "fhir.value.implausible"),
        (observation(VITAMIN_D, valueString="about 30 ng/mL"), "fhir.value.missing"),
        (observation(VITAMIN_D, dataAbsentReason=concept("urn:x", "unknown")), "fhir.value.missing"),
        (observation(VITAMIN_D, 30.0, "ng/mL", status=None), "fhir.status.missing"),
        (observation(VITAMIN_D, 30.0, "ng/mL", modifierExtension=[{"url": "http://x"}]), "fhir.modifier.unknown"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_warning(resource: Json, code: str) -> None:
    snapshot = read(resource)
    assert snapshot.vitamin_d_nmol_l is None
    assert snapshot.warnings == (f"{code}:Observation/o-{VITAMIN_D}",)


@pytest.mark.parametrize("status", ["registered", "cancelled", "entered-in-error", "unknown"])
def test_status_that_does_not_count(status: str) -> None:
    snapshot = read(observation(VITAMIN_D, 30.0, "ng/mL", status=status))
    assert snapshot.vitamin_d_nmol_l is None
    assert snapshot.warnings == ()


def test_preliminary_counts_and_is_told() -> None:
    snapshot = read(observation(VITAMIN_D, 30.0, "ng/mL", status="preliminary"))
    assert snapshot.vitamin_d_nmol_l is not None
    assert codes_of(snapshot) == {"fhir.value.preliminary"}


def test_a_refused_newest_value_gives_way_to_the_next_older_one() -> None:
    snapshot = read(
        observation(VITAMIN_D, 30.0, "ng/mL", id="old", effectiveDateTime="2023-01-01"),
        observation(VITAMIN_D, 31.0, None, id="new", effectiveDateTime="2024-01-01"),
    )
    assert snapshot.vitamin_d_nmol_l is not None
    assert snapshot.vitamin_d_nmol_l.resource == "Observation/old"
    assert snapshot.warnings == ("fhir.unit.missing:Observation/new",)


_DATES: list[dict[str, object]] = [
    {"effectiveDateTime": "2024-01-01T00:00:00Z"},
    {"effectiveDateTime": "2024-01-01T00:00:00Z", "issued": "2024-01-01T08:00:00Z"},
    {"effectiveDateTime": "2024"},
    {"effectivePeriod": {"start": "2023-12-01", "end": "2024-03-01"}},
    {"effectivePeriod": {"start": "2024-06-01"}},
    {"effectiveInstant": "2024-02-02T02:02:02Z"},
    {"issued": "2023-05-05T00:00:00Z"},
    {},
]


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(len(_DATES))))
def test_the_newest_counts_whatever_the_order_of_entries(order: list[int]) -> None:
    entries = []
    for index in order:
        resource = observation(VITAMIN_D, 20.0 + index, "ng/mL", id=f"v{index}")
        del resource["effectiveDateTime"]
        entries.append(resource | _DATES[index])
    for remove, newest in ((None, "v4"), (4, "v3"), (3, "v5"), (5, "v1"), (1, "v0"), (0, "v2"), (2, "v6"), (6, "v7")):
        entries = [resource for resource in entries if resource["id"] != f"v{remove}"]
        snapshot = read(*entries)
        assert snapshot.vitamin_d_nmol_l is not None
        assert snapshot.vitamin_d_nmol_l.resource == f"Observation/{newest}"
    assert snapshot.vitamin_d_nmol_l.effective is None
    assert codes_of(snapshot) == {"fhir.date.missing"}


def test_values_after_the_time_of_the_snapshot_are_left_out_and_counted() -> None:
    later = AS_OF + timedelta(hours=1)
    snapshot = read(
        observation(VITAMIN_D, 20.0, "ng/mL", id="past"),
        observation(VITAMIN_D, 90.0, "ng/mL", id="later", effectiveDateTime=later.isoformat()),
        observation(WEIGHT, 60.0, "kg", id="next-year", effectiveDateTime="2025"),
    )
    assert snapshot.vitamin_d_nmol_l is not None
    assert snapshot.vitamin_d_nmol_l.resource == "Observation/past"
    assert snapshot.weight_kg is None
    assert snapshot.warnings == ("fhir.date.after_as_of:2 Observation",)


def test_an_unreadable_date_is_told() -> None:
    snapshot = read(observation(VITAMIN_D, 20.0, "ng/mL", effectiveDateTime="last spring"))
    assert snapshot.vitamin_d_nmol_l is not None
    assert codes_of(snapshot) == {"fhir.date.unreadable"}


@pytest.mark.parametrize(
    ("resource", "field", "value", "comparator"),
    [
        (bound(EGFR, ">", 60, "mL/min/{1.73_m2}"), "egfr_ml_min_1_73m2", 60.0, ">"),
        (bound(EGFR, ">=", 90, "mL/min/{1.73_m2}"), "egfr_ml_min_1_73m2", 90.0, ">="),
        (bound(EGFR, "<", 15, "mL/min/{1.73_m2}"), "egfr_ml_min_1_73m2", 15.0, "<"),
        (bound(EGFR, "<", 60, "mL/min/{1.73_m2}"), "egfr_ml_min_1_73m2", None, None),
        (bound(VITAMIN_D, "<", 4, "ng/mL"), "vitamin_d_nmol_l", 9.984, "<"),
        (bound(VITAMIN_D, "<", 30, "ng/mL"), "vitamin_d_nmol_l", None, None),
        (bound(HBA1C, ">", 14, "%"), "hba1c_percent", 14.0, ">"),
        (bound("17861-6", ">", 14, "mg/dL"), "calcium_mmol_l", None, None),
        (bound(EGFR, "ad", 60, "mL/min/{1.73_m2}"), "egfr_ml_min_1_73m2", None, None),
        (bound(WEIGHT, ">", 150, "kg"), "weight_kg", None, None),
    ],
)
def test_a_bound_is_used_only_where_it_hides_no_danger(
    resource: Json, field: str, value: float | None, comparator: str | None
) -> None:
    older = resource | {"id": "old", "effectiveDateTime": "2020-01-01"}
    older["valueQuantity"] = {key: item for key, item in resource["valueQuantity"].items() if key != "comparator"}
    snapshot = read(resource, older)
    found = getattr(snapshot, field)
    if value is None:
        assert found is None
        assert codes_of(snapshot) == {"fhir.value.bound_unusable"}
    else:
        assert (found.value, found.comparator) == (pytest.approx(value), comparator)
        assert codes_of(snapshot) == {"fhir.value.bound"}


def test_millilitres_per_minute_on_an_egfr_code_are_completed_from_its_definition() -> None:
    snapshot = read(observation(EGFR, 71.0, "mL/min"))
    assert snapshot.egfr_ml_min_1_73m2 is not None
    assert codes_of(snapshot) == {"fhir.unit.from_code"}


def test_body_mass_index_is_computed_from_weight_and_height_close_in_time() -> None:
    height = observation(HEIGHT, 160.0, "cm", effectiveDateTime="2023-06-01")
    found = read(observation(WEIGHT, 64.0, "kg"), height).bmi_kg_m2
    assert found is not None
    assert found.value == pytest.approx(25.0)
    assert found.resource == f"Observation/o-{WEIGHT}"
    assert found.derived_from == (f"Observation/o-{WEIGHT}", f"Observation/o-{HEIGHT}")
    far = height | {"effectiveDateTime": "2020-01-01"}
    assert read(observation(WEIGHT, 64.0, "kg"), far).bmi_kg_m2 is None
    child: Json = {"resourceType": "Patient", "id": "p1", "gender": "male", "birthDate": "2015-01-01"}
    assert read(observation(WEIGHT, 64.0, "kg"), height, who=child).bmi_kg_m2 is None


@pytest.mark.parametrize(
    ("code", "site", "field"),
    [
        (T_SPINE, None, "t_score_spine"),
        (T_HIP, None, "t_score_total_hip"),
        (T_HIP, "29627003", "t_score_femoral_neck"),
        (T_FEMUR, "29627003", "t_score_femoral_neck"),
        (T_FEMUR, None, "t_score_unspecified"),
        (T_ANY, None, "t_score_unspecified"),
        (T_ANY, "122496007", "t_score_spine"),
        (T_ANY, "29836001", "t_score_total_hip"),
        (T_ANY, "62413002", None),  # radius: no field holds it
        ("38266-3", None, None),  # calcaneus
    ],
)
def test_t_scores_go_where_code_and_body_site_say(code: str, site: str | None, field: str | None) -> None:
    extra = {"bodySite": concept(SNOMED, site)} if site else {}
    snapshot = read(observation(code, -2.6, "{T-score}", **extra))
    fields = ("t_score_spine", "t_score_total_hip", "t_score_femoral_neck", "t_score_unspecified")
    assert [name for name in fields if getattr(snapshot, name) is not None] == ([field] if field else [])


def test_t_scores_in_components_and_bone_densities_under_a_t_score_code() -> None:
    panel = observation("38268-9", component=[{"code": concept(LOINC, T_SPINE), "valueQuantity": {"value": -1.5}}])
    found = read(panel).t_score_spine
    assert found is not None
    assert found.value == -1.5
    snapshot = read(observation(T_SPINE, 0.889, "g/cm2"))
    assert snapshot.t_score_spine is None
    assert codes_of(snapshot) == {"fhir.unit.unknown"}


@pytest.mark.parametrize(
    ("system", "code", "status"),
    [
        (SNOMED, "449868002", SmokingStatus.CURRENT),
        (SNOMED, "8517006", SmokingStatus.FORMER),
        (LOINC, "LA18978-9", SmokingStatus.NEVER),
        (LOINC, "LA18980-5", SmokingStatus.UNKNOWN),
    ],
)
def test_smoking_answers(system: str, code: str, status: SmokingStatus) -> None:
    found = read(answer(SMOKING, system, code)).smoking
    assert found is not None
    assert found.value is status


def test_smoking_unknown_does_not_hide_an_older_answer_and_contradictions_are_told() -> None:
    former = answer(SMOKING, SNOMED, "8517006", id="a", effectiveDateTime="2020-01-01")
    unknown = answer(SMOKING, SNOMED, "266927001", id="b", effectiveDateTime="2023-01-01")
    never = answer(SMOKING, SNOMED, "266919005", id="c", effectiveDateTime="2024-01-01")
    strange = answer(SMOKING, SNOMED, "999", id="d", effectiveDateTime="2024-02-01")
    found = read(former, unknown).smoking
    assert found is not None
    assert found.value is SmokingStatus.FORMER
    snapshot = read(former, unknown, never, strange)
    assert snapshot.smoking is not None
    assert snapshot.smoking.value is SmokingStatus.NEVER
    assert set(snapshot.warnings) == {
        "fhir.value.code_unknown:Observation/d",
        "fhir.smoking.contradiction:Observation/c",
    }


def test_alcohol_in_drinks_grams_and_units() -> None:
    drinks = read(observation(ALCOHOL, 2.0, "{wine glasses}/d"))
    assert drinks.alcohol_units_per_week is not None
    assert drinks.alcohol_units_per_week.value == pytest.approx(24.5)
    assert codes_of(drinks) == {"fhir.alcohol.drink_size"}
    units = observation(ALCOHOL, 12.0) | {"code": concept(SNOMED, "1082641000000106")}
    found = read(units).alcohol_units_per_week
    assert found is not None
    assert found.value == 12.0
    weekly = read(observation(ALCOHOL, 12.0, "/wk") | {"code": concept(SNOMED, "160573003")})
    assert weekly.alcohol_units_per_week is None
    assert codes_of(weekly) == {"fhir.unit.unknown"}


def test_falls_as_number_or_answer_and_only_of_the_last_year() -> None:
    for resource, value, comparator in (
        (observation(FALLS, valueInteger=2), 2, None),
        (observation(FALLS, 3.0, "{#}"), 3, None),
        (answer(FALLS, LOINC, "LA33-6"), 1, ">="),
        (answer(FALLS, LOINC, "LA32-8"), 0, None),
    ):
        found = read(resource).falls_last_year
        assert found is not None
        assert (found.value, found.comparator) == (value, comparator)
    old = read(observation(FALLS, valueInteger=2, effectiveDateTime="2022-01-01"))
    assert old.falls_last_year is None
    assert codes_of(old) == {"fhir.falls.outdated"}


def test_pregnancy_answer_becomes_a_condition_while_it_can_last() -> None:
    now = read(answer("82810-3", LOINC, "LA15173-0")).has_condition(ConditionKind.PREGNANCY)
    assert now is not None
    assert now.code == f"{LOINC}|LA15173-0"
    long_ago = answer("82810-3", LOINC, "LA15173-0", effectiveDateTime="2022-01-01")
    assert read(long_ago).has_condition(ConditionKind.PREGNANCY) is None
    no_longer = answer("82810-3", LOINC, "LA26683-5", id="n", effectiveDateTime="2024-06-01")
    assert read(answer("82810-3", LOINC, "LA15173-0"), no_longer).conditions == ()


def test_both_values_of_one_moment_are_kept() -> None:
    first = observation(VITAMIN_D, 25.0, "nmol/L", id="a")
    found = read(first, observation(VITAMIN_D, 95.0, "nmol/L", id="b")).vitamin_d_nmol_l
    assert found is not None
    assert {found.value, *(value for value, _ in found.conflicting)} == {25.0, 95.0}
    assert {found.resource, *(reference for _, reference in found.conflicting)} == {"Observation/a", "Observation/b"}
    alike = read(first, observation(VITAMIN_D, 26.0, "nmol/L", id="b")).vitamin_d_nmol_l
    assert alike is not None and alike.conflicting == ()
