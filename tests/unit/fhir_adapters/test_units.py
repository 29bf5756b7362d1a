import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapters.units import CONVERSIONS, PLAUSIBLE, Measure, UnitNote, convert, is_plausible, unit_texts


@pytest.mark.parametrize(
    ("value", "unit", "measure", "expected"),
    [
        (30.0, "ng/mL", Measure.VITAMIN_D, 74.88),
        (30.0, "ug/L", Measure.VITAMIN_D, 74.88),
        (30.0, "µg/L", Measure.VITAMIN_D, 74.88),
        (75.0, "nmol/l", Measure.VITAMIN_D, 75.0),
        (9.5, "mg/dL", Measure.CALCIUM, 2.37025),
        (4.75, "meq/L", Measure.CALCIUM, 2.375),
        (48.0, "mmol/mol", Measure.HBA1C, 6.54304),
        (6.5, "%", Measure.HBA1C, 6.5),
        (150.0, "[lb_av]", Measure.WEIGHT, 68.0388555),
        (150.0, "lbs", Measure.WEIGHT, 68.0388555),
        (1.6, "m", Measure.HEIGHT, 160.0),
        (63.0, "[in_i]", Measure.HEIGHT, 160.02),
        (27.5, "kg/m²", Measure.BMI, 27.5),
        (55.0, "mL/min/1.73m2", Measure.EGFR, 55.0),
        (1.0, "mL/s/{1.73_m2}", Measure.EGFR, 60.0),
        (-2.6, "", Measure.T_SCORE, -2.6),
        (160.0, "g/wk", Measure.ALCOHOL, 20.0),
        (2.0, "{drinks}/d", Measure.ALCOHOL, 24.5),
    ],
)
def test_known_conversions(value: float, unit: str, measure: Measure, expected: float) -> None:
    converted = convert(value, unit, measure)
    assert converted is not None
    assert converted.value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "measure"),
    [
        ("", Measure.VITAMIN_D),
        ("mmol/L", Measure.VITAMIN_D),
        ("ng/mL", Measure.CALCIUM),
        ("M", Measure.HEIGHT),
        ("G", Measure.WEIGHT),
        ("g/cm2", Measure.T_SCORE),
        ("mg/dL", Measure.HBA1C),
        ("/wk", Measure.ALCOHOL),
    ],
)
def test_a_unit_that_does_not_fit_is_refused(unit: str, measure: Measure) -> None:
    assert convert(1.0, unit, measure) is None


def test_supposed_units_are_told() -> None:
    completed = convert(55.0, "mL/min", Measure.EGFR)
    drinks = convert(1.0, "/d", Measure.ALCOHOL)
    assert completed is not None
    assert completed.note is UnitNote.COMPLETED
    assert drinks is not None
    assert drinks.note is UnitNote.DRINKS


@given(
    st.sampled_from([(measure, unit) for measure, units in CONVERSIONS.items() for unit in units]),
    st.floats(-1e6, 1e6),
)
def test_every_conversion_can_be_undone_and_keeps_order(pair: tuple[Measure, str], value: float) -> None:
    measure, unit = pair
    linear = CONVERSIONS[measure][unit]
    converted = convert(value, unit, measure)
    larger = convert(value + 1.0, unit, measure)
    assert converted is not None
    assert larger is not None
    assert (converted.value - linear.offset) / linear.scale == pytest.approx(value, abs=1e-6)
    assert larger.value > converted.value


@given(st.sampled_from(list(Measure)), st.floats())
def test_plausible_means_finite_and_within_the_bounds(measure: Measure, value: float) -> None:
    low, high = PLAUSIBLE[measure]
    assert is_plausible(value, measure) == (math.isfinite(value) and low <= value <= high)


def test_ucum_code_comes_before_the_printed_unit_and_foreign_codes_are_passed_over() -> None:
    ucum = "http://unitsofmeasure.org"
    assert unit_texts({"code": "ng/mL", "unit": "nanograms", "system": ucum}) == ["ng/mL", "nanograms"]
    assert unit_texts({"code": "258682000", "unit": "g", "system": "http://snomed.info/sct"}) == ["g"]
    assert unit_texts({}) == []
