import math
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.presenters import wording
from fhir_adapters.patient import ConditionKind, DrugClass
from fusion.results import AdviceAction, Certainty, Severity, Urgency
from imaging.results import FractureCall, PixelSpacing, SpacingOrigin
from tabular.features import RiskFeatures


def test_every_enum_member_has_words() -> None:
    assert set(wording.CALLS) == set(wording.CALL_EXPLANATIONS) == set(FractureCall)
    assert set(wording.SEVERITIES) == set(Severity)
    assert set(wording.URGENCIES) == set(Urgency)
    assert set(wording.CERTAINTIES) == set(wording.CERTAINTY_EXPLANATIONS) == set(Certainty)
    assert set(wording.ACTIONS) == set(AdviceAction)
    assert set(wording.FEATURES) == {field.name for field in fields(RiskFeatures)}


def test_not_seen_never_excludes() -> None:
    assert "does not exclude" in wording.CALLS[FractureCall.NOT_SEEN]
    assert "does not exclude" in wording.CALL_EXPLANATIONS[FractureCall.NOT_SEEN]


def test_coded_values_read_as_words() -> None:
    assert wording.words(DrugClass.NSAID) == "NSAID"
    assert wording.words(ConditionKind.KIDNEY_STONES) == "kidney stones"
    assert wording.words(ConditionKind.VITAMIN_D_DEFICIENCY) == "vitamin D deficiency"
    assert wording.words("calcium and vitamin_d") == "calcium and vitamin D"
    assert wording.capitalised("eGFR") == "eGFR"
    assert wording.capitalised("weight") == "Weight"


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, "0.0%"), (0.0004, "<0.1%"), (0.071, "7.1%"), (0.9999, ">99.9%"), (1.0, "100.0%")],
)
def test_percent_never_rounds_to_certainty(probability: float, expected: str) -> None:
    assert wording.percent(probability) == expected


@given(st.floats(min_value=0, max_value=1))
def test_percent_is_always_a_percentage(probability: float) -> None:
    assert wording.percent(probability).endswith("%")


def test_numbers() -> None:
    assert wording.number(-2.7) == "\N{MINUS SIGN}2.7"
    assert wording.number(22.4) == "22.4"
    assert wording.number(1200.0) == "1200"
    assert wording.weeks(8.9) == "9"
    assert wording.weeks(6.4) == "6.5"


def test_spans_and_doses() -> None:
    assert wording.dose(800.0, 1000.0, "[iU]/d") == "800 to 1000 IU per day"
    assert wording.dose(None, 4000.0, "[iU]/d") == "up to 4000 IU per day"
    assert wording.dose(30.0, None, "g/d") == "from 30 g per day"
    assert wording.dose(500.0, 500.0, "mg/d") == "500 mg per day"
    assert wording.dose(1.0, 2.0, "furlong") == "1 to 2 furlong"
    assert wording.dose(None, None, None) == ""


@pytest.mark.parametrize(
    ("earliest", "latest", "expected"),
    [
        (None, None, "time not stated"),
        (0.0, 0.0, "now"),
        (0.0, 12.0, "by week 12"),
        (None, 6.0, "by week 6"),
        (52.0, None, "from week 52"),
        (6.0, 6.0, "week 6"),
        (6.0, 8.0, "weeks 6 to 8"),
        (0.0, None, "from now"),
    ],
)
def test_when(earliest: float | None, latest: float | None, expected: str) -> None:
    assert wording.when_weeks(earliest, latest) == expected


def test_features_in_words() -> None:
    assert wording.feature_value("female", 1.0) == "female"
    assert wording.feature_value("female", 0.0) == "male"
    assert wording.feature_value("current_smoker", 0.0) == "no"
    assert wording.feature_value("vitamin_d_nmol_l", 31.0) == "31 nmol/L"
    assert wording.feature_value("vitamin_d_nmol_l", None) == "not known"
    assert wording.feature_name("made_up_field") == "made up field"


def test_odds() -> None:
    assert wording.odds(math.log(2)) == f"raises {wording.TIMES} 2.00"
    assert wording.odds(-math.log(2)) == f"lowers {wording.TIMES} 0.50"
    assert wording.odds(0.0) == "hardly any"


def test_box_size_needs_a_known_spacing() -> None:
    detector, calibrated, unknown = (
        PixelSpacing(row_mm=0.1, column_mm=0.1, origin=origin)
        for origin in (SpacingOrigin.DETECTOR, SpacingOrigin.CALIBRATED, SpacingOrigin.UNKNOWN)
    )
    assert wording.box_size(18.6, 14.8, detector) == f"19 {wording.TIMES} 15 mm at the detector"
    assert wording.box_size(18.6, 14.8, calibrated) == f"19 {wording.TIMES} 15 mm"
    for spacing in (unknown, None):
        assert "mm" not in wording.box_size(18.6, 14.8, spacing)
    assert "mm" not in wording.box_size(None, None, calibrated)


def test_moments_keep_their_zone() -> None:
    assert wording.moment(datetime(2026, 3, 4, 9, 5, tzinfo=UTC)) == "4 March 2026, 09:05 UTC"
    assert wording.moment(datetime(2026, 3, 4, 9, 5, tzinfo=timezone(timedelta(hours=1)))).endswith("UTC+01:00")


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "0.00"), (0.5, "0.50"), (0.087, "0.09"), (0.01, "0.01"), (0.001963, "0.0020")]
)
def test_a_small_score_is_not_rounded_to_nothing(value: float, words: str) -> None:
    assert wording.score(value) == words
