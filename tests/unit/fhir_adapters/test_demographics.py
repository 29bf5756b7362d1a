from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_adapters.demographics import completed_years
from fhir_adapters.patient import Sex
from tests.unit.fhir_adapters.records import codes_of, patient, read

BIRTH_SEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"


def test_a_full_birth_date_gives_completed_years() -> None:
    snapshot = read(who=patient(birthDate="1954-06-16"))
    assert (snapshot.birth_date, snapshot.age_years, snapshot.sex) == (date(1954, 6, 16), 69, Sex.FEMALE)
    assert snapshot.warnings == ()
    assert read(who=patient(birthDate="1954-06-15")).age_years == 70


@pytest.mark.parametrize(("text", "age"), [("1954", 69), ("1954-06", 70), ("1954-07", 69), ("2024", 0), ("2024-06", 0)])
def test_a_partial_birth_date_gives_an_age_with_a_warning(text: str, age: int) -> None:
    snapshot = read(who=patient(birthDate=text))
    assert (snapshot.birth_date, snapshot.age_years) == (None, age)
    assert codes_of(snapshot) == {"fhir.patient.birth_date_partial"}


@pytest.mark.parametrize("text", ["1854-03-02", "2025-01-01", "2025", "long ago", "1954-13-40"])
def test_an_impossible_birth_date_gives_none(text: str) -> None:
    snapshot = read(who=patient(birthDate=text))
    assert (snapshot.birth_date, snapshot.age_years) == (None, None)
    assert codes_of(snapshot) == {"fhir.patient.birth_date_implausible"}


def test_what_is_missing_is_none_and_told() -> None:
    snapshot = read(who={"resourceType": "Patient", "id": "p1"})
    assert (snapshot.birth_date, snapshot.age_years, snapshot.sex) == (None, None, None)
    assert codes_of(snapshot) == {"fhir.patient.birth_date_missing", "fhir.patient.sex_missing"}


def test_recorded_gender_is_used_and_another_sex_at_birth_is_told() -> None:
    birth_sex = [{"url": BIRTH_SEX, "valueCode": "M"}]
    snapshot = read(who=patient(extension=birth_sex))
    assert snapshot.sex is Sex.FEMALE
    assert codes_of(snapshot) == {"fhir.patient.birth_sex_differs"}
    assert read(who=patient(gender="male", extension=birth_sex)).warnings == ()
    assert read(who=patient(gender="unknown")).sex is Sex.UNKNOWN


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"deceasedBoolean": True}, True),
        ({"deceasedBoolean": False}, False),
        ({"deceasedDateTime": "2024-06-01"}, True),
        ({"deceasedDateTime": "2024-12-01"}, False),
    ],
)
def test_death_before_the_snapshot_is_told(extra: dict[str, object], told: bool) -> None:
    assert ("fhir.patient.deceased" in read(who=patient(**extra)).warnings) is told


def test_a_replaced_patient_entry_is_told() -> None:
    link = [{"other": {"reference": "Patient/p9"}, "type": "replaced-by"}]
    assert "fhir.patient.replaced" in read(who=patient(link=link)).warnings


@settings(max_examples=50, deadline=None)
@given(st.dates(date(1900, 1, 1), date(2020, 1, 1)), st.dates(date(2020, 1, 2), date(2024, 6, 15)))
def test_age_grows_by_one_on_each_birthday_only(born: date, on: date) -> None:
    age = completed_years(born, on)
    assert age * 365.2425 - 2 <= (on - born).days <= (age + 1) * 365.2425 + 1
    text = born.isoformat()
    when = datetime(on.year, on.month, on.day, tzinfo=UTC)
    assert read(who=patient(birthDate=text), as_of=when).age_years == age
