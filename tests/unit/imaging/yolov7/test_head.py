"""Decoding against the formula written out in loops, priors, and export."""

import math
import warnings
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from torch import Tensor, nn

from imaging.yolov7 import build, decode, fuse

STRIDES = (8, 16, 32)


def naive_decode(raw: list[Tensor], anchors: Tensor, strides: tuple[int, ...]) -> list[list[list[float]]]:
    def s(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    images = []
    for image in range(raw[0].shape[0]):
        rows = []
        for level, values in enumerate(raw):
            for anchor in range(values.shape[1]):
                for row in range(values.shape[2]):
                    for column in range(values.shape[3]):
                        x, y, w, h, *rest = values[image, anchor, row, column].tolist()
                        rows.append(
                            [
                                (2 * s(x) - 0.5 + column) * strides[level],
                                (2 * s(y) - 0.5 + row) * strides[level],
                                (2 * s(w)) ** 2 * float(anchors[level, anchor, 0]),
                                (2 * s(h)) ** 2 * float(anchors[level, anchor, 1]),
                                *(s(value) for value in rest),
                            ]
                        )
        images.append(rows)
    return images


def test_decode_equals_the_formula_in_order() -> None:
    torch.manual_seed(0)
    raw = [torch.randn(2, 2, 96 // s, 64 // s, 7) for s in STRIDES]
    anchors = torch.rand(3, 2, 2) * 50 + 5
    before = [level.clone() for level in raw]
    decoded = decode(raw, anchors, STRIDES)
    torch.testing.assert_close(decoded, torch.tensor(naive_decode(raw, anchors, STRIDES)), rtol=1e-5, atol=1e-4)
    assert all(torch.equal(level, kept) for level, kept in zip(raw, before, strict=True))


def test_decode_keeps_pixel_precision_for_half_precision_logits() -> None:
    raw = [torch.zeros(1, 1, 640 // s, 640 // s, 6, dtype=torch.bfloat16) for s in STRIDES]
    decoded = decode(raw, torch.ones(3, 1, 2), STRIDES)
    assert decoded.dtype == torch.float32
    assert decoded[0, 79, :2].tolist() == [79.5 * 8, 0.5 * 8]


@pytest.mark.parametrize("num_classes", [1, 3])
def test_a_fresh_head_starts_from_the_prior(num_classes: int) -> None:
    torch.manual_seed(0)
    network = build("yolov7-tiny", num_classes, width=0.25).eval()
    with torch.no_grad():
        decoded = network.decode(network(torch.rand(1, 3, 128, 128)))
    assert decoded[..., 4].max() < 0.1
    if num_classes == 1:
        # The class channel of a single class is never trained: it must be a constant.
        torch.testing.assert_close(decoded[..., 5], torch.full_like(decoded[..., 5], 0.99), rtol=0, atol=0.01)
    else:
        assert decoded[..., 5:].mean() == pytest.approx(0.6 / num_classes, abs=0.1)
    with pytest.raises(ValueError, match="at least 1"):
        build("yolov7-tiny", 0)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = fuse(build("yolov7-tiny", 2, width=0.25))

    def forward(self, images: Tensor) -> Tensor:
        return self.network.decode(self.network(images))


def test_openvino_converts_network_and_decoding() -> None:
    detector, images = Detector().eval(), torch.rand(1, 3, 96, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(detector, example_input=images)
    # Some processors default to bfloat16, which moves boxes by hundredths of a pixel.
    compiled: Any = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        wanted = detector(images).numpy()
    np.testing.assert_allclose(compiled(images.numpy())[0], wanted, rtol=1e-4, atol=1e-3)


def test_torch_export_keeps_network_and_decoding() -> None:
    detector, images = Detector().eval(), torch.rand(1, 3, 96, 64)
    exported = torch.export.export(detector, (images,)).module()
    torch.testing.assert_close(exported(images), detector(images), rtol=1e-5, atol=1e-4)
