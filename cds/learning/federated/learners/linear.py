"""A logistic model: plain gradient steps, or DP-SGD that protects each person (Abadi et al., CCS 2016).

Features are standardised by public numbers; a value that is not known becomes 0 with a flag of its own. Every row has a
norm of at most `LONGEST_ROW`, so that one person's gradient is bounded even before clipping.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cds.learning.federated.aggregation import check_update
from cds.learning.federated.learners.base import WeightRules, check_names, choice, number
from cds.learning.federated.learners.rows import COLUMNS, Floats, Outcome, Rows
from cds.learning.federated.orders import Order
from cds.learning.federated.privacy import Steps, noisy_sum, secret_generator
from cds.learning.federated.settings import FederationSettings, Strategy
from cds.learning.federated.wire import Kind, Tensors

LONGEST_ROW = 6.0
_KNOWN = ("outcome", "steps", "sampling", "rate", "ridge")


def outcome_of(settings: FederationSettings) -> Outcome:
    """The outcome that a federation predicts."""
    return Outcome(choice(settings.learning, "outcome", [one.value for one in Outcome]))


def initial_weights(outcome: Outcome) -> Tensors:
    """Zeros: one weight a feature, one a missing-flag, one intercept."""
    width = len(COLUMNS[outcome])
    return {"weights": np.zeros(2 * width, dtype=np.float32), "intercept": np.zeros(1, dtype=np.float32)}


def rules(settings: FederationSettings) -> WeightRules:
    """The server's side."""
    _plan(settings.learning)
    return WeightRules(settings, initial_weights(outcome_of(settings)), write_model)


def write_model(weights: Tensors, folder: Path) -> None:
    """Write ``risk-linear.npz``."""
    np.savez(folder / "risk-linear.npz", **weights)  # type: ignore[arg-type]


def design(matrix: Floats, outcome: Outcome) -> Floats:
    """Standardised rows with missing-flags and a one, shape (n, 2 columns + 1).

    Args:
        matrix: rows on the grid, NaN for not known.
        outcome: decides the columns.
    """
    columns = COLUMNS[outcome]
    known = ~np.isnan(matrix)
    centred = (np.nan_to_num(matrix) - [column.centre for column in columns]) / [column.scale for column in columns]
    parts = np.hstack([np.where(known, centred, 0.0), ~known, np.ones((len(matrix), 1))])
    norms = np.linalg.norm(parts, axis=1, keepdims=True)
    bounded: Floats = parts * np.minimum(1.0, LONGEST_ROW / norms)
    return bounded


def predict(weights: Tensors, matrix: Floats, outcome: Outcome) -> Floats:
    """Probabilities 0..1, shape (n,)."""
    margin = design(matrix, outcome) @ _vector(weights)
    probability: Floats = 1 / (1 + np.exp(-np.clip(margin, -40, 40)))
    return probability


class LinearLearner:
    """A hospital's side."""

    kind = Kind.WEIGHTS
    noise_unit = "person"

    def __init__(self, rows: Rows, outcome: Outcome) -> None:
        """Keep the rows.

        Args:
            rows: from `read_rows`.
            outcome: what they predict.
        """
        self._matrix, self._events, self._outcome = rows.matrix, rows.events, outcome
        self._design = design(rows.matrix, outcome)

    @property
    def examples(self) -> int:
        """Rows."""
        return len(self._events)

    def check(self, weights: Tensors) -> None:
        """Shape and finiteness."""
        check_update(weights, initial_weights(self._outcome))

    def learn(self, weights: Tensors, order: Order) -> Tensors:
        """Some steps of stochastic gradient descent; under noise each step clips every person's gradient."""
        steps, sampling, rate, ridge = _plan(order.settings.learning)
        start = _vector(weights)
        mu = order.settings.proximal_mu if order.settings.strategy is Strategy.FEDPROX else 0.0
        noise = order.settings.noise
        generator = (
            secret_generator()
            if noise is not None
            else np.random.default_rng([order.settings.seed, order.round, self.examples])
        )
        now = start.copy()
        for _ in range(steps):
            drawn = generator.random(self.examples) < sampling
            rows, events = self._design[drawn], self._events[drawn]
            errors = 1 / (1 + np.exp(-np.clip(rows @ now, -40, 40))) - events
            if noise is None:
                total = errors @ rows
            else:
                total = noisy_sum(
                    rows * errors[:, None],
                    clip_norm=noise.clip_norm,
                    noise_multiplier=noise.noise_multiplier,
                    generator=generator,
                )
            # The expected size of the batch, not the drawn one, which would tell how many took part.
            gradient = total / max(sampling * self.examples, 1.0) + ridge * now + mu * (now - start)
            now = now - rate * gradient
        return _tensors(now - start)

    def noise_steps(self, order: Order) -> Steps:
        """As many as `learn` makes."""
        noise = order.settings.noise
        if noise is None:
            return Steps(noise_multiplier=1.0, sampling=0.0, count=0)
        steps, sampling, _, _ = _plan(order.settings.learning)
        return Steps(noise_multiplier=noise.noise_multiplier, sampling=sampling, count=steps)

    def loss(self, weights: Tensors) -> float:
        """Mean log loss, nats."""
        return log_loss(predict(weights, self._matrix, self._outcome), self._events)

    def keep(self, weights: Tensors, folder: Path) -> None:
        """Write ``risk-linear.npz``."""
        write_model(weights, folder)


def log_loss(probability: Floats, events: Floats) -> float:
    """Mean log loss, nats."""
    held = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(events * np.log(held) + (1 - events) * np.log(1 - held)))


def _plan(learning: Mapping[str, Any]) -> tuple[int, float, float, float]:
    """(steps a round, sampling, rate, ridge)."""
    check_names(learning, _KNOWN)
    return (
        int(number(learning, "steps", 10, low=1, high=10_000)),
        number(learning, "sampling", 0.2, low=1e-4, high=1.0),
        number(learning, "rate", 0.5, low=1e-6, high=100.0),
        number(learning, "ridge", 1e-3, low=0.0, high=10.0),
    )


def _vector(weights: Tensors) -> Floats:
    return np.concatenate([weights["weights"], weights["intercept"]]).astype(np.float64)


def _tensors(vector: Floats) -> Tensors:
    return {"weights": vector[:-1].astype(np.float32), "intercept": vector[-1:].astype(np.float32)}
