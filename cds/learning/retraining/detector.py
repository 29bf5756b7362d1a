"""The fracture detector goes on learning: screen, mix, fine-tune, thresholds on held-out patients, provenance."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cds.learning.retraining.cases import Export, read_exports
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.heads import check_scope, fit_heads, plan_heads
from cds.learning.retraining.record import Record, SourceCount, earlier_details, write_record
from cds.learning.retraining.screen import Scored, earlier_estimates, screen

if TYPE_CHECKING:
    from cds.learning.retraining.mix import Mix
    from imaging.engine import FractureEngine
    from imaging.manifest import DetectorManifest
    from imaging.training.datasets import LabelledRadiograph

WORK_NAME: Final = ".work"
"""Inside a candidate's folder: mixed data, checkpoints, logs. It holds radiographs; being hidden, it is no part of the
model, and the model store does not copy it."""
STATE_NAME: Final = "retraining.json"
"""What a resumed retraining must agree with."""
SCREEN_NAME: Final = "screen.json"
COMMAND: Final = "cds learn retrain --kind detector --feedback EXPORT --replay OLD_DATA --out CANDIDATE"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OldData:
    """What the current model was trained with, read again."""

    name: str
    sha256: str
    learn: "tuple[LabelledRadiograph, ...]"
    held_out: "tuple[LabelledRadiograph, ...]"


def retrain_detector(
    feedback: Sequence[Path],
    replay: Path,
    out: Path,
    *,
    parent: Path | None = None,
    config: RetrainConfig | None = None,
    resume: bool = False,
    trainer_options: dict[str, Any] | None = None,
    report: Report = print,
) -> Path:
    """Fine-tune the detector on feedback mixed with its old data.

    Args:
        feedback: folders of ``cds feedback export``.
        replay: the data that the current model was trained on, or the folder of the candidate that it was: its own
            split holds.
        out: folder of the candidate, empty or with ``resume`` an unfinished one.
        parent: folder of the current model; the shipped one by default.
        config: settings.
        resume: go on with what lies in `out`; what is finished is returned as it is.
        trainer_options: further options of the Lightning Trainer.
        report: receives one line per stage and per row that is left out.

    Returns:
        `out`, a complete weights folder with ``provenance.json``; what the training worked with lies in `WORK_NAME`.

    Raises:
        RetrainingError: the feedback, the settings or what lies in `out` cannot be used, or the model in use has heads
            whose data are found nowhere.
        TrainingDataError: the old data cannot be used.
        ModelFilesError: the current model cannot be used.
    """
    from cds.learning.retraining.mix import FOLDER_NAME, SPLIT_LIST_NAME, mix, write_mix
    from imaging.manifest import SHIPPED_WEIGHTS, read_manifest

    config = (config or RetrainConfig()).checked()
    parent = SHIPPED_WEIGHTS if parent is None else parent
    manifest = read_manifest(parent)
    data = out.resolve() / WORK_NAME / FOLDER_NAME
    training = config.fine_tuning(
        {"graph": manifest.graph, "image_size": manifest.image_size, **_recorded(manifest)},
        start_from=parent,
        split_list=data / SPLIT_LIST_NAME,
    )
    named = None if config.heads_data is None else Path(config.heads_data)
    heads = plan_heads(parent, replay, named=named, wanted=config.heads, work_name=WORK_NAME)
    exports = read_exports(feedback, report=report)
    old = read_old(replay, manifest, report=report)
    if _begin(out, _state(exports, old, manifest, config), resume=resume):
        report("the candidate is finished already")
        return out
    earlier = earlier_details(parent)
    found = _screened(exports, old, parent, earlier_estimates(earlier), config, out, report)
    mixed = mix(
        old.learn,
        old.held_out,
        exports,
        replay_share=config.replay_share,
        held_out_share=config.held_out_share,
        seed=config.seed,
    )
    for note in mixed.notes:
        report(note)
    check_scope(heads, len(mixed.cases))
    write_mix(mixed, data, report=report)
    _train(data, out, training, resume, trainer_options, report)
    notes = [*mixed.notes, *_finish_manifest(out, manifest)]
    fitted, also, further = fit_heads(heads, out, out / WORK_NAME, data, exports, report=report)
    sources = (*_sources(mixed, exports, old), *further)
    record = Record(
        kind="detector",
        parent_id=manifest.model_id,
        parent_sha256=manifest.sha256,
        why=f"{sum(one.n for one in sources if one.role == 'new')} radiographs with the verdict of clinicians came in.",
        method=(
            f"Fine-tuned for {training.epochs * training.samples_per_epoch} windows, {config.replay_share:.0%} of them"
            f" from the old data; operating points and calibration chosen on held-out patients."
        ),
        command=COMMAND,
        seed=config.seed,
        config={**asdict(config), "heads_data": config.heads_data and Path(config.heads_data).name},
        sources=sources,
        digests=mixed.digests | also,
        screen=found,
        noise_of_rounds=(*earlier.get("noise_of_rounds", ()), found["noise"]),
        problems=tuple(line for export in exports for line in export.problems),
        notes=(*notes, *fitted),
    )
    report(f"provenance written: {write_record(record, out, parent=parent).name}")
    return out


def read_old(replay: Path, manifest: "DetectorManifest", *, report: Report = print) -> OldData:
    """The old data, parted as they were when the current model was trained.

    Of a candidate's folder its mixed data are taken. A ``split_list.csv`` beside the data wins, as a retraining writes
    one; otherwise the manifest says which part was held out.

    Raises:
        TrainingDataError: the data cannot be read, or neither tells what was held out.
    """
    from cds.learning.retraining.mix import FOLDER_NAME, HELD_OUT, LEARN, SPLIT_LIST_NAME
    from imaging.training.release import recorded_config
    from imaging.training.train import TrainingConfig, learn_and_development

    replay = replay.resolve()
    mixed = replay / WORK_NAME / FOLDER_NAME
    replay = mixed if mixed.is_dir() else replay
    listed = replay / SPLIT_LIST_NAME
    if listed.is_file():
        settings = TrainingConfig(split=LEARN, development_split=HELD_OUT, split_list=str(listed))
    else:
        settings = recorded_config(manifest.document)
    collection, learn, held_out = learn_and_development(replay, settings, report=report)
    report(f"old data: {len(learn)} radiographs to learn from, {len(held_out)} held out")
    return OldData(name=replay.name, sha256=collection.digest(), learn=tuple(learn), held_out=tuple(held_out))


def score_labels(samples: "Iterable[LabelledRadiograph]", engine: "FractureEngine") -> list[Scored]:
    """What the engine says of labelled radiographs; one that it cannot read counts as "nothing found"."""
    from imaging.training.datasets import Collection
    from imaging.training.evaluate import records_of

    chosen = tuple(samples)
    records, _ = records_of(Collection(name="screen", samples=chosen), engine)
    return [
        Scored(group=one.group or one.image_id, fractured=one.fractured, score=record.image_score)
        for one, record in zip(chosen, records, strict=True)
    ]


def _screened(
    exports: Sequence[Export],
    old: OldData,
    parent: Path,
    earlier: Sequence[float],
    config: RetrainConfig,
    out: Path,
    report: Report,
) -> dict[str, Any]:
    """The sanity screen, kept as soon as it is known, so that a resumed retraining need not look again."""
    from imaging.engine import FractureEngine

    path = out / WORK_NAME / SCREEN_NAME
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    report("holding the new labels against the current model")
    engine = FractureEngine.load(parent, boxes_only=True, threads=1)
    found = screen(
        score_labels((one for export in exports for one in export.samples), engine),
        score_labels(old.held_out, engine),
        thresholds=(engine.manifest.high_sensitivity.threshold, engine.manifest.high_specificity.threshold),
        earlier=earlier,
        limit=config.suspicious_noise,
        excess=config.suspicious_excess,
        seed=config.seed,
    )
    _write_json(path, found.as_entry())
    report(("SUSPICIOUS ROUND: " if found.suspicious else "") + found.words)
    return found.as_entry()


def _recorded(manifest: "DetectorManifest") -> Mapping[str, Any]:
    """The settings that a manifest's training records; empty where it records none."""
    found: Mapping[str, Any] = manifest.document.get("training", {}).get("config", {})
    return found


def _state(
    exports: Sequence[Export], old: OldData, manifest: "DetectorManifest", config: RetrainConfig
) -> dict[str, Any]:
    return {
        "parent": manifest.sha256,
        "feedback": {one.name: one.sha256 for one in exports},
        "replay": old.sha256,
        "config": json.loads(json.dumps(asdict(config), default=list)),
    }


def _begin(out: Path, state: Mapping[str, Any], *, resume: bool) -> bool:
    """Whether `out` holds the finished candidate; otherwise it is made ready.

    Raises:
        RetrainingError: something else lies there.
    """
    from cds.learning.provenance import PROVENANCE_NAME

    kept = out / WORK_NAME / STATE_NAME
    if not out.is_dir() or not any(out.iterdir()):
        _write_json(kept, state)
        return False
    if not resume:
        raise RetrainingError(f"the folder {out.name} is not empty", "name a new folder, or go on with --resume")
    try:
        same = json.loads(kept.read_text(encoding="utf-8")) == state
    except (OSError, ValueError):
        same = False
    if not same:
        raise RetrainingError(
            f"what lies in {out.name} was begun with other feedback, data, settings or another model",
            "name a new folder",
            code="cds.learning.retraining.other_run",
        )
    return (out / PROVENANCE_NAME).is_file()


def _train(
    data: Path, out: Path, training: Any, resume: bool, trainer_options: dict[str, Any] | None, report: Report
) -> None:
    from imaging.manifest import MANIFEST_NAME
    from imaging.training.release import CLASSIFIER_NAME, WEIGHTS_NAME
    from imaging.training.train import run

    if resume and (out / MANIFEST_NAME).is_file():
        report("weights are finished already")
        return
    work = out / WORK_NAME / "training"
    run(data, work, config=training, resume=resume, progress=False, report=report, trainer_options=trainer_options)
    beside = [CLASSIFIER_NAME] if (work / CLASSIFIER_NAME).is_file() else []
    for name in (WEIGHTS_NAME, *beside, MANIFEST_NAME):  # the manifest last: it says that the weights are there
        shutil.copyfile(work / name, out / name)


def _finish_manifest(out: Path, parent: "DetectorManifest") -> list[str]:
    """Name the candidate after its line, and say how it was made."""
    from imaging.manifest import MANIFEST_NAME

    path = out / MANIFEST_NAME
    document = json.loads(path.read_text(encoding="utf-8"))
    document["name"] = parent.name
    document["version"] = next_version(parent.version)
    document["intended_use"] = parent.document.get("intended_use", document.get("intended_use"))
    document["training"]["command"] = COMMAND
    _write_json(path, document)
    return [f"Named {document['name']} {document['version']}, after {parent.version}."]


def next_version(version: str) -> str:
    """The version with its last number one higher; one without a number at its end gets ``.1``."""
    head, dot, last = version.rpartition(".")
    return f"{head}{dot}{int(last) + 1}" if last.isdigit() else f"{version}.1"


def _sources(mixed: "Mix", exports: Sequence[Export], old: OldData) -> tuple[SourceCount, ...]:
    from cds.learning.retraining.cases import REPLAY
    from cds.learning.retraining.mix import HELD_OUT, LEARN

    def count(name: str, role: str, sha256: str, left_out: int) -> SourceCount:
        learnt, held_out = (mixed.part(split, source=name) for split in (LEARN, HELD_OUT))
        return SourceCount(
            name=name,
            role=role,
            n=len(learnt) + len(held_out),
            n_positive=sum(one.sample.fractured for one in (*learnt, *held_out)),
            held_out=len(held_out),
            left_out=left_out,
            sha256=sha256,
        )

    replayed = count(REPLAY, "replay", old.sha256, 0)
    return (replayed, *(count(one.name, "new", one.sha256, one.left_out) for one in exports))


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
