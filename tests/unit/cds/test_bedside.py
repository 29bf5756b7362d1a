"""Bedside inputs: every field of the context is offered, and text is read strictly."""

from dataclasses import fields
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.bedside import BEDSIDE_FIELDS, LABELS, FieldKind, parse_context
from cds.errors import InputError
from fusion.context import ClinicalContext, Gustilo, Mechanism
from fusion.sites import FractureSite

NAMES = [item.name for item in fields(ClinicalContext)]


def test_every_field_is_offered_with_words() -> None:
    assert [item.name for item in BEDSIDE_FIELDS] == NAMES
    assert set(LABELS) == set(NAMES)
    assert all(item.label and item.explanation for item in BEDSIDE_FIELDS)


def test_kinds() -> None:
    kinds = {item.name: item.kind for item in BEDSIDE_FIELDS}
    assert kinds["site"] is FieldKind.CHOICE
    assert kinds["open_wound"] is FieldKind.FLAG
    assert kinds["calcium_diet_mg_per_day"] is FieldKind.NUMBER


def test_text_is_read() -> None:
    context = parse_context(
        {
            "site": "distal_radius",
            "mechanism": " Low_Energy ",
            "gustilo": "iiia",
            "open_wound": "yes",
            "displaced": "no",
            "dislocation": "",
            "skin_threatened": None,
            "calcium_diet_mg_per_day": "650.5",
        }
    )
    assert context == ClinicalContext(
        site=FractureSite.DISTAL_RADIUS,
        mechanism=Mechanism.LOW_ENERGY,
        gustilo=Gustilo.IIIA,
        open_wound=True,
        displaced=False,
        calcium_diet_mg_per_day=650.5,
    )


def test_nothing_stated() -> None:
    assert parse_context({}) == ClinicalContext()
    assert parse_context(dict.fromkeys(NAMES, "Not stated")) == ClinicalContext()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("site", "left leg"),
        ("open_wound", "perhaps"),
        ("open_wound", "2"),
        ("gustilo", "IV"),
        ("calcium_diet_mg_per_day", "nan"),
        ("calcium_diet_mg_per_day", "-1"),
        ("calcium_diet_mg_per_day", "inf"),
        ("calcium_diet_mg_per_day", "a lot"),
    ],
)
def test_unreadable_text_is_refused_and_not_repeated(name: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_context({name: text})
    assert name in str(caught.value)
    assert f"'{text}'" not in str(caught.value)
    assert caught.value.remedy


def test_unknown_field_is_refused() -> None:
    with pytest.raises(InputError):
        parse_context({"open_wounds": "yes"})


def as_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.value if isinstance(value, StrEnum) else repr(value)


@given(
    st.builds(
        ClinicalContext,
        site=st.none() | st.sampled_from(FractureSite),
        mechanism=st.none() | st.sampled_from(Mechanism),
        gustilo=st.none() | st.sampled_from(Gustilo),
        open_wound=st.none() | st.booleans(),
        non_ambulant_infant=st.none() | st.booleans(),
        calcium_diet_mg_per_day=st.none() | st.floats(0, 10000),
    )
)
def test_round_trip(context: ClinicalContext) -> None:
    assert parse_context({name: as_text(getattr(context, name)) for name in NAMES}) == context
