"""Marks suspected fractures in JPEG or PNG radiographs with an exported detector, away from the main application.

    python edge_reader.py detector.onnx radiograph.jpg [more.png ...]

Prints one JSON document per radiograph. Needs numpy, pillow, opencv-python-headless and the runtime of the file:
onnxruntime (.onnx), openvino (.openvino.zip) or ai-edge-litert (.tflite). The card, ``<model file>.json``, lies beside
the model file and must be its own: their digests are compared.

Where the card says ``"scope_checked": true``, `edge_scope.py` lies here too and pictures that are no limb radiographs
are refused. Where it says false, nothing does so: a photograph may be called a fracture. Only give it limb radiographs.
A radiograph that looks inverted is not reported here.
"""

import hashlib
import importlib
import io
import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Card = dict[str, Any]
Floats = NDArray[np.float32]
Network = Callable[[Floats], Sequence[Floats]]
MIN_SIDE_PX, MAX_PIXELS = 64, 100_000_000


class Detector(NamedTuple):
    """A loaded model file."""

    network: Network  # canvas [1, 1, S, S] to the card's outputs: boxes [1, N, 4], scores [1, N, C] and feature maps
    scope: Callable[..., str] | None  # see edge_scope.load
    card: Card


def load(model: Path, threads: int = 0) -> Detector:
    """Read a model file, its card and, if the card has one, its scope model."""
    data, card = model.read_bytes(), json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise ValueError(f"{model.name} is damaged, or {model.name}.json belongs to another file; copy both again")
    beside = f"{__package__}.edge_scope" if __package__ else "edge_scope"
    scope = importlib.import_module(beside).load(card["scope"]) if card["scope_checked"] else None
    return Detector(_network(data, card, threads), scope, card)


def _network(data: bytes, card: Card, threads: int) -> Network:
    """From a canvas [1, 1, S, S] to the card's outputs, in the runtime of the card's format."""
    entry, outputs = card["input"], card["outputs"]
    if card["format"] == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return lambda canvas: session.run(outputs, {entry: canvas})
    if card["format"] == "openvino":
        # Importing openvino reports its use to its maker; without this part it has a silent stub.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino

        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            network = openvino.Core().read_model(archive.read("detector.xml"), archive.read("detector.bin"))
        # In single precision, so that results do not depend on whether the CPU has bfloat16; integers stay integers.
        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        request = openvino.Core().compile_model(network, "CPU", hints).create_infer_request()
        return lambda canvas: itemgetter(*outputs)(request.infer([canvas]))
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=data, num_threads=threads or None).get_signature_runner()
    return lambda canvas: itemgetter(*outputs)(runner(**{entry: canvas}))


def read_grey(path: Path) -> Floats:
    """The file as grey values [H, W] in 0..1, upright; more than 8 bits are stretched between robust percentiles."""
    with Image.open(path, formats=("JPEG", "PNG")) as opened:
        if min(opened.size) < MIN_SIDE_PX or opened.size[0] * opened.size[1] > MAX_PIXELS:
            raise ValueError(f"an image of {opened.size[0]} x {opened.size[1]} pixels is not read")
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        codes = np.clip(np.asarray(image), 0, 65535)
        low, high = np.percentile(codes, [0.5, 99.5], method="inverted_cdf")
        if high <= low:
            low, high = codes.min(), codes.max()
        return np.asarray(np.clip((codes - float(low)) / max(float(high) - float(low), 1), 0, 1), dtype=np.float32)
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA"))
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / np.float32(255)
    return np.clip(np.asarray(image.convert("RGB"), dtype=np.float32) @ weights, 0, 1)


def prepare(pixels: Floats, settings: Card) -> Floats:
    """Contrast as in training: range stretched between percentiles, then CLAHE; large images are averaged down."""
    factor = settings["working_side_px"] / max(pixels.shape)
    if factor < 1:
        pixels = _resized(pixels, factor)
    grey = np.clip(pixels * 255.0 + 0.5, 0, 255).astype(np.uint8)
    counts = np.bincount(grey[grey > settings["black"]], minlength=256).cumsum()
    low, high = np.searchsorted(counts, np.array(settings["percentiles"]) / 100 * counts[-1])
    if counts[-1] >= settings["min_exposed_pixels"] and high > low:
        table = np.clip((np.arange(256) - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        equaliser = cv2.createCLAHE(clipLimit=settings["clip_limit"], tileGridSize=tuple(settings["tiles"]))
        grey = np.asarray(equaliser.apply(cv2.LUT(grey, table)), dtype=np.uint8)
    return np.asarray(grey / np.float32(255), dtype=np.float32)


def _resized(pixels: Floats, ratio: float) -> Floats:
    size = (max(1, round(pixels.shape[1] * ratio)), max(1, round(pixels.shape[0] * ratio)))
    method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.float32)


def detect(pixels: Floats, detector: Detector) -> tuple[Floats, str | None]:
    """Boxes of a radiograph [H, W] as rows (x1, y1, x2, y2, score, class) in its pixels, best first; and its scope."""
    settings = detector.card["preprocessing"]
    prepared, side = prepare(pixels, settings), settings["image_size"]
    fitted = _resized(prepared, side / max(prepared.shape))
    height, width = fitted.shape
    left, top = (side - width) // 2, (side - height) // 2
    canvas = np.full((1, 1, side, side), settings["pad_value"], dtype=np.float32)
    canvas[0, 0, top : top + height, left : left + width] = fitted
    boxes, scores, *maps = detector.network(canvas)
    found = suppress(boxes[0], scores[0], **detector.card["suppression"])
    size = np.tile(pixels.shape[::-1], 2)
    found[:, :4] = np.clip((found[:, :4] - [left, top, left, top]) * (size / [width, height, width, height]), 0, size)
    return found, detector.scope(pixels, maps, (left, top, width, height)) if detector.scope else None


def suppress(boxes: Floats, scores: Floats, *, score_floor: float, iou: float, max_detections: int) -> Floats:
    """Non-maximum suppression within each class: [n, 6] of the best boxes [N, 4] xyxy with scores [N, C]."""
    best, label = scores.max(axis=1), scores.argmax(axis=1)
    order = np.flatnonzero(best >= score_floor)
    order = order[np.argsort(-best[order], kind="stable")]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order.size and len(kept) < max_detections:
        top, order = int(order[0]), order[1:]
        kept.append(top)
        corner = np.minimum(boxes[top, 2:], boxes[order, 2:]) - np.maximum(boxes[top, :2], boxes[order, :2])
        shared = np.clip(corner, 0, None).prod(axis=1)
        overlap = shared / np.maximum(area[top] + area[order] - shared, 1e-9)
        order = order[(overlap <= iou) | (label[order] != label[top])]
    return np.concatenate((boxes[kept], best[kept, None], label[kept, None]), axis=1, dtype=np.float32)


def judge(pixels: Floats, found: Floats, scope: str | None, card: Card) -> Card:
    """Words for boxes: the call of the radiograph, its probability, and the boxes that are told."""
    points = card["operating_points"]
    sensitive, specific = (points[name]["threshold"] for name in ("high_sensitivity", "high_specificity"))
    best = float(found[0, 4]) if len(found) else 0.0
    told = found[found[:, 4] >= max(sensitive, card["told_share"] * best)] if scope != "outside" else found[:0]
    probe = np.sort(pixels[:: -(-pixels.shape[0] // 128), :: -(-pixels.shape[1] // 128)], axis=None)
    flat = probe[-1 - probe.size // 100] - probe[probe.size // 100] < 0.04 or len(np.unique(probe)) < 12
    detections = [
        {
            "label": card["classes"][int(row[5])],
            "call": "definite" if row[4] >= specific else "suspected",
            "score": round(float(row[4]), 4),
            "box_px": [round(float(value), 1) for value in row[:4]],
        }
        for row in told
    ]
    call = detections[0]["call"] if detections else "cannot_judge" if flat or scope == "outside" else "not_seen"
    return {
        "model": card["model_id"],
        "call": call,
        "max_score": round(best, 4),
        "fracture_probability": None if call == "cannot_judge" else probability(best, card["calibration"]),
        "width_px": pixels.shape[1],
        "height_px": pixels.shape[0],
        "detections": detections,
        "scope_checked": scope is not None,
        "scope": scope,
        "scope_notice": card["scope_notice"],
        "notice": card["intended_use"],
    }


def probability(score: float, line: Card | None) -> Card | None:
    """Probability of a fracture with its 90 % interval, where the share of fractures is the `prevalence` told."""
    if line is None:
        return None
    score = float(np.clip(score, line["smallest_score"], 1 - line["smallest_score"]))
    slopes, intercepts = np.array([(line["slope"], line["intercept"]), *line["refits"]]).T
    value, *refits = 1 / (1 + np.exp(-(slopes * np.log(score / (1 - score)) + intercepts)))
    low, high = np.quantile(refits or [value], [0.05, 0.95])
    figures = {"value": value, "low": min(low, value), "high": max(high, value), "prevalence": line["prevalence"]}
    return {name: round(float(figure), 4) for name, figure in figures.items()}


def main() -> int:
    """Judge the files named on the command line; 3 when one of them could not be read."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    detector = load(Path(sys.argv[1]))
    print(detector.card["scope_notice"], file=sys.stderr)
    status = 0
    for path in map(Path, sys.argv[2:]):
        try:
            pixels = read_grey(path)
            print(json.dumps({"file": path.name, **judge(pixels, *detect(pixels, detector), detector.card)}))
        except (OSError, ValueError, SyntaxError) as error:
            print(f"{path.name}: cannot be read as a JPEG or PNG radiograph: {error}", file=sys.stderr)
            status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
