"""The two backbones: shapes, published weights, and what is left alone in training."""

import importlib

import pytest
import torch

from imaging.training.train import TrainingConfig, imagenet_state, make_network
from imaging.yolov7.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLite0,
    EfficientNetLite2,
    fold_imagenet_state,
    make_lite2,
)

KINDS = (EfficientNetLite0, EfficientNetLite2)


@pytest.mark.parametrize(
    ("kind", "channels"), [(EfficientNetLite0, (40, 112, 320)), (EfficientNetLite2, (48, 120, 352))]
)
def test_features_at_three_strides(kind: type[EfficientNetLite], channels: tuple[int, ...]) -> None:
    backbone = kind().eval()
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, 64, 96))
    assert backbone.out_channels == channels
    assert [tuple(one.shape) for one in features] == [
        (1, number, 64 // stride, 96 // stride) for number, stride in zip(channels, (8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_weights_fill_the_backbone(kind: type[EfficientNetLite]) -> None:
    kind().load_state_dict(fold_imagenet_state(imagenet_state(kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_weights_know_the_image_they_know(kind: type[EfficientNetLite]) -> None:
    """Folded and asymmetrically padded, the features still lead the published classifier to the right class."""
    datasets = importlib.import_module("sklearn.datasets")
    state = imagenet_state(kind)
    backbone = kind().eval()
    backbone.load_state_dict(fold_imagenet_state(state))
    photograph = torch.from_numpy(datasets.load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        coarse = backbone(torch.nn.functional.interpolate(photograph[..., :416, 112:528], (256, 256), mode="area"))[-1]
        scale = state["_bn1.weight"] / torch.sqrt(state["_bn1.running_var"] + 1e-3)
        head = torch.nn.functional.conv2d(coarse, state["_conv_head.weight"] * scale[:, None, None, None])
        head = head + (state["_bn1.bias"] - state["_bn1.running_mean"] * scale)[:, None, None]
        pooled = torch.nn.functional.relu6(head).mean(dim=(2, 3))
        logits = pooled @ state["_fc.weight"].T + state["_fc.bias"]
    assert int(logits.argmax()) == 698  # palace


def test_a_detector_on_the_larger_backbone() -> None:
    network = make_network(TrainingConfig(graph="yolov7-tiny-lite2", frozen_blocks=4))
    backbone = next(one for one in network.modules() if isinstance(one, EfficientNetLite2))
    assert not any(parameter.requires_grad for block in list(backbone.blocks)[:4] for parameter in block.parameters())
    assert all(parameter.requires_grad for parameter in backbone.blocks[-1].parameters())
    with torch.no_grad():
        raw = network.eval()(torch.rand(1, 3, 64, 64))
    assert [tuple(level.shape[2:4]) for level in raw] == [(8, 8), (4, 4), (2, 2)]


def test_there_is_one_width() -> None:
    with pytest.raises(ValueError, match="narrower"):
        make_lite2(3, 0.5)
