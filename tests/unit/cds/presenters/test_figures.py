import base64
import io
import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cds.presenters.figures import MAX_PNG_SIDE_PX, axis_step, interval_bar, overlay, png_data_uri, timeline
from cds.presenters.risk_view import probability_views
from imaging.results import BoxPx
from tests.support.cases import assessment, drawn_pixels, findings, risk


def _decoded(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_png_keeps_the_picture() -> None:
    pixels = drawn_pixels()
    image = np.asarray(_decoded(png_data_uri(pixels)), dtype=np.float32) / 255
    assert image.shape == pixels.shape
    assert np.abs(image - pixels).max() <= 0.5 / 255 + 1e-6


def test_png_is_reduced_with_its_proportions() -> None:
    image = _decoded(png_data_uri(np.zeros((3000, 1500), dtype=np.float32)))
    assert image.size == (MAX_PNG_SIDE_PX // 2, MAX_PNG_SIDE_PX)


def test_marks_follow_the_findings() -> None:
    drawn = overlay(findings())
    assert [(mark.number, mark.definite) for mark in drawn.marks] == [(1, True), (2, False)]
    box = findings().detections[0].box
    mark = drawn.marks[0]
    assert (mark.x, mark.y, mark.x + mark.width, mark.y + mark.height) == (box.x1, box.y1, box.x2, box.y2)


@given(
    st.lists(
        st.tuples(st.floats(0, 200), st.floats(0, 280), st.floats(1, 40), st.floats(1, 40)), min_size=1, max_size=6
    )
)
def test_numbers_stay_inside_the_image(boxes: list[tuple[float, float, float, float]]) -> None:
    base = findings()
    placed = tuple(
        replace(base.detections[0], box=BoxPx(x1=x, y1=y, x2=x + width, y2=y + height)) for x, y, width, height in boxes
    )
    drawn = overlay(replace(base, detections=placed))
    for mark in drawn.marks:
        assert 0 <= mark.label_x <= drawn.width
        assert 0 <= mark.label_y <= drawn.height


def test_numbers_of_equal_boxes_do_not_cover_each_other() -> None:
    base = findings()
    first, second = overlay(replace(base, detections=(base.detections[0],) * 2)).marks
    assert (first.label_x, first.label_y) != (second.label_x, second.label_y)


@given(st.floats(min_value=0.01, max_value=1e4))
def test_axis_steps_are_round_and_few(largest: float) -> None:
    step = axis_step(largest)
    assert largest / step <= 8 + 1e-9
    assert any(math.isclose(step / 10 ** math.floor(math.log10(step * 1.000001)), one) for one in (1, 2, 5, 10))


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_interval_keeps_its_order_and_its_place(one: float, two: float, three: float) -> None:
    low, middle, high = sorted((one, two, three))
    bar = interval_bar(low, middle, high, largest=max(high, 1), start_x=10, end_x=110)
    assert 10 <= bar.low_x <= bar.middle_x <= bar.high_x <= 110
    assert bar.ticks[0].label == "0"


def test_timeline_shows_open_ends_and_unknown_times() -> None:
    appointments = assessment().follow_up
    undated = replace(appointments[0], earliest_week=None, latest_week=None)
    last, bars = timeline((*appointments, undated))
    assert last > 52
    assert bars[-1] is None
    assert [bar.open_ended for bar in bars if bar is not None] == [False, False, True]
    assert all(0 <= bar.x <= 100 for bar in bars if bar is not None)
    assert timeline(())[1] == ()


def test_probabilities_share_one_axis() -> None:
    major, hip = probability_views(risk())
    assert major.bar.ticks == hip.bar.ticks
    assert major.bar.middle_x > hip.bar.middle_x
