"""Fit the scope model of a detector: in-scope radiographs against pictures that are none.

``fit`` reads, describes (one pass of the network per picture) and writes; ``fit_vectors`` is the arithmetic alone.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
from imaging.decision import SCOPE_REFUSAL
from imaging.engine import FractureEngine
from imaging.errors import ImagingError
from imaging.preprocess import prepare
from imaging.reader import read_radiograph
from imaging.training.datasets import LabelledRadiograph
from imaging.training.errors import TrainingDataError
from imaging.training.negatives import KINDS
from imaging.training.scope_pictures import Listed, both_ways, outside_files, picture
from imaging.training.scope_pictures import hands as read_hands
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
TURNS = 2
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
    real_groups: tuple[str, ...] = ()
    """[r] ``kind/name`` of each: views of one picture are never on both sides of a fold. Empty: none is held out."""


def fit(
    folder: Path,
    data: Path,
    *,
    others: Sequence[Path] = (),
    hands: Sequence[Path] = (),
    extras: Sequence[Path] = (),
    negatives: Sequence[Path] = (),
    most: int = 900,
    most_other: int = 400,
    most_hands: int = 300,
    per_kind: int = 20,
    seed: int = 0,
    report: Report = print,
) -> Path:
    """Fit the scope model of the detector in `folder` and write it beside the detector.

    Pictures that `OUTSIDE_LIST` names are no in-scope radiographs, whatever collection they came in, but real pictures
    outside the scope.

    Args:
        folder: weights and manifest of the detector.
        data: its training data; only the split ``train`` is used, or all when there is no list of splits.
        others: further collections of in-scope radiographs, so that other hospitals' limbs are not refused.
        hands: folders of bone-age files, whose hands are in scope too.
        extras: collections that are fitted on but not counted when the shares are set.
        negatives: files or folders of pictures outside the scope (PNG, JPEG, DICOM of any kind).
        most: radiographs of `data` that are used, drawn at random.
        most_other: the same for each other collection.
        most_hands: the same for each folder of bone-age files.
        per_kind: drawn pictures of each kind.
        seed: of every draw.
        report: receives progress lines.

    Returns:
        The folder.

    Raises:
        TrainingDataError: the data cannot be read or are too few, or the detector is a pair.
        ModelFilesError: the detector cannot be used.
    """
    engine = FractureEngine.load(folder, boxes_only=True)
    if engine.second is not None:
        raise TrainingDataError(
            "a pair has no scope model of its own", f"give its first detector's folder, {engine.manifest.heads.name!r}"
        )
    rng = np.random.default_rng(seed)
    has_list = (data / "split.csv").is_file()
    listed = Listed()
    inside = _drawn_from(listed.limbs(data, "train" if has_list else "all"), most, rng)
    for other in others:
        inside += _drawn_from(listed.limbs(other), most_other, rng)
    extra = [one for path in extras for one in _drawn_from(listed.limbs(path), most_other, rng)]
    report(f"{len(inside)} in-scope radiographs, {len(extra)} more to fit on")
    known, groups = _describe_inside(engine, inside, report)
    for path in hands:
        several = [describe(engine, pixels) for pixels in read_hands(path, most_hands)]
        known += several
        groups += tuple(f"hand {number}" for number in range(len(several)))
    drawn = [describe(engine, draw(rng)) for draw in KINDS.values() for _ in range(per_kind)]
    outside = [(f"file/{file.name}", pixels) for file, pixels in outside_files(negatives, report)]
    outside += [(f"{kind}/{file.name}", pixels) for file, kind in listed.outside for pixels in both_ways(picture(file))]
    real = [describe(engine, pixels) for _, pixels in outside]
    vectors = ScopeVectors(
        inside=torch.stack(known),
        groups=groups,
        extra=_stacked(_describe_inside(engine, extra, report)[0], like=known[0]),
        pooled_size=len(known[0]) - LENGTH,
        drawn=torch.stack(drawn),
        real=_stacked(real, like=known[0]),
        real_groups=tuple(group for group, _ in outside),
    )
    model = fit_vectors(vectors, seed=seed)
    sources = [data.resolve().name, *(path.resolve().name for path in (*others, *hands, *extras))]
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

    The folds deal the real pictures outside the scope as well. ``refused_when_left_out`` in the document counts, by
    kind, those that are refused at `imaging.decision.SCOPE_REFUSAL` by the fit that had not seen them.

    Raises:
        TrainingDataError: fewer than 40 in-scope radiographs, or fewer than two groups.
    """
    if len(vectors.inside) < 40 or len(set(vectors.groups)) < 2:
        raise TrainingDataError("too few in-scope radiographs for a scope model", "give at least 40, of several groups")
    names = sorted(set(vectors.groups))
    count = min(FOLDS, len(names))
    folds = _deal(vectors.groups, count, seed)
    real_folds = _deal(vectors.real_groups or ("",) * len(vectors.real), count, seed)
    if not vectors.real_groups:
        real_folds = torch.full_like(real_folds, -1)
    distances, odds = torch.zeros(len(folds)), torch.zeros(len(folds))
    real_figures = torch.zeros(2, len(real_folds))
    for fold in range(count):
        held_out, left_out = folds == fold, real_folds == fold
        part = _fit_once(replace(vectors, real=vectors.real[~left_out]), vectors.inside[~held_out])
        distances[held_out], odds[held_out] = part.figures(vectors.inside[held_out])
        real_figures[:, left_out] = torch.stack(part.figures(vectors.real[left_out]))
    whole = _fit_once(vectors, vectors.inside)
    counts = {
        "n_in_scope": len(vectors.inside),
        "n_groups": len(names),
        "n_extra": len(vectors.extra),
        "n_drawn": len(vectors.drawn),
        "n_real_outside": len(vectors.real),
    }
    model = ScopeModel(
        **{**whole.tensors(), "distances": distances.sort().values, "odds": odds.sort().values},
        document={"fit": counts},
    )
    if not vectors.real_groups:
        return model
    strange = model.shares(real_figures[0], real_figures[1]) < SCOPE_REFUSAL
    return replace(model, document={"fit": {**counts, "refused_when_left_out": _by_kind(vectors.real_groups, strange)}})


def _deal(groups: Sequence[str], folds: int, seed: int) -> Tensor:
    """[n] the fold of each member: a whole group falls into one."""
    names = sorted(set(groups))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    fold_of = {name: int(rank) % folds for name, rank in zip(names, shuffled, strict=True)}
    return torch.tensor([fold_of[group] for group in groups], dtype=torch.int64)


def _by_kind(groups: Sequence[str], refused: Tensor) -> dict[str, str]:
    """``refused of shown`` by the part of each group's name before the slash."""
    kinds = [group.partition("/")[0] for group in groups]
    return {
        kind: f"{sum(bool(one) for one, own in zip(refused, kinds, strict=True) if own == kind)} of {kinds.count(kind)}"
        for kind in sorted(set(kinds))
    }


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
