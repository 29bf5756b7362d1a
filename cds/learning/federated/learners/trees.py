"""Boosted trees over hospitals: bagging.

Each round every hospital continues the common forest by a few trees on its own rows; the server concatenates them, each
leaf scaled by the hospital's bounded share of examples, so that a round is one averaged step of boosting. The idea is
that of Flower's `FedXgbBagging`; written anew because that one sends XGBoost's whole model, which carries the exact
number of people in every node (``sum_hessian``), the gain of every split and thresholds that are patients' values.

Six arrays of a tree travel: sizes, features, thresholds (on the public grid of `rows`), children, default directions,
leaf values. Every leaf holds at least `LEAST_PEOPLE` people: the curvature of a logistic loss is at most 1/4 a person,
and a leaf's sum of it is kept at or above a quarter of that number.

The bound on leaf values limits what a bad hospital can do, and nothing outvotes it within the bound.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from cds.learning.federated.aggregation import Contribution, bounded_shares
from cds.learning.federated.errors import SettingsRefusedError, UpdateRefusedError
from cds.learning.federated.learners.base import Applied, check_names, number
from cds.learning.federated.learners.linear import log_loss, outcome_of
from cds.learning.federated.learners.rows import COLUMNS, Floats, Outcome, Rows
from cds.learning.federated.orders import Order
from cds.learning.federated.privacy import Steps
from cds.learning.federated.settings import FederationSettings
from cds.learning.federated.wire import Kind, Tensors

LEAST_PEOPLE = 20
LARGEST_STEP = 2.0
"""Largest leaf value before the learning rate, log-odds."""
_DTYPES = {
    "sizes": "int32",
    "features": "int16",
    "values": "float32",
    "left": "int32",
    "right": "int32",
    "missing_left": "uint8",
}
"""Arrays of a forest; `values` holds thresholds of splits and values of leaves, children are -1 at leaves."""
_KNOWN = ("outcome", "trees", "depth", "rate", "shrinkage", "subsample")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreePlan:
    """Settings of the learner."""

    trees: int
    """Trees that a hospital adds in a round."""
    depth: int
    rate: float
    shrinkage: float
    """L2 penalty on leaves."""
    subsample: float
    """Share of rows that a tree sees."""

    @property
    def largest_leaf(self) -> float:
        """Bound on a leaf's value, log-odds, with room for rounding."""
        return self.rate * LARGEST_STEP * 1.0001


def plan_of(learning: Mapping[str, Any]) -> TreePlan:
    """The settings of a federation's learner.

    Raises:
        SettingsRefusedError: unknown or out of range.
    """
    check_names(learning, _KNOWN)
    return TreePlan(
        trees=int(number(learning, "trees", 1, low=1, high=100)),
        depth=int(number(learning, "depth", 3, low=1, high=8)),
        rate=number(learning, "rate", 0.2, low=1e-3, high=1.0),
        shrinkage=number(learning, "shrinkage", 1.0, low=0.0, high=1000.0),
        subsample=number(learning, "subsample", 0.8, low=0.1, high=1.0),
    )


def empty_forest() -> Tensors:
    """No trees: everybody at log-odds 0."""
    return {name: np.zeros(0, dtype=dtype) for name, dtype in _DTYPES.items()}


def concatenate(forests: Sequence[Tensors]) -> Tensors:
    """All trees, in order."""
    return {name: np.concatenate([forest[name] for forest in forests]) for name in _DTYPES}


def scaled(forest: Tensors, factor: float) -> Tensors:
    """The same trees with every leaf multiplied."""
    leaf = forest["left"] < 0
    values = np.where(leaf, forest["values"] * np.float32(factor), forest["values"]).astype(np.float32)
    return forest | {"values": values}


def check_forest(forest: Tensors, outcome: Outcome, plan: TreePlan, *, trees: int | None) -> None:
    """Refuse what is no forest of this federation.

    Args:
        forest: arrays as they arrived.
        outcome: decides features and grid.
        plan: decides depth and bound of leaves.
        trees: exact number of trees; None for any.

    Raises:
        UpdateRefusedError: ``shape``, ``not-finite``, ``structure``, ``off-grid`` or ``leaf-too-large``.
    """
    kinds = {name: array.dtype.name for name, array in forest.items()}
    if kinds != _DTYPES or any(array.ndim != 1 for array in forest.values()):
        raise UpdateRefusedError("trees are not in the form of this federation", reason="shape")
    sizes = forest["sizes"].astype(np.int64)
    nodes = int(sizes.sum()) if len(sizes) else 0
    if (
        (trees is not None and len(sizes) != trees)
        or (len(sizes) > 0 and (sizes.min() < 1 or sizes.max() > 2 ** (plan.depth + 1) - 1))
        or any(len(forest[name]) != nodes for name in _DTYPES if name != "sizes")
    ):
        raise UpdateRefusedError("trees have another number or size than was asked for", reason="shape")
    if not np.isfinite(forest["values"]).all():
        raise UpdateRefusedError("trees hold values that are not finite", reason="not-finite")
    _check_structure(forest, sizes)
    _check_values(forest, outcome, plan)


def _check_structure(forest: Tensors, sizes: Any) -> None:
    start = 0
    for size in sizes:
        left, right = forest["left"][start : start + size], forest["right"][start : start + size]
        index = np.arange(size)
        leaf = left < 0
        # Children come after their parent and every node but the root has one parent: no cycle, no orphan.
        children = np.sort(np.concatenate([left[~leaf], right[~leaf]]))
        if (
            (right[leaf] >= 0).any()
            or (left[~leaf] <= index[~leaf]).any()
            or (right[~leaf] <= index[~leaf]).any()
            or not np.array_equal(children, np.arange(1, size))
        ):
            raise UpdateRefusedError("a tree's nodes do not form a tree", reason="structure")
        start += int(size)


def _check_values(forest: Tensors, outcome: Outcome, plan: TreePlan) -> None:
    columns = COLUMNS[outcome]
    split = forest["left"] >= 0
    features, thresholds = forest["features"][split], forest["values"][split].astype(np.float64)
    if len(features) and (features.min() < 0 or features.max() >= len(columns)):
        raise UpdateRefusedError("a tree splits by a feature that does not exist", reason="structure")
    step = np.array([column.step for column in columns])[features]
    if len(features) and np.abs(thresholds / step - np.round(thresholds / step)).max() > 1e-3:
        raise UpdateRefusedError("a tree's threshold is not on the public grid", reason="off-grid")
    leaves = forest["values"][~split]
    if len(leaves) and np.abs(leaves).max() > plan.largest_leaf:
        raise UpdateRefusedError("a leaf is larger than the federation allows", reason="leaf-too-large")


def to_booster(forest: Tensors, outcome: Outcome) -> xgb.Booster:
    """The forest as XGBoost's model; node covers are zero, since they never left a hospital."""
    names = [column.name for column in COLUMNS[outcome]]
    trees, start = [], 0
    for number_of_tree, size in enumerate(forest["sizes"].tolist()):
        part = {name: forest[name][start : start + size].tolist() for name in _DTYPES if name != "sizes"}
        trees.append(_tree_json(part, size, number_of_tree, len(names)))
        start += size
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(len(trees) + 1)),
        "tree_info": [0] * len(trees),
        "trees": trees,
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
    }
    content = {
        "version": [3, 2, 0],
        "learner": {
            "attributes": {},
            "feature_names": names,
            "feature_types": ["float"] * len(names),
            "gradient_booster": {"name": "gbtree", "model": model},
            "learner_model_param": {
                "base_score": "[5E-1]",
                "boost_from_average": "0",
                "num_class": "0",
                "num_feature": str(len(names)),
                "num_target": "1",
            },
            "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
    }
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(json.dumps(content).encode()))
    return booster


def _tree_json(part: Mapping[str, list[Any]], size: int, identifier: int, features: int) -> dict[str, Any]:
    parents = [2147483647] * size
    for node in range(size):
        if part["left"][node] >= 0:
            parents[part["left"][node]] = parents[part["right"][node]] = node
    leaves = [left < 0 for left in part["left"]]
    return {
        "id": identifier,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(size),
            "size_leaf_vector": "1",
        },
        "base_weights": [value if leaf else 0.0 for value, leaf in zip(part["values"], leaves, strict=True)],
        "loss_changes": [0.0] * size,
        "sum_hessian": [0.0] * size,
        "split_conditions": part["values"],
        "split_indices": [max(0, feature) for feature in part["features"]],
        "split_type": [0] * size,
        "default_left": part["missing_left"],
        "left_children": part["left"],
        "right_children": part["right"],
        "parents": parents,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
    }


def from_booster(booster: xgb.Booster, *, skip: int) -> Tensors:
    """The trees after the first `skip` ones, without anything else of XGBoost's model."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    forests = [empty_forest()]
    for tree in model["trees"][skip:]:
        left = np.array(tree["left_children"], dtype=np.int32)
        leaf = left < 0
        forests.append(
            {
                "sizes": np.array([len(left)], dtype=np.int32),
                "features": np.where(leaf, -1, tree["split_indices"]).astype(np.int16),
                "values": np.array(tree["split_conditions"], dtype=np.float32),
                "left": left,
                "right": np.array(tree["right_children"], dtype=np.int32),
                "missing_left": np.where(leaf, 0, tree["default_left"]).astype(np.uint8),
            }
        )
    return concatenate(forests)


def predict(forest: Tensors, matrix: Floats, outcome: Outcome) -> Floats:
    """Probabilities 0..1, shape (n,)."""
    if len(forest["sizes"]) == 0:
        return np.full(len(matrix), 0.5)
    data = _dmatrix(matrix, None, outcome)
    return to_booster(forest, outcome).predict(data).astype(np.float64)


def _dmatrix(matrix: Floats, events: Floats | None, outcome: Outcome) -> xgb.DMatrix:
    names = [column.name for column in COLUMNS[outcome]]
    return xgb.DMatrix(matrix, label=events, feature_names=names, feature_types=["float"] * len(names), nthread=1)


class TreeLearner:
    """A hospital's side."""

    kind = Kind.TREES
    noise_unit = ""

    def __init__(self, rows: Rows, outcome: Outcome, learning: Mapping[str, Any]) -> None:
        """Keep the rows.

        Args:
            rows: from `read_rows`.
            outcome: what they predict.
            learning: the learner's settings, for the bounds of `check`.
        """
        self._rows, self._outcome = rows, outcome
        self._plan = plan_of(learning)

    @property
    def examples(self) -> int:
        """Rows."""
        return len(self._rows.events)

    def check(self, weights: Tensors) -> None:
        """A forest of this federation."""
        check_forest(weights, self._outcome, self._plan, trees=None)

    def learn(self, weights: Tensors, order: Order) -> Tensors:
        """New trees that continue the common forest on this hospital's rows."""
        plan = plan_of(order.settings.learning)
        before = len(weights["sizes"])
        booster = xgb.train(
            {
                "objective": "binary:logistic",
                "base_score": 0.5,
                "tree_method": "hist",
                "max_depth": plan.depth,
                "eta": plan.rate,
                "lambda": plan.shrinkage,
                "subsample": plan.subsample,
                "max_delta_step": LARGEST_STEP,
                "min_child_weight": LEAST_PEOPLE / 4,
                "nthread": 1,
                "seed": order.settings.seed + order.round,
            },
            _dmatrix(self._rows.matrix, self._rows.events, self._outcome),
            num_boost_round=plan.trees,
            xgb_model=to_booster(weights, self._outcome) if before else None,
        )
        added = from_booster(booster, skip=before)
        check_forest(added, self._outcome, plan, trees=plan.trees)
        return added

    def noise_steps(self, order: Order) -> Steps:
        """Trees cannot be noised.

        Raises:
            SettingsRefusedError: always where noise is asked for.
        """
        if order.settings.noise is not None:
            raise SettingsRefusedError("trees cannot be noised", remedy="Federate risk-linear instead.")
        return Steps(noise_multiplier=1.0, sampling=0.0, count=0)

    def loss(self, weights: Tensors) -> float:
        """Mean log loss, nats."""
        return log_loss(predict(weights, self._rows.matrix, self._outcome), self._rows.events)

    def keep(self, weights: Tensors, folder: Path) -> None:
        """Write ``risk.json``, XGBoost's own format."""
        to_booster(weights, self._outcome).save_model(folder / "risk.json")


class TreeRules:
    """The server's side."""

    def __init__(self, settings: FederationSettings) -> None:
        """Keep the settings."""
        self._settings, self._outcome, self._plan = settings, outcome_of(settings), plan_of(settings.learning)

    def initial(self) -> Tensors:
        """No trees."""
        return empty_forest()

    def check(self, update: Tensors) -> None:
        """Exactly the trees that were asked for, within their bounds."""
        check_forest(update, self._outcome, self._plan, trees=self._plan.trees)

    def apply(self, weights: Tensors, contributions: Sequence[Contribution]) -> Applied:
        """The forest with every hospital's trees at its share."""
        shares = bounded_shares(
            {one.hospital: one.examples for one in contributions},
            most_examples=self._settings.most_examples,
            most_share=self._settings.most_share,
        )
        if sum(shares.values()) == 0:
            raise UpdateRefusedError("no hospital learnt from any example", reason="no-examples")
        grown = concatenate([weights, *(scaled(one.update, shares[one.hospital]) for one in contributions)])
        facts = {
            "shares": {name: round(share, 4) for name, share in shares.items()},
            "trees": len(grown["sizes"]),
        }
        return Applied(weights=grown, facts=facts)

    def keep(self, weights: Tensors, folder: Path) -> None:
        """Write ``risk.json``, XGBoost's own format."""
        to_booster(weights, self._outcome).save_model(folder / "risk.json")
