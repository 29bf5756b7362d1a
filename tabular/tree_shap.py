"""Exact path-dependent TreeSHAP (Lundberg et al. 2020), fast enough to explain a population.

XGBoost's own ``pred_contribs`` walks every tree anew for every person, a millisecond a booster. Two facts save the
walk. A leaf's contribution to a feature depends only on *which* of the features on its path the person satisfies; and
the leaves of one small subtree know only a few hundred such patterns ("cells"). So each subtree gets a table of its
cells once, and explaining a person is looking up one line in each table.

With ``b`` (0 or 1: the person satisfies the feature's conditions on the path) and ``r`` (share of the training people
at those splits who took the path), the Shapley value of feature j in a leaf of value v is::

    v * (b_j - r_j) * integral over t in 0..1 of the product over i != j of (t * b_i + (1 - t) * r_i)

a polynomial that Gauss-Legendre quadrature integrates exactly. Every leaf's contribution is rounded to a multiple of
2**-40, so that sums are exact in whatever order they are taken: one person alone and a million together get the same
number to the last bit.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from tabular.formula import FloatArray

BoolArray = npt.NDArray[np.bool_]
SingleArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

TABLE_FROM_ROWS = 256
"""From so many people on, in one call or in all, tables (about a second to make, once) beat leaf by leaf."""
_SUBTREE_HEIGHT = 3
"""Subtrees of at most eight leaves; one level more makes six times as many cells."""
_ROWS_AT_ONCE = 2048
_GRID = 2.0**40


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafPaths:
    """Every leaf of a booster with the conditions of its path, merged by feature; shapes (leaves,) or (leaves, k)."""

    low: SingleArray
    """A value satisfies the path when low <= value < high."""
    high: SingleArray
    takes_missing: BoolArray
    """Whether a missing value is sent down this path."""
    share: FloatArray
    """Share of the training people who took the path at the feature's splits, 0..1; 1 for a feature not on it."""
    value: FloatArray
    """Log-odds of the leaf."""
    subtree: IntArray
    """Number of the subtree the leaf belongs to."""
    depth: int
    """Splits on the longest path."""


def leaf_paths(booster: xgb.Booster) -> LeafPaths:
    """Read the paths of a booster, all trees one level at a time."""
    trees = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    nodes = _Nodes.of(trees)
    width = booster.num_features()
    here = nodes.roots
    low = np.full((len(here), width), -np.inf, dtype=np.float32)
    high = np.full((len(here), width), np.inf, dtype=np.float32)
    missing, share = np.ones((len(here), width), dtype=bool), np.ones((len(here), width))
    frontier, levels = (here, low, high, missing, share), []
    while len(frontier[0]):
        levels.append(frontier)
        frontier = _children(nodes, *frontier)
    return _gather(nodes, levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nodes:
    """All nodes of all trees, one after the other; left is -1 in a leaf."""

    roots: IntArray
    left: IntArray
    right: IntArray
    feature: IntArray
    condition: SingleArray
    default_left: BoolArray
    cover: FloatArray

    @staticmethod
    def of(trees: list[dict[str, Any]]) -> "_Nodes":
        sizes = np.array([len(tree["left_children"]) for tree in trees])
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        shift = np.repeat(roots, sizes)

        def joined(key: str, kind: type) -> Any:
            return np.concatenate([np.asarray(tree[key], dtype=kind) for tree in trees])

        left = joined("left_children", np.int64)
        return _Nodes(
            roots=roots,
            left=np.where(left < 0, -1, left + shift),
            right=joined("right_children", np.int64) + shift,
            feature=joined("split_indices", np.int64),
            condition=joined("split_conditions", np.float32),
            default_left=joined("default_left", np.int64).astype(bool),
            cover=joined("sum_hessian", np.float64),
        )


_Frontier = tuple[IntArray, SingleArray, SingleArray, BoolArray, FloatArray]


def _children(
    nodes: _Nodes, here: IntArray, low: SingleArray, high: SingleArray, missing: BoolArray, share: FloatArray
) -> _Frontier:
    """One level down: the children of every node that is no leaf, left ones first."""
    inner = np.flatnonzero(nodes.left[here] >= 0)
    parent = here[inner]
    feature, condition = nodes.feature[parent], nodes.condition[parent]
    parts = []
    rows = np.arange(len(inner))
    for child, is_left in ((nodes.left[parent], True), (nodes.right[parent], False)):
        below, above, taken, part = (one[inner].copy() for one in (low, high, missing, share))
        if is_left:
            above[rows, feature] = np.minimum(above[rows, feature], condition)
        else:
            below[rows, feature] = np.maximum(below[rows, feature], condition)
        taken[rows, feature] &= nodes.default_left[parent] == is_left
        part[rows, feature] *= nodes.cover[child] / nodes.cover[parent]
        parts.append((child, below, above, taken, part))
    left, right = parts
    return (
        np.concatenate([left[0], right[0]]),
        np.concatenate([left[1], right[1]]),
        np.concatenate([left[2], right[2]]),
        np.concatenate([left[3], right[3]]),
        np.concatenate([left[4], right[4]]),
    )


def _gather(nodes: _Nodes, levels: list[_Frontier]) -> LeafPaths:
    """The leaves of all levels, each with the number of the subtree it hangs in."""
    depth = len(levels) - 1
    cut = max(0, depth - _SUBTREE_HEIGHT)
    above = np.arange(len(nodes.left))  # node -> root of its subtree
    for level in levels[cut:]:
        inner = level[0][nodes.left[level[0]] >= 0]
        above[nodes.left[inner]] = above[inner]
        above[nodes.right[inner]] = above[inner]
    ends = [level[0][nodes.left[level[0]] < 0] for level in levels]
    kept = [np.flatnonzero(nodes.left[level[0]] < 0) for level in levels]
    leaves = np.concatenate(ends)
    low, high, missing, share = (
        np.concatenate([level[part][rows] for level, rows in zip(levels, kept, strict=True)]) for part in range(1, 5)
    )
    return LeafPaths(
        low=low.astype(np.float32),
        high=high.astype(np.float32),
        takes_missing=missing.astype(bool),
        share=share.astype(np.float64),
        value=nodes.condition[leaves].astype(np.float64),
        subtree=np.unique(above[leaves], return_inverse=True)[1],
        depth=depth,
    )


@cache
def _quadrature(points: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights on -1..1."""
    return np.polynomial.legendre.leggauss(points)


def contributions_of(satisfied: BoolArray, share: FloatArray, value: FloatArray, depth: int) -> FloatArray:
    """Shapley values of single leaves, multiples of 2**-40.

    Args:
        satisfied: Whether each feature's conditions hold, shape (..., leaves, k).
        share: Shares of the paths, shape (leaves, k).
        value: Log-odds of the leaves, shape (leaves,).
        depth: Most features on a path; sets how many points integrate exactly.

    Returns:
        Shape (..., leaves, k).
    """
    nodes, weights = _quadrature(max(1, (depth + 1) // 2))
    integral = np.zeros(satisfied.shape)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        factor = np.where(satisfied, node + (1 - node) * share, (1 - node) * share)
        product = factor[..., 0].copy()
        for column in range(1, factor.shape[-1]):
            product *= factor[..., column]
        integral += weight * (product[..., None] / factor)
    exact = integral * np.where(satisfied, 1.0 - share, -share) * value[:, None]
    return np.asarray(np.rint(exact * _GRID) / _GRID)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What one subtree says of each of its cells."""

    states: tuple[tuple[int, npt.NDArray[np.int32]], ...]
    """Per feature it asks: the feature, and by bin of the booster (missing last) what to add to the cell's number."""
    cells: FloatArray
    """Contributions, shape (cells, k)."""


class TreeExplainer:
    """Shapley values of one booster. Threads may share it: what it keeps follows from the booster alone."""

    def __init__(self, booster: xgb.Booster) -> None:
        self._paths = leaf_paths(booster)
        nobody = xgb.DMatrix(np.full((1, booster.num_features()), np.nan), nthread=1)
        told = booster.predict(nobody, pred_contribs=True, validate_features=False)
        self.base_log_odds = float(told[0, -1])
        """Mean prediction of the training people."""
        self._edges = [self._edges_of(column) for column in range(booster.num_features())]
        self._tables: list[_Table] | None = None
        self._asked = 0

    def values(self, columns: FloatArray) -> FloatArray:
        """Contributions in log-odds.

        Args:
            columns: The booster's features, shape (n, k), NaN where missing.

        Returns:
            Shape (n, k); they add up to the prediction less `base_log_odds`, but for the single precision of XGBoost.
        """
        single = np.asarray(columns, dtype=np.float32)  # as XGBoost compares
        self._asked += len(single)
        if self._tables is None and self._asked < TABLE_FROM_ROWS:
            return np.array([self._leaf_by_leaf(row) for row in single]).reshape(single.shape)
        return self._from_tables(single)

    def _edges_of(self, column: int) -> SingleArray:
        ends = np.concatenate([self._paths.low[:, column], self._paths.high[:, column]])
        return np.unique(ends[np.isfinite(ends)])

    def _leaf_by_leaf(self, row: SingleArray) -> FloatArray:
        paths = self._paths
        satisfied = np.where(np.isnan(row), paths.takes_missing, (paths.low <= row) & (row < paths.high))
        return np.asarray(contributions_of(satisfied, paths.share, paths.value, paths.depth).sum(axis=0))

    def _from_tables(self, rows: SingleArray) -> FloatArray:
        if self._tables is None:
            order = np.argsort(self._paths.subtree, kind="stable")
            starts = np.flatnonzero(np.diff(self._paths.subtree[order])) + 1
            self._tables = [self._table(leaves) for leaves in np.split(order, starts)]
        told = np.zeros(rows.shape)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            bins = [self._bins(rows[part, column], edges) for column, edges in enumerate(self._edges)]
            block = told[part]
            for table in self._tables:
                cell = np.zeros(len(block), dtype=np.int32)
                for column, step in table.states:
                    cell += step[bins[column]]
                block += table.cells[cell]
        return told

    @staticmethod
    def _bins(values: SingleArray, edges: SingleArray) -> IntArray:
        """Number of edges at or below each value; one more than the last bin where it is missing."""
        return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))

    def _table(self, leaves: IntArray) -> _Table:
        paths = self._paths
        low, high, missing = paths.low[leaves], paths.high[leaves], paths.takes_missing[leaves]
        patterns, states, count = [], [], 1
        for column, edges in enumerate(self._edges):
            ends = np.concatenate([low[:, column], high[:, column]])
            own = np.unique(ends[np.isfinite(ends)])
            starts = np.concatenate([[-np.inf], own])[:, None]
            held = (low[:, column] <= starts) & (starts < high[:, column])
            sent = (held == missing[:, column]).all(axis=1)
            if not sent.any():  # a missing value goes a way that no value goes
                held = np.vstack([held, missing[:, column]])
            state = np.searchsorted(own, np.concatenate([[-np.inf], edges]), side="right")
            state = np.append(state, int(sent.argmax()) if sent.any() else len(held) - 1)
            if len(held) > 1:
                states.append((column, (state * count).astype(np.int32)))
            patterns.append((held, count))
            count *= len(held)
        number = np.arange(count)
        satisfied = np.stack([held[number // step % len(held)] for held, step in patterns], axis=-1)
        cells = contributions_of(satisfied, paths.share[leaves], paths.value[leaves], paths.depth).sum(axis=1)
        return _Table(states=tuple(states), cells=cells)


@lru_cache(maxsize=16)
def explainer_of(booster: xgb.Booster) -> TreeExplainer:
    """The explainer of a booster, made when first asked for and kept."""
    return TreeExplainer(booster)
