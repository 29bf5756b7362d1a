"""What decides a retraining, read from YAML. Every field has a default that suits a round of some hundred new cases."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from cds.learning.retraining.errors import RetrainingError

if TYPE_CHECKING:
    from imaging.training.train import TrainingConfig

SEED: Final = 20261122

FINE_TUNING: Final[Mapping[str, Any]] = {
    "epochs": 5,
    "samples_per_epoch": 1600,
    "learning_rate": 4e-4,
    "backbone_learning_rate": 1.5e-4,
    "average_decay": 0.998,
    # The last weights are taken, so that nothing is chosen on the held-out cases but the thresholds.
    "validate_every": 1000,
    "early_stopping_patience": 1000,
    "hard_negatives": False,
    # Only the mixed data: what the parent learned from beside its own, and who drew boxes there, lies elsewhere.
    "extra_data": (),
    "self_labelled": (),
    "teacher": None,
}
"""How a fine-tuning differs from the training of its parent, which gives every other setting."""

OWN_SETTINGS: Final = frozenset({"split", "split_list", "development_split", "start_from", "seed"})
"""Settings of a training that a retraining decides itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainConfig:
    """Settings of `cds.learning.retraining.run.retrain`."""

    replay_share: float = 0.5
    """Share of what the model is shown that comes from the old cases, 0..1, in either class alike."""
    held_out_share: float = 0.2
    """Share of the new patients that is held out for operating points and calibration, 0..0.5."""
    seed: int = SEED
    training: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the detector's training (`imaging.training.train.TrainingConfig`) that differ from `FINE_TUNING`."""
    heads: bool = True
    """Whether the detector's attribute heads and scope model are fitted anew, since they read its features."""
    heads_data: str | None = None
    """Folder for ``cds train fracture-type --data``; None looks for it beside the old data, see `retraining.heads`."""
    suspicious_noise: float = 0.15
    """A round is called suspicious when its estimated share of wrong labels is above this for certain, and ..."""
    suspicious_excess: float = 0.10
    """... by this much above the earlier rounds' estimate."""
    survey_rows: int = 500
    """Risk: new survey rows with official probabilities from which on the model is refitted."""
    anchor_events: int = 100
    """Risk: new fractures, of people with an observed outcome, from which on the mean risk is moved."""

    @classmethod
    def read(cls, path: Path | None) -> "RetrainConfig":
        """A YAML mapping of these fields; the defaults for None.

        Raises:
            RetrainingError: unknown field, not a mapping, or a value outside its range.
        """
        if path is None:
            return cls()
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise RetrainingError(f"{path.name} cannot be read as YAML", "give a YAML file of settings") from error
        known = {one.name for one in dataclasses.fields(cls)}
        if not isinstance(loaded, dict) or not set(loaded) <= known:
            unknown = sorted(set(loaded) - known) if isinstance(loaded, dict) else "no mapping at all"
            raise RetrainingError(f"{path.name} has unknown settings: {unknown}", f"known: {', '.join(sorted(known))}")
        return cls(**loaded).checked()

    def checked(self) -> "RetrainConfig":
        """Itself, when every value lies in its range.

        Raises:
            RetrainingError: one does not.
        """
        if not 0 <= self.replay_share < 1:
            raise RetrainingError("replay_share lies outside 0..1", "give a share such as 0.5")
        if not 0 <= self.held_out_share <= 0.5:
            raise RetrainingError("held_out_share lies outside 0..0.5", "give a share such as 0.2")
        if taken := OWN_SETTINGS & set(self.training):
            raise RetrainingError(
                f"the settings {', '.join(sorted(taken))} of a training are not free here",
                "leave them out: the retraining writes its own split list and goes on from the current model",
            )
        return self

    def fine_tuning(self, recorded: Mapping[str, Any], *, start_from: Path, split_list: Path) -> "TrainingConfig":
        """Settings of the detector's training: the parent's, then `FINE_TUNING`, then `training`.

        Args:
            recorded: the settings in the parent's manifest; what this version does not know is passed over.
            start_from: the parent's folder.
            split_list: the written split of the mixed data.

        Raises:
            RetrainingError: `training` names a setting that there is none of.
        """
        from imaging.training.train import TrainingConfig

        known = {one.name for one in dataclasses.fields(TrainingConfig)}
        if unknown := sorted(set(self.training) - known):
            raise RetrainingError(f"unknown settings of a training: {unknown}", f"known: {', '.join(sorted(known))}")
        values = {name: value for name, value in recorded.items() if name in known}
        values |= {**FINE_TUNING, **self.training}
        values |= {
            "split": "train",
            "development_split": "val",
            "split_list": str(split_list),
            "start_from": str(start_from),
            "seed": self.seed,
        }
        values |= {name: tuple(values[name]) for name in ("extra_data", "self_labelled")}
        return TrainingConfig(**values)
