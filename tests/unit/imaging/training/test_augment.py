"""Boxes follow their bones through every augmentation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from imaging.training.augment import RandomAffineCrop, RandomExposure, move_boxes, training_transform
from imaging.training.datasets import Target


def sample(height: int = 150, width: int = 110) -> tuple[tv_tensors.Image, Target]:
    """A dark image with one bright rectangle, and its box."""
    pixels = np.full((height, width), 10, dtype=np.uint8)
    pixels[60:80, 40:70] = 250
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor([[40.0, 60.0, 70.0, 80.0]]), format="XYXY", canvas_size=(height, width)
    )
    return tv_tensors.Image(torch.from_numpy(pixels)[None]), {
        "boxes": boxes,
        "labels": torch.zeros(1, dtype=torch.int64),
    }


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_box_stays_on_the_bright_rectangle(seed: int) -> None:
    torch.manual_seed(seed)
    image, target = RandomAffineCrop(128, reference_side=150, degrees=10, focus=1.0)(*sample())
    boxes = target["boxes"].numpy()
    if not len(boxes):
        return
    pixels = image[0].numpy()
    ys, xs = np.nonzero(pixels > 130)
    x1, y1, x2, y2 = boxes[0]
    assert image.shape == (1, 128, 128)
    for found, wanted in ((xs.min(), x1), (ys.min(), y1), (xs.max() + 1, x2), (ys.max() + 1, y2)):
        assert found == pytest.approx(wanted, abs=6)


def test_box_mostly_outside_is_dropped() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]])
    matrix = np.array([[1.0, 0.0, -7.0], [0.0, 1.0, 0.0]])
    moved, kept = move_boxes(boxes, matrix, 100)
    assert kept.tolist() == [False, True]
    np.testing.assert_allclose(moved[1], [43, 50, 53, 60])


def test_exposure_keeps_black_borders_and_boxes() -> None:
    image, target = sample()
    black = image.clone()
    black[:, :20] = 0
    changed, same = RandomExposure()(tv_tensors.Image(black), target)
    assert int(changed[:, :20].max()) == 0
    assert torch.equal(same["boxes"], target["boxes"])


def test_training_transform_gives_floats() -> None:
    image, _ = training_transform(64, 150)(*sample())
    assert image.dtype == torch.float32
    assert image.shape == (1, 64, 64)
