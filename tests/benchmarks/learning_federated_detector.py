"""Proof of federated learning of the detector: FracAtlas, dealt by region and by block of neighbouring ids.

    python -m tests.benchmarks.learning --only federated_detector

FracAtlas' own validation split is the locked set. The budget is small: the figures compare ways to learn. What is
learnt is kept in the folder, so that an interrupted run goes on; other settings begin anew.
"""

import csv
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
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
from cds.learning.federated.state import STATE_NAME  # noqa: E402
from cds.learning.federated.wire import Tensors  # noqa: E402
from imaging.training.datasets import LabelledRadiograph, RadiographDataset, read_collection  # noqa: E402
from imaging.training.splits import write_list  # noqa: E402
from imaging.yolov7 import letterbox  # noqa: E402
from tests.benchmarks.learning_federated import (  # noqa: E402
    SIZES,
    Budget,
    common_model,
    difference,
    forest_plot,
    measured,
    words,
)
from tests.benchmarks.learning_report import Proof, Section, Table  # noqa: E402

BEGUN_NAME = "begun.json"
"""In the folder: with which settings it was begun."""
FEDERATED, POOLED = "federated, FedAvg", "all data in one place"
HANDS, LEGS, OTHERS = "hands", "legs, lower ids", "legs, upper ids; hips and shoulders"


def prove(data: Path, out: Path, *, budget: str, seed: int = 7) -> Proof:
    """The one section.

    Args:
        data: folder with ``fracatlas``.
        out: folder for figures, processes and ``federated_detector.json``; made anew unless it was begun alike.
        budget: a key of `SIZES`.
        seed: of dealing, training and bootstrap.
    """
    begun = json.dumps({"budget": asdict(SIZES[budget]), "seed": seed})
    kept = out / BEGUN_NAME
    if out.exists() and not (kept.is_file() and kept.read_text(encoding="utf-8") == begun):
        shutil.rmtree(out)  # a federation would go on from the state that it finds
    out.mkdir(parents=True, exist_ok=True)
    kept.write_text(begun, encoding="utf-8")
    section = detector_section(data / "fracatlas", out, SIZES[budget], seed)
    (out / "federated_detector.json").write_text(json.dumps(section.data, indent=1), encoding="utf-8")
    return (section,)


def detector_section(data: Path, out: Path, budget: Budget, seed: int) -> Section:
    """Each hospital alone, federated and pooled, on one locked set."""
    begun = time.process_time()
    torch.set_num_threads(1)
    dealt = deal_radiographs(data)
    locked = locked_set(data, budget.detector_locked, seed)
    settings = complete(detector_settings(budget, seed))
    models = _learnt(data, dealt, settings, out, budget)
    everyone = sum(map(len, dealt.values()))
    truth = np.array([sample.fractured for sample in locked], dtype=np.float64)
    scores = image_scores(models, locked, settings, budget.detector_side)
    metrics = {name: measured(scores[name], truth, budget, seed) for name in models}
    gains = {
        name: difference(scores[FEDERATED], scores[name], truth, budget, seed) for name in models if name != FEDERATED
    }
    counts = {name: len(samples) for name, samples in dealt.items()}
    learnt = {name: counts.get(name, everyone) for name in models}
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
                columns=("model", "radiographs", "AUC (95 % interval)", "federated minus this one, in pairs"),
                rows=tuple(
                    (name, str(learnt[name]), words(metric), words(gains[name]) if name in gains else "")
                    for name, metric in metrics.items()
                ),
                caption="The same locked set for all; bootstrap over radiographs, so limbs with several views make the"
                " intervals a little too narrow.",
            ),
        ),
        figures=(forest_plot(metrics, out / "federated-detector.png", "Image-level AUC on the locked set"),),
        data={
            "auc": {name: metric.to_json() for name, metric in metrics.items()},
            "federated_minus": {name: gain.to_json() for name, gain in gains.items()},
            "learnt_from": learnt,
            "locked": len(locked),
            "fractured": int(truth.sum()),
            "own_cpu_s": round(time.process_time() - begun, 1),
        },
    )


def _learnt(
    data: Path,
    dealt: dict[str, list[LabelledRadiograph]],
    settings: FederationSettings,
    out: Path,
    budget: Budget,
) -> dict[str, Tensors]:
    """The weights of each hospital alone, of all data in one place and of the federation."""
    names = list(dealt)
    everyone = [sample for samples in dealt.values() for sample in samples]
    models = {
        name: _once(out / f"alone-{index}.npz", partial(trained_alone, samples, settings))
        for index, (name, samples) in enumerate(dealt.items())
    }
    pooled = dict(settings.learning)
    pooled["cached_crops"] = len(names) * int(pooled.get("cached_crops", 0))
    together = replace(settings, learning=pooled)
    models[POOLED] = _once(out / "pooled.npz", partial(trained_alone, everyone, together))
    assignment = {one.image_id: f"hospital-{names.index(name)}" for name, part in dealt.items() for one in part}
    listed = write_list(out / "data" / "radiographs.csv", everyone, assignment)
    tried = {FEDERATED: settings}
    if budget.detector_proximal:
        tried["federated, FedProx"] = replace(settings, strategy=Strategy.FEDPROX, proximal_mu=0.01)
    hospitals = [
        SimulatedHospital(
            name=f"hospital-{index}", data=data, options=("--split-list", str(listed), "--part", f"hospital-{index}")
        )
        for index in range(len(names))
    ]
    for name, chosen in tried.items():
        folder = out / chosen.strategy.value
        if not _is_finished(folder / "server", chosen):
            simulate(chosen, hospitals, folder, timeout_s=budget.process_timeout_s)
        models[name] = common_model(folder / "server")
    return models


def _once(path: Path, learn: Callable[[], Tensors]) -> Tensors:
    """Weights that an earlier run left there, or learnt now."""
    if not path.is_file():
        aside = path.with_suffix(".partial.npz")
        np.savez(aside, **learn())
        aside.replace(path)
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _is_finished(server: Path, settings: FederationSettings) -> bool:
    """Whether a federation with these settings came to its end there."""
    try:
        state = json.loads((server / STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(state["round"] >= settings.rounds and state["settings"] == json.loads(json.dumps(settings.to_json())))


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
