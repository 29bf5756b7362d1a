"""Letterbox there and back, and non-maximum suppression."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.yolov7 import letterbox, non_max_suppression

sides = st.integers(min_value=1, max_value=400)


@settings(max_examples=60, deadline=None, database=None)
@given(height=sides, width=sides, size=st.sampled_from([32, 96, 320]), stride=st.sampled_from([None, 32]))
def test_letterbox_and_back_is_the_identity(height: int, width: int, size: int, stride: int | None) -> None:
    canvas, transform = letterbox(np.zeros((height, width), np.float32), size, stride=stride)
    assert canvas.shape == transform.canvas_size[::-1] and canvas.dtype == np.float32
    if stride is None:
        assert canvas.shape == (size, size)
    else:
        assert canvas.shape[0] % stride == 0 and canvas.shape[1] % stride == 0 and max(canvas.shape) == size
    whole = np.array([[0.0, 0.0, width, height], [width / 3, height / 4, width / 2, height]])
    placed = transform.to_canvas(whole)
    np.testing.assert_allclose(transform.to_image(placed), whole, atol=1e-9)
    # The whole image fills exactly the part of the canvas that is no margin.
    left, top, right, bottom = placed[0]
    assert (left, top) == transform.pad
    assert abs((left + right) / 2 - transform.canvas_size[0] / 2) <= 0.5 + 1e-9
    assert abs((top + bottom) / 2 - transform.canvas_size[1] / 2) <= 0.5 + 1e-9
    assert right == pytest.approx(round(right)) and bottom == pytest.approx(round(bottom))
    tensor = torch.from_numpy(whole).float()
    torch.testing.assert_close(transform.to_image(transform.to_canvas(tensor)), tensor, rtol=1e-5, atol=1e-3)


def test_letterbox_places_pixels_where_the_transform_says() -> None:
    image = np.zeros((100, 200, 3), np.float32)
    image[20:40, 60:120] = 1
    canvas, transform = letterbox(image, 320, pad_value=0.5)
    assert canvas.shape == (320, 320, 3)
    x1, y1, x2, y2 = transform.to_canvas(np.array([60.0, 20, 120, 40])).round().astype(int)
    assert canvas[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].min() == 1
    assert canvas[transform.pad[1] : y1 - 2].max() == 0
    assert (canvas[: transform.pad[1]] == 0.5).all()
    point = np.array([60.0, 20.0])
    np.testing.assert_allclose(transform.to_image(transform.to_canvas(point)), point)


def test_letterbox_options_and_errors() -> None:
    canvas, transform = letterbox(np.ones((50, 30), np.float32), 320, stride=32, upscale=False)
    assert canvas.shape == (64, 32) and transform.scale == (1.0, 1.0)
    assert canvas.sum() == pytest.approx(50 * 30 + (64 * 32 - 50 * 30) * 114 / 255, rel=1e-5)
    outside = transform.to_image(torch.tensor([-100.0, -100.0, 500.0, 500.0]))
    assert outside.tolist() == [0, 0, 30, 50]
    assert transform.to_image(torch.tensor([0.0, 0.0]), clip=False).tolist() == [-1, -7]
    with pytest.raises(ValueError, match="expected an image"):
        letterbox(np.ones((3, 0), np.float32), 320)
    with pytest.raises(ValueError, match="expected boxes"):
        transform.to_image(torch.zeros(3))


def decoded(*rows: list[float]) -> torch.Tensor:
    return torch.tensor([rows])


def test_suppression_drops_overlapping_boxes_of_a_class() -> None:
    predictions = decoded(
        [50, 50, 20, 20, 0.8, 0.5, 0.1],
        [51, 50, 20, 20, 0.9, 0.5, 0.1],
        [50, 51, 20, 20, 0.9, 0.1, 0.9],
        [90, 90, 10, 20, 0.5, 0.4, 0.2],
        [90, 20, 10, 20, 0.01, 0.4, 0.2],
    )
    (found,) = non_max_suppression(predictions, score_threshold=0.1)
    wanted = [[40, 41, 60, 61, 0.81, 1], [41, 40, 61, 60, 0.45, 0], [85, 80, 95, 100, 0.2, 0]]
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-5, atol=1e-5)
    (agnostic,) = non_max_suppression(predictions, score_threshold=0.1, class_agnostic=True)
    assert agnostic[:, 5].tolist() == [1, 0] and agnostic[1, 4] == pytest.approx(0.2)
    (best,) = non_max_suppression(predictions, score_threshold=0.1, max_detections=1)
    assert best.tolist() == found[:1].tolist()
    (all_labels,) = non_max_suppression(predictions, score_threshold=0.05, multi_label=True)
    assert len(all_labels) == 4 + 0 and set(all_labels[:, 5].tolist()) == {0.0, 1.0}


def test_suppression_score_is_objectness_times_class_for_one_class_too() -> None:
    (found,) = non_max_suppression(decoded([50, 50, 20, 20, 0.8, 0.5]), score_threshold=0.1)
    assert found.tolist()[0] == pytest.approx([40, 40, 60, 60, 0.4, 0])


def test_suppression_of_nothing_and_of_too_much() -> None:
    found = non_max_suppression(torch.zeros(2, 10, 6))
    assert [tuple(boxes.shape) for boxes in found] == [(0, 6), (0, 6)]
    torch.manual_seed(0)
    crowd = torch.rand(1, 500, 6)
    crowd[..., :2] *= 1000
    (limited,) = non_max_suppression(crowd, max_candidates=50)
    assert 0 < len(limited) <= 50
    assert (limited[:-1, 4] >= limited[1:, 4]).all()
    with pytest.raises(ValueError, match="expected decoded"):
        non_max_suppression(torch.zeros(10, 6))
