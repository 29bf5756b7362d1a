"""The radiographs of FracAtlas as cases: what the shipped detector says of each, kept in a file for the next proof."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cds.learning.drift.observation import answer_numbers, picture_numbers, region_of
from cds.learning.unlabelled import RememberingEngine
from imaging.attributes.pooling import STATISTICS_ID, pool_statistics
from imaging.errors import ImagingError
from imaging.reader import read_radiograph
from imaging.training.attributes_data import AttributeSample, read_fracatlas

NUMBERS = (
    *("exposure", "dark", "bright", "contrast", "sharpness", "size"),
    *("abstained", "likeness", "positive", "suspected", "boxes", "probability"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenCases:
    """Radiographs with their labels and what the detector made of them."""

    ids: tuple[str, ...]
    numbers: NDArray[np.float64]
    """[n, len(NUMBERS)]; NaN where nothing was judged."""
    regions: tuple[str, ...]
    fractured: NDArray[np.bool_]
    scores: NDArray[np.float64]
    vectors: NDArray[np.float32]
    """[n, D], see `pool_statistics`."""
    model: str

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> NDArray[np.float64]:
        """One figure of every case."""
        return self.numbers[:, NUMBERS.index(name)]


Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def seen_cases(
    data: Path, cache: Path, *, split: str, limit: int | None = None, change: Change | None = None, name: str = ""
) -> SeenCases:
    """Show radiographs of FracAtlas to the shipped detector.

    Args:
        data: folder that holds ``fracatlas``.
        cache: folder in which the figures are kept.
        split: part of the split list.
        limit: so many at most, spread evenly over the list.
        change: alters the pixels [H, W] in 0..1 before anything looks at them.
        name: of the change, for the name of the file.
    """
    samples: Sequence[AttributeSample] = read_fracatlas(data / "fracatlas", split)
    if limit is not None and limit < len(samples):
        samples = [samples[int(row)] for row in np.linspace(0, len(samples) - 1, limit).round()]
    torch.set_num_threads(1)
    engine = RememberingEngine.load(threads=1)
    digest = hashlib.sha256("|".join([engine.model_id, STATISTICS_ID, name, *(s.image_id for s in samples)]).encode())
    kept = cache / f"cases-{digest.hexdigest()[:20]}.npz"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, allow_pickle=False, **_looked_at(samples, engine, change))
    with np.load(kept, allow_pickle=False) as stored:
        rows = stored["rows"].tolist()
        return SeenCases(
            ids=tuple(samples[row].image_id for row in rows),
            numbers=stored["numbers"],
            regions=tuple(stored["regions"].tolist()),
            fractured=np.array([bool(samples[row].fractured) for row in rows]),
            scores=stored["scores"],
            vectors=stored["vectors"],
            model=engine.model_id,
        )


def _looked_at(
    samples: Sequence[AttributeSample], engine: RememberingEngine, change: Change | None
) -> dict[str, NDArray[np.generic]]:
    rows, numbers, regions, scores, vectors = [], [], [], [], []
    for row, sample in enumerate(samples):
        try:
            radiograph = read_radiograph(sample.path)
        except ImagingError:
            continue
        if change is not None:
            radiograph = replace(radiograph, pixels=change(radiograph.pixels))
        findings = engine.analyse(radiograph)
        found = picture_numbers(radiograph.pixels) | answer_numbers(findings)
        rows.append(row)
        numbers.append([found.get(name, np.nan) for name in NUMBERS])
        regions.append(region_of(findings))
        scores.append(findings.max_score or 0.0)
        vectors.append(pool_statistics(engine.last.features, engine.last.transform).numpy())
    return {
        "rows": np.array(rows, dtype=np.int64),
        "numbers": np.array(numbers, dtype=np.float64),
        "regions": np.array(regions),
        "scores": np.array(scores, dtype=np.float64),
        "vectors": np.array(vectors, dtype=np.float32),
    }
