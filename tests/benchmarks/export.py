"""Every export beside eager torch: size, agreement, and milliseconds from image file to findings with its script.

    python -m tests.benchmarks.export [--runs 30] [--size 512] [--data DATA [--int8]] [--folder DIR]

Exports what is not yet in the folder. Float files are compared with eager torch on 50 radiographs that training did not
see where a data set is named, on 50 synthetic limbs otherwise; int8 files need the data set. Then all files are timed
turn by turn in one process, so that a drifting machine slows every row alike, on a synthetic limb, so that anyone can
repeat it. Take figures on a quiet machine.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from imaging.export import edge_reader
from imaging.export.errors import ExportError
from imaging.export.exporter import export_detector
from imaging.export.writers import SUFFIX, EdgeFormat
from imaging.phantom import PhantomSpec, make_phantom


def main() -> None:
    """Export, time and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--size", type=int, default=512, help="side of the canvas in pixels")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--data", type=Path, help="labelled data set whose held-out radiographs check the files")
    parser.add_argument(
        "--int8", action="store_true", help="add the int8 files, calibrated on its training radiographs"
    )
    parser.add_argument("--folder", type=Path, default=Path("out/export"), help="where exports are, or will be")
    arguments = parser.parse_args()
    if arguments.int8 and arguments.data is None:
        parser.error("--int8 needs --data")
    console = Console(width=110)
    files = [
        file
        for edge_format in EdgeFormat
        for int8 in ((False, True) if arguments.int8 else (False,))
        if (file := _export(edge_format, int8, arguments, console)) is not None
    ]
    cv2.setNumThreads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "limb.jpg"
        pixels = make_phantom(PhantomSpec(), seed=1).pixels
        cv2.imwrite(str(image), np.clip(pixels * 255, 0, 255).astype(np.uint8))
        times = _time({file: _subject(file, image, arguments.threads) for file in files}, arguments.runs)
        _print(times, arguments, pixels.shape, console)


def _export(edge_format: EdgeFormat, int8: bool, arguments: argparse.Namespace, console: Console) -> Path | None:
    """The file in the folder, made when it is not there; None when its libraries are missing or its check failed."""
    folder = arguments.folder / str(arguments.size)
    file = folder / f"detector{'.int8' if int8 else ''}{SUFFIX[edge_format]}"
    if file.is_file():
        return file
    try:
        return export_detector(
            edge_format, folder, int8=int8, data=arguments.data, size=arguments.size, report=console.print
        ).model
    except ExportError as error:
        console.print(f"{file.name}: {error} {error.remedy}")
        return None


def _subject(file: Path, image: Path, threads: int) -> Callable[[], object]:
    detector = edge_reader.load(file, threads)

    def run() -> object:
        pixels = edge_reader.read_grey(image)
        return edge_reader.judge(pixels, *edge_reader.detect(pixels, detector), detector.card)

    return run


def _time(subjects: dict[Path, Callable[[], object]], runs: int) -> dict[Path, list[float]]:
    for subject in subjects.values():
        for _ in range(3):
            subject()
    times: dict[Path, list[float]] = {file: [] for file in subjects}
    for _ in range(runs):
        for file, subject in subjects.items():
            start = time.perf_counter()
            subject()
            times[file].append((time.perf_counter() - start) * 1000)
    return times


def _print(
    times: dict[Path, list[float]], arguments: argparse.Namespace, shape: tuple[int, ...], console: Console
) -> None:
    table = Table(
        title=f"image file ({shape[1]} x {shape[0]} px) to findings, canvas {arguments.size} px, "
        f"{arguments.runs} runs, {arguments.threads} threads, {platform.machine()}",
        title_justify="left",
    )
    table.add_column("file")
    for column in ("MB", "median ms", "p95 ms", "boxes again", "score difference", "AP50 lost"):
        table.add_column(column, justify="right")
    for file, values in times.items():
        size = file.stat().st_size / 1e6
        middle, late = f"{np.median(values):.1f}", f"{np.percentile(values, 95):.1f}"
        check = _card(file)["check"]
        table.add_row(file.name, f"{size:.1f}", middle, late, *agreement(check))
        table.caption = (
            f"boxes and scores beside eager torch: {check['agreement']['images']} {check['agreement']['source']}"
        )
    console.print(table)


def _card(file: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(Path(f"{file}.json").read_text(encoding="utf-8"))
    return card


def agreement(check: dict[str, Any]) -> tuple[str, str, str]:
    """What a card says of its file beside eager torch: boxes found again, score difference, AP50 lost."""
    found = check["agreement"]
    again = f"{round(found['matched_share'] * found['boxes'])} of {found['boxes']}"
    parts = check.get("accuracy", {}).values()
    lost = ", ".join(f"{part['ap50']['loss'] + 0.0:.3f} (n = {part['n']})" for part in parts)
    return again, f"{found['max_score_difference']:.1e}", lost or "not asked"


if __name__ == "__main__":
    main()
