"""A detector that starts from what a network learned about hands."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from imaging.bone_age.manifest import SHIPPED_BONE_AGE, read_manifest
from imaging.training.errors import TrainingDataError
from imaging.training.pretraining import hand_backbone
from imaging.training.release import start_of
from imaging.training.train import TrainingConfig, make_network
from imaging.yolov7.efficientnet_lite import EfficientNetLite0

FROM_HANDS = TrainingConfig(graph="yolov7-tiny-lite0", backbone_from=str(SHIPPED_BONE_AGE))


def test_the_backbone_is_that_of_the_hands() -> None:
    state = hand_backbone(SHIPPED_BONE_AGE)
    network = make_network(FROM_HANDS)
    backbone = next(part for part in network.modules() if isinstance(part, EfficientNetLite0))
    assert set(state) == set(backbone.state_dict())
    assert all(torch.equal(state[name], value) for name, value in backbone.state_dict().items())
    frozen = [parameter.requires_grad for parameter in backbone.parameters()]
    assert any(frozen) and not all(frozen), "its first blocks stay as they are"


def test_the_manifest_names_them() -> None:
    start = start_of(FROM_HANDS)
    assert start == f"backbone of the skeletal age networks {read_manifest().model_id}, the rest random"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"graph": "yolov7-tiny-lite2"}, "has no EfficientNet-Lite0 backbone"),
        ({"backbone_from": "nowhere"}, "no skeletal"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=words):
        make_network(replace(FROM_HANDS, **change))  # type: ignore[arg-type]
