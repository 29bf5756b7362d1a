"""The whole way from bytes to snapshot: any input, and the public synthetic records."""

import dataclasses
import gzip
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_adapters.errors import FhirError
from fhir_adapters.patient import ConditionKind, DrugClass, PatientSnapshot, Sourced
from fhir_adapters.reader import read_bundle
from fhir_adapters.warnings import WARNINGS
from tests.support.shared import requires_shared, shared_dir
from tests.unit.fhir_adapters.records import (
    AS_OF,
    ICD_10_CM,
    LOINC,
    RXNORM,
    SNOMED,
    SUBJECT,
    Json,
    bundle,
    concept,
    condition,
    observation,
    patient,
    request,
)

RICH: Json = bundle(
    patient(identifier=[{"system": "http://hospital", "value": "7"}], link=[], extension=[{"url": "x"}]),
    observation("1989-3", 20.0, "ng/mL"),
    observation("38265-5", -2.0, "{T-score}", bodySite=concept(SNOMED, "29627003")),
    observation("72166-2", valueCodeableConcept=concept(SNOMED, "8517006")),
    observation("74013-4", 1.0, "/d"),
    observation("52552-7", valueInteger=2),
    observation("82810-3", valueCodeableConcept=concept(LOINC, "LA15173-0")),
    observation("29463-7", 60.0, "kg", component=[{"code": concept(LOINC, "8302-2")}]),
    condition(SNOMED, "443165006", bodySite=[concept(SNOMED, "62413002")]),
    condition(ICD_10_CM, "E11.9", abatementDateTime="2030-01-01"),
    request(RXNORM, "904419", dosageInstruction=[{"timing": {"repeat": {"boundsPeriod": {"end": "2030"}}}}]),
    {"resourceType": "Medication", "id": "d", "ingredient": [{"itemCodeableConcept": concept(RXNORM, "3407")}]},
    {
        "resourceType": "MedicationStatement",
        "status": "active",
        "subject": SUBJECT,
        "medicationReference": {"reference": "Medication/d"},
        "dosage": [{"route": concept(SNOMED, "26643006")}],
    },
    {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "subject": SUBJECT,
        "contained": [observation("2000-8", 2.3, "mmol/L")],
    },
    {
        "resourceType": "Procedure",
        "id": "scan",
        "status": "completed",
        "subject": SUBJECT,
        "code": concept(SNOMED, "312681000"),
        "performedPeriod": {"start": "2020-02-01", "end": "2020-02-02"},
    },
    {
        "resourceType": "FamilyMemberHistory",
        "status": "completed",
        "patient": SUBJECT,
        "relationship": concept("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "MTH"),
        "condition": [{"code": concept(SNOMED, "5913000")}],
    },
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value inside a JSON value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from paths(child, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a JSON value with another value at one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


PLACES = list(paths(RICH))


def is_sound(snapshot: PatientSnapshot) -> bool:
    """Every warning is one that the report can put into words, and no time lies after the snapshot."""
    times = [
        value.effective
        for name in PatientSnapshot.__slots__
        if isinstance(value := getattr(snapshot, name), Sourced) and value.effective is not None
    ]
    times += [entry.onset for entry in (*snapshot.conditions, *snapshot.prior_fractures) if entry.onset is not None]
    times += [entry.start for entry in snapshot.medications if entry.start is not None]
    return {warning.partition(":")[0] for warning in snapshot.warnings} <= set(WARNINGS) and all(
        time <= snapshot.as_of for time in times
    )


@settings(max_examples=60, deadline=None)
@given(JSON_VALUES)
def test_any_json_value_is_read_or_refused_by_our_own_error(value: Any) -> None:
    with pytest.raises(FhirError):
        read_bundle(orjson.dumps(value), as_of=AS_OF)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_refused_by_our_own_error(data: bytes) -> None:
    for text in (data, b"\x1f\x8b" + data, gzip.compress(data)):
        with pytest.raises(FhirError):
            read_bundle(text, as_of=AS_OF)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON_VALUES), min_size=1, max_size=3))
def test_a_record_broken_anywhere_is_read_or_refused_by_our_own_error(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    record: Any = RICH
    for path, new in changes:
        try:
            record = replaced(record, path, new)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change took this place away
    with suppress(FhirError):
        assert is_sound(read_bundle(orjson.dumps(record), as_of=AS_OF))


def test_every_single_place_may_be_null_empty_or_of_the_wrong_type() -> None:
    wrong: tuple[Any, ...] = (None, "", [], {}, [None], {"": None}, True, -1, 1e308, "x" * 100)
    for number, path in enumerate(PLACES[1:]):
        # Two wrong values a place, all of them in turn: every place with every value takes too long.
        for new in (wrong[number % 10], wrong[(number + 3) % 10]):
            with suppress(FhirError):
                assert is_sound(read_bundle(orjson.dumps(replaced(RICH, path, new)), as_of=AS_OF))


def test_the_rich_record_is_read_whole() -> None:
    snapshot = read_bundle(orjson.dumps(RICH), as_of=AS_OF)
    filled = {name for name in PatientSnapshot.__slots__ if getattr(snapshot, name) not in (None, ())}
    assert filled == set(PatientSnapshot.__slots__) - {
        "height_cm", "bmi_kg_m2", "rheumatoid_arthritis", "t_score_total_hip", "t_score_spine", "t_score_unspecified",
        "egfr_ml_min_1_73m2", "hba1c_percent",
    }  # fmt: skip
    assert snapshot.takes(DrugClass.DIGOXIN)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone-aware"):
        read_bundle(orjson.dumps(RICH), as_of=datetime(2024, 1, 1))


# --- the 70 synthetic patients ---------------------------------------------------------------------------------------

AFTER_THE_DATA = datetime(2022, 1, 1, tzinfo=UTC)


@cache
def raw_records() -> tuple[bytes, ...]:
    shared = shared_dir()
    assert shared is not None
    return tuple(gzip.decompress(path.read_bytes()) for path in sorted((shared / "data/fhir/synthea_r4").glob("*.gz")))


@cache
def snapshots(as_of: datetime = AFTER_THE_DATA) -> tuple[PatientSnapshot, ...]:
    return tuple(read_bundle(data, as_of=as_of) for data in raw_records())


@cache
def raw_codes() -> tuple[frozenset[str], ...]:
    return tuple(
        frozenset(code.decode() for code in re.findall(rb'"code": ?"([^"]+)"', data)) for data in raw_records()
    )


def patients_with(*codes: str) -> int:
    """How many raw records contain any of these codes, by a plain search that knows nothing of the reader."""
    return sum(not found.isdisjoint(codes) for found in raw_codes())


@requires_shared
def test_all_synthetic_patients_are_read() -> None:
    found = snapshots()
    assert len(found) == 70
    assert all(is_sound(snapshot) for snapshot in found)
    assert all(snapshot.age_years is not None and snapshot.sex is not None for snapshot in found)
    told = Counter(warning.partition(":")[0] for snapshot in found for warning in snapshot.warnings)
    assert set(told) == {
        "fhir.unit.from_code",
        "fhir.t_score.site_unknown",
        "fhir.patient.deceased",
        "fhir.value.conflict",
    }


@requires_shared
def test_nothing_is_missed_against_a_plain_search() -> None:
    found = snapshots()

    def having(name: str) -> int:
        return sum(getattr(snapshot, name) is not None for snapshot in found)

    def diseased(kind: ConditionKind) -> int:
        return sum(snapshot.has_condition(kind, active_only=False) is not None for snapshot in found)

    def given_drug(drug_class: DrugClass) -> int:
        return sum(any(entry.drug_class is drug_class for entry in snapshot.medications) for snapshot in found)

    assert having("t_score_unspecified") == patients_with("38265-5")
    assert having("calcium_mmol_l") == patients_with("49765-1")
    assert having("hba1c_percent") == patients_with("4548-4")
    assert having("egfr_ml_min_1_73m2") == patients_with("33914-3")
    assert having("bmi_kg_m2") == having("weight_kg") == having("height_cm") == having("smoking") == 70
    assert having("vitamin_d_nmol_l") == patients_with("1989-3", "62292-8") == 0
    assert having("osteoporosis") == patients_with("64859006", "443165006") == diseased(ConditionKind.OSTEOPOROSIS)
    assert sum(snapshot.bone_density_scans != () for snapshot in found) == patients_with("312681000")
    assert having("diabetes") == patients_with("44054006", "368581000119106", "422034002", "127013003")
    assert having("rheumatoid_arthritis") == patients_with("69896004")
    assert diseased(ConditionKind.STROKE) == patients_with("230690007")
    assert diseased(ConditionKind.DEMENTIA) == patients_with("26929004")
    assert diseased(ConditionKind.EPILEPSY) == patients_with("84757009")
    assert given_drug(DrugClass.ORAL_BISPHOSPHONATE) == patients_with("904419")
    assert given_drug(DrugClass.SYSTEMIC_GLUCOCORTICOID) == patients_with("312617")
    assert given_drug(DrugClass.DIGOXIN) == patients_with("197604")
    assert given_drug(DrugClass.ANTICOAGULANT) == patients_with("855332")
    assert given_drug(DrugClass.NSAID) == patients_with("849574", "198014", "310965", "198405")
    assert given_drug(DrugClass.OPIOID) == patients_with("1049221", "857005", "861467", "1310197")
    assert given_drug(DrugClass.THIAZIDE) == patients_with("316049", "316052")
    assert sum(len(snapshot.prior_fractures) for snapshot in found) == sum(
        resource["resourceType"] == "Condition"
        and resource["code"]["coding"][0]["code"]
        in {"263102004", "65966004", "58150001", "16114001", "33737001", "359817006", "443165006"}
        for data in raw_records()
        for resource in (entry["resource"] for entry in orjson.loads(data)["entry"])
    )


@requires_shared
def test_an_earlier_time_sees_only_what_was_known_then() -> None:
    then = datetime(2010, 1, 1, tzinfo=UTC)
    for data, later in zip(raw_records()[::4], snapshots()[::4], strict=True):
        earlier = read_bundle(data, as_of=then)
        assert is_sound(earlier)
        assert len(earlier.prior_fractures) <= len(later.prior_fractures)
        alive = (
            later.weight_kg is not None and later.weight_kg.effective is not None and later.weight_kg.effective > then
        )
        assert any(warning.startswith("fhir.date.after_as_of:") for warning in earlier.warnings) or not alive
        if earlier.age_years is not None and later.age_years is not None:
            assert later.age_years - earlier.age_years == 12


@requires_shared
def test_gzip_and_order_of_entries_make_no_difference() -> None:
    data, expected = raw_records()[3], snapshots()[3]
    assert read_bundle(gzip.compress(data), as_of=AFTER_THE_DATA) == expected
    reordered = orjson.loads(data)
    reordered["entry"].reverse()
    turned = read_bundle(orjson.dumps(reordered), as_of=AFTER_THE_DATA)
    assert dataclasses.replace(turned, warnings=()) == dataclasses.replace(expected, warnings=())
    assert sorted(turned.warnings) == sorted(expected.warnings)
