"""What a federation is: read by the server from YAML, and told to the hospitals with every round.

An example::

    kind: risk
    rounds: 20
    min_hospitals: 3
    learning: {outcome: fracture, trees: 2, depth: 3, rate: 0.3}
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from cds.learning.federated.errors import SettingsRefusedError


class ModelKind(StrEnum):
    """What is learnt together."""

    DETECTOR = "detector"
    """Weights of the fracture detector."""
    RISK = "risk"
    """Boosted trees, bagged over hospitals."""
    RISK_LINEAR = "risk-linear"
    """A logistic model of the same rows: the one that differential privacy suits."""


class Strategy(StrEnum):
    """How hospitals train between two averages."""

    FEDAVG = "fedavg"
    """Freely (McMahan et al., AISTATS 2017)."""
    FEDPROX = "fedprox"
    """Held near the common model by (mu / 2) ||w - w_common||^2 (Li et al., MLSys 2020)."""


class Aggregation(StrEnum):
    """How updates become one; see `cds.learning.federated.aggregation`."""

    MEAN = "mean"
    MEDIAN = "median"
    TRIMMED_MEAN = "trimmed-mean"
    KRUM = "krum"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSettings:
    """Differential privacy by clipping and Gaussian noise, added inside each hospital."""

    clip_norm: float
    """Largest Euclidean norm that one example's gradient (or one hospital's update) may have."""
    noise_multiplier: float
    """Standard deviation of the noise as a multiple of `clip_norm`."""
    delta: float = 1e-5
    """Chance that the bound does not hold; well below one over the number of people. What the coordinator plans with:
    a hospital counts what it spends at its own delta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationSettings:
    """All that decides a federation, but the data."""

    kind: ModelKind
    rounds: int = 10
    min_hospitals: int = 3
    """A round starts with at least so many hospitals and counts with at least so many answers."""
    wait_s: float = 120.0
    """How long a round waits for `min_hospitals`."""
    round_timeout_s: float = 3600.0
    """A hospital that has not answered by then misses the round, and may join the next one."""
    most_failed_rounds: int = 3
    """Consecutive rounds with too few answers, after which the server gives up."""
    strategy: Strategy = Strategy.FEDAVG
    proximal_mu: float = 0.0
    """Strength of FedProx."""
    aggregation: Aggregation = Aggregation.MEAN
    trim: float = 0.34
    """Share cut at each end by the trimmed mean, 0..0.5; at least one update where three or more were sent."""
    byzantine: int = 1
    """Bad hospitals that Krum is to survive."""
    clip_norm: float | None = None
    """Server side: updates with a larger Euclidean norm are scaled down to it."""
    most_examples: int = 100_000
    """A claimed count above this counts as this."""
    most_share: float = 0.6
    """No hospital weighs more than this share of a round, 0..1, as far as their number allows."""
    secure_aggregation: bool = False
    noise: NoiseSettings | None = None
    learning: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    """Settings of the learner; see `cds.learning.federated.learners`."""
    seed: int = 20261122

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.rounds < 1 or self.min_hospitals < 2:
            raise _refused("a federation needs at least one round and two hospitals")
        if not 0 < self.most_share <= 1 or not 0 <= self.trim < 0.5 or self.most_examples < 1:
            raise _refused("most_share must be in 0..1, trim in 0..0.5 and most_examples positive")
        if self.proximal_mu < 0 or (self.clip_norm is not None and self.clip_norm <= 0):
            raise _refused("proximal_mu must not be negative, clip_norm must be positive")
        if self.secure_aggregation and (self.aggregation is not Aggregation.MEAN or self.clip_norm is not None):
            raise _refused("under secure aggregation the server sees no single update: it can only take their mean")
        if self.secure_aggregation and self.min_hospitals < 3:
            raise _refused("secure aggregation of two hospitals would show each the other's update")
        if self.kind is ModelKind.RISK:
            if self.secure_aggregation or self.noise is not None:
                raise _refused("trees are concatenated, not summed: they can be neither masked nor noised")
            if self.aggregation is not Aggregation.MEAN or self.clip_norm is not None:
                raise _refused("trees are concatenated: only the bound on leaf values guards them")
        if self.aggregation is Aggregation.KRUM and self.min_hospitals < 2 * self.byzantine + 3:
            raise _refused("Krum needs at least 2 f + 3 hospitals to survive f bad ones")
        # Written so that a value that is no number is refused too: any comparison with it is false.
        if self.noise is not None and not (
            0 < self.noise.clip_norm < math.inf
            and 0 < self.noise.noise_multiplier < math.inf
            and 0 < self.noise.delta < 1
        ):
            raise _refused("noise needs a positive clip_norm and noise_multiplier, and delta in 0..1")

    def to_json(self) -> dict[str, Any]:
        """Plain content, for the order that goes to the hospitals and for the state on disk."""
        content = dataclasses.asdict(self) | {"learning": dict(self.learning)}
        return {name: value.value if isinstance(value, StrEnum) else value for name, value in content.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "FederationSettings":
        """Inverse of `to_json`.

        Raises:
            SettingsRefusedError: unknown or contradicting settings.
        """
        known = {one.name for one in dataclasses.fields(cls)}
        unknown = sorted(set(content) - known)
        if unknown:
            raise _refused(f"unknown settings: {', '.join(map(str, unknown))}")
        given = dict(content)
        try:
            given["kind"] = ModelKind(given["kind"])
            given["strategy"] = Strategy(given.get("strategy", Strategy.FEDAVG))
            given["aggregation"] = Aggregation(given.get("aggregation", Aggregation.MEAN))
            if given.get("noise") is not None:
                given["noise"] = NoiseSettings(**given["noise"])
            return cls(**given)
        except (KeyError, TypeError, ValueError) as error:
            raise _refused("the settings lack `kind`, or one has a value of the wrong sort") from error


def read_settings(path: Path) -> FederationSettings:
    """Settings from a YAML file.

    Raises:
        SettingsRefusedError: the file cannot be read, or its settings cannot be used.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _refused("the settings file cannot be read as YAML") from error
    if not isinstance(content, dict):
        raise _refused("the settings file is not a mapping")
    return FederationSettings.from_json(content)


def _refused(message: str) -> SettingsRefusedError:
    return SettingsRefusedError(message, remedy="See the fields of `cds.learning.federated.settings`.")
