"""Training runs side by side, as a table in Markdown.

    python -m imaging.training.compare [--data DIR] RUN [RUN ...]

Every figure comes from the run's own manifest: the development radiographs, which no run learned from and on which one
choice among the runs may be made. Two runs differ by less than their intervals more often than not; with ``--data`` the
runs look at those radiographs again, and the table tells how much each differs from the first, resampled together.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging.errors import ImagingError
from imaging.manifest import MANIFEST_NAME, read_manifest
from imaging.runtime import RuntimeName, load_runtime
from imaging.training.errors import TrainingDataError
from imaging.training.metrics import ImageRecord, Interval
from imaging.yolov7.checkpoint import CheckpointError

if TYPE_CHECKING:
    from imaging.training.datasets import LabelledRadiograph

METRICS = (("map50", "mAP50"), ("map50_95", "mAP50-95"), ("image_auc", "AUC"))


def table(folders: Sequence[Path], *, data: Path | None = None, rounds: int = 1000) -> str:
    """A Markdown table, one row per run.

    Args:
        folders: folders that ``cds train detector`` wrote.
        data: the data set they learned from; given it, every run looks at the development radiographs, and the last
            columns are its figures less those of the first run, with 95 % bootstrap intervals by image.
        rounds: resamples of these differences.

    Raises:
        TrainingDataError: a folder holds no manifest with development figures, the data cannot be read, or a run held
            out other radiographs than the first, so that there is nothing to compare on.
    """
    rows = [_row(folder) for folder in folders]
    heads = ["run", "differs from the default in", "epochs", "windows", "seed", *(words for _, words in METRICS), "n"]
    if data is not None:
        heads += [f"{words} less that of {folders[0].name}" for _, words in METRICS]
        rows = [row + cells for row, cells in zip(rows, _against_first(folders, data, rounds), strict=True)]
    lines = [_line(heads), _line(["---"] * len(heads)), *(_line(row) for row in rows)]
    return "\n".join(lines)


def _row(folder: Path) -> tuple[str, ...]:
    try:
        document = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
        config, development = document["training"]["config"], document["development"]
        return (
            folder.name,
            _differences(config),
            str(config["epochs"]),
            str(config["epochs"] * config["samples_per_epoch"]),
            str(config["seed"]),
            *(_figure(development["metrics"][name]) for name, _ in METRICS),
            f"{development['n']} ({development['n_fractured']} fractured)",
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainingDataError(
            f"{folder.name} is no finished training run: {type(error).__name__}",
            "give folders that `cds train detector` wrote to the end",
        ) from error


def _against_first(folders: Sequence[Path], data: Path, rounds: int) -> list[tuple[str, ...]]:
    from imaging.training.paired import differences

    held_out = [_held_out(folder, data) for folder in folders]
    for folder, samples in zip(folders, held_out, strict=True):
        if [sample.image_id for sample in samples] != [sample.image_id for sample in held_out[0]]:
            raise TrainingDataError(
                f"{folder.name} held out other radiographs than {folders[0].name}",
                "compare runs with the same split, folds and development fold",
            )
    first, *others = (_look(folder, samples) for folder, samples in zip(folders, held_out, strict=True))
    cells = [tuple("-" for _ in METRICS)]
    for records in others:
        found = differences(first, records, rounds=rounds)
        cells.append(tuple(_difference(found.get(name)) for name, _ in METRICS))
    return cells


def _held_out(folder: Path, data: Path) -> "list[LabelledRadiograph]":
    """The radiographs that a run did not learn from, in the order of their names."""
    from imaging.training.release import recorded_config
    from imaging.training.train import learn_and_development

    config = recorded_config(read_manifest(folder).document)
    _, _, development = learn_and_development(data, config, report=lambda _: None)
    return sorted(development, key=lambda sample: sample.image_id)


def _look(folder: Path, samples: "Sequence[LabelledRadiograph]") -> list[ImageRecord]:
    from imaging.training.baselines.measure import find_in
    from imaging.training.baselines.networks import YoloFinder

    manifest = read_manifest(folder)
    return find_in(YoloFinder(manifest, load_runtime(manifest, RuntimeName.AUTO)), samples, size=manifest.image_size)


def _difference(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _differences(config: dict[str, Any]) -> str:
    from imaging.training.train import TrainingConfig

    default = TrainingConfig()
    passing = {
        "epochs",
        "samples_per_epoch",
        "seed",
        "validate_every",
        "early_stopping_patience",
        "gallery",
        "workers",
        "precision",
    }
    different = [
        f"{name} {value}"
        for name, value in config.items()
        if name not in passing and value != (list(d) if isinstance(d := getattr(default, name, None), tuple) else d)
    ]
    return ", ".join(different) or "nothing"


def _figure(interval: dict[str, float]) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.3f}-{interval['high']:.3f})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or say on stderr what is amiss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder that `cds train detector` wrote")
    parser.add_argument("--data", type=Path, help="data set to look at again, for differences resampled together")
    options = parser.parse_args(arguments)
    try:
        print(table(options.runs, data=options.data))
    except (ImagingError, CheckpointError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
