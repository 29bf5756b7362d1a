"""Numbers, percentages, dates and units as each language writes them; wrong keys and values are errors."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cds.localisation.catalogue import SCHEMA, load_catalogue
from cds.localisation.errors import MessageValueError, UnknownMessageError
from cds.localisation.language import Language
from cds.localisation.localiser import NO_BREAK, Localiser

EN, DE = Localiser(Language.EN), Localiser(Language.DE)


def test_tags_are_those_of_the_page() -> None:
    assert [language.tag for language in (Language.EN, Language.DE)] == ["en-GB", "de-DE"]


@pytest.mark.parametrize(
    ("value", "english", "german"),
    [(1200.5, "1,200.5", "1.200,5"), (7, "7", "7"), (7.04, "7", "7"), (-2.5, "-2.5", "-2,5"), (0.25, "0.2", "0,2")],
)
def test_numbers(value: float, english: str, german: str) -> None:
    assert (EN.number(value), DE.number(value)) == (english, german)


def test_percentages() -> None:
    assert EN.percent(0.8) == "80%"
    assert DE.percent(0.8) == f"80{NO_BREAK}%"
    assert DE.percent(0.855, decimals=1) == f"85,5{NO_BREAK}%"
    assert EN.percent(0.0) == "0%"
    assert EN.percent(1.0) == "100%"


def test_a_share_is_never_rounded_to_none_or_all() -> None:
    assert EN.percent(0.001) == f"<{NO_BREAK}1%"
    assert EN.percent(0.9999) == f">{NO_BREAK}99%"
    assert DE.percent(0.0004, decimals=1) == f"<{NO_BREAK}0,1{NO_BREAK}%"


@settings(deadline=None)
@example(0.005)
@example(0.995)
@given(st.floats(min_value=1e-9, max_value=1 - 1e-9))
def test_only_none_is_zero_and_only_all_is_a_hundred(share: float) -> None:
    assert EN.percent(share) not in {"0%", "100%"}


def test_dates() -> None:
    assert EN.date(date(2026, 3, 12)) == "12 March 2026"
    assert DE.date(date(2026, 3, 12)) == "12. März 2026"
    assert DE.moment(datetime(2026, 3, 12, 9, 5, tzinfo=UTC)) == "12. März 2026, 09:05 UTC"


def test_doses_spans_and_lengths() -> None:
    assert EN.dose(800.0, 1000.0, "[iU]/d") == "800 to 1,000 units (IU) a day"
    assert DE.dose(800.0, 1000.0, "[iU]/d") == "800 bis 1.000 Internationale Einheiten (I. E.) am Tag"
    assert DE.dose(1200.0, 1200.0, "mg/d") == "1.200 mg am Tag"
    assert DE.span(6.8, 11.8, decimals=0) == "7 bis 12"
    assert DE.millimetres(5.44) == f"5,4{NO_BREAK}mm"
    with pytest.raises(MessageValueError, match="mL/d"):
        EN.dose(1.0, 2.0, "mL/d")


def test_lists_and_capitals() -> None:
    assert DE.listed(["a", "b", "c"]) == "a, b und c"
    assert DE.capitalised("über") == "Über"


def test_plural_forms_are_chosen_by_the_count() -> None:
    assert [EN.text("unit.weeks", count=count) for count in (1, 1.5, 2)] == ["1 week", "1.5 weeks", "2 weeks"]
    assert [DE.text("unit.weeks", count=count) for count in (1, 1.5)] == ["1 Woche", "1,5 Wochen"]
    with pytest.raises(MessageValueError, match="no number"):
        EN.text("unit.weeks", count="two")


def test_an_unknown_key_is_an_error() -> None:
    assert not EN.has("no.such")
    with pytest.raises(UnknownMessageError, match=r"no\.such"):
        EN.text("no.such")


def test_values_must_be_those_of_the_message() -> None:
    for values in ({}, {"low": "1"}, {"low": "1", "high": "2", "more": "3"}):
        with pytest.raises(MessageValueError, match="high, low"):
            EN.text("unit.range", **values)


def test_a_value_is_put_in_as_it_is(tmp_path: Path) -> None:
    head = f"schema: {SCHEMA}\nlanguage: en\nreviewed: true\nmessages:\n  a: 'x {{b}}'\n"
    (tmp_path / "en.yaml").write_text(head.replace("{{", "{").replace("}}", "}"), encoding="utf-8")
    localiser = Localiser(Language.EN, load_catalogue(Language.EN, tmp_path))
    assert localiser.reviewed
    assert localiser.text("a", b="{c} 100%") == "x {c} 100%"
