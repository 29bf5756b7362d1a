"""``cds train`` and ``cds evaluate``: thin words around the training modules, imported only when called."""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from cds.entrypoints.console import failures_explained
from cds.options import Runtime

T = TypeVar("T")

train_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train a model and write its weights with their manifest."
)
evaluate_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure a model on a data set.")

ImagesOption = Annotated[
    Path,
    typer.Option("--data", exists=True, file_okay=False, help="Data set in FracAtlas' layout, or with images.csv."),
]
TableOption = Annotated[Path, typer.Option("--data", exists=True, dir_okay=False, help="CSV file, plain or gzip.")]
OutOption = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for weights, manifest and metrics.")]
JsonOption = Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write every metric to this file.")]
ModelOption = Annotated[
    Path | None, typer.Option("--model", exists=True, file_okay=False, help="Model folder; the shipped one by default.")
]


@train_app.command("detector")
def train_detector(
    data: ImagesOption,
    out: OutOption,
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="YAML of settings.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; overrides the settings.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
) -> None:
    """Train the fracture detector."""
    with failures_explained():
        from imaging.training.train import TrainingConfig, run

        settings = TrainingConfig() if config is None else TrainingConfig.read(config)
        if epochs is not None:
            settings = replace(settings, epochs=epochs)
        run(data, out, config=settings, resume=resume)


@train_app.command("risk")
def train_risk(
    data: TableOption,
    out: OutOption,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 20260101,
    glow: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="GLOW500 CSV, an external test of ranking.")
    ] = None,
) -> None:
    """Train the fracture-risk models on a survey file."""
    with failures_explained():
        from tabular.training import train

        train(data, out, seed=seed, glow_path=glow, progress=_step)


@evaluate_app.command("detector")
def evaluate_detector(
    data: ImagesOption,
    split: Annotated[str, typer.Option(help="'all', or a split of the data set's own list.")] = "all",
    model: ModelOption = None,
    runtime: Annotated[Runtime, typer.Option(help="What runs the network.")] = Runtime.AUTO,
    json_path: JsonOption = None,
) -> None:
    """Measure the fracture detector, with bootstrap intervals."""
    with failures_explained():
        from imaging.training.evaluate import run

        metrics = run(data, split, model=model, runtime=runtime.value, report=_note, track=_with_progress)
        _report(metrics, json_path)


@evaluate_app.command("risk")
def evaluate_risk(
    data: TableOption,
    split: Annotated[str, typer.Option(help="'all', or one survey cycle, for instance 2013-2014.")] = "all",
    model: ModelOption = None,
    json_path: JsonOption = None,
) -> None:
    """Measure the fracture-risk models, with bootstrap intervals."""
    with failures_explained():
        from tabular.model import DEFAULT_DIRECTORY
        from tabular.training import evaluate

        _report(evaluate(data, model or DEFAULT_DIRECTORY, split=split), json_path)


def _step(what: str, share: float) -> None:
    _note(f"{share:4.0%} {what}")


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _with_progress(samples: Iterable[T]) -> Iterable[T]:
    from rich.console import Console
    from rich.progress import track

    return track(samples, description="radiographs", console=Console(stderr=True))


def _report(metrics: object, json_path: Path | None) -> None:
    text = json.dumps(metrics, indent=2, sort_keys=True)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(text + "\n", encoding="utf-8")
    print(text)
