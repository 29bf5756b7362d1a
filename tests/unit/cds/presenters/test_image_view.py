from dataclasses import replace

import pytest

from cds.presenters.image_view import (
    geometry_rows,
    image_facts,
    measured,
    open_or_closed,
    operating_point,
    pattern_lines,
    probability,
    rate,
    reasons_not_judged,
)
from fusion.context import ClinicalContext, Gustilo
from imaging.labels import FracturePattern, View
from imaging.results import FractureCall, FractureGeometry, Measurement
from tests.support.cases import attributes, findings, geometry, operating_points, pattern


def facts(**changes: object) -> dict[str, tuple[str, str]]:
    listed = image_facts(replace(findings(), **changes), ClinicalContext())  # type: ignore[arg-type]  # by field name
    return {one.label: (one.value, one.note) for one in listed}


def test_facts_of_a_judged_radiograph() -> None:
    told = facts()
    assert told["Probability of a fracture"][0] == "93.0% (90% interval 88.0% to 96.0%)"
    assert told["Like the model's own radiographs"][0] == "41.0% of them look stranger than this one"
    assert told["Limb on the pixels"] == ("hand or arm 97.0%", "then leg or foot 2.0%")
    assert told["Views on the pixels"][0] == "frontal 95.0%, lateral 58.0%"
    assert told["Metal (plate, screw, nail)"][0] == "probability 3.0%"


def test_what_the_model_does_not_tell_is_said() -> None:
    told = facts(fracture_probability=None, scope_score=None, attributes=None)
    assert told["Probability of a fracture"][0] == "not given"
    assert told["Like the model's own radiographs"][0] == "not checked"
    assert told["Limb, views, metal"][0] == "not judged by this model"
    bare = facts(attributes=replace(attributes(), hardware_probability=None, views=(), limb=()))
    for label in ("Limb on the pixels", "Views on the pixels", "Metal (plate, screw, nail)"):
        assert bare[label] == ("not judged", "")
    oblique = replace(attributes(), views=((View.OBLIQUE, 0.2),))
    assert facts(attributes=oblique)["Views on the pixels"][0] == "none recognised"


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (ClinicalContext(), "not stated"),
        (ClinicalContext(open_wound=False), "closed, as stated by the clinician"),
        (ClinicalContext(open_wound=True), "open, as stated by the clinician"),
        (ClinicalContext(gustilo=Gustilo.II), "open, Gustilo II, as stated by the clinician"),
    ],
)
def test_only_the_clinician_tells_open_from_closed(context: ClinicalContext, expected: str) -> None:
    fact = open_or_closed(context)
    assert fact.value == expected
    assert "must state it" in fact.note
    assert "surgeon sets the Gustilo grade" in fact.note


def test_reasons_for_not_judging() -> None:
    warnings = ("imaging.spacing.missing", "imaging.content.low_contrast", "imaging.content.low_contrast:detail")
    unjudged = replace(findings(), call=FractureCall.CANNOT_JUDGE, warnings=warnings)
    assert reasons_not_judged(unjudged) == ("The image has very little contrast.",)
    assert reasons_not_judged(replace(unjudged, call=FractureCall.NOT_SEEN)) == ()


def test_pattern_with_its_runners_up() -> None:
    assert pattern_lines(pattern()) == (
        "Pattern, as the image suggests: oblique, 62.0%.",
        "Next: transverse 21.0%, spiral 12.0%.",
        "Displaced: probability 71.0%, as the image suggests.",
    )


def test_an_undetermined_pattern_is_called_so() -> None:
    unsure = replace(pattern(), pattern=FracturePattern.UNDETERMINED, displaced_probability=None)
    first, then, displaced = pattern_lines(unsure)
    assert first == (
        "Pattern undetermined: its ranking is not reliable enough to name one, and follows region and picture more than"
        " the fracture line."
    )
    assert then.startswith("Most probable: oblique 62.0%")
    assert displaced.startswith("Displacement was not estimated beside the pattern;")
    assert pattern_lines(None) == ()


def test_geometry_gives_a_value_or_a_reason() -> None:
    rows = {row.label: row for row in geometry_rows(geometry())}
    assert rows["Displacement across the shaft"].values == (
        "20% of the shaft's width (15 to 25)",
        "6.4 px (4.8 to 8.1)",
    )
    assert rows["Angulation in the plane of the image"].values == ("12° (8 to 16)",)
    assert rows["Shortening"].values == ()
    assert rows["Shortening"].reason == "example.geometry.not_measurable"
    assert "detector" in rows["Millimetres"].reason
    assert all(row.values or row.reason for row in rows.values())
    assert geometry_rows(None) == ()
    assert {row.reason for row in geometry_rows(FractureGeometry())} == {"No reason was given."}


def test_reason_of_one_unit_stands_beside_the_value_in_another() -> None:
    partly = FractureGeometry(
        shortening_px=Measurement(value=12.0, low=9.0, high=15.0),
        not_measured=(("shortening_mm", "imaging.spacing.missing"),),
    )
    (row,) = (row for row in geometry_rows(partly) if row.label == "Shortening")
    assert row.values == ("12 px (9 to 15)",)
    assert "millimetres" in row.reason


def test_numbers_bear_as_many_digits_as_their_unit() -> None:
    assert measured(Measurement(value=14.06, low=13.2, high=15.0), "mm") == "14.1 mm (13.2 to 15.0)"
    assert measured(Measurement(value=-0.4, low=-2.0, high=1.0), "px") == "−0.4 px (−2.0 to 1.0)"
    assert probability(None) == "not given"


def test_operating_points_with_and_without_a_bound() -> None:
    sensitive, specific = operating_points()
    assert rate(sensitive.sensitivity, sensitive.sensitivity_low) == "91.4% (at least 87.1%)"
    assert "sensitivity 73.1%," in operating_point(specific)
