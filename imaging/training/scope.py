"""Fit the scope model of a detector: in-scope radiographs against pictures that are none.

``fit`` reads, describes (one pass of the network per picture) and writes; ``fit_vectors`` is the arithmetic alone.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from imaging.attributes.pixel_statistics import LENGTH
from imaging.attributes.pooling import pool_image
from imaging.attributes.scope import (
    CLIP,
    SCOPE_DOCUMENT,
    SCOPE_SCHEMA,
    SCOPE_WEIGHTS,
    ScopeModel,
    scope_vector,
)
from imaging.engine import FractureEngine
from imaging.errors import ImagingError
from imaging.preprocess import prepare
from imaging.reader import read_radiograph
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.negatives import KINDS
from imaging.yolov7.checkpoint import save_weights
from imaging.yolov7.postprocess import letterbox

DIRECTIONS = 32
SHRINKAGE = 0.1
"""Share of each direction's variance that is replaced by their mean."""
RULE_STRENGTH = 0.1
"""Inverse of the penalty of the linear rule (scikit-learn's C)."""
FOLDS = 5
REAL_COPIES = 2
"""A real picture outside the scope counts this many drawn ones."""
TURNS = 8
"""Every so many in-scope radiographs are shown turned or cropped as well, to be told that these are in scope too."""

Pixels = NDArray[np.float32]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScopeVectors:
    """Everything a scope model is fitted on, as scope vectors."""

    inside: Tensor
    """[n, D] in-scope radiographs: fitted on, and held out in turn for the conformal shares."""
    groups: tuple[str, ...]
    """[n] a group is never on both sides of a fold."""
    extra: Tensor
    """[m, D] in-scope radiographs that are fitted on only, such as web-sourced ones among which a few are not what
    their list says: counted, those would decide the shares. May be empty."""
    pooled_size: int
    """How many entries of a vector, the first ones, are pooled features."""
    drawn: Tensor
    """[k, D] drawn pictures outside the scope."""
    real: Tensor
    """[r, D] real pictures outside the scope; may be empty."""


def fit(
    folder: Path,
    data: Path,
    *,
    others: Sequence[Path] = (),
    extras: Sequence[Path] = (),
    negatives: Sequence[Path] = (),
    most: int = 900,
    most_other: int = 150,
    per_kind: int = 20,
    seed: int = 0,
    report: Report = print,
) -> Path:
    """Fit the scope model of the detector in `folder` and write it beside the detector.

    Args:
        folder: weights and manifest of the detector.
        data: its training data; only the split ``train`` is used, or all when there is no list of splits.
        others: further collections of in-scope radiographs, so that other hospitals' limbs are not refused.
        extras: collections that are fitted on but not counted when the shares are set.
        negatives: files or folders of pictures outside the scope (PNG, JPEG, DICOM of any kind).
        most: radiographs of `data` that are used, drawn at random.
        most_other: the same for each other collection.
        per_kind: drawn pictures of each kind.
        seed: of every draw.
        report: receives progress lines.

    Returns:
        The folder.

    Raises:
        TrainingDataError: the data cannot be read or are too few.
        ModelFilesError: the detector cannot be used.
    """
    engine = FractureEngine.load(folder, boxes_only=True)
    rng = np.random.default_rng(seed)
    has_list = (data / "split.csv").is_file()
    inside = _drawn_from(read_collection(data, "train" if has_list else "all").samples, most, rng)
    for other in others:
        inside += _drawn_from(read_collection(other).samples, most_other, rng)
    extra = [one for path in extras for one in _drawn_from(read_collection(path).samples, most_other, rng)]
    report(f"{len(inside)} in-scope radiographs, {len(extra)} more to fit on")
    known, groups = _describe_inside(engine, inside, report)
    drawn = [describe(engine, draw(rng)) for draw in KINDS.values() for _ in range(per_kind)]
    real = [describe(engine, pixels) for pixels in _outside(negatives, report)]
    vectors = ScopeVectors(
        inside=torch.stack(known),
        groups=groups,
        extra=_stacked(_describe_inside(engine, extra, report)[0], like=known[0]),
        pooled_size=len(known[0]) - LENGTH,
        drawn=torch.stack(drawn),
        real=_stacked(real, like=known[0]),
    )
    model = fit_vectors(vectors, seed=seed)
    sources = [data.resolve().name, *(path.resolve().name for path in (*others, *extras))]
    write(folder, model, engine.manifest.sha256, {"in_scope": sources, "per_kind": per_kind, "seed": seed})
    report(f"scope model written; {json.dumps(model.document['fit'])}")
    return folder


def describe(engine: FractureEngine, pixels: Pixels) -> Tensor:
    """The scope vector [D] of a picture [H, W] in 0..1, through the engine's own preparation and network."""
    canvas, transform = letterbox(prepare(pixels), engine.manifest.image_size, pad_value=engine.manifest.pad_value)
    prediction = engine.runtime.predict(torch.from_numpy(canvas).expand(1, 3, -1, -1))
    if not prediction.features:
        raise TrainingDataError("the detector's graph gives no features", "use a graph that names its feature layers")
    return scope_vector(pool_image(prediction.features, transform), pixels)


def fit_vectors(vectors: ScopeVectors, *, seed: int = 0) -> ScopeModel:
    """Fit on everything; the conformal shares come from folds by group, each judged by a fit on the others.

    Raises:
        TrainingDataError: fewer than 40 in-scope radiographs, or fewer than two groups.
    """
    if len(vectors.inside) < 40 or len(set(vectors.groups)) < 2:
        raise TrainingDataError("too few in-scope radiographs for a scope model", "give at least 40, of several groups")
    names = sorted(set(vectors.groups))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    fold_of = {name: int(rank) % min(FOLDS, len(names)) for name, rank in zip(names, shuffled, strict=True)}
    folds = torch.tensor([fold_of[group] for group in vectors.groups])
    distances, odds = torch.zeros(len(folds)), torch.zeros(len(folds))
    for fold in range(int(folds.max()) + 1):
        held_out = folds == fold
        part = _fit_once(vectors, vectors.inside[~held_out])
        distances[held_out], odds[held_out] = part.figures(vectors.inside[held_out])
    whole = _fit_once(vectors, vectors.inside)
    counts = {
        "n_in_scope": len(vectors.inside),
        "n_groups": len(names),
        "n_extra": len(vectors.extra),
        "n_drawn": len(vectors.drawn),
        "n_real_outside": len(vectors.real),
    }
    return ScopeModel(
        **{**whole.tensors(), "distances": distances.sort().values, "odds": odds.sort().values},
        document={"fit": counts},
    )


def write(folder: Path, model: ScopeModel, detector_sha256: str, notes: dict[str, Any]) -> None:
    """Write ``scope.safetensors`` and ``scope.json``; the document binds both to the detector's digest."""
    digest = save_weights(folder / SCOPE_WEIGHTS, model.tensors(), {"schema": SCOPE_SCHEMA})
    document = {
        "schema": SCOPE_SCHEMA,
        "weights": SCOPE_WEIGHTS,
        "sha256": digest,
        "detector_sha256": detector_sha256,
        "score": "share of held-out in-scope radiographs that are at least as strange, 0..1",
        "fit": {**model.document["fit"], **notes},
    }
    partial = folder / f"{SCOPE_DOCUMENT}.partial"
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / SCOPE_DOCUMENT)


def _fit_once(vectors: ScopeVectors, inside: Tensor) -> ScopeModel:
    inside = torch.cat((inside, vectors.extra))
    outside = torch.cat((vectors.drawn, *[vectors.real] * REAL_COPIES))
    centre, spread = inside.mean(dim=0), inside.std(dim=0, correction=0)
    # A figure that hardly varies among the in-scope radiographs must not outvote the others on rounding.
    spread = spread + 0.05 * spread.median() + 1e-6
    standard = ((inside - centre) / spread).clamp(-CLIP, CLIP)
    features = standard[:, : vectors.pooled_size]
    shifted = features - features.mean(dim=0)
    _, values, rows = torch.linalg.svd(shifted, full_matrices=False)
    count = min(DIRECTIONS, len(values))
    variances = values[:count] ** 2 / len(inside)
    variances = (1 - SHRINKAGE) * variances + SHRINKAGE * variances.mean() + 1e-6
    rule = LogisticRegression(C=RULE_STRENGTH, max_iter=200, class_weight="balanced")
    examples = torch.cat((standard, ((outside - centre) / spread).clamp(-CLIP, CLIP)))
    labels = np.concatenate((np.zeros(len(inside)), np.ones(len(outside))))
    rule.fit(examples.double().numpy(), labels)
    weights = np.concatenate((rule.coef_[0], rule.intercept_))
    nothing = torch.zeros(0)
    return ScopeModel(
        centre=centre,
        spread=spread,
        directions=rows[:count].T.contiguous(),
        variances=variances,
        weights=torch.from_numpy(weights).float(),
        distances=nothing,
        odds=nothing,
        document={},
    )


def _drawn_from(samples: Sequence[LabelledRadiograph], most: int, rng: np.random.Generator) -> list[LabelledRadiograph]:
    return [samples[number] for number in sorted(rng.permutation(len(samples))[:most])]


def _describe_inside(
    engine: FractureEngine, samples: Iterable[LabelledRadiograph], report: Report
) -> tuple[list[Tensor], tuple[str, ...]]:
    """Vectors and groups of the readable radiographs, some of them turned or cropped as well."""
    vectors: list[Tensor] = []
    groups: list[str] = []
    for number, sample in enumerate(samples):
        try:
            pixels = read_radiograph(sample.path).pixels
        except ImagingError as error:
            report(f"{sample.image_id}: left out, {error}")
            continue
        vectors.append(describe(engine, pixels))
        groups.append(sample.group)
        if number % TURNS == 0:
            vectors.append(describe(engine, _turned(pixels, number // TURNS)))
            groups.append(sample.group)
    return vectors, tuple(groups)


def _turned(pixels: Pixels, number: int) -> Pixels:
    """One of five ways in which a limb may be stored otherwise."""
    height, width = pixels.shape
    ways = (
        np.rot90(pixels),
        np.rot90(pixels, 2),
        np.rot90(pixels, 3),
        pixels[:, ::-1],
        pixels[height // 5 : height - height // 5, width // 6 : width - width // 6],
    )
    return np.ascontiguousarray(ways[number % len(ways)])


def _stacked(vectors: Sequence[Tensor], *, like: Tensor) -> Tensor:
    return torch.stack(list(vectors)) if vectors else like.new_zeros((0, len(like)))


def _outside(paths: Sequence[Path], report: Report) -> Iterator[Pixels]:
    """Each readable picture under `paths`, and its mirror image."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    seen: set[str] = set()
    for file in files:
        if not file.is_file() or (digest := hashlib.sha256(file.read_bytes()).hexdigest()) in seen:
            continue
        seen.add(digest)
        try:
            pixels = picture(file)
        except ImagingError as error:
            report(f"{file.name}: left out, {error}")
            continue
        yield pixels
        yield np.ascontiguousarray(pixels[:, ::-1])


def picture(file: Path) -> Pixels:
    """A picture [H, W] in 0..1 as somebody would export it, DICOM of any modality and body part included.

    The reader refuses a chest or a slice by its header, and rightly; the scope model must know their pixels, for the
    day they come as PNG.

    Raises:
        ImagingError: the file holds no picture.
    """
    data = file.read_bytes()
    if data[128:132] != b"DICM":
        return read_radiograph(data).pixels
    import pydicom
    from PIL import Image

    try:
        dataset = pydicom.dcmread(BytesIO(data), force=True)
        values = np.asarray(dataset.pixel_array)
    except Exception as error:  # pydicom answers damaged or foreign files with almost any exception
        raise TrainingDataError(f"{file.name} holds no picture that can be decoded", "leave the file out") from error
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        values = values[0]
    if values.ndim == 2:
        low, high = np.percentile(values, [1, 99.5])
        grey = np.clip((values - low) / max(float(high - low), 1e-9), 0, 1)
        values = 255 * (1 - grey if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else grey)
    buffer = BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return read_radiograph(buffer.getvalue()).pixels
