"""Training runs side by side: ``python -m imaging.training.compare RUN [RUN ...]`` prints a table in Markdown.

Every figure comes from the run's own manifest: the development radiographs, which no run learned from and on which one
choice among the runs may be made. Two runs differ by less than their intervals more often than not.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imaging.manifest import MANIFEST_NAME
from imaging.training.errors import TrainingDataError

METRICS = (("map50", "mAP50"), ("map50_95", "mAP50-95"), ("image_auc", "AUC"))


def table(folders: Sequence[Path]) -> str:
    """A Markdown table, one row per run.

    Args:
        folders: folders that ``cds train detector`` wrote.

    Raises:
        TrainingDataError: a folder holds no manifest with development figures.
    """
    rows = [_row(folder) for folder in folders]
    heads = ("run", "differs from the default in", "epochs", "windows", "seed", *(words for _, words in METRICS), "n")
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


if __name__ == "__main__":
    print(table([Path(argument) for argument in sys.argv[1:]]))
