"""Hands with known skeletal age: reading the Parquet layout, folds, and batches of augmented pictures."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Sampler

from imaging.bone_age.preprocess import canvas
from imaging.training.errors import TrainingDataError

COLUMNS: Final = ("id", "months", "male", "jpeg")
"""Of the Parquet files: an identifier, skeletal age in months, sex, the bytes of a JPEG or PNG."""
MAX_MONTHS: Final = 240


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hands:
    """Hands in memory."""

    ids: NDArray[np.str_]
    """[n]."""
    pictures: NDArray[np.uint8]
    """[n, 112, 112]; see `imaging.bone_age.preprocess.canvas`."""
    months: NDArray[np.float32]
    """[n], 0..240."""
    sex: NDArray[np.float32]
    """[n]: 1 male, -1 female."""
    sha256: str
    """Digest of the files."""
    left_out: tuple[str, ...] = ()
    """Rows that could not be used: ``file, row: reason``."""

    def __len__(self) -> int:
        return len(self.months)

    def take(self, rows: NDArray[Any]) -> Self:
        """A part of the hands, by index or mask."""
        return type(self)(
            ids=self.ids[rows],
            pictures=self.pictures[rows],
            months=self.months[rows],
            sex=self.sex[rows],
            sha256=self.sha256,
        )


def read_hands(folder: Path, *, limit: int | None = None) -> Hands:
    """Read every ``*.parquet`` of a folder.

    Args:
        folder: holds files with the columns ``id, months, male, jpeg``; or one such file.
        limit: keep this many hands, evenly spread; None keeps all.

    Raises:
        TrainingDataError: no file, a column missing, or not one usable hand. Single bad rows are left out and named.
    """
    files = [folder] if folder.is_file() else sorted(folder.glob("*.parquet"))
    if not files:
        raise TrainingDataError(
            "There is no Parquet file in the bone-age folder",
            remedy="Give a folder with Parquet files of the columns id, months, male and jpeg",
        )
    digest = hashlib.sha256()
    rows: list[tuple[str, NDArray[np.uint8], float, bool]] = []
    bad: list[str] = []
    for file in files:
        digest.update(file.read_bytes())
        table = _read_table(file)
        if limit is not None and len(table) > limit:
            table = table.iloc[np.linspace(0, len(table) - 1, limit).astype(int)]
        for number, row in enumerate(table.itertuples(index=False)):
            found = _read_row(row)
            if isinstance(found, str):
                bad.append(f"{file.name}, row {number}: {found}")
            else:
                rows.append(found)
    if not rows:
        raise TrainingDataError(
            "Not one row of the bone-age files can be used",
            remedy=f"Check the first: {bad[0] if bad else 'the files are empty'}",
        )
    ids, pictures, months, male = zip(*rows, strict=True)
    return Hands(
        ids=np.array(ids),
        pictures=np.stack(pictures),
        months=np.array(months, dtype=np.float32),
        sex=np.where(np.array(male), 1.0, -1.0).astype(np.float32),
        sha256=digest.hexdigest(),
        left_out=tuple(bad),
    )


def _read_table(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise TrainingDataError(
            f"{file.name} is no readable Parquet file", remedy="Fetch or write the file again"
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise TrainingDataError(
            f"{file.name} has no column {', '.join(missing)}",
            remedy=f"Name the columns {', '.join(COLUMNS)}",
        )
    return table[list(COLUMNS)]


def _read_row(row: Any) -> tuple[str, NDArray[np.uint8], float, bool] | str:
    """The parts of a row, or why it cannot be used."""
    months, male, data = row.months, row.male, row.jpeg
    if pd.isna(months) or not 0 <= float(months) <= MAX_MONTHS:
        return f"the age is missing or not within 0 to {MAX_MONTHS} months"
    if pd.isna(male):
        return "the sex is missing"
    if not isinstance(data, bytes):
        return "there is no image"
    grey = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        return "the image cannot be decoded"
    return str(row.id), canvas(np.asarray(grey, dtype=np.uint8)), float(months), bool(male)


def folds_of(ids: NDArray[np.str_], folds: int) -> NDArray[np.int64]:
    """Fold 0..folds-1 of each hand, by a digest of its identifier: the same whatever else is in the files."""
    return np.array([int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % folds for name in ids], dtype=np.int64)


class EpochSampler(Sampler[int]):
    """A new order each epoch that depends on (seed, epoch) alone; Lightning tells it the epoch."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng((self._seed, self._epoch)).permutation(self._size).tolist())


def augment(pictures: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Pictures [B, 1, S, S] in 0..1 turned, scaled, shifted and mirrored a little, with another exposure.

    Left and right hands age alike, so half are mirrored. Wider turns and scales and hidden patches kept a short
    training from learning anything; a long one that knows its hands by heart wants more, by a `strength` above 1.
    """
    size = len(pictures)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(size, generator=generator)

    angle = strength * between(-15.0, 15.0) * (math.pi / 180.0)
    scale = torch.exp(strength * between(math.log(0.9), math.log(1.1)))
    mirror = torch.where(between(0.0, 1.0) < 0.5, -1.0, 1.0)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (
        torch.stack((cosine * mirror, -sine, strength * between(-0.05, 0.05)), dim=1),
        torch.stack((sine * mirror, cosine, strength * between(-0.05, 0.05)), dim=1),
    )
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(pictures.shape), align_corners=False)
    moved = functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gamma, gain = between(0.85, 1.18) ** strength, between(0.9, 1.1) ** strength
    exposed = (moved.clamp(1e-4, 1.0) ** gamma[:, None, None, None]) * gain[:, None, None, None]
    return exposed.clamp(0.0, 1.0)
