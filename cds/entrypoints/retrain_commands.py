"""``cds learn retrain``: a candidate from new cases and a replay of the old ones."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cds.entrypoints.console import failures_explained
from cds.learning.retraining.run import Kind


def retrain(
    kind: Annotated[Kind, typer.Option(help="What goes on learning.")],
    feedback: Annotated[
        list[Path],
        typer.Option(exists=True, file_okay=False, help="Folder of 'cds feedback export'; may be given several times."),
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the candidate; new or empty.")],
    replay: Annotated[
        Path | None,
        typer.Option(exists=True, help="What the current model was trained on, or the candidate's folder that it was."),
    ] = None,
    config: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="YAML of settings.")] = None,
    heads_data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Detector: folder with fracture_types, fracatlas and hip, to fit its heads anew; looked for in"
            " --replay and beside it without.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Model to go on from; the one in use by default."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished retraining in --out.")] = False,
) -> None:
    r"""Make a candidate; nothing is put to use: see 'cds learn promote'.

    \b
    --feedback and --replay by kind:
    detector       exports; the data set it was trained on (FracAtlas' layout)
    fracture-type  exports that state types; the folder of fracture_types, fracatlas and hip
    risk           folders with survey.csv or fracture_outcomes.csv; the survey it was trained on
    healing        exports with outcomes at follow-up; an earlier export or candidate, or nothing
    """
    with failures_explained():
        from dataclasses import replace

        from cds.learning.retraining.config import RetrainConfig
        from cds.learning.retraining.run import retrain as make

        settings = RetrainConfig.read(config)
        make(
            kind,
            feedback,
            out,
            replay=replay,
            parent=_parent(kind, model),
            config=settings if heads_data is None else replace(settings, heads_data=str(heads_data)),
            resume=resume,
            report=_note,
        )
        print(out)


def _parent(kind: Kind, named: Path | None) -> Path | None:
    """Folder of the model named, else in use, and of the first detector of a pair; None for the shipped one."""
    from cds.bootstrap import load_settings
    from cds.learning.model_kinds import ModelKind
    from cds.learning.models import chosen_folder, model_store

    kinds: dict[Kind, ModelKind] = {
        Kind.DETECTOR: ModelKind.DETECTOR,
        Kind.FRACTURE_TYPE: ModelKind.DETECTOR,
        Kind.RISK: ModelKind.RISK,
        Kind.HEALING: ModelKind.HEALING,
    }
    settings = load_settings()
    folder = named or chosen_folder(kinds[kind], settings, model_store(settings))
    if folder is None or kinds[kind] is not ModelKind.DETECTOR:
        return folder
    from imaging.manifest import read_manifest

    return read_manifest(folder).heads


def _note(line: str) -> None:
    print(line, file=sys.stderr)
