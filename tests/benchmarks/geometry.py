"""How well the geometry of fractures is measured, on synthetic limbs whose geometry is known.

    python -m tests.benchmarks.geometry [--n 300] [--first-seed 1000] [--json F]

Each limb is drawn by `imaging.phantom.random_measurement_spec`; each of its fractures is measured in a box that is
shifted and resized at random, as a detector's box is. Prints, for each quantity: how many there were to measure, how
many were answered, median and 90th percentile of the absolute error with a bootstrap interval of the median, and how
often the stated 90 % interval holds the truth. Seeds below 1000 were used to set the constants of the estimator, so
they do not count as proof.
"""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from imaging.geometry.measurement import measure
from imaging.phantom import FractureTruth, Phantom, make_phantom, random_measurement_spec
from imaging.results import BoxPx, FractureGeometry, Measurement

_SHIFT: Final = 0.08
"""Standard deviation of a box's shift, in its sides."""
_GROWTH: Final = 0.05
_SPREAD: Final = 0.13
"""Mean and standard deviation of the logarithm of a box's growth."""
_SHORTENED_MM: Final = 1.0
"""From this overlap of the fragments' ends there is a shortening to measure."""

Answer = Callable[[FractureGeometry], Measurement | None]
QUANTITIES: Final[dict[str, tuple[Answer, Callable[[FractureTruth], float]]]] = {
    "line length, mm": (lambda found: found.line_length_mm, lambda truth: truth.crack_length_mm),
    "shaft width, mm": (lambda found: found.shaft_width_mm, lambda truth: truth.bone_width_mm),
    "displacement, mm": (lambda found: found.displacement_mm, lambda truth: truth.displacement_mm),
    "displacement, % of width": (lambda found: found.displacement_percent, lambda truth: truth.displacement_percent),
    "angulation, degrees": (lambda found: found.angulation_deg, lambda truth: truth.angulation_deg),
    "shortening, mm": (lambda found: found.shortening_mm, lambda truth: truth.overlap_mm),
}
"""What is measured and what is true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One fracture measured."""

    truth: FractureTruth
    found: FractureGeometry
    milliseconds: float


def jittered(box: BoxPx, rng: np.random.Generator) -> BoxPx:
    """The box as a detector would give it."""
    width, height = box.x2 - box.x1, box.y2 - box.y1
    x = (box.x1 + box.x2) / 2.0 + rng.normal(0.0, _SHIFT) * width
    y = (box.y1 + box.y2) / 2.0 + rng.normal(0.0, _SHIFT) * height
    width *= math.exp(rng.normal(_GROWTH, _SPREAD))
    height *= math.exp(rng.normal(_GROWTH, _SPREAD))
    return BoxPx(x1=x - width / 2.0, y1=y - height / 2.0, x2=x + width / 2.0, y2=y + height / 2.0)


def trials(phantoms: Iterable[Phantom]) -> Iterator[Trial]:
    """Measure every fracture of every limb."""
    for phantom in phantoms:
        rng = np.random.default_rng(phantom.seed)
        for truth in phantom.truth.fractures:
            box = jittered(truth.box, rng)
            started = time.process_time()
            found = measure(phantom.pixels, box, phantom.truth.spacing)
            yield Trial(truth=truth, found=found, milliseconds=1000.0 * (time.process_time() - started))


def summary(done: list[Trial]) -> dict[str, object]:
    """The figures of all quantities."""
    refusals = Counter(
        f"{name}: {reason}" for trial in done for name, reason in trial.found.not_measured if name != "shortening"
    )
    unshortened = [trial for trial in done if trial.truth.overlap_mm <= 0.0]
    return {
        "fractures": len(done),
        "quantities": {name: _figures(name, done) for name in QUANTITIES},
        "shortening_claimed_without_overlap": sum(trial.found.shortening_mm is not None for trial in unshortened),
        "fractures_without_overlap": len(unshortened),
        "refusals": dict(refusals.most_common()),
        "milliseconds_median": float(np.median([trial.milliseconds for trial in done])),
        "milliseconds_p90": float(np.percentile([trial.milliseconds for trial in done], 90.0)),
    }


def _figures(name: str, done: list[Trial]) -> dict[str, float | None]:
    answer, true = QUANTITIES[name]
    asked = [trial for trial in done if name != "shortening, mm" or trial.truth.overlap_mm > _SHORTENED_MM]
    pairs = [(found, true(trial.truth)) for trial in asked if (found := answer(trial.found)) is not None]
    figures: dict[str, float | None] = {
        "n": len(asked),
        "answered": len(pairs),
        "answer_rate": len(pairs) / len(asked) if asked else None,
    }
    if not pairs:
        return figures
    errors = np.abs([found.value - value for found, value in pairs])
    draws = np.random.default_rng(0).choice(errors, size=(1000, len(errors)))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5))
    return figures | {
        "median_error": float(np.median(errors)),
        "median_error_low": float(low),
        "median_error_high": float(high),
        "p90_error": float(np.percentile(errors, 90.0)),
        "bias": float(np.median([found.value - value for found, value in pairs])),
        "coverage": float(np.mean([found.low <= value <= found.high for found, value in pairs])),
        "half_interval": float(np.median([(found.high - found.low) / 2.0 for found, _ in pairs])),
    }


def _table(figures: dict[str, dict[str, float | None]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("quantity")
    for column in ("n", "answered", "median error (95 %)", "p90 error", "coverage of 90 %", "half interval"):
        table.add_column(column, justify="right")

    def number(value: float | None, digits: int = 2) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    for name, row in figures.items():
        median = "-"
        if row.get("median_error") is not None:
            spread = f"{number(row['median_error_low'])}-{number(row['median_error_high'])}"
            median = f"{number(row['median_error'])} ({spread})"
        table.add_row(
            name,
            number(row["n"], 0),
            number(row["answer_rate"]),
            median,
            number(row.get("p90_error")),
            number(row.get("coverage")),
            number(row.get("half_interval")),
        )
    return table


def report(done: list[Trial], *, limbs: int, first_seed: int, path: Path | None) -> None:
    """Print the table and write the JSON file."""
    result = {"limbs": limbs, "first_seed": first_seed, **summary(done)}
    figures = {name: _figures(name, done) for name in QUANTITIES}
    console = Console(width=120)
    console.print(_table(figures, f"{limbs} limbs from seed {first_seed}, {len(done)} fractures"))
    console.print(
        f"shortening claimed in {result['shortening_claimed_without_overlap']} of "
        f"{result['fractures_without_overlap']} fractures without overlap; "
        f"{result['milliseconds_median']:.0f} CPU ms per fracture (p90 {result['milliseconds_p90']:.0f} ms)"
    )
    if path is not None:
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Draw, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=300, help="number of limbs")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=None, help="write every figure to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.n)
    phantoms = (make_phantom(random_measurement_spec(seed), seed=seed) for seed in track(seeds, "limbs"))
    done = list(trials(phantoms))
    report(done, limbs=arguments.n, first_seed=arguments.first_seed, path=arguments.json)


if __name__ == "__main__":
    main()
