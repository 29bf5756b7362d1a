"""Labelled radiographs to the vectors that the attribute heads read: one pass of the detector each, kept on disk."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.attributes.manifest import PatternNetworkEntry
from imaging.attributes.model import AttributeModel
from imaging.attributes.pattern_network import PatternNetwork
from imaging.attributes.pooling import (
    PATTERN_STATISTICS_ID,
    STATISTICS_ID,
    pool_pattern_statistics,
    pool_statistics,
)
from imaging.engine import FractureEngine
from imaging.errors import ImagingError
from imaging.preprocess import PREPROCESSING_ID
from imaging.reader import read_radiograph
from imaging.runtime import RuntimeName, load_module
from imaging.training.attributes_data import AttributeSample

Report = Callable[[str], None]
Track = Callable[[Iterable[AttributeSample]], Iterable[AttributeSample]]

_PROGRESS_EVERY = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureTable:
    """Samples that could be read, with what the detector makes of them."""

    samples: tuple[AttributeSample, ...]
    vectors: NDArray[np.float32]
    """[n, D], see `pool_statistics`."""
    max_scores: NDArray[np.float64]
    """[n], the detector's highest score, 0..1."""
    refused: tuple[str, ...] = ()
    """Images that the application refuses to read."""

    def __len__(self) -> int:
        return len(self.samples)


def look(
    engine: FractureEngine, pixels: NDArray[np.float32], *, reads: str | None = None
) -> tuple[NDArray[np.float32], float]:
    """(vector [D], highest score) of a radiograph [H, W] in 0..1, bone bright; `reads` as for `extract`."""
    found = engine.look(pixels)
    features = found.read(engine.manifest.digest if reads is None else reads)
    return pool_statistics(features, found.transform).numpy(), found.max_score


def extract(
    samples: Sequence[AttributeSample],
    engine: FractureEngine,
    *,
    reads: str | None = None,
    cache: Path | None = None,
    report: Report = lambda _: None,
    track: Track = lambda samples: samples,
) -> FeatureTable:
    """Vectors and scores of every radiograph that the application's own reader accepts.

    Args:
        samples: what to look at.
        engine: the detector.
        reads: which of its features, `AttributeModel.reads`; all by default.
        cache: folder in which vectors are kept for the next fit; the file's name tells detector, pooling and images.
        report: receives one line per refused image, and progress.
        track: wraps the samples, for a progress bar.
    """
    about = (*engine.manifest.judging, reads or engine.manifest.digest, engine.runtime.name, STATISTICS_ID)
    return _table(samples, lambda pixels: look(engine, pixels, reads=reads), about, cache, report, track)


def extract_for_patterns(
    samples: Sequence[AttributeSample],
    engine: FractureEngine,
    heads: PatternNetworkEntry | AttributeModel | None,
    *,
    mirrored: bool = False,
    cache: Path | None = None,
    report: Report = lambda _: None,
    track: Track = lambda samples: samples,
) -> FeatureTable:
    """Vectors that the pattern head reads: of its own network or, without one, those of `extract`.

    Args:
        samples: what to look at.
        engine: the detector; its runtime runs the pattern network too, its canvas is what that network sees.
        heads: whose pattern head, or the network of one that is to be fitted; None for one that reads the detector.
        mirrored: of the radiographs mirrored; asked of a pattern network only.
        cache: as for `extract`.
        report: receives one line per refused image, and progress.
        track: wraps the samples, for a progress bar.

    Raises:
        ModelFilesError: the pattern network's file cannot be used.
    """
    entry = heads.manifest.pattern_network if isinstance(heads, AttributeModel) else heads
    if entry is None:
        reads = heads.reads if isinstance(heads, AttributeModel) else None
        return extract(samples, engine, reads=reads, cache=cache, report=report, track=track)
    name = engine.runtime.name
    network = load_module(PatternNetwork.load(entry), engine.manifest.image_size, RuntimeName(name.partition(",")[0]))

    def vector(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        canvas, transform = engine.canvas(pixels)
        maps = network.run(canvas.flip(-1) if mirrored else canvas)
        turned = [one.flip(-1) for one in maps] if mirrored else maps
        return pool_pattern_statistics(turned, transform).numpy(), 0.0

    sides = ",".join(f"{one}:{side}" for one, side in entry.sides.items())
    size = str(engine.manifest.image_size)
    about = (PREPROCESSING_ID, size, entry.sha256, sides, name, PATTERN_STATISTICS_ID, str(mirrored))
    return _table(samples, vector, about, cache, report, track)


def _table(
    samples: Sequence[AttributeSample],
    look_at: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], float]],
    about: Sequence[str],
    cache: Path | None,
    report: Report,
    track: Track,
) -> FeatureTable:
    """What `look_at` makes of every sample, from `cache` where it was made before; `about` names what makes it."""
    kept = None if cache is None else cache / f"{_key(samples, about)}.npz"
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as stored:
            return _assemble(samples, stored["rows"], stored["vectors"], stored["max_scores"])
    rows: list[int] = []
    vectors: list[NDArray[np.float32]] = []
    scores: list[float] = []
    for row, sample in enumerate(track(samples)):
        try:
            pixels = read_radiograph(sample.path).pixels
        except ImagingError as error:
            report(f"{sample.image_id}: refused, {error}")
            continue
        vector, score = look_at(pixels)
        rows.append(row)
        vectors.append(vector)
        scores.append(score)
        if len(rows) % _PROGRESS_EVERY == 0:
            report(f"{len(rows)} of {len(samples)} radiographs of {sample.collection}")
    table = np.array(vectors, dtype=np.float32).reshape(len(rows), -1)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, rows=np.array(rows), vectors=table, max_scores=np.array(scores))
    return _assemble(samples, np.array(rows, dtype=np.int64), table, np.array(scores))


def _assemble(
    samples: Sequence[AttributeSample],
    rows: NDArray[np.int64],
    vectors: NDArray[np.float32],
    scores: NDArray[np.float64],
) -> FeatureTable:
    read = set(rows.tolist())
    return FeatureTable(
        samples=tuple(samples[row] for row in rows.tolist()),
        vectors=vectors,
        max_scores=scores.astype(np.float64),
        refused=tuple(sample.image_id for row, sample in enumerate(samples) if row not in read),
    )


def _key(samples: Sequence[AttributeSample], about: Sequence[str]) -> str:
    total = hashlib.sha256("|".join(about).encode())
    for sample in samples:
        total.update(f"{sample.image_id}|{sample.path.stat().st_size}".encode())
    return total.hexdigest()[:24]
