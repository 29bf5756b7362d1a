"""Size of every export, and milliseconds from image file to findings with the script that lies beside it.

    python -m tests.benchmarks.export [--runs 30] [--size 512] [--calibration DATA] [--folder DIR]

Exports what is not yet in the folder (int8 only where a data set is named), then times all files turn by turn in one
process, so that a drifting machine slows every row alike. The image is a synthetic limb, so that anyone can repeat it.
Take figures on a quiet machine.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
    parser.add_argument("--calibration", type=Path, help="labelled data set: adds the int8 files")
    parser.add_argument("--folder", type=Path, default=Path("out/export"), help="where exports are, or will be")
    arguments = parser.parse_args()
    console = Console(width=110)
    files = [
        file
        for edge_format in EdgeFormat
        for int8 in ((False, True) if arguments.calibration else (False,))
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
            edge_format, folder, int8=int8, data=arguments.calibration, size=arguments.size, report=console.print
        ).model
    except ExportError as error:
        console.print(f"{file.name}: {error} {error.remedy}")
        return None


def _subject(file: Path, image: Path, threads: int) -> Callable[[], object]:
    network, card = edge_reader.load(file, threads)

    def run() -> object:
        pixels = edge_reader.read_grey(image)
        return edge_reader.judge(pixels, edge_reader.detect(pixels, network, card), card)

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
    for column in ("MB", "median ms", "p95 ms"):
        table.add_column(column, justify="right")
    for file, values in times.items():
        size = file.stat().st_size / 1e6
        table.add_row(file.name, f"{size:.1f}", f"{np.median(values):.1f}", f"{np.percentile(values, 95):.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
