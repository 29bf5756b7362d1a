"""Outputs and losses against numbers computed with the published implementation (shared data, not in this tree)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from imaging.yolov7 import Yolov7, build, fuse, load_upstream, ota_loss, plain_loss
from imaging.yolov7.loss import DetectionLoss
from tests.support.shared import requires_shared, shared_dir

pytestmark = requires_shared

LEVELS = range(3)


def fixtures() -> Path:
    folder = shared_dir()
    assert folder is not None
    return folder / "fixtures"


@pytest.fixture(scope="module")
def reference() -> Mapping[str, Tensor]:
    with np.load(fixtures() / "yolov7-tiny_random_nc3_reference.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture
def network() -> Yolov7:
    network = build("yolov7-tiny", 3)
    load_upstream(network, load_file(fixtures() / "yolov7-tiny_random_nc3.safetensors"))
    return network


def assert_close(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    """Relative to the largest value, so that values near zero do not ask for more digits than float32 has."""
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max() / wanted.abs().max()) < tolerance


@pytest.mark.parametrize("fused", [False, True])
def test_outputs_in_evaluation(network: Yolov7, reference: Mapping[str, Tensor], fused: bool) -> None:
    network = fuse(network) if fused else network.eval()
    with torch.no_grad():
        raw = network(reference["image"])
    for level in LEVELS:
        assert_close(raw[level], reference[f"raw{level}"])
    assert_close(network.decode(raw), reference["decoded"])


@pytest.mark.parametrize(("name", "make"), [("ota", ota_loss), ("plain", plain_loss)])
def test_outputs_and_losses_in_training(
    network: Yolov7, reference: Mapping[str, Tensor], name: str, make: type
) -> None:
    loss: DetectionLoss = make(network)
    raw = network.train()(reference["image"])
    for level in LEVELS:
        assert_close(raw[level].detach(), reference[f"train_raw{level}"])
    items = loss(raw, reference["targets"])
    per_image = items.box + items.objectness + items.classification
    found = torch.stack((items.box, items.objectness, items.classification, per_image))
    torch.testing.assert_close(found, reference[f"loss_{name}_items"], rtol=1e-3, atol=0)
    torch.testing.assert_close(items.total.detach().view(1), reference[f"loss_{name}_total"], rtol=1e-3, atol=0)
