"""Milliseconds from image file to findings, and of the network alone beside eager torch and ONNX Runtime.

    python -m tests.benchmarks.latency [--runs 50] [--size 640] [--data ../shared/data/fracatlas]

All in one process and one run, turn by turn, so that a drifting machine slows every row alike. Prints median and 95th
percentile of the time that passed, and the median of the processor time of all threads, which a busy machine disturbs
less (threads that wait for each other count as well). The image is a synthetic phantom of 640 px, so that anyone can
repeat it. With ``--data`` the validation split's radiographs follow, each once, those with a told fracture apart:
their pattern is read and their geometry measured as well.
"""

import argparse
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from imaging.dicom.writer import DicomHeader, RadiographClass, write_dicom
from imaging.engine import FractureEngine
from imaging.manifest import read_manifest
from imaging.phantom import PhantomSpec, make_phantom
from imaging.reader import read_radiograph
from imaging.runtime import DecodedNetwork, load_network
from imaging.runtime.openvino import OpenVinoRuntime
from imaging.training.datasets import read_collection

Times = dict[str, list[tuple[float, float]]]
"""Of each run of each subject, the milliseconds that passed and those of the processor."""


def main() -> None:
    """Time everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--size", type=int, default=640, help="longer side of the image file, in pixels")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--data", type=Path, help="folder of labelled radiographs with a validation split")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # exporters talk of their own future
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        jpeg, dicom = _image_files(Path(folder), arguments.size)
        subjects = _subjects(jpeg, dicom, arguments.threads)
        times = _time(subjects, arguments.runs)
    if arguments.data is not None:
        paths = [sample.path for sample in read_collection(arguments.data, "val").samples]
        times = _time_radiographs(paths, arguments.threads) | times
    _print(times, arguments)


def _image_files(folder: Path, size: int) -> tuple[Path, Path]:
    pixels = make_phantom(PhantomSpec(), seed=1).pixels
    factor = size / max(pixels.shape)
    shape = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    pixels = np.asarray(cv2.resize(pixels, shape), dtype=np.float32)
    jpeg, dicom = folder / "phantom.jpg", folder / "phantom.dcm"
    cv2.imwrite(str(jpeg), np.clip(pixels * 255, 0, 255).astype(np.uint8))
    write_dicom(dicom, pixels, DicomHeader(storage=RadiographClass.CR, synthetic=True))
    return jpeg, dicom


def _subjects(jpeg: Path, dicom: Path, threads: int) -> dict[str, Callable[[], object]]:
    manifest = read_manifest()
    engine = FractureEngine.load(runtime="openvino", threads=threads)
    quick = FractureEngine.load(runtime="openvino-bf16", threads=threads)
    network = load_network(manifest)
    subjects: dict[str, Callable[[], object]] = {
        "JPEG file to findings, OpenVINO": lambda: engine.analyse(read_radiograph(jpeg)),
        "DICOM file to findings, OpenVINO": lambda: engine.analyse(read_radiograph(dicom)),
        "JPEG file to findings, OpenVINO in bfloat16": lambda: quick.analyse(read_radiograph(jpeg)),
    }
    for size in sorted({manifest.image_size, 640}):
        canvas = torch.rand(1, 3, size, size)
        fused = DecodedNetwork(network).eval()
        last = DecodedNetwork(network).eval().to(memory_format=torch.channels_last)
        openvino_runtime = OpenVinoRuntime(fused, size, threads=threads)
        session = _onnx_session(fused, canvas, threads)
        channels_last = canvas.contiguous(memory_format=torch.channels_last)
        subjects |= {
            f"network alone {size} px, OpenVINO": _bind(openvino_runtime.predict, canvas),
            f"network alone {size} px, ONNX Runtime": _bind(
                lambda x, s=session: s.run(None, {"canvas": x}), canvas.numpy()
            ),
            f"network alone {size} px, eager torch": _bind(torch.inference_mode()(_eager(network)), canvas),
            f"network alone {size} px, eager torch, fused": _bind(torch.inference_mode()(fused), canvas),
            f"network alone {size} px, eager torch, fused, channels last": _bind(
                torch.inference_mode()(last), channels_last
            ),
        }
    return subjects


def _bind(function: Callable[..., object], argument: object) -> Callable[[], object]:
    return lambda: function(argument)


def _eager(network: torch.nn.Module) -> Callable[[torch.Tensor], object]:
    return lambda canvas: network.decode(network(canvas))  # type: ignore[operator]


def _onnx_session(module: torch.nn.Module, canvas: torch.Tensor, threads: int) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        torch.onnx.export(module, (canvas,), path, input_names=["canvas"], dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def _time_radiographs(paths: Sequence[Path], threads: int) -> Times:
    """File to findings of each radiograph, by whether a fracture is told."""
    engine = FractureEngine.load(runtime="openvino", threads=threads)
    for path in paths[:5]:
        engine.analyse(read_radiograph(path))
    times: Times = {"all radiographs": [], "no fracture told": [], "fracture told": []}
    for path in paths:
        start, busy = time.perf_counter(), time.process_time()
        findings = engine.analyse(read_radiograph(path))
        taken = (time.perf_counter() - start) * 1000, (time.process_time() - busy) * 1000
        for name in ("all radiographs", "fracture told" if findings.detections else "no fracture told"):
            times[name].append(taken)
    return {f"{name}, n = {len(values)}": values for name, values in times.items() if values}


def _time(subjects: dict[str, Callable[[], object]], runs: int) -> Times:
    for subject in subjects.values():
        for _ in range(3):
            subject()
    times: Times = {name: [] for name in subjects}
    for _ in range(runs):
        for name, subject in subjects.items():
            start, busy = time.perf_counter(), time.process_time()
            subject()
            times[name].append(((time.perf_counter() - start) * 1000, (time.process_time() - busy) * 1000))
    return times


def _print(times: Times, arguments: argparse.Namespace) -> None:
    table = Table(
        title=f"{arguments.runs} runs, {arguments.threads} threads, {platform.machine()}, image {arguments.size} px",
        title_justify="left",
    )
    for column, justify in (
        ("what", "left"),
        ("median ms", "right"),
        ("p95 ms", "right"),
        ("median CPU ms", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for name, values in times.items():
        passed, busy = np.asarray(values).T
        figures = np.median(passed), np.percentile(passed, 95), np.median(busy)
        table.add_row(name, *(f"{figure:.1f}" for figure in figures))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
