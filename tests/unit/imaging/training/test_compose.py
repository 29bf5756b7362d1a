"""Mosaics, and fractures pasted onto healthy bone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from imaging.training.augment import training_transform
from imaging.training.compose import ComposedWindows, mosaic, paste
from imaging.training.datasets import RadiographDataset, Target, read_collection
from imaging.training.reproducible import SeededDraws
from tests.support.radiographs import write_fracatlas

SIZE = 96


def shaft(*, at: int, crack: bool = False) -> Tensor:
    """[1, SIZE, SIZE]: an upright shaft of 24 px around the column `at`, with or without a dark line across."""
    pixels = torch.full((1, SIZE, SIZE), 0.2)
    pixels[:, :, at - 12 : at + 12] = 0.8
    if crack:
        pixels[:, 46:50, at - 12 : at + 12] = 0.3
    return pixels


def window(pixels: Tensor, *boxes: list[float]) -> tuple[tv_tensors.Image, Target]:
    found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return tv_tensors.Image(pixels), {
        "boxes": tv_tensors.BoundingBoxes(found, format="XYXY", canvas_size=(SIZE, SIZE)),
        "labels": torch.zeros(len(found), dtype=torch.int64),
        "image_number": torch.tensor(0),
        "hard_points": torch.zeros((0, 2)),
    }


DONOR = window(shaft(at=40, crack=True), [28, 44, 52, 52])


@pytest.mark.parametrize("at", [24, 40, 66])
def test_a_pasted_fracture_lies_on_the_bone(at: int) -> None:
    torch.manual_seed(3)
    image, target = paste(window(shaft(at=at)), DONOR)
    ((x1, y1, x2, y2),) = target["boxes"].tolist()
    assert (x1 + x2) / 2 == pytest.approx(at, abs=4) and (x2 - x1, y2 - y1) == (24, 8)
    inside = image.as_subclass(Tensor)[0, round((y1 + y2) / 2), round(x1) + 4 : round(x2) - 4]
    assert inside.max() < 0.5, "the line came with it"
    assert target["labels"].tolist() == [0]


@pytest.mark.parametrize(
    ("healthy", "donor"),
    [
        (torch.full((1, SIZE, SIZE), 0.4), DONOR),  # no bone in sight
        (shaft(at=40) * 0.05, DONOR),  # bone so dark that it is none
        (shaft(at=40), window(shaft(at=40))),  # the donor's window shows no fracture
        (shaft(at=40), window(shaft(at=12, crack=True), [0, 44, 24, 52])),  # or half of one
    ],
)
def test_where_it_does_not_fit_the_window_stays_as_it_was(
    healthy: Tensor, donor: tuple[tv_tensors.Image, Target]
) -> None:
    torch.manual_seed(3)
    image, target = paste(window(healthy), donor)
    assert torch.equal(image.as_subclass(Tensor), healthy) and not len(target["boxes"])


def test_a_mosaic_shows_a_quarter_of_each_at_its_own_scale() -> None:
    torch.manual_seed(5)
    greys = [0.1, 0.3, 0.5, 0.7]
    parts = [window(torch.full((1, SIZE, SIZE), grey), [40, 40, 56, 52]) for grey in greys]
    image, target = mosaic(parts)
    pixels = image.as_subclass(Tensor)[0]
    corners = [pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1]]
    assert [round(float(grey), 1) for grey in corners] == greys
    assert len(target["boxes"]) == len(target["labels"]) == 4
    for grey, (x1, y1, x2, y2) in zip(greys, target["boxes"].tolist(), strict=True):
        assert (x2 - x1, y2 - y1) == (16, 12), "whole, and not made smaller"
        assert torch.allclose(pixels[round(y1) : round(y2), round(x1) : round(x2)], torch.tensor(grey))


def test_a_box_too_long_for_its_quarter_is_cut_or_left_out() -> None:
    for seed in range(8):
        torch.manual_seed(seed)
        _, target = mosaic([window(shaft(at=40), [2, 2, 94, 94]), *[window(shaft(at=40))] * 3])
        assert len(target["boxes"]) <= 1
        for x1, y1, x2, y2 in target["boxes"].tolist():
            assert (x2 - x1) * (y2 - y1) >= 0.4 * 92 * 92


def test_a_mosaic_of_three_is_refused() -> None:
    with pytest.raises(ValueError, match="takes four windows, got 3"):
        mosaic([DONOR] * 3)


@pytest.mark.parametrize("share", [{"mosaic": -0.1}, {"copy_paste": 1.5}])
def test_a_share_is_a_share(share: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be a share from 0 to 1"):
        ComposedWindows(RadiographDataset(()), **share)


@pytest.mark.parametrize("share", [{"mosaic": 1.0}, {"copy_paste": 1.0}, {"mosaic": 0.5, "copy_paste": 0.5}])
def test_the_same_seed_gives_the_same_window(share: dict[str, float], tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa")).samples
    draws = SeededDraws(ComposedWindows(RadiographDataset(samples, training_transform(64, 96)), **share))
    assert len(draws) == len(samples)
    for number in range(len(samples)):
        (one, first), (two, second) = draws[number, 11], draws[number, 11]
        assert torch.equal(one.as_subclass(Tensor), two.as_subclass(Tensor))
        boxes = first["boxes"].as_subclass(Tensor)
        assert torch.equal(boxes, second["boxes"].as_subclass(Tensor)) and len(boxes) == len(first["labels"])
        assert one.shape == (1, 64, 64) and bool(np.isfinite(boxes.numpy()).all())
        assert bool((boxes >= 0).all() and (boxes <= 64).all())


def test_healthy_windows_gain_fractures_and_fractured_ones_are_left_alone(tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa")).samples
    plain = RadiographDataset(samples, training_transform(64, 96))
    before, after = SeededDraws(plain), SeededDraws(ComposedWindows(plain, copy_paste=1.0))
    gained = 0
    for number in range(len(samples)):
        for seed in range(6):
            (_, one), (_, two) = before[number, seed], after[number, seed]
            assert len(two["boxes"]) >= len(one["boxes"])
            assert not len(one["boxes"]) or torch.equal(one["boxes"], two["boxes"])
            gained += len(two["boxes"]) > len(one["boxes"])
    assert gained
