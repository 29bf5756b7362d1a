"""Marks suspected fractures in JPEG or PNG radiographs with an exported detector, away from the main application.

    python edge_reader.py detector.onnx radiograph.jpg [more.png ...]

Prints one JSON document per radiograph. Needs numpy, pillow, opencv-python-headless and the runtime of the file:
onnxruntime (.onnx), openvino (.openvino.zip) or ai-edge-litert (.tflite). The card, ``<model file>.json``, lies beside
the model file and must be its own: their digests are compared. A radiograph that looks inverted is not reported here.
"""

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Card = dict[str, Any]
Floats = NDArray[np.float32]
Network = Callable[[Floats], tuple[Floats, Floats]]
MIN_SIDE_PX, MAX_PIXELS = 64, 100_000_000


def load(model: Path, threads: int = 0) -> tuple[Network, Card]:
    """The network of a model file, from a canvas [1, 1, S, S] to boxes [1, N, 4] and scores [1, N, C], and its card."""
    data, card = model.read_bytes(), json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise ValueError(f"{model.name} is damaged, or {model.name}.json belongs to another file; copy both again")
    entry, (first, second) = card["input"], card["outputs"]
    if card["format"] == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return lambda canvas: tuple(session.run([first, second], {entry: canvas})), card
    if card["format"] == "openvino":
        # Importing openvino reports its use to its maker; without this part it has a silent stub.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino

        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            network = openvino.Core().read_model(archive.read("detector.xml"), archive.read("detector.bin"))
        # In single precision, so that results do not depend on whether the CPU has bfloat16; integers stay integers.
        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        request = openvino.Core().compile_model(network, "CPU", hints).create_infer_request()

        def infer(canvas: Floats) -> tuple[Floats, Floats]:
            results = request.infer([canvas])
            return results[first], results[second]

        return infer, card
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=data, num_threads=threads or None).get_signature_runner()

    def invoke(canvas: Floats) -> tuple[Floats, Floats]:
        results = runner(**{entry: canvas})
        return results[first], results[second]

    return invoke, card


def read_grey(path: Path) -> Floats:
    """The file as grey values [H, W] in 0..1, upright; more than 8 bits are stretched between robust percentiles."""
    with Image.open(path, formats=("JPEG", "PNG")) as opened:
        if min(opened.size) < MIN_SIDE_PX or opened.size[0] * opened.size[1] > MAX_PIXELS:
            raise ValueError(f"an image of {opened.size[0]} x {opened.size[1]} pixels is not read")
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        codes = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        counts = np.bincount(codes.ravel(), minlength=1 << 16).cumsum()
        low, high = np.searchsorted(counts, np.array([0.5, 99.5]) / 100 * counts[-1])
        if high <= low:
            low, high = int(codes.min()), int(codes.max())
        table = np.clip((np.arange(1 << 16) - low) / max(high - low, 1), 0, 1).astype(np.float32)
        return np.asarray(table[codes])
    if image.mode in ("L", "1"):
        return np.asarray(np.asarray(image.convert("L")) / np.float32(255), dtype=np.float32)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA"))
    colour = np.asarray(image.convert("RGB"))
    if (colour == colour[..., :1]).all():
        return np.asarray(colour[..., 0] / np.float32(255), dtype=np.float32)
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / np.float32(255)
    return np.asarray(np.clip(colour.astype(np.float32) @ weights, 0, 1))


def prepare(pixels: Floats, settings: Card) -> Floats:
    """Contrast as in training: range stretched between percentiles, then CLAHE; large images are averaged down."""
    factor = settings["working_side_px"] / max(pixels.shape)
    if factor < 1:
        size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    grey = np.clip(pixels * 255.0 + 0.5, 0, 255).astype(np.uint8)
    counts = np.bincount(grey[grey > settings["black"]], minlength=256).cumsum()
    low, high = np.searchsorted(counts, np.array(settings["percentiles"]) / 100 * counts[-1])
    if counts[-1] >= settings["min_exposed_pixels"] and high > low:
        table = np.clip((np.arange(256) - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        equaliser = cv2.createCLAHE(clipLimit=settings["clip_limit"], tileGridSize=tuple(settings["tiles"]))
        grey = np.asarray(equaliser.apply(cv2.LUT(grey, table)), dtype=np.uint8)
    return np.asarray(grey / np.float32(255), dtype=np.float32)


def detect(pixels: Floats, network: Network, card: Card) -> Floats:
    """Boxes of a radiograph [H, W] as rows (x1, y1, x2, y2, score, class) in its pixels, by falling score."""
    settings, prepared = card["preprocessing"], prepare(pixels, card["preprocessing"])
    side, (height, width) = settings["image_size"], prepared.shape
    ratio = side / max(height, width)
    fitted = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    if fitted != (width, height):
        method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        prepared = np.asarray(cv2.resize(prepared, fitted, interpolation=method), dtype=np.float32)
    left, top = (side - fitted[0]) // 2, (side - fitted[1]) // 2
    canvas = np.full((1, 1, side, side), settings["pad_value"], dtype=np.float32)
    canvas[0, 0, top : top + fitted[1], left : left + fitted[0]] = prepared
    boxes, scores = network(canvas)
    found = suppress(boxes[0], scores[0], **card["suppression"])
    size = np.tile(np.array([pixels.shape[1], pixels.shape[0]], dtype=np.float32), 2)
    moved = (found[:, :4] - np.tile([left, top], 2)) * (size / np.tile(fitted, 2))
    found[:, :4] = np.clip(moved, 0, size)
    return found


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


def judge(pixels: Floats, found: Floats, card: Card) -> Card:
    """Words for boxes: the call of the radiograph and of each box that is told."""
    points = card["operating_points"]
    sensitive, specific = (points[name]["threshold"] for name in ("high_sensitivity", "high_specificity"))
    told = max(sensitive, card.get("told_share", 0.0) * max(found[:1, 4], default=0.0))
    detections = [
        {
            "label": card["classes"][int(row[5])],
            "call": "definite" if row[4] >= specific else "suspected",
            "score": round(float(row[4]), 4),
            "box_px": [round(float(value), 1) for value in row[:4]],
        }
        for row in found
        if row[4] >= told
    ]
    probe = np.sort(pixels[:: -(-pixels.shape[0] // 128), :: -(-pixels.shape[1] // 128)], axis=None)
    contrast = probe[-1 - probe.size // 100] - probe[probe.size // 100]
    unfit = contrast < 0.04 or len(np.unique(probe)) < 12
    return {
        "model": card["model_id"],
        "call": detections[0]["call"] if detections else "cannot_judge" if unfit else "not_seen",
        "max_score": round(float(found[0, 4]), 4) if len(found) else 0.0,
        "width_px": pixels.shape[1],
        "height_px": pixels.shape[0],
        "detections": detections,
        "notice": card["intended_use"],
    }


def main() -> int:
    """Judge the files named on the command line; 3 when one of them could not be read."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    network, card = load(Path(sys.argv[1]))
    failed = False
    for path in map(Path, sys.argv[2:]):
        try:
            pixels = read_grey(path)
            print(json.dumps({"file": path.name, **judge(pixels, detect(pixels, network, card), card)}))
        except (OSError, ValueError, SyntaxError) as error:
            print(f"{path.name}: cannot be read as a JPEG or PNG radiograph: {error}", file=sys.stderr)
            failed = True
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
