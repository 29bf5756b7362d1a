"""Ridge classifiers on pooled vectors, cross-validated by group and calibrated on held-out scores.

A head is fitted in closed form: standardise, regress targets with an L2 penalty (the penalty is in units of the mean
squared norm of a vector, so that one value serves any number of features), then map scores to log odds by a line
fitted on scores of images that were held out (Platt 1999; for several classes one slope and an offset per class).
Everything folds into one affine map. On these few and noisy labels it did better than logistic regression, and it takes
seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from imaging.attributes.heads import AffineHead
from imaging.training.errors import TrainingDataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standard:
    """Mean and standard deviation of each feature."""

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "Standard":
        """Of vectors [n, D]; a constant feature keeps scale 1, so that it stays 0."""
        scale = vectors.std(axis=0, dtype=np.float64)
        return cls(mean=vectors.mean(axis=0, dtype=np.float64), scale=np.where(scale > _SMALLEST_DEVIATION, scale, 1.0))

    def __call__(self, vectors: NDArray[np.floating]) -> Floats:
        """Standardised, and divided by the square root of their length."""
        standard: Floats = (vectors - self.mean) / (self.scale * np.sqrt(len(self.mean)))
        return standard


def folds_of(groups: Sequence[str], strata: Sequence[object], count: int, seed: int) -> Ints:
    """Fold number of each image [n]; no group in two folds, strata spread evenly.

    With fewer groups than `count`, or fewer images in the largest stratum, there are as many folds as those.

    Raises:
        TrainingDataError: that leaves less than two folds.
    """
    numbers = np.unique(np.array(groups), return_inverse=True)[1]
    labels = np.unique(np.array([str(one) for one in strata]), return_inverse=True)[1]
    count = min(count, int(numbers.max()) + 1, int(np.bincount(labels).max()))
    if count < 2:
        raise TrainingDataError(
            f"{len(labels)} radiographs cannot be cross-validated: one group, or no two of a kind",
            "add radiographs of more groups (patients)",
        )
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = np.zeros(len(labels), dtype=np.int64)
    for number, (_, held_out) in enumerate(splitter.split(labels, labels, numbers)):
        folds[held_out] = number
    return folds


def ridge(vectors: Floats, targets: Floats, weights: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Weighted ridge regression with an unpenalised intercept.

    Args:
        vectors: [n, D], standardised.
        targets: [n, K].
        weights: [n], positive; scaled to a mean of 1.
        penalty: on the squared norm of each row of the result.

    Returns:
        weight [K, D] and bias [K].
    """
    weights = weights / weights.mean()
    total = weights.sum()
    centre = weights @ vectors / total
    middle = weights @ targets / total
    root = np.sqrt(weights)[:, None]
    rows, wanted = (vectors - centre) * root, (targets - middle) * root
    count, size = rows.shape
    if count < size:
        solution = rows.T @ np.linalg.solve(rows @ rows.T + penalty * np.eye(count), wanted)
    else:
        solution = np.linalg.solve(rows.T @ rows + penalty * np.eye(size), rows.T @ wanted)
    return solution.T, middle - centre @ solution


def one_hot(labels: Ints, count: int) -> Floats:
    """[n, count] targets, each class scaled by one over the root of its size: rare classes count for as much."""
    targets = np.eye(count)[labels]
    scaled: Floats = targets / np.sqrt(np.maximum(targets.sum(axis=0), 1.0))
    return scaled


def balanced(positive: NDArray[np.bool_]) -> Floats:
    """Weights [n] that give both classes the same sum."""
    share = np.clip(positive.mean(), 1e-6, 1 - 1e-6)
    weights: Floats = np.where(positive, 0.5 / share, 0.5 / (1 - share))
    return weights


def held_out_scores(vectors: Floats, targets: Floats, weights: Floats, folds: Ints, penalty: float) -> Floats:
    """[n, K]: scores of each image by a ridge fitted on the other folds."""
    scores = np.zeros(targets.shape)
    for fold in np.unique(folds):
        inside = folds == fold
        weight, bias = ridge(vectors[~inside], targets[~inside], weights[~inside], penalty)
        scores[inside] = vectors[inside] @ weight.T + bias
    return scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """Scores to logits: ``slope * score + offset``, an offset for each answer."""

    slope: float
    offset: Floats

    def __call__(self, scores: Floats) -> Floats:
        """[n, K] scores to [n, K] logits."""
        logits: Floats = self.slope * scores + self.offset
        return logits


def binary_line(scores: Floats, positive: NDArray[np.bool_]) -> Line:
    """Platt's line for one answer; scores [n]."""
    spread = float(scores.std()) or 1.0
    model = LogisticRegression(C=100.0).fit(scores[:, None] / spread, positive)
    return Line(slope=float(model.coef_[0, 0]) / spread, offset=np.array([float(model.intercept_[0])]))


def softmax_line(scores: Floats, labels: Ints) -> Line:
    """One slope and an offset per class by least cross-entropy; scores [n, K]."""
    spread = float(scores.std()) or 1.0
    inputs, wanted = torch.from_numpy(scores / spread), torch.from_numpy(labels)
    log_slope = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(scores.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_slope, offset], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(log_slope.exp() * inputs + offset, wanted)
        # A faint pull keeps the offset of a class with a handful of images in reach.
        loss = loss + 1e-3 * (offset**2).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return Line(slope=float(log_slope.detach().exp()) / spread, offset=offset.detach().numpy().copy())


def softmax(logits: Floats) -> Floats:
    """Rows that add up to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def sigmoid(logits: Floats) -> Floats:
    """Log odds to probabilities."""
    shares: Floats = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    return shares


def final_head(
    vectors: NDArray[np.floating], targets: Floats, weights: Floats, penalty: float, line: Line
) -> AffineHead:
    """The head fitted on all images [n, D], unstandardised, with the line folded in."""
    standard = Standard.of(vectors)
    weight, bias = ridge(standard(vectors), targets, weights, penalty)
    return AffineHead.folded(
        line.slope * weight,
        line.slope * bias + line.offset,
        standard.mean,
        standard.scale * np.sqrt(len(standard.mean)),
    )


def answering_threshold(probabilities: Floats, labels: Ints, wanted_accuracy: float, fewest: int = 40) -> float:
    """The lowest top probability from which on answers are right at least as often as wanted.

    Args:
        probabilities: [n, K] of held-out images.
        labels: [n].
        wanted_accuracy: share of right answers among those given, 0..1.
        fewest: answers that the share must rest on.

    Returns:
        The threshold; above 1, so that nothing is answered, when no threshold reaches it.
    """
    top = probabilities.max(axis=1)
    order = np.argsort(-top)
    right = probabilities.argmax(axis=1)[order] == labels[order]
    shares = right.cumsum() / np.arange(1, len(right) + 1)
    good = np.flatnonzero((shares >= wanted_accuracy) & (np.arange(1, len(right) + 1) >= fewest))
    return float(top[order][good[-1]]) if len(good) else 1.01
