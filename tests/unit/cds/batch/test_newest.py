"""Letting go of superseded Observations never changes what is read of a patient, warnings included."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.batch import partition
from cds.batch.partition import _Outcome, _read_all, _read_newest
from cds.batch.plan import InputKind, Plan
from cds.batch.sources import BY_CODE
from cds.batch.spill import IDLE, Records
from fhir_adapters.idle import IDLE_TYPES, idle_line, is_idle
from fhir_adapters.superseded import dated
from tests.support.shared import requires_shared, shared_dir
from tests.unit.cds.batch.conftest import AS_OF, LOINC, SNOMED, condition

Json = dict[str, Any]
PLAN = Plan(
    root=".",
    kind=InputKind.NDJSON,
    files=(),
    skipped_files=0,
    skipped_bytes=0,
    units=(),
    buckets=4,
    as_of=AS_OF,
    model_id="m",
    engine_version="1",
)
NEVER, FORMER, CURRENT, UNKNOWN = "266919005", "8517006", "449868002", "266927001"


def usual(number: int, code: str, day: str, value: Json, **extra: Any) -> Json:
    """An Observation as exports write it, elements in the order of the specification."""
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "category": [{"coding": [{"system": "http://x", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": code, "display": "A"}], "text": "A"},
        "subject": {"reference": "Patient/p"},
        "encounter": {"reference": "Encounter/1"},
        "effectiveDateTime": f"{day}T10:00:00+00:00",
        **value,
    } | extra


def quantity(value: float, unit: str) -> Json:
    return {"valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}}


def smoking(code: str) -> Json:
    return {"valueCodeableConcept": {"coding": [{"system": SNOMED, "code": code}]}}


def told(number: int, resource: Json) -> Records:
    """A line as the first pass spills it."""
    line = orjson.dumps(resource)
    found, code, day = None, b"", b""
    if resource.get("resourceType") == "Observation" and b"\\u" not in line:
        found = dated(line, len(BY_CODE["Observation"].findall(line)))
    if found is not None and found[0] == b"p":
        _, code, day = found
    elif resource.get("resourceType") in IDLE_TYPES and resource.get("id") and is_idle(resource):
        code, day = IDLE, resource["id"].encode()
        from_bytes = idle_line(line)
        assert from_bytes is None or from_bytes[1] == day
    return Records.of(0, b"0:%d\t%b\t%b\t%b" % (number, code, day, line))


def both(resources: list[Json], born: str = "1950-03-04") -> tuple[object, object]:
    """What is read without the lines that are let go of (None: everything must be read), and what of everything."""
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": born}
    lines = [told(number, one) for number, one in enumerate([patient, *resources])]
    records = [record for one in lines for record in one.one_by_one()]
    return _read_newest("p", lines, PLAN), _read_all("p", records, PLAN, _Outcome())


DAYS = st.sampled_from(
    ["2011-02-03", "2015-06-06", "2015-06-07", "2015-06-09", "2015-06-10", "2023-11-30", "2024-06-14", "2024-06-16"]
)
CHANGES: list[Json] = [
    {},
    {},
    {"status": "entered-in-error"},
    {"status": "preliminary"},
    {"status": None},
    {"effectiveDateTime": "2022-02-30T10:00:00Z"},
    {"effectiveDateTime": "2022-03-01"},
    {"effectiveDateTime": None},
    {"effectiveDateTime": None, "effectivePeriod": {"end": "2023-01-01"}},
    {"effectiveDateTime": "2015-06-09T23:00:00-12:00"},
    {"effectiveDateTime": "2015-06-07T01:00:00+13:30"},
    {"effectiveDateTime": "1950-05-05T10:00:00Z"},
    {"effectiveDateTime": "1949-05-05T10:00:00Z"},
    {"effectiveDateTime": "2031-05-05T10:00:00Z"},
    {"subject": {"reference": "Patient/q"}},
    {"subject": {"display": "p"}},
    {"modifierExtension": [{"url": "http://x"}]},
    {"implicitRules": "http://x"},
    {"id": "o1"},
    {"id": "o1", "meta": {"lastUpdated": "2024-01-01T00:00:00Z"}},
    {"id": None},
    {"valueQuantity": {"value": -1.0, "unit": "kg", "code": "kg"}},
    {"valueQuantity": {"value": 70.0, "unit": "kg", "code": "kg", "comparator": "<"}},
    {"valueQuantity": None, "dataAbsentReason": {"text": "refused"}},
    {"component": [{"code": {"coding": [{"system": LOINC, "code": "8302-2"}]}, **quantity(150.0, "cm")}]},
    {"code": {"coding": [{"system": LOINC, "code": "29463-7"}, {"system": LOINC, "code": "39156-5"}]}},
    {"code": {"coding": [{"system": "http://other", "code": "29463-7"}]}},
    {"note": [{"text": '"code":"29463-7" {"subject":{"reference":"Patient/q"}} é'}]},
]
OBSERVATION = st.builds(
    lambda number, measured, day, change: {
        name: value for name, value in (usual(number, measured[0], day, measured[1]) | change).items() if value
    },
    st.integers(1, 99),
    st.sampled_from(
        [
            ("29463-7", quantity(70.0, "kg")),
            ("29463-7", quantity(90.0, "kg")),
            ("8302-2", quantity(160.0, "cm")),
            ("39156-5", quantity(25.0, "kg/m2")),
            ("4548-4", quantity(6.0, "%")),
            *(("72166-2", smoking(code)) for code in (NEVER, FORMER, CURRENT, UNKNOWN, "1")),
        ]
    ),
    DAYS,
    st.sampled_from(CHANGES),
)


@settings(max_examples=150, deadline=None)
@given(resources=st.lists(OBSERVATION, max_size=10), born=st.sampled_from(["1950-03-04", "1950", "2012-01-01", ""]))
def test_the_same_is_read(resources: list[Json], born: str) -> None:
    newest, everything = both([*resources, condition(1, "263102004", subject={"reference": "Patient/p"})], born)
    assert newest is None or newest == everything


def prescription(number: int, code: str | None, **extra: Any) -> Json:
    concept = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code}]} if code else {}
    return {
        "resourceType": "MedicationRequest",
        "id": f"m{number}",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept | {"text": "a drug"},
        "subject": {"reference": "Patient/p"},
        "authoredOn": "2024-01-01",
    } | extra


PREDNISONE, ALENDRONATE, PARACETAMOL, UNKNOWN_DRUG = "312617", "904419", "161", "1"
ASIDE: list[Json] = [
    {},
    {},
    {"modifierExtension": [{"url": "http://x"}]},
    {"implicitRules": "http://x"},
    {"subject": {"display": "p"}},
    {"subject": {"reference": "https://s/fhir/Patient/p"}},
    {"subject": {"reference": "Patient?identifier=x/Patient/p"}},
    {"subject": {"reference": "urn:uuid:p"}},
    {"medicationReference": {"reference": "Medication/1"}},
    {"id": "m1", "meta": {"lastUpdated": "2024-01-01T00:00:00Z"}},
    {"status": "entered-in-error"},
    {"status": None},
    {"verificationStatus": {"coding": [{"code": "refuted"}]}},
]
ENTRY = st.builds(
    lambda entry, change: {name: value for name, value in (entry | change).items() if value},
    st.one_of(
        st.builds(
            prescription,
            st.integers(1, 9),
            st.sampled_from([PREDNISONE, ALENDRONATE, PARACETAMOL, UNKNOWN_DRUG, None]),
        ),
        st.builds(
            lambda number, code: condition(number, code) | {"id": f"m{number}", "subject": {"reference": "Patient/p"}},
            st.integers(1, 9),
            st.sampled_from(["263102004", "64859006", "15777000", "1"]),
        ),
    ),
    st.sampled_from(ASIDE),
)


@settings(max_examples=150, deadline=None)
@given(resources=st.lists(ENTRY, max_size=8))
def test_the_same_is_read_without_what_says_nothing(resources: list[Json]) -> None:
    newest, everything = both(resources)
    assert newest is None or newest == everything


@pytest.mark.parametrize(
    ("resource", "idle"),
    [
        (prescription(1, PARACETAMOL), True),
        (prescription(1, PREDNISONE), False),
        (prescription(1, UNKNOWN_DRUG), False),
        (prescription(1, None), False),
        (prescription(1, PARACETAMOL, modifierExtension=[]), False),
        (condition(1, "15777000"), True),
        (condition(1, "64859006"), False),
    ],
)
def test_what_says_nothing(resource: Json, idle: bool) -> None:
    assert is_idle(resource) is idle


def test_an_idle_version_of_something_makes_everything_be_read() -> None:
    newest, everything = both([condition(1, "64859006", id="c"), condition(1, "15777000", id="c")])
    assert newest is None
    assert everything is not None


def test_superseded_lines_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    days = [f"20{year:02}-02-03" for year in range(5, 24)]
    resources = [usual(number, "29463-7", day, quantity(60.0 + number, "kg")) for number, day in enumerate(days)]
    parsed: list[bytes] = []
    loads = orjson.loads

    def counted(line: bytes) -> object:
        parsed.append(line)
        return loads(line)

    monkeypatch.setattr(orjson, "loads", counted)
    newest, everything = both(resources)
    assert newest == everything
    assert len(parsed) == 2 + len(resources) + 1  # patient and newest; then all of them


@pytest.mark.parametrize(
    ("now", "before", "settled"),
    [
        (NEVER, NEVER, True),
        (FORMER, NEVER, True),
        (CURRENT, FORMER, True),
        (NEVER, FORMER, False),
        (UNKNOWN, NEVER, False),
    ],
)
def test_smoking_that_contradicts_itself_is_read_whole(now: str, before: str, settled: bool) -> None:
    newest, everything = both(
        [usual(1, "72166-2", "2020-01-01", smoking(now)), usual(2, "72166-2", "2010-01-01", smoking(before))]
    )
    assert everything is not None
    assert newest == (everything if settled else None)


def test_a_refused_newest_value_gives_way_to_an_older_one() -> None:
    resources = [
        usual(1, "29463-7", "2020-01-01", quantity(7000.0, "kg")),
        usual(2, "29463-7", "2010-01-01", quantity(70.0, "kg")),
    ]
    newest, everything = both(resources)
    assert newest is None
    assert isinstance(everything, partition._Person)
    assert everything.features.weight_kg == 70.0


@requires_shared
def test_real_records_are_the_same() -> None:
    import gzip

    shared = shared_dir()
    assert shared is not None
    settled = 0
    files = sorted(Path(shared, "data", "fhir", "synthea_r4").glob("*.json.gz"))[:6]
    for path in files:
        entries = orjson.loads(gzip.decompress(path.read_bytes()))["entry"]
        wanted = [one["resource"] for one in entries if one["resource"]["resourceType"] in {"Observation", "Condition"}]
        for resource in wanted:
            resource["subject"] = {"reference": "Patient/p"}
        newest, everything = both(wanted)
        assert newest is None or newest == everything
        settled += newest is not None
    assert settled > len(files) / 2
