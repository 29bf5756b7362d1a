"""Proof of federated learning of the detector: FracAtlas, dealt by region and by block of neighbouring ids.

    python -m tests.benchmarks.learning --only federated_detector

FracAtlas' own validation split is the locked set. The budget is small: the figures compare ways to learn.
"""

import csv
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cds.learning.federated.transport import quiet_flower

quiet_flower()

from cds.learning.federated.aggregation import add  # noqa: E402
from cds.learning.federated.learners.choose import complete  # noqa: E402
from cds.learning.federated.learners.detector import DetectorLearner, detector_rules, load_into, make_network  # noqa: E402
from cds.learning.federated.orders import Order  # noqa: E402
from cds.learning.federated.settings import FederationSettings, ModelKind, Strategy  # noqa: E402
from cds.learning.federated.simulation import SimulatedHospital, simulate  # noqa: E402
from cds.learning.federated.wire import Tensors  # noqa: E402
from imaging.training.datasets import LabelledRadiograph, RadiographDataset, read_collection  # noqa: E402
from imaging.training.splits import write_list  # noqa: E402
from imaging.yolov7 import letterbox  # noqa: E402
from tests.benchmarks.learning_federated import SIZES, Budget, common_model, forest_plot, measured, words  # noqa: E402
from tests.benchmarks.learning_report import Proof, Section, Table  # noqa: E402

HANDS, LEGS, OTHERS = "hands", "legs, lower ids", "legs, upper ids; hips and shoulders"


def prove(data: Path, out: Path, *, budget: str, seed: int = 7) -> Proof:
    """The one section.

    Args:
        data: folder with ``fracatlas``.
        out: folder for figures, processes and ``federated_detector.json``; made anew.
        budget: a key of `SIZES`.
        seed: of dealing, training and bootstrap.
    """
    if out.exists():
        shutil.rmtree(out)  # a federation would go on from the state that it finds
    out.mkdir(parents=True)
    section = detector_section(data / "fracatlas", out, SIZES[budget], seed)
    (out / "federated_detector.json").write_text(json.dumps(section.data, indent=1), encoding="utf-8")
    return (section,)


def detector_section(data: Path, out: Path, budget: Budget, seed: int) -> Section:
    """Each hospital alone, FedAvg, FedProx and pooled, on one locked set."""
    begun = time.process_time()
    torch.set_num_threads(1)
    dealt = deal_radiographs(data)
    locked = locked_set(data, budget.detector_locked, seed)
    settings = complete(detector_settings(budget, seed))
    names = list(dealt)
    models: dict[str, Tensors] = {name: trained_alone(samples, settings) for name, samples in dealt.items()}
    everyone = [sample for samples in dealt.values() for sample in samples]
    pooled = dict(settings.learning)
    pooled["cached_crops"] = len(names) * int(pooled.get("cached_crops", 0))
    models["all data in one place"] = trained_alone(everyone, replace(settings, learning=pooled))
    assignment = {one.image_id: f"hospital-{names.index(name)}" for name, part in dealt.items() for one in part}
    listed = write_list(out / "data" / "radiographs.csv", everyone, assignment)
    for name, chosen in (
        ("federated, FedAvg", settings),
        ("federated, FedProx", replace(settings, strategy=Strategy.FEDPROX, proximal_mu=0.01)),
    ):
        hospitals = [
            SimulatedHospital(
                name=f"hospital-{index}",
                data=data,
                options=("--split-list", str(listed), "--part", f"hospital-{index}"),
            )
            for index in range(len(names))
        ]
        folder = out / chosen.strategy.value
        models[name] = common_model(simulate(chosen, hospitals, folder, timeout_s=budget.process_timeout_s))
    truth = np.array([sample.fractured for sample in locked], dtype=np.float64)
    scores = image_scores(models, locked, settings, budget.detector_side)
    metrics = {name: measured(scores[name], truth, budget, seed) for name in models}
    counts = {name: len(samples) for name, samples in dealt.items()}
    learnt = {name: counts.get(name, len(everyone)) for name in models}
    return Section(
        heading="Detector learnt by several hospitals",
        paragraphs=(
            f"Three hospitals of FracAtlas' training images ({', '.join(f'{k}: {v}' for k, v in counts.items())}), "
            "separate processes over Flower. Neck and head were learnt on a frozen ImageNet backbone, "
            f"{budget.detector_rounds} rounds of {budget.detector_steps} steps in each hospital; the pooled model made "
            "as many steps as one hospital. Metric: area under the ROC curve of the highest objectness in an image, "
            f"{len(locked)} images of FracAtlas' validation split, {int(truth.sum())} fractured.",
            "The budget is a small part of what the shipped detector was given; the figures compare, they do not rate.",
        ),
        tables=(
            Table(
                columns=("model", "radiographs", "AUC (95 % interval)"),
                rows=tuple((name, str(learnt[name]), words(metric)) for name, metric in metrics.items()),
            ),
        ),
        figures=(forest_plot(metrics, out / "federated-detector.png", "Image-level AUC on the locked set"),),
        data={
            "auc": {name: metric.to_json() for name, metric in metrics.items()},
            "learnt_from": learnt,
            "fractured": int(truth.sum()),
            "own_cpu_s": round(time.process_time() - begun, 1),
        },
    )


def detector_settings(budget: Budget, seed: int) -> FederationSettings:
    """Of the federation."""
    learning: dict[str, float | int | str | bool] = {
        "steps": budget.detector_steps,
        "batch_size": 16,
        "rate": 1e-3,
        "image_size": 448,
        "crop_size": 160,
        "cached_crops": budget.detector_crops,
    }
    return FederationSettings(
        kind=ModelKind.DETECTOR,
        rounds=budget.detector_rounds,
        min_hospitals=3,
        wait_s=budget.process_timeout_s,
        round_timeout_s=budget.process_timeout_s,
        learning=learning,
        seed=seed,
    )


def deal_radiographs(data: Path) -> dict[str, list[LabelledRadiograph]]:
    """Training images to three hospitals: hands, and legs with the rest in two runs of ids; no block in two."""
    with (data / "dataset.csv").open(encoding="utf-8", newline="") as stream:
        hands = {Path(row["image_id"]).stem: row["hand"] == "1" for row in csv.DictReader(stream)}
    samples = [one for one in read_collection(data, "train").samples if one.boxes_known]
    blocks = sorted({one.group for one in samples})
    lower = set(blocks[: len(blocks) // 2])
    dealt: dict[str, list[LabelledRadiograph]] = {HANDS: [], LEGS: [], OTHERS: []}
    for one in samples:
        place = HANDS if hands.get(Path(one.image_id).stem, False) else LEGS if one.group in lower else OTHERS
        dealt[place].append(one)
    return dealt


def locked_set(data: Path, most: int, seed: int) -> list[LabelledRadiograph]:
    """Fractured images of the validation split first, at most half; the others drawn."""
    samples = read_collection(data, "val").samples
    fractured = [one for one in samples if one.fractured][: most // 2]
    others = [one for one in samples if not one.fractured]
    drawn = np.random.default_rng(seed).permutation(len(others))[: most - len(fractured)]
    return [*fractured, *(others[index] for index in sorted(drawn))]


def trained_alone(samples: Sequence[LabelledRadiograph], settings: FederationSettings) -> Tensors:
    """What one place learns with the same settings, round after round."""
    learner = DetectorLearner(settings, list(samples))
    weights = detector_rules(settings).initial()
    for number in range(settings.rounds):
        order = Order(task="update", run="", round=number + 1, nonce=b"", settings=settings)
        weights = add(weights, learner.learn(weights, order))
    return weights


def image_scores(
    models: dict[str, Tensors], samples: Sequence[LabelledRadiograph], settings: FederationSettings, side: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Highest objectness of each model in each image, letterboxed to `side` pixels."""
    networks = {}
    for name, weights in models.items():
        network = make_network(settings)
        load_into(network, weights)
        networks[name] = network.eval()
    scores: dict[str, list[float]] = {name: [] for name in models}
    dataset = RadiographDataset(samples, keep_in_memory=False)
    with torch.no_grad():
        for index in range(len(samples)):
            grey = dataset[index][0].as_subclass(torch.Tensor)[0].numpy().astype(np.float32) / 255.0
            canvas = torch.from_numpy(letterbox(grey, side, pad_value=0.0)[0])[None, None].expand(-1, 3, -1, -1)
            for name, network in networks.items():
                scores[name].append(max(float(level[..., 4].max()) for level in network(canvas)))
    return {name: np.array(values) for name, values in scores.items()}
