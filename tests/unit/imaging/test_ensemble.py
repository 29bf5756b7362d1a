"""Boxes of two detectors become one list."""

import pytest
import torch
from torch import Tensor

from imaging.ensemble import fuse_boxes

ALONE = [[200.0, 10.0, 240.0, 60.0, 0.3, 0.0]]


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 6)


def test_what_both_see_lies_between_and_keeps_the_mean_score() -> None:
    first, second = rows([0.0, 0.0, 40.0, 40.0, 0.9, 0.0]), rows([4.0, 4.0, 44.0, 44.0, 0.3, 0.0])
    (fused,) = fuse_boxes((first, second), iou=0.45)
    torch.testing.assert_close(fused, torch.tensor([1.0, 1.0, 41.0, 41.0, 0.6, 0.0]))


@pytest.mark.parametrize("seen_by", [0, 1])
def test_what_one_sees_alone_keeps_its_place_and_half_its_score(seen_by: int) -> None:
    found = [rows(), rows()]
    found[seen_by] = rows(*ALONE)
    (fused,) = fuse_boxes(found, iou=0.45)
    torch.testing.assert_close(fused, torch.tensor([200.0, 10.0, 240.0, 60.0, 0.15, 0.0]))


def test_several_boxes_of_one_detector_do_not_add_up() -> None:
    first = rows([0.0, 0.0, 40.0, 40.0, 0.8, 0.0], [1.0, 1.0, 41.0, 41.0, 0.6, 0.0])
    (fused,) = fuse_boxes((first, rows()), iou=0.45)
    assert float(fused[4]) == pytest.approx(0.4)


def test_boxes_of_another_class_or_place_stay_apart_by_falling_score() -> None:
    first = rows([0.0, 0.0, 40.0, 40.0, 0.4, 0.0], [100.0, 0.0, 140.0, 40.0, 0.2, 0.0])
    second = rows([0.0, 0.0, 40.0, 40.0, 0.9, 1.0])
    fused = fuse_boxes((first, second), iou=0.45)
    torch.testing.assert_close(fused[:, 4], torch.tensor([0.45, 0.2, 0.1]))
    assert fused[:, 5].tolist() == [1.0, 0.0, 0.0]


def test_nothing_found_is_nothing_found() -> None:
    assert fuse_boxes((rows(), rows()), iou=0.45).shape == (0, 6)


def test_the_order_of_the_detectors_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(2):
        corner = torch.rand(12, 2, generator=generator) * 60
        sides = 10 + torch.rand(12, 2, generator=generator) * 30
        score = torch.rand(12, 1, generator=generator)
        found.append(torch.cat((corner, corner + sides, score, torch.zeros(12, 1)), dim=1))
    one, other = fuse_boxes(found, iou=0.3), fuse_boxes(found[::-1], iou=0.3)
    torch.testing.assert_close(one, other)
