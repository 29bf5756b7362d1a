"""What every learner can do, and the server's rules for models that are weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cds.learning.federated.aggregation import Contribution, add, check_update, combine, flatten, unflatten
from cds.learning.federated.errors import SettingsRefusedError
from cds.learning.federated.orders import Order
from cds.learning.federated.privacy import Steps, clip_factor, secret_generator
from cds.learning.federated.settings import FederationSettings, NoiseSettings
from cds.learning.federated.wire import Kind, Tensors


class Learner(Protocol):
    """A hospital's side of one kind of model, with the hospital's data."""

    kind: Kind
    """What its updates are on the wire."""
    noise_unit: str
    """Whom the noise protects: ``person`` or ``hospital``; empty where noise cannot be added."""

    @property
    def examples(self) -> int:
        """Examples that `learn` learns from, counted from the data."""
        ...

    def check(self, weights: Tensors) -> None:
        """Refuse weights of another model.

        Raises:
            UpdateRefusedError: wrong shape, or not finite.
        """
        ...

    def learn(self, weights: Tensors, order: Order) -> Tensors:
        """An update of the common weights, noise included where the order asks for it."""
        ...

    def noise_steps(self, order: Order) -> Steps:
        """What `learn` will spend under the order's noise."""
        ...

    def loss(self, weights: Tensors) -> float:
        """Mean loss of a model on this hospital's data."""
        ...

    def keep(self, weights: Tensors, folder: Path) -> None:
        """Write the final model where the hospital can look at it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The model after a round."""

    weights: Tensors
    facts: Mapping[str, Any]
    """For the history: shares, norms, who was clipped."""


class Rules(Protocol):
    """The server's side of one kind of model; it has no data."""

    def initial(self) -> Tensors:
        """The model that a federation begins with."""
        ...

    def check(self, update: Tensors) -> None:
        """Refuse an update that must not enter the model.

        Raises:
            UpdateRefusedError: with a reason.
        """
        ...

    def apply(self, weights: Tensors, contributions: Sequence[Contribution]) -> Applied:
        """The model after a round of checked contributions."""
        ...

    def keep(self, weights: Tensors, folder: Path) -> None:
        """Write the final model."""
        ...


class WeightRules:
    """Rules for models whose updates are differences of weights."""

    def __init__(self, settings: FederationSettings, initial: Tensors, write: Callable[[Tensors, Path], None]) -> None:
        """Keep settings, the first weights and how a model is written to a folder."""
        self._settings, self._initial, self._write = settings, initial, write

    def initial(self) -> Tensors:
        """The first weights."""
        return self._initial

    def check(self, update: Tensors) -> None:
        """Shape and finiteness."""
        check_update(update, self._initial)

    def apply(self, weights: Tensors, contributions: Sequence[Contribution]) -> Applied:
        """Aggregate and add."""
        combined = combine(contributions, self._settings)
        facts = {
            "shares": {name: round(share, 4) for name, share in combined.shares.items()},
            "norms": {name: float(f"{norm:.4g}") for name, norm in combined.norms.items()},
            "clipped": list(combined.clipped),
        }
        return Applied(weights=add(weights, combined.update), facts=facts)

    def keep(self, weights: Tensors, folder: Path) -> None:
        """Write the final model."""
        self._write(weights, folder)


def noisy_update(update: Tensors, noise: NoiseSettings) -> Tensors:
    """One hospital's update, clipped as a whole and noised: protects the hospital's round, not each person in it."""
    vector = flatten(update)
    vector = vector * clip_factor(float(np.linalg.norm(vector)), noise.clip_norm)
    vector = vector + secret_generator().normal(0.0, noise.noise_multiplier * noise.clip_norm, size=vector.size)
    return unflatten(vector, update)


def number(settings: Mapping[str, Any], name: str, default: float, *, low: float, high: float) -> float:
    """A setting of a learner within its range.

    Raises:
        SettingsRefusedError: it is not a number, or out of range.
    """
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsRefusedError(
            f"the learner's setting '{name}' must be a number in {low:g}..{high:g}", remedy="Correct `learning`."
        )
    return float(value)


def choice(settings: Mapping[str, Any], name: str, known: Sequence[str]) -> str:
    """A setting of a learner that is one of several words, the first by default.

    Raises:
        SettingsRefusedError: another word.
    """
    value = settings.get(name, known[0])
    if value not in known:
        raise SettingsRefusedError(
            f"the learner's setting '{name}' must be one of {', '.join(known)}", remedy="Correct `learning`."
        )
    return str(value)


def check_names(settings: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse settings that a learner does not know.

    Raises:
        SettingsRefusedError: an unknown name.
    """
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise SettingsRefusedError(
            f"the learner knows no setting {', '.join(unknown)}", remedy=f"Known: {', '.join(known)}."
        )
