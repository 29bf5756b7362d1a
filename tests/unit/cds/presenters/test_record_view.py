from dataclasses import fields

from cds.presenters import record_view
from cds.presenters.record_view import context_view, patient_view, reference_labels
from fhir_adapters.patient import PatientSnapshot
from fusion.context import ClinicalContext
from tests.support.cases import context, patient


def test_every_value_has_its_resource_and_unit() -> None:
    rows = {row.label: row for row in patient_view(patient()).rows}
    assert rows["25-hydroxyvitamin D"].value == "31 nmol/L"
    assert rows["25-hydroxyvitamin D"].sources == ("Observation/vitd-1",)
    assert rows["25-hydroxyvitamin D"].date == "2026-02-11"
    assert rows["eGFR"].value.startswith("\N{GREATER-THAN OR EQUAL TO} 60 mL/min")
    assert rows["Body mass index"].value.endswith("(computed)")
    assert rows["Body mass index"].sources == ("Observation/weight-1", "Observation/height-1")
    assert rows["Condition"].value == "kidney stones (not active)"
    assert all(row.sources for row in rows.values())


def test_absent_values_are_named() -> None:
    missing = patient_view(patient()).missing
    assert {"alcohol", "total serum calcium", "falls in the last year"} <= set(missing)


def test_references_are_named_in_words() -> None:
    labels = reference_labels(patient())
    assert labels["MedicationRequest/levothyroxine-1"] == "levothyroxine"
    assert labels["Condition/stones-1"] == "kidney stones"
    assert labels["Condition/fracture-1"] == "recorded fracture, humerus"
    assert labels["Observation/weight-1"] == "weight"


def test_birth_date_is_shown_nowhere() -> None:
    view = patient_view(patient())
    assert not any("1953" in row.value + row.date for row in view.rows)


def test_tables_know_every_field_of_the_border_types() -> None:
    above = {"patient_id", "as_of", "birth_date", "age_years", "sex", "warnings"}
    lists = {"prior_fractures", "conditions", "medications", "bone_density_scans"}
    assert set(record_view._VALUES) == {field.name for field in fields(PatientSnapshot)} - above - lists
    assert set(record_view._CONTEXT) == {field.name for field in fields(ClinicalContext)}


def test_clinician_input_keeps_no_apart_from_not_stated() -> None:
    view = context_view(context())
    rows = {row.label: row.value for row in view.rows}
    assert rows["Displaced"] == "no"
    assert rows["Calcium from food"] == "600 mg per day"
    assert "vascular deficit" in view.missing
    empty = context_view(ClinicalContext())
    assert empty.rows == ()
    assert len(empty.missing) == len(fields(ClinicalContext))
