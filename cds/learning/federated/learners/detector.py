"""The fracture detector's weights, or a part of them: FedAvg or FedProx.

What travels is chosen by `parts`: the head, all but a frozen backbone, or everything; and by `local_norm`: batch norms
may stay in each hospital (FedBN, Li et al., ICLR 2021), which suits hospitals whose machines expose differently. The
Lite0 backbone has no norms of its own left (they are folded into its convolutions); neck and head have. With local
norms only the hospitals hold a whole model: the server's copy carries untrained norms.

What does not travel must be the same everywhere at the start: the server sends its digest with the settings
(``base_digest``), and a hospital with another base refuses.

Noise protects the hospital's round as a whole. A detector's per-image gradients are not clipped one by one here, so no
statement about a single patient follows from its epsilon.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cds.learning.federated.aggregation import check_update
from cds.learning.federated.errors import HospitalDataError, SettingsRefusedError
from cds.learning.federated.learners.base import WeightRules, check_names, choice, noisy_update, number
from cds.learning.federated.orders import Order
from cds.learning.federated.privacy import Steps
from cds.learning.federated.settings import FederationSettings, Strategy
from cds.learning.federated.wire import Kind, Tensors
from imaging.manifest import read_manifest
from imaging.training.datamodule import Batch, FractureDataModule
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.training.splits import part_of, read_list
from imaging.training.train import imagenet_state
from imaging.yolov7 import GRAPHS, Yolov7, build, load_weights, ota_loss, plain_loss, save_weights
from imaging.yolov7.efficientnet_lite import EfficientNetLite, fold_imagenet_state

LARGEST_GRADIENT = 10.0
"""Euclidean norm to which a step's gradient is scaled down."""
_LOSS_BATCHES = 4
_KNOWN = (
    "graph",
    "width",
    "base",
    "base_digest",
    "parts",
    "local_norm",
    "loss",
    "steps",
    "batch_size",
    "rate",
    "image_size",
    "crop_size",
    "cached_crops",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorPlan:
    """Settings of the learner."""

    graph: str
    width: float
    base: str
    """imagenet, release or random."""
    parts: str
    """neck-head, head or all."""
    local_norm: bool
    loss: str
    steps: int
    """Batches a round."""
    batch_size: int
    rate: float
    image_size: int
    """The image's longer side is scaled to this many pixels before a window is cut."""
    crop_size: int
    """Side of the window, pixels."""
    cached_crops: int
    """Windows drawn once, whose backbone features are kept: many cheap steps on a frozen backbone. 0 draws afresh."""
    base_digest: str


def plan_of(learning: Mapping[str, Any]) -> DetectorPlan:
    """The settings of a federation's learner.

    Raises:
        SettingsRefusedError: unknown or out of range.
    """
    check_names(learning, _KNOWN)
    plan = DetectorPlan(
        graph=choice(learning, "graph", ("yolov7-tiny-lite0", *sorted(GRAPHS))),
        width=number(learning, "width", 1.0, low=0.05, high=2.0),
        base=choice(learning, "base", ("imagenet", "release", "random")),
        parts=choice(learning, "parts", ("neck-head", "head", "all")),
        local_norm=bool(learning.get("local_norm", False)),
        loss=choice(learning, "loss", ("plain", "ota")),
        steps=int(number(learning, "steps", 40, low=1, high=100_000)),
        batch_size=int(number(learning, "batch_size", 16, low=2, high=256)),
        rate=number(learning, "rate", 1e-3, low=1e-7, high=1.0),
        image_size=int(number(learning, "image_size", 512, low=64, high=2048)),
        crop_size=int(number(learning, "crop_size", 256, low=32, high=2048)),
        cached_crops=int(number(learning, "cached_crops", 0, low=0, high=100_000)),
        base_digest=str(learning.get("base_digest", "")),
    )
    if (plan.cached_crops or plan.parts == "neck-head") and plan.graph != "yolov7-tiny-lite0":
        raise SettingsRefusedError(
            f"the graph {plan.graph} has no backbone that could be frozen", remedy="Set parts: all, cached_crops: 0."
        )
    if plan.crop_size % 32 or (plan.cached_crops and plan.parts == "all"):
        raise SettingsRefusedError(
            "crop_size must be a multiple of 32, and cached windows need a frozen backbone",
            remedy="Correct `learning`.",
        )
    return plan


def make_network(settings: FederationSettings, *, start_from: Path | None = None) -> Yolov7:
    """The network that a federation begins with; the same everywhere.

    Args:
        settings: of the federation; the seed fixes what is random.
        start_from: folder of a release; needed for the base ``release``.

    Raises:
        SettingsRefusedError: the base cannot be had.
    """
    plan = plan_of(settings.learning)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build(plan.graph, num_classes=1, width=plan.width)
    backbone = next((module for module in network.modules() if isinstance(module, EfficientNetLite)), None)
    if plan.base == "release":
        if start_from is None:
            raise SettingsRefusedError("the base is a release, and none was given", remedy="Give --start-from.")
        manifest = read_manifest(start_from)
        network.load_state_dict(load_weights(manifest.weights, sha256=manifest.sha256)[0])
    elif plan.base == "imagenet" and backbone is not None:
        backbone.load_state_dict(fold_imagenet_state(imagenet_state(type(backbone))))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_is_trained(network, name, plan))
    return network


def shared_names(network: Yolov7, plan: DetectorPlan) -> list[str]:
    """Names of the tensors that travel: what is trained, with the statistics of its norms unless those stay."""
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    names = []
    for name in network.state_dict():
        owner, _, leaf = name.rpartition(".")
        statistics = leaf in ("running_mean", "running_var") and f"{owner}.weight" in trained
        if (name in trained or statistics) and not (plan.local_norm and owner in norms):
            names.append(name)
    return names


def base_digest(network: Yolov7, plan: DetectorPlan) -> str:
    """SHA-256 over everything that does not travel."""
    total = hashlib.sha256()
    shared = set(shared_names(network, plan))
    for name, value in network.state_dict().items():
        if name not in shared:
            total.update(name.encode())
            total.update(value.contiguous().numpy().tobytes())
    return total.hexdigest()


def with_base_digest(settings: FederationSettings, *, start_from: Path | None = None) -> dict[str, Any]:
    """The learner's settings with the digest of the server's base."""
    plan = plan_of(settings.learning)
    digest = base_digest(make_network(settings, start_from=start_from), plan)
    return dict(settings.learning) | {"base_digest": digest}


def weights_of(network: Yolov7, names: list[str]) -> Tensors:
    """Named tensors as float32 arrays."""
    state = network.state_dict()
    return {name: state[name].detach().float().numpy().copy() for name in names}


def load_into(network: Yolov7, weights: Tensors) -> None:
    """Put weights into a network."""
    state = network.state_dict()
    with torch.no_grad():
        for name, array in weights.items():
            state[name].copy_(torch.from_numpy(np.ascontiguousarray(array)))


def detector_rules(settings: FederationSettings, *, start_from: Path | None = None) -> WeightRules:
    """The server's side."""
    plan = plan_of(settings.learning)
    network = make_network(settings, start_from=start_from)

    def write(weights: Tensors, folder: Path) -> None:
        load_into(network, weights)
        write_model(network, folder)

    return WeightRules(settings, weights_of(network, shared_names(network, plan)), write)


def write_model(network: Yolov7, folder: Path) -> None:
    """Write ``detector.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / "detector.safetensors", network.state_dict(), {"graph": network.graph.name})


def make_detector_learner(
    settings: FederationSettings,
    data: Path,
    *,
    split_list: Path | None,
    part: str,
    keep: Path | None,
    start_from: Path | None = None,
) -> "DetectorLearner":
    """A hospital's learner with the radiographs of a folder.

    Raises:
        HospitalDataError: nothing to learn from.
        SettingsRefusedError: the settings do not fit, or the base differs from the server's.
    """
    collection = read_collection(data)
    if split_list is not None:
        collection = part_of(collection, read_list(split_list), part)
    return DetectorLearner(settings, list(collection.samples), keep=keep, start_from=start_from)


class _Passthrough(nn.Module):
    """Stands where the backbone stood when its features are given instead of images."""

    def forward(self, features: Any) -> Any:
        """What came in."""
        return features


class DetectorLearner:
    """A hospital's side."""

    kind = Kind.WEIGHTS
    noise_unit = "hospital"

    def __init__(
        self,
        settings: FederationSettings,
        samples: list[LabelledRadiograph],
        *,
        keep: Path | None = None,
        start_from: Path | None = None,
    ) -> None:
        """Build the network and sort the samples.

        Args:
            settings: of the federation.
            samples: this hospital's radiographs.
            keep: folder for the norms that stay; None keeps them in memory only.
            start_from: folder of the release that is the base.

        Raises:
            HospitalDataError: no fractured radiograph with boxes, or none without a fracture.
            SettingsRefusedError: the base differs from the server's.
        """
        self._plan = plan_of(settings.learning)
        self._network = make_network(settings, start_from=start_from)
        if self._plan.base_digest not in ("", base_digest(self._network, self._plan)):
            raise SettingsRefusedError(
                "the base of this hospital's network is not the server's", remedy="Install the same weights."
            )
        self._samples = [one for one in samples if one.boxes_known]
        fractured = sum(one.fractured for one in self._samples)
        if fractured == 0 or fractured == len(self._samples):
            raise HospitalDataError(
                "a detector needs radiographs with boxes and radiographs without a fracture",
                remedy="Check --data, --split-list and --part.",
            )
        self._names = shared_names(self._network, self._plan)
        self._like = weights_of(self._network, self._names)
        self._settings = settings
        self._local = None if keep is None or not self._plan.local_norm else keep / "local_norm.safetensors"
        self._loss = {"plain": plain_loss, "ota": ota_loss}[self._plan.loss](self._network)
        self._cache: list[tuple[tuple[Tensor, ...], Tensor]] | None = None
        self._backbone = self._network.model[0]
        if self._local is not None and self._local.is_file():
            load_into(self._network, {name: value.numpy() for name, value in load_file(self._local).items()})

    @property
    def examples(self) -> int:
        """Radiographs that can be learnt from."""
        return len(self._samples)

    def check(self, weights: Tensors) -> None:
        """Shape and finiteness."""
        check_update(weights, self._like)

    def learn(self, weights: Tensors, order: Order) -> Tensors:
        """Some steps of AdamW from the common weights; under FedProx held near them."""
        plan = plan_of(order.settings.learning)
        load_into(self._network, weights)
        mu = order.settings.proximal_mu if order.settings.strategy is Strategy.FEDPROX else 0.0
        trained = [(name, p) for name, p in self._network.named_parameters() if p.requires_grad]
        anchors = [(p, torch.from_numpy(weights[name])) for name, p in trained if name in weights]
        optimiser = torch.optim.AdamW([p for _, p in trained], lr=plan.rate, weight_decay=0.0)
        self._network.train()
        self._backbone.eval()
        for images, targets in self._batches(plan, order.settings.seed + order.round):
            optimiser.zero_grad(set_to_none=True)
            loss = self._loss(self._network(images), targets).total / plan.batch_size
            if mu > 0:
                loss = loss + mu / 2 * torch.stack([(p - common).square().sum() for p, common in anchors]).sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for _, p in trained], LARGEST_GRADIENT)
            optimiser.step()
        self._keep_local()
        after = weights_of(self._network, self._names)
        update = {name: after[name] - weights[name] for name in self._names}
        return update if order.settings.noise is None else noisy_update(update, order.settings.noise)

    def noise_steps(self, order: Order) -> Steps:
        """One a round: the whole update is one contribution."""
        noise = order.settings.noise
        if noise is None:
            return Steps(noise_multiplier=1.0, sampling=0.0, count=0)
        return Steps(noise_multiplier=noise.noise_multiplier, sampling=1.0, count=1)

    def loss(self, weights: Tensors) -> float:
        """Mean detection loss of some of this hospital's windows."""
        load_into(self._network, weights)
        self._network.eval()
        totals = []
        with torch.no_grad():
            for index, (images, targets) in enumerate(self._batches(self._plan, self._settings.seed)):
                if index == _LOSS_BATCHES:
                    break
                totals.append(float(self._loss(self._network(images), targets).total) / self._plan.batch_size)
        return float(np.mean(totals))

    def keep(self, weights: Tensors, folder: Path) -> None:
        """Write ``detector.safetensors``: the common weights with this hospital's own norms, where those stay."""
        load_into(self._network, weights)
        self._network.model[0] = self._backbone
        write_model(self._network, folder)
        self._cache = None

    def _batches(self, plan: DetectorPlan, seed: int) -> Iterator[tuple[Any, Tensor]]:
        """Inputs of the network and targets [T, 6], `steps` times."""
        if plan.cached_crops == 0:
            for batch in self._draw(plan, plan.steps * plan.batch_size, seed):
                yield batch.images, batch.targets
            return
        if self._cache is None:
            self._cache = self._features(plan)
            self._network.model[0] = _Passthrough()
        generator = np.random.default_rng(seed)
        for _ in range(plan.steps):
            drawn = generator.integers(0, len(self._cache), size=plan.batch_size)
            features = tuple(
                torch.stack([self._cache[index][0][level] for index in drawn]).float() for level in range(3)
            )
            targets = []
            for place, index in enumerate(drawn):
                one = self._cache[index][1].clone()
                one[:, 0] = place
                targets.append(one)
            yield features, torch.cat(targets)

    def _features(self, plan: DetectorPlan) -> list[tuple[tuple[Tensor, ...], Tensor]]:
        """Backbone features (half precision) and targets of windows that are drawn once."""
        kept: list[tuple[tuple[Tensor, ...], Tensor]] = []
        count = max(plan.batch_size, plan.cached_crops)
        self._backbone.eval()
        with torch.no_grad():
            for batch in self._draw(plan, count, self._settings.seed):
                levels = self._backbone(batch.images)
                for index in range(len(batch.images)):
                    targets = batch.targets[batch.targets[:, 0] == index]
                    kept.append((tuple(level[index].half() for level in levels), targets))
        return kept

    def _draw(self, plan: DetectorPlan, windows: int, seed: int) -> Iterator[Batch]:
        module = FractureDataModule(
            self._samples,
            [],
            image_size=plan.image_size,
            crop_size=plan.crop_size,
            batch_size=plan.batch_size,
            samples_per_epoch=windows,
            workers=0,
            seed=seed,
        )
        yield from module.train_dataloader()

    def _keep_local(self) -> None:
        """Norms that stay are written beside the hospital's other files."""
        if self._local is None:
            return
        shared = set(self._names)
        own = {
            name: value.clone().contiguous()
            for name, value in self._network.state_dict().items()
            if name not in shared and value.is_floating_point() and name.rpartition(".")[0] in self._norms()
        }
        self._local.parent.mkdir(parents=True, exist_ok=True)
        save_file(own, self._local)

    def _norms(self) -> set[str]:
        return {name for name, module in self._network.named_modules() if isinstance(module, nn.BatchNorm2d)}


def _is_trained(network: Yolov7, name: str, plan: DetectorPlan) -> bool:
    """Whether a parameter is trained at all."""
    layer = int(name.split(".")[1])
    if plan.parts == "head":
        return layer == len(network.model) - 1
    return plan.parts == "all" or layer > 0
