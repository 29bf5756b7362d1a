"""Tiny labelled data sets made on the spot, and weights folders for tests of the engine."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from imaging.labels import DETECTOR_CLASSES
from imaging.manifest import CLASSIFIER_KEY
from imaging.preprocess import PREPROCESSING_ID
from imaging.yolov7 import build
from imaging.yolov7.checkpoint import save_weights
from imaging.yolov7.graphs import YOLOV7_TINY
from imaging.yolov7.image_classifier import ImageClassifier


def striped_bone(
    rng: np.random.Generator, fractured: bool
) -> tuple[np.ndarray, tuple[float, float, float, float] | None]:
    """A grey shaft on black [120, 96] uint8, with a dark gap and its box (fractions) when fractured."""
    image = rng.normal(20, 4, (120, 96))
    left = int(rng.integers(25, 45))
    image[:, left : left + 24] += 120
    box = None
    if fractured:
        top = int(rng.integers(30, 80))
        image[top : top + 6, left : left + 24] -= 90
        box = ((left - 2) / 96, (top - 6) / 120, (left + 26) / 96, (top + 12) / 120)
    return image.clip(0, 255).astype(np.uint8), box


def write_fracatlas(root: Path, *, fractured: int = 8, healthy: int = 8, seed: int = 0) -> Path:
    """FracAtlas' folder layout with synthetic shafts; ids are 100 apart so that each is its own block."""
    rng = np.random.default_rng(seed)
    for folder in ("images/Fractured", "images/Non_fractured", "Annotations/YOLO"):
        (root / folder).mkdir(parents=True)
    rows = []
    for number in range(fractured + healthy):
        broken = number < fractured
        name = f"IMG{number * 100:07d}"
        image, box = striped_bone(rng, broken)
        cv2.imwrite(str(root / "images" / ("Fractured" if broken else "Non_fractured") / f"{name}.jpg"), image)
        if box is not None:
            x1, y1, x2, y2 = box
            label = f"0 {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}\n"
            (root / "Annotations" / "YOLO" / f"{name}.txt").write_text(label)
        rows.append({"image_id": f"{name}.jpg", "split": "val" if number % 4 == 3 else "train"})
    with (root / "split.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["image_id", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return root


def write_types(root: Path, count: int = 12) -> Path:
    """A folder of fracture types: shafts of two textures, called spiral and avulsion."""
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(1)
    rows: list[dict[str, object]] = []
    for number in range(count):
        image, _ = striped_bone(rng, True)
        spiral = number % 2 == 0
        # A different texture, since contrast is normalised away.
        image = image if spiral else cv2.GaussianBlur(image.T.copy(), (0, 0), 4)
        cv2.imwrite(str(root / "images" / f"{number}.png"), image)
        rows.append(
            {
                "image": f"{number}.png",
                "source": "web",
                "group": f"g{number}",
                "type": "spiral" if spiral else "avulsion",
                "displaced": "",
            }
        )
    with (root / "images.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def write_flags(atlas: Path, count: int) -> None:
    """``dataset.csv`` of `write_fracatlas`: the first half are hands, the others legs."""
    rows = [
        {
            "image_id": f"IMG{number * 100:07d}.jpg",
            "hand": int(number < count // 2),
            "leg": int(number >= count // 2),
            "hip": 0,
            "shoulder": 0,
            "mixed": int(number == 3),
            "hardware": 0,
            "frontal": 1,
            "lateral": int(number < count // 2),
            "oblique": 0,
        }
        for number in range(count)
    ]
    with (atlas / "dataset.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_weights(folder: Path, *, width: float = 1.0, seed: int = 0, image_size: int = 128) -> Path:
    """A weights folder with a random yolov7-tiny, as a release would write it."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = build(YOLOV7_TINY, num_classes=1, width=width)
    digest = save_weights(folder / "detector.safetensors", network.state_dict(), {"graph": "yolov7-tiny"})
    point = {"sensitivity": 0.9, "specificity": 0.5}
    manifest = {
        "name": "random-test-detector",
        "version": "0.0.1",
        "graph": "yolov7-tiny",
        "classes": list(DETECTOR_CLASSES),
        "weights": "detector.safetensors",
        "sha256": digest,
        "preprocessing": {"id": PREPROCESSING_ID, "image_size": image_size, "pad_value": 0.0},
        "suppression": {"score_floor": 0.0001, "iou": 0.45, "max_detections": 50},
        "operating_points": {
            "high_sensitivity": {"threshold": 0.0002, **point},
            "high_specificity": {"threshold": 0.9, **point},
        },
        "validation": "Random weights; measured on nothing.",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_classifier(folder: Path, *, log_odds: float = -3.0, weight: float = 1.0) -> Path:
    """Give the detector of a weights folder an image classifier with random weights and nearly this answer."""
    classifier = ImageClassifier()
    with torch.no_grad():
        classifier.head.weight.mul_(1e-3)
        classifier.head.bias.fill_(log_odds)
    digest = save_weights(folder / "image_classifier.safetensors", classifier.state_dict(), {})
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    document[CLASSIFIER_KEY] = {"weights": "image_classifier.safetensors", "sha256": digest, "weight": weight}
    path.write_text(json.dumps(document))
    return folder
