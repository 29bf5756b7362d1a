"""Drawn hands in the bone-age layout: the wider the bones, the older."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imaging.bone_age.training import BoneAgeConfig

TINY = BoneAgeConfig(folds=2, epochs=2, batch_size=8, graph="residual", width=0.1, precision="32-true", seed=5)
"""A training of seconds."""


def picture(months: float, seed: int) -> NDArray[np.uint8]:
    """Five bright fingers on a dark ground, [100, 100]; their width grows with age."""
    generator = np.random.default_rng(seed)
    image = generator.integers(10, 40, (100, 100)).astype(np.uint8)
    width = 2 + round(months / 24)
    for finger in range(5):
        x = 12 + 18 * finger + int(generator.integers(-2, 3))
        cv2.line(image, (x, int(generator.integers(8, 16))), (50, 85), 220, max(1, width // 2))
    cv2.circle(image, (50, 85), 6 + width, 200, -1)
    return image


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """The bytes of a JPEG."""
    return cv2.imencode(".jpg", image)[1].tobytes()


def frame(count: int = 40, seed: int = 0) -> pd.DataFrame:
    """A table of hands: id, months, male, jpeg."""
    generator = np.random.default_rng(seed)
    months = generator.integers(6, 220, count)
    return pd.DataFrame(
        {
            "id": np.arange(count) + 1000 * seed,
            "months": months,
            "male": generator.random(count) < 0.5,
            "jpeg": [jpeg(picture(age, seed * 1000 + row)) for row, age in enumerate(months)],
        }
    )


def folder(path: Path, count: int = 40, seed: int = 0) -> Path:
    """A folder with one Parquet file of hands."""
    path.mkdir(parents=True, exist_ok=True)
    frame(count, seed).to_parquet(path / "hands.parquet")
    return path
