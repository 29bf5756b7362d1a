from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cds.learning.federated.errors import HospitalDataError, SettingsRefusedError
from cds.learning.federated.learners.base import WeightRules
from cds.learning.federated.learners.choose import complete
from cds.learning.federated.learners.detector import (
    DetectorLearner,
    base_digest,
    detector_rules,
    load_into,
    make_network,
    plan_of,
    shared_names,
)
from cds.learning.federated.orders import Order
from cds.learning.federated.settings import FederationSettings, ModelKind, NoiseSettings, Strategy
from imaging.training.datasets import LabelledRadiograph
from imaging.yolov7 import load_weights

TINY = {
    "graph": "yolov7-tiny",
    "width": 0.05,
    "base": "random",
    "parts": "all",
    "steps": 2,
    "batch_size": 2,
    "image_size": 64,
    "crop_size": 64,
}
SETTINGS = FederationSettings(kind=ModelKind.DETECTOR, rounds=1, learning=TINY)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledRadiograph]:
    folder, rng = tmp_path_factory.mktemp("radiographs"), np.random.default_rng(0)
    made = []
    for index in range(4):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (72, 64), dtype=np.uint8))
        boxes = ((0.3, 0.3, 0.6, 0.7),) if index % 2 else ()
        made.append(LabelledRadiograph(image_id=str(index), path=path, boxes=boxes, fractured=bool(index % 2)))
    return made


def order(settings: FederationSettings) -> Order:
    return Order(task="update", run="r", round=1, nonce=b"", settings=settings)


def test_a_round_moves_the_weights(samples: list[LabelledRadiograph], tmp_path: Path) -> None:
    rules = detector_rules(SETTINGS)
    learner = DetectorLearner(SETTINGS, samples)
    weights = rules.initial()
    learner.check(weights)
    update = learner.learn(weights, order(SETTINGS))
    rules.check(update)
    assert learner.examples == 4
    assert any(array.any() for array in update.values())
    assert not any("num_batches_tracked" in name or "anchors" in name for name in update)
    assert np.isfinite(learner.loss(weights))
    rules.keep(weights, tmp_path)
    assert "model.0.conv.weight" in load_weights(tmp_path / "detector.safetensors")[0]


def test_norms_may_stay_at_home(samples: list[LabelledRadiograph], tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning=TINY | {"local_norm": True})
    network = make_network(settings)
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    shared = shared_names(network, plan_of(settings.learning))
    assert norms and not any(name.rpartition(".")[0] in norms for name in shared)
    assert any(name.rpartition(".")[0] in norms for name in shared_names(network, plan_of(TINY)))
    learner = DetectorLearner(settings, samples, keep=tmp_path)
    weights = detector_rules(settings).initial()
    learner.learn(weights, order(settings))
    learner.keep(weights, tmp_path)
    kept = load_weights(tmp_path / "detector.safetensors")[0]
    fresh = network.state_dict()
    means = [f"{one}.running_mean" for one in norms]
    own = next(name for name in means if not torch.equal(kept[name], fresh[name]))
    again = DetectorLearner(settings, samples, keep=tmp_path)
    again.keep(weights, tmp_path / "again")
    assert torch.equal(load_weights(tmp_path / "again" / "detector.safetensors")[0][own], kept[own])


def test_fedprox_holds_weights_near(samples: list[LabelledRadiograph]) -> None:
    """The proximal term's gradient is zero at first and grows with the distance."""
    weights = detector_rules(SETTINGS).initial()
    free = DetectorLearner(SETTINGS, samples).learn(weights, order(SETTINGS))
    near = replace(SETTINGS, strategy=Strategy.FEDPROX, proximal_mu=1000.0)
    held = DetectorLearner(near, samples).learn(weights, order(near))
    trained = [name for name in free if name.endswith("weight")]
    assert sum(float((held[n] ** 2).sum()) for n in trained) < sum(float((free[n] ** 2).sum()) for n in trained)


def test_noise_is_added_to_the_whole_update(samples: list[LabelledRadiograph]) -> None:
    settings = replace(SETTINGS, noise=NoiseSettings(clip_norm=1.0, noise_multiplier=0.5))
    learner = DetectorLearner(settings, samples)
    update = learner.learn(detector_rules(SETTINGS).initial(), order(settings))
    values = np.concatenate([array.ravel() for array in update.values()])
    assert values.std() == pytest.approx(0.5, rel=0.1)
    assert learner.noise_unit == "hospital"
    assert learner.noise_steps(order(settings)).sampling == 1.0


def test_another_base_is_refused(samples: list[LabelledRadiograph]) -> None:
    head = replace(SETTINGS, learning=TINY | {"parts": "head"})
    full = complete(head)
    assert full.learning["base_digest"] == base_digest(make_network(head), plan_of(head.learning))
    DetectorLearner(full, samples)
    with pytest.raises(SettingsRefusedError):
        DetectorLearner(replace(full, seed=1), samples)


def test_the_head_alone_may_travel(samples: list[LabelledRadiograph]) -> None:
    head = replace(SETTINGS, learning=TINY | {"parts": "head"})
    rules: WeightRules = detector_rules(head)
    names = set(rules.initial())
    last = len(make_network(head).model) - 1
    assert names and all(name.startswith(f"model.{last}.") for name in names)
    assert set(DetectorLearner(head, samples).learn(rules.initial(), order(head))) == names


def test_both_kinds_of_radiograph_are_needed(samples: list[LabelledRadiograph]) -> None:
    with pytest.raises(HospitalDataError):
        DetectorLearner(SETTINGS, [one for one in samples if one.fractured])


@pytest.mark.parametrize(
    "learning",
    [
        {"graph": "yolov7-tiny", "parts": "neck-head"},
        {"graph": "yolov7-tiny", "parts": "all", "cached_crops": 8},
        {"crop_size": 100},
        {"parts": "all", "cached_crops": 8},
        {"base": "release", "width": 5},
    ],
)
def test_settings_that_do_not_fit_are_refused(learning: dict[str, object]) -> None:
    with pytest.raises(SettingsRefusedError):
        plan_of(learning)


def test_a_release_must_be_given() -> None:
    with pytest.raises(SettingsRefusedError):
        make_network(replace(SETTINGS, learning=TINY | {"base": "release"}))


def test_cached_windows_train_the_neck_on_a_frozen_backbone(samples: list[LabelledRadiograph], tmp_path: Path) -> None:
    learning = {"base": "random", "steps": 1, "batch_size": 2, "image_size": 64, "crop_size": 64, "cached_crops": 4}
    settings = replace(SETTINGS, learning=learning)
    learner = DetectorLearner(settings, samples)
    weights = detector_rules(settings).initial()
    assert not any(name.startswith("model.0.") for name in weights)
    update = learner.learn(weights, order(settings))
    assert any(array.any() for array in update.values())
    learner.keep({name: weights[name] + update[name] for name in weights}, tmp_path)
    kept = load_weights(tmp_path / "detector.safetensors")[0]
    network = make_network(settings)
    network.load_state_dict(kept)
    before = make_network(settings).state_dict()
    frozen = [name for name in kept if name.startswith("model.0.")]
    # Files hold half precision.
    assert frozen and all(torch.allclose(kept[name], before[name], rtol=2e-3, atol=1e-4) for name in frozen)
    load_into(network, weights)
