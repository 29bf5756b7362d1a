"""``cds train`` and ``cds evaluate``: thin words around the training modules, imported only when called."""

import json
import shlex
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cds.entrypoints.console import failures_explained
from cds.options import Runtime

if TYPE_CHECKING:
    from tabular.comparisons import Published

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
SplitListOption = Annotated[
    Path | None, typer.Option("--split-list", exists=True, dir_okay=False, help="Split list of 'cds data split'.")
]
HandsOption = Annotated[
    Path, typer.Option("--data", exists=True, help="Folder of Parquet files with id, months, male, jpeg; or one file.")
]
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
    split_list: SplitListOption = None,
    fold: Annotated[int | None, typer.Option(min=0, help="With a k-fold list: the fold to hold out.")] = None,
    devices: Annotated[
        str | None, typer.Option(help="How many devices, or which: 2, or 0,1; Lightning's word.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="How devices share the work: ddp; Lightning's word.")] = None,
) -> None:
    """Train the fracture detector."""
    with failures_explained():
        from imaging.training.reproducible import check_devices, device_options
        from imaging.training.splits import REST
        from imaging.training.train import TrainingConfig, run

        settings = TrainingConfig() if config is None else TrainingConfig.read(config)
        if epochs is not None:
            settings = replace(settings, epochs=epochs)
        if split_list is not None:
            settings = replace(settings, split_list=str(split_list))
        if fold is not None:
            if settings.split_list is None:
                raise typer.BadParameter(
                    "--fold needs --split-list, a list of folds: cds data split --scheme kfold writes one"
                )
            settings = replace(settings, split=REST, development_split=f"fold{fold}")
        options = device_options(devices, strategy)
        check_devices(options)
        run(data, out, config=settings, resume=resume, trainer_options=options)


@train_app.command("fracture-type")
def train_fracture_type(
    data: Annotated[
        Path,
        typer.Option(
            "--data", exists=True, file_okay=False, help="Folder of fracatlas, hip, fracture_types or some, or one."
        ),
    ],
    out: OutOption,
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="YAML of settings.")] = None,
    model: ModelOption = None,
    cache: Annotated[
        Path | None, typer.Option(file_okay=False, help="Keep the detector's features here for the next fit.")
    ] = None,
) -> None:
    """Fit the heads for fracture pattern, limb, view, hardware and image-level fracture on the detector's features."""
    with failures_explained():
        from imaging.training.attributes import AttributeConfig, run

        settings = AttributeConfig() if config is None else AttributeConfig.read(config)
        run(data, out, model=model, config=settings, cache=cache, report=_note, track=_with_progress)


@train_app.command("operation")
def train_operation(
    data: ImagesOption,
    model: Annotated[Path, typer.Option("--model", exists=True, file_okay=False, help="Folder of the detector.")],
    split_list: SplitListOption = None,
) -> None:
    """Choose a detector's operating points and calibration anew, on the radiographs its training held out."""
    with failures_explained():
        from imaging.training.release import set_operation

        set_operation(model, data, split_list=split_list, report=_note)


@train_app.command("pair")
def train_pair(
    data: ImagesOption,
    out: OutOption,
    first: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of the detector to add to.")],
    second: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of the other detector.")],
    split_list: SplitListOption = None,
) -> None:
    """Put two detectors side by side: their boxes are fused, with operating points and a calibration of their own."""
    with failures_explained():
        from imaging.training.pair import make_pair

        make_pair(first, second, data, out, split_list=split_list, report=_note)


@train_app.command("detector-mean")
def train_detector_mean(
    data: ImagesOption,
    out: OutOption,
    folders: Annotated[
        list[Path], typer.Option("--of", exists=True, file_okay=False, help="Folder of a detector; repeat.")
    ],
) -> None:
    """Average the weights of detectors that were taught on from one another."""
    with failures_explained():
        from imaging.training.soup import average

        average(data, folders, out, report=_note)


@train_app.command("image-classifier")
def train_image_classifier(
    data: ImagesOption,
    out: OutOption,
    model: Annotated[Path, typer.Option("--model", exists=True, file_okay=False, help="Folder of the detector.")],
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="YAML of settings.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
) -> None:
    """Teach a second opinion on whole radiographs, which lowers scores, and write it beside the detector."""
    with failures_explained():
        from imaging.training.image_classifier import ClassifierConfig, run

        settings = None if config is None else ClassifierConfig.read(config)
        run(data, model, out, config=settings, resume=resume, report=_note)


@train_app.command("scope")
def train_scope(
    data: ImagesOption,
    model: Annotated[Path, typer.Option("--model", exists=True, file_okay=False, help="Folder of the detector.")],
    others: Annotated[list[Path] | None, typer.Option("--other", exists=True, help="Other hospitals' limbs.")] = None,
    hands: Annotated[
        list[Path] | None, typer.Option("--hands", exists=True, help="Bone-age files: more hands.")
    ] = None,
    negatives: Annotated[
        list[Path] | None, typer.Option("--negative", exists=True, help="File or folder of what must be refused.")
    ] = None,
) -> None:
    """Fit what tells limb radiographs from other pictures, and write it beside the detector."""
    with failures_explained():
        from imaging.training.scope import fit

        fit(model, data, others=others or (), hands=hands or (), negatives=negatives or (), report=_note)


@train_app.command("bone-age")
def train_bone_age(
    data: HandsOption,
    out: OutOption,
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="YAML of settings.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Train this fold only; processes may share the folds of one --out.")
    ] = None,
    continue_from: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Begin with the networks of this earlier training."),
    ] = None,
    from_folds: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Train nothing: release the finished folds of this training; of several, their networks together.",
        ),
    ] = None,
) -> None:
    """Train the networks for skeletal age, fold by fold, and write their release."""
    with failures_explained():
        command = f"cds train bone-age --data {shlex.quote(data.name)} --out OUT"
        if from_folds:
            from imaging.bone_age.release import release

            command += "".join(f" --from-folds {shlex.quote(folder.name)}" for folder in from_folds)
            release(from_folds[0], data, out, beside=from_folds[1:], command=command, report=_note)
            return
        from imaging.bone_age.training import read_config
        from imaging.bone_age.training import run as train

        train(
            data,
            out,
            config=read_config(config),
            resume=resume,
            fold=fold,
            continue_from=continue_from,
            command=command,
            report=_note,
        )


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

        train(data, out, seed=seed, glow_path=glow, published=_published(), progress=_step)


@train_app.command("healing")
def train_healing(
    outcomes: Annotated[
        Path, typer.Option("--outcomes", exists=True, dir_okay=False, help="Recorded outcomes, CSV or Parquet.")
    ],
    out: OutOption,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 20260101,
) -> None:
    """Fit this site's own healing times and compare them with the published figures on cases held out."""
    with failures_explained():
        from cds.healing_outcomes import train_on

        _report(train_on(outcomes, out, seed=seed, report=_note), None)


@evaluate_app.command("detector")
def evaluate_detector(
    data: ImagesOption,
    split: Annotated[
        str | None,
        typer.Option(help="'all', or a split of the data set's own list or of --split-list.", show_default="all"),
    ] = None,
    model: ModelOption = None,
    runtime: Annotated[Runtime, typer.Option(help="What runs the network.")] = Runtime.AUTO,
    json_path: JsonOption = None,
    split_list: SplitListOption = None,
    report_folder: Annotated[
        Path | None,
        typer.Option("--report", file_okay=False, help="Write curves, tables and the worst errors to this folder."),
    ] = None,
) -> None:
    """Measure the fracture detector, with bootstrap intervals."""
    with failures_explained():
        from imaging.training.evaluate import run

        if split_list is not None and split is None:
            from imaging.training.splits import read_list

            known = ", ".join(sorted(set(read_list(split_list).values())))
            raise typer.BadParameter(f"--split-list needs --split, which part to measure on: {known}")
        metrics = run(
            data,
            split or "all",
            model=model,
            runtime=runtime.value,
            split_list=split_list,
            report_folder=report_folder,
            report=_note,
            track=_with_progress,
        )
        _report(metrics, json_path)


@evaluate_app.command("fracture-type")
def evaluate_fracture_type(
    data: Annotated[
        Path, typer.Option("--data", exists=True, file_okay=False, help="Data set with images.csv: image, type.")
    ],
    model: ModelOption = None,
    runtime: Annotated[Runtime, typer.Option(help="What runs the network.")] = Runtime.AUTO,
    json_path: JsonOption = None,
) -> None:
    """Measure the naming of fracture patterns, with bootstrap intervals."""
    with failures_explained():
        from imaging.training.evaluate_attributes import run

        _report(run(data, model=model, runtime=runtime.value, report=_note, track=_with_progress), json_path)


@evaluate_app.command("bone-age")
def evaluate_bone_age(
    data: HandsOption,
    model: ModelOption = None,
    json_path: JsonOption = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Measure this many hands of each file, evenly spread; all by default.")
    ] = None,
    others: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Pictures that are no hands: count how many are refused."),
    ] = None,
) -> None:
    """Measure skeletal age, with bootstrap intervals."""
    with failures_explained():
        from imaging.bone_age.evaluate import run

        _report(run(data, model=model, limit=limit, others=others, report=_note), json_path)


@evaluate_app.command("risk")
def evaluate_risk(
    data: TableOption,
    split: Annotated[str, typer.Option(help="'all', or one survey cycle, for instance 2013-2014.")] = "all",
    model: ModelOption = None,
    json_path: JsonOption = None,
    report_folder: Annotated[
        Path | None,
        typer.Option("--report", file_okay=False, help="Write tables and plots to this folder."),
    ] = None,
) -> None:
    """Measure the fracture-risk models as a whole and in subgroups, with bootstrap intervals."""
    with failures_explained():
        from tabular.evaluation import evaluate
        from tabular.model import DEFAULT_DIRECTORY

        _report(evaluate(data, model or DEFAULT_DIRECTORY, split=split, report_dir=report_folder), json_path)


def _published() -> "Published":
    """Published tables of the evidence base, as plain mappings: `tabular` knows nothing of `fusion`."""
    from fusion.evidence_base import EvidenceBase
    from tabular.comparisons import NOT_EXPRESSED, RATIO_FIELDS, Published

    base = EvidenceBase.load()
    names = {factor: f"risk.{factor}_hip_and_mof.clinrisk2012" for factor in (*RATIO_FIELDS, *NOT_EXPRESSED)}
    return Published(
        table=base["risk.reference_probability.kanis2008"].table,
        ratios={factor: base[name].table for factor, name in names.items()},
    )


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
