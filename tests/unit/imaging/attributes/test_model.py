"""The attribute heads: answers, abstention, gradients, damaged files."""

import json
from pathlib import Path

import pytest
import torch

from imaging.attributes.heads import AffineHead
from imaging.attributes.model import AttributeModel
from imaging.attributes.pooling import STATISTICS_ID, pool_statistics
from imaging.calibration import log_odds
from imaging.errors import ModelFilesError
from imaging.labels import FracturePattern, LimbGroup
from imaging.yolov7.checkpoint import save_weights
from imaging.yolov7.postprocess import LetterboxTransform

DETECTOR = "d" * 64
CHANNELS = (2, 3, 4)
LENGTH = 4 * (CHANNELS[0] + CHANNELS[1])
WIDE = LetterboxTransform(image_size=(64, 32), canvas_size=(64, 64), scale=(1.0, 1.0), pad=(0, 16))


def write_heads(folder: Path, *, threshold: float = 0.5, without: tuple[str, ...] = ()) -> Path:
    generator = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    for name, count, length in (
        ("pattern", 3, LENGTH),
        ("displaced", 1, LENGTH),
        ("limb", 2, LENGTH),
        ("view", 1, LENGTH),
        ("hardware", 1, LENGTH),
        ("fracture", 1, LENGTH + 1),
    ):
        if name not in without:
            weight = torch.randn(count, length, generator=generator)
            state |= AffineHead(weight=weight, bias=torch.zeros(count)).state(name)
    digest = save_weights(folder / "attributes.safetensors", state, {})
    document = {
        "name": "attribute-heads",
        "version": "0.0.1",
        "weights": "attributes.safetensors",
        "sha256": digest,
        "detector_sha256": DETECTOR,
        "pooling": STATISTICS_ID,
        "undetermined_below": threshold,
        "answers": {
            "pattern": ["spiral", "oblique", "avulsion"],
            "limb": ["hand_arm", "leg_foot"],
            "view": ["frontal"],
        },
        "training_images": [],
    }
    (folder / "attributes.json").write_text(json.dumps(document))
    return folder


def maps(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(1, channels, 64 // stride, 64 // stride, generator=generator)
        for channels, stride in zip(CHANNELS, (8, 16, 32), strict=True)
    ]


def load(folder: Path) -> AttributeModel:
    model = AttributeModel.load(folder, DETECTOR)
    assert model is not None
    return model


def test_answers(tmp_path: Path) -> None:
    model = load(write_heads(tmp_path))
    found = model.image(maps(), WIDE)
    assert {group for group, _ in found.limb} == {LimbGroup.HAND_ARM, LimbGroup.LEG_FOOT}
    assert found.limb[0][1] >= found.limb[1][1]
    assert found.hardware_probability is not None and 0 <= found.hardware_probability <= 1
    vector = pool_statistics(maps(), WIDE)
    assert model.image(vector, None) == found
    first, second = model.patterns(maps(), torch.tensor([[0.0, 0, 9, 9], [5, 5, 9, 9]]), WIDE)
    assert first == second
    assert sum(probability for _, probability in first.probabilities) == pytest.approx(1)
    assert first.probabilities[0][1] >= first.probabilities[-1][1]
    assert first.displaced_probability is not None
    assert model.fracture_logit(maps(), WIDE, 0.9) != model.fracture_logit(maps(), WIDE, 0.1)


def test_an_unsure_head_names_no_pattern(tmp_path: Path) -> None:
    model = load(write_heads(tmp_path, threshold=1.01))
    (estimate,) = model.patterns(maps(), torch.zeros(1, 4))
    assert estimate.pattern is FracturePattern.UNDETERMINED
    assert len(estimate.probabilities) == 3


def test_what_was_not_fitted_is_not_answered(tmp_path: Path) -> None:
    model = load(write_heads(tmp_path, without=("pattern", "hardware", "displaced", "limb", "fracture")))
    found = model.image(maps(), WIDE)
    assert found.hardware_probability is None and found.limb == ()
    assert model.patterns(maps(), torch.zeros(1, 4)) == []
    assert model.fracture_logit(maps(), WIDE, 0.5) == pytest.approx(0)
    with pytest.raises(ValueError, match="no pattern head"):
        model.pattern_logit(maps(), torch.zeros(4), 0)


def test_the_logit_has_a_gradient_at_the_maps(tmp_path: Path) -> None:
    model = load(write_heads(tmp_path))
    features = [level.requires_grad_() for level in maps()]
    model.pattern_logit(features, torch.zeros(4), 1, WIDE).backward()
    assert features[0].grad is not None and features[1].grad is not None
    # The margins are no part of the radiograph.
    assert features[0].grad[0, :, :2].abs().sum() == 0 and features[0].grad[0, :, 2:6].abs().sum() > 0
    with pytest.raises(ValueError, match="box"):
        model.pattern_logit(features, torch.zeros(1, 4), 1)


def test_margins_do_not_count() -> None:
    features = maps()
    before = pool_statistics(features, WIDE)
    features[0][0, :, :2] = 100
    features[1][0, :, 3:] = 100
    assert torch.equal(pool_statistics(features, WIDE), before)
    assert before.shape == (LENGTH,)
    assert torch.isfinite(pool_statistics(features)).all()


def test_files(tmp_path: Path) -> None:
    assert AttributeModel.load(tmp_path, DETECTOR) is None
    write_heads(tmp_path)
    with pytest.raises(ModelFilesError, match="another detector"):
        AttributeModel.load(tmp_path, "e" * 64)
    document = json.loads((tmp_path / "attributes.json").read_text())
    for change in (
        {"pooling": "other"},
        {"answers": {"pattern": ["spiral"], "limb": [], "view": []}},
        {"answers": {"pattern": ["knotted"], "limb": [], "view": []}},
        {"sha256": "0" * 64},
        {"weights": "missing.safetensors"},
        {"undetermined_below": None},
    ):
        (tmp_path / "attributes.json").write_text(json.dumps(document | change))
        with pytest.raises(ModelFilesError):
            AttributeModel.load(tmp_path, DETECTOR)
    (tmp_path / "attributes.json").write_text("{")
    with pytest.raises(ModelFilesError):
        AttributeModel.load(tmp_path, DETECTOR)


def test_heads_that_do_not_fit() -> None:
    head = AffineHead(weight=torch.ones(2, 3), bias=torch.zeros(2))
    assert AffineHead.of_state({}, "x") is None
    for broken in (
        {"x.weight": head.weight},
        {"x.weight": head.weight, "x.bias": torch.zeros(3)},
        {"x.weight": head.weight * float("nan"), "x.bias": head.bias},
    ):
        with pytest.raises(ValueError):
            AffineHead.of_state(broken, "x")


def test_log_odds_are_finite() -> None:
    assert log_odds(0.5) == 0
    assert -10 < log_odds(0) < log_odds(1) < 10


def test_figures_are_the_same_with_and_without_gradients() -> None:
    """Those that training and use read must be those that explanations differentiate."""
    followed = [level.requires_grad_() for level in maps()]
    with_gradients = pool_statistics(followed, WIDE)
    assert with_gradients.requires_grad
    torch.testing.assert_close(with_gradients.detach(), pool_statistics(maps(), WIDE), atol=1e-6, rtol=1e-5)
