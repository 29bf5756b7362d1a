from dataclasses import replace

from cds.presenters.html import render_html
from cds.presenters.places import HEAT_WARNING, SAME_PATTERN, places
from imaging.geometry.measurement import QUANTITIES
from imaging.results import FractureGeometry, PointPx
from imaging.warnings import WARNINGS
from tests.support.cases import findings, full_case, geometry, image_only_case, unreadable_case


def test_only_places_with_more_than_a_box_are_told() -> None:
    (place,) = places(full_case())
    assert place.number == 1
    assert place.drawing is None  # nothing was traced
    assert [one.title for one in place.heat] == ["Grad-CAM, fracture score", "Grad-CAM, pattern"]
    assert "68% of the heat in the box" in place.heat[0].caption
    assert "no heat at all" in place.heat[1].caption
    assert places(image_only_case()) == ()
    assert places(replace(full_case(), findings=None)) == ()


def test_a_traced_geometry_is_drawn() -> None:
    full = full_case()
    traced = replace(geometry(), axes=((PointPx(x=95.0, y=120.0), PointPx(x=95.0, y=200.0)),))
    first, second = findings().detections
    shown = replace(findings(), detections=(replace(first, geometry=traced), second))
    (place,) = places(replace(full, findings=shown))
    assert place.drawing is not None
    assert place.drawing.address.startswith("data:image/png;base64,")
    assert place.drawing.alt in render_html(replace(full, findings=shown))


def test_a_pattern_that_places_share_is_told_once() -> None:
    first, second = findings().detections
    both = replace(findings(), detections=(first, replace(second, pattern=first.pattern)))
    told, again = places(replace(full_case(), findings=both))
    assert told.pattern[0].startswith("Pattern, as the image suggests")
    assert again.pattern == (SAME_PATTERN,)
    assert SAME_PATTERN in render_html(replace(full_case(), findings=both))


def test_without_pixels_there_are_words_only() -> None:
    (place,) = places(replace(full_case(), radiograph=None))
    assert place.heat == ()
    assert place.pattern


def test_heat_maps_come_with_their_warning() -> None:
    assert HEAT_WARNING in render_html(full_case()).replace("&#39;", "'")
    assert "Heat maps of place" not in render_html(replace(full_case(), explanations=()))


def test_the_estimates_of_the_image_are_called_so() -> None:
    page = render_html(full_case())
    assert "The pattern enters no rule of this report" in page
    assert "Pattern, as the image suggests: oblique, 62.0%." in page


def test_an_unjudged_radiograph_says_why() -> None:
    page = render_html(unreadable_case())
    assert "Fracture: cannot judge" in page
    assert "The image has very little contrast." in page
    assert "The marked places" not in page


def test_one_reason_for_everything_is_said_once() -> None:
    case = full_case()
    assert case.findings is not None
    reason = "imaging.geometry.one_fragment"
    refused = FractureGeometry(not_measured=tuple((name, reason) for name in QUANTITIES))
    first, *others = case.findings.detections
    findings = replace(case.findings, detections=(replace(first, geometry=refused), *others))
    place = places(replace(case, findings=findings))[0]
    assert place.unmeasured == WARNINGS[reason]
    assert render_html(replace(case, findings=findings)).count(WARNINGS[reason]) == 1
