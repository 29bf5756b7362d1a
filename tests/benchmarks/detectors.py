"""Our detector beside SSDLite, Faster R-CNN and a yes/no classifier, taught and measured alike.

    python -m tests.benchmarks.detectors [--data DIR] [--budget-windows 54400] [--epochs 34] [--models NAME ...]
        [--limit-evaluation N] [--json FILE] [--out DIR]

All see the same windows of the same radiographs (the classifier: whole radiographs), as many of them, and are measured
on the same held-out radiographs. What is finished lies in --out, one folder per settings and data, and is not done
again: a run that was cut off goes on with the next network. Latencies are taken turn by turn at the end, one canvas at
a time from canvas to boxes, in one process on the CPU. Progress goes to stderr, the table to stdout as Markdown.
Take figures on a quiet machine: the full budget takes hours there.
"""

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from imaging.manifest import DetectorManifest, read_manifest
from imaging.runtime import RuntimeName, load_network, load_runtime
from imaging.training.baselines.detector import fit_detector
from imaging.training.baselines.fit import budgeted, fit, make_data, windows_of
from imaging.training.baselines.measure import compare, evenly, find_in, held_out
from imaging.training.baselines.networks import BaselineName, Finder, YoloFinder, make_baseline
from imaging.training.datasets import Collection, LabelledRadiograph
from imaging.training.train import TrainingConfig, learn_and_development
from imaging.yolov7.graphs import GRAPHS

OURS = "ours"
SHIPPED = "shipped"
MODELS = (OURS, *BaselineName, SHIPPED)
RESULT_NAME = "result.json"
WEIGHTS_NAME = "weights.safetensors"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all rows share."""

    config: TrainingConfig
    collection: Collection
    learn: Sequence[LabelledRadiograph]
    development: Sequence[LabelledRadiograph]
    classifier_size: int
    rounds: int
    folder: Path
    """Results of these settings on these data."""

    def canvas(self, name: str) -> int:
        """Side of the canvas a network is measured on, in pixels."""
        return self.classifier_size if name == BaselineName.CLASSIFIER else self.config.image_size


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A finished network: its figures, and what to time."""

    result: dict[str, Any]
    finders: dict[str, Finder]
    """By runtime: ``torch``, and ``openvino`` for ours."""
    canvas: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not finished, measure, time, and print one table."""
    options = _options(arguments)
    warnings.simplefilter("ignore")  # loaders and exporters talk of settings and their own future
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    cv2.setNumThreads(options.threads)
    torch.set_num_threads(options.threads)
    bench = _bench(options)
    subjects = {name: _subject(name, bench, options.threads) for name in MODELS if name in options.models}
    latencies = _time(subjects, options.runs)
    document = _document(bench, subjects, latencies, options)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        _write(options.json, document)
    print(markdown(document))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = TrainingConfig()
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fracatlas"))
    parser.add_argument("--budget-windows", type=int, default=defaults.epochs * defaults.samples_per_epoch)
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="parts that the budget is dealt in")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--graph", default=defaults.graph, help="of our detector, see imaging.yolov7.graphs.GRAPHS")
    parser.add_argument("--image-size", type=int, default=defaults.image_size, help="side of the canvas in pixels")
    parser.add_argument("--crop-size", type=int, default=defaults.crop_size, help="side of a window in pixels")
    parser.add_argument("--classifier-size", type=int, default=320, help="side of the classifier's canvas in pixels")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--precision", default=defaults.precision, help="of our detector's training")
    parser.add_argument("--workers", type=int, default=defaults.workers)
    parser.add_argument("--limit-evaluation", type=int, help="measure on so many held-out radiographs only")
    parser.add_argument("--rounds", type=int, default=1000, help="bootstrap resamples")
    parser.add_argument("--runs", type=int, default=30, help="timed canvases per network")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--models", nargs="+", choices=[str(name) for name in MODELS], default=list(MODELS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/detectors"))
    return parser.parse_args(arguments)


def _bench(options: argparse.Namespace) -> Bench:
    plain = TrainingConfig(
        graph=options.graph,
        epochs=options.epochs,
        batch_size=options.batch_size,
        image_size=options.image_size,
        crop_size=options.crop_size,
        seed=options.seed,
        precision=options.precision,
        workers=options.workers,
    )
    config = budgeted(plain, options.budget_windows)
    # What is amiss in the data is for a training to tell; here it would drown the progress.
    collection, learn, held = learn_and_development(options.data, config, report=lambda _: None)
    development = evenly(held, options.limit_evaluation)
    settings = {
        "config": dataclasses.asdict(config),
        "classifier_size": options.classifier_size,
        "rounds": options.rounds,
        "data": collection.digest(),
        "development": [sample.image_id for sample in development],
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    _say(f"{len(learn)} radiographs to learn from, {len(development)} to measure on; results in {options.out / key}")
    return Bench(
        config=config,
        collection=collection,
        learn=learn,
        development=development,
        classifier_size=options.classifier_size,
        rounds=options.rounds,
        folder=options.out / key,
    )


def _subject(name: str, bench: Bench, threads: int) -> Subject:
    """A network of the table: from its folder where it is finished, otherwise trained and measured now."""
    folder = bench.folder / name
    if name in (OURS, SHIPPED):
        return _our_subject(name, bench, folder, threads)
    pl.seed_everything(bench.config.seed, workers=True, verbose=False)
    baseline = make_baseline(BaselineName(name), bench.config)
    finished = _finished(folder)
    if finished is not None:
        baseline.load_state_dict(load_file(folder / WEIGHTS_NAME))
        _say(f"{name}: finished before")
        return Subject(result=finished, finders={"torch": baseline.eval()}, canvas=bench.canvas(name))
    classifies = name == BaselineName.CLASSIFIER
    data = make_data(bench.learn, bench.config, whole_images_px=bench.classifier_size if classifies else None)
    start = time.monotonic()
    baseline = fit(baseline, data, bench.config, report=lambda line: _say(f"{name}: {line}"))
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous() for key, value in baseline.state_dict().items()}
    save_file(state, folder / WEIGHTS_NAME)
    parameters = sum(parameter.numel() for parameter in baseline.parameters())
    seconds = time.monotonic() - start
    result = _measured(name, baseline, bench, parameters=parameters, start=baseline.start, seconds=seconds)
    _write(folder / RESULT_NAME, result)
    return Subject(result=result, finders={"torch": baseline}, canvas=bench.canvas(name))


def _our_subject(name: str, bench: Bench, folder: Path, threads: int) -> Subject:
    """Our graph: trained on the budget, or with the shipped weights (measured anew each time)."""
    finished = _finished(folder) if name == OURS else None
    seconds: float | None = None
    if name == SHIPPED:
        manifest = read_manifest()
    elif finished is not None:
        _say(f"{name}: finished before")
        manifest = read_manifest(folder)
    else:
        pl.seed_everything(bench.config.seed, workers=True, verbose=False)
        begin = time.monotonic()
        manifest = fit_detector(
            bench.learn,
            bench.development,
            bench.config,
            folder,
            collection=bench.collection,
            report=lambda line: _say(f"{name}: {line}"),
        )
        seconds = time.monotonic() - begin
    eager = YoloFinder(manifest)
    if finished is None:
        parameters = sum(parameter.numel() for parameter in load_network(manifest).parameters())
        start = _history(manifest, bench.config) if name == SHIPPED else _start(bench.config.graph)
        finished = _measured(name, eager, bench, parameters=parameters, start=start, seconds=seconds)
        finished["model_id"] = manifest.model_id
        if name == OURS:
            _write(folder / RESULT_NAME, finished)
    fast = YoloFinder(manifest, load_runtime(manifest, RuntimeName.OPENVINO, threads=threads))
    return Subject(result=finished, finders={"torch": eager, "openvino": fast}, canvas=manifest.image_size)


def _start(graph: str) -> str:
    return "ImageNet" if any(layer.factory is not None for layer in GRAPHS[graph].layers) else "random"


def _history(manifest: DetectorManifest, config: TrainingConfig) -> str:
    """What the shipped weights have seen of the radiographs that are measured on."""
    if held_out(manifest.document.get("training"), config):
        return "release; the measured radiographs set its stopping and thresholds"
    return "release; it may have learnt from the measured radiographs"


def _measured(
    name: str, finder: Finder, bench: Bench, *, parameters: int, start: str, seconds: float | None
) -> dict[str, Any]:
    _say(f"{name}: measuring")
    records = find_in(finder, bench.development, size=bench.canvas(name))
    return {
        "model": name,
        "graph": bench.config.graph if name in (OURS, SHIPPED) else name,
        "start": start,
        "parameters": parameters,
        "windows": None if name == SHIPPED else windows_of(bench.config),
        "canvas_px": bench.canvas(name),
        "training_seconds": None if seconds is None else round(seconds, 1),
        "metrics": compare(records, rounds=bench.rounds),
    }


def _finished(folder: Path) -> dict[str, Any] | None:
    path = folder / RESULT_NAME
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _time(subjects: dict[str, Subject], runs: int) -> dict[str, dict[str, float]]:
    """Median milliseconds per canvas, by network and runtime."""
    timed: dict[tuple[str, str], Callable[[], object]] = {}
    for name, subject in subjects.items():
        canvas = torch.rand(1, 3, subject.canvas, subject.canvas, generator=torch.Generator().manual_seed(0))
        for runtime, finder in subject.finders.items():
            timed[name, runtime] = _call(finder, canvas)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in timed}
    with torch.inference_mode():
        for number in range(runs + 2):
            for key, call in timed.items():
                start = time.perf_counter()
                call()
                if number >= 2:  # the first calls allocate
                    times[key].append((time.perf_counter() - start) * 1000)
    medians: dict[str, dict[str, float]] = {}
    for (name, runtime), values in times.items():
        medians.setdefault(name, {})[runtime] = round(float(np.median(values)), 1)
    return medians


def _call(finder: Finder, canvas: Tensor) -> Callable[[], object]:
    return lambda: finder.find(canvas)


def _document(
    bench: Bench, subjects: dict[str, Subject], latencies: dict[str, dict[str, float]], options: argparse.Namespace
) -> dict[str, Any]:
    return {
        "data": {
            "name": bench.collection.name,
            "sha256": bench.collection.digest(),
            "learn": len(bench.learn),
            "measured_on": len(bench.development),
            "fractured": sum(sample.fractured for sample in bench.development),
            "boxes": sum(len(sample.boxes) for sample in bench.development),
        },
        "interval": f"95 % percentile bootstrap over images, {bench.rounds} resamples",
        "config": dataclasses.asdict(bench.config),
        "machine": {"processor": platform.machine(), "threads": options.threads, "timed_runs": options.runs},
        "torch": torch.__version__.split("+")[0],
        "rows": [subject.result | {"latency_ms": latencies[name]} for name, subject in subjects.items()],
    }


def markdown(document: dict[str, Any]) -> str:
    """The document of a run as a table with its conditions beneath."""
    data, machine = document["data"], document["machine"]
    lines = [
        "| model | start | parameters | windows | mAP50 | mAP50-95 | image AUC | torch ms | OpenVINO ms |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in document["rows"]:
        cells = [_label(row), row["start"], f"{row['parameters'] / 1e6:.2f} M", _count(row["windows"])]
        cells += [_interval(row["metrics"].get(name)) for name in ("map50", "map50_95", "image_auc")]
        cells += [_milliseconds(row["latency_ms"].get(runtime)) for runtime in ("torch", "openvino")]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Measured on {data['measured_on']} radiographs of {data['name']} ({data['fractured']} fractured, "
        f"{data['boxes']} boxes) held out of training; brackets: {document['interval']}. Trained on "
        f"{data['learn']} radiographs, seed {document['config']['seed']}. Latency: median of {machine['timed_runs']} "
        f"canvases, from canvas to boxes, CPU ({machine['processor']}), {machine['threads']} threads.",
        "",
        "torchvision's networks start from random weights because neither their COCO nor their ImageNet weights can be "
        "had offline: against them our detector has the start as well as the design. SSD's loss takes nothing from a "
        "window without a box, as published. The classifier sees whole radiographs, and names no place.",
    ]
    return "\n".join(lines)


def _label(row: dict[str, Any]) -> str:
    name = row["model"] if row["model"] == row["graph"] else f"{row['model']} ({row['graph']})"
    return f"{name}, {row['canvas_px']} px"


def _count(windows: int | None) -> str:
    return "-" if windows is None else f"{windows:,}"


def _interval(metric: dict[str, float] | None) -> str:
    return "-" if metric is None else f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _write(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all, so that a run cut off here is not taken for finished."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
