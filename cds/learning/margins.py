"""How far a candidate may fall behind: margins of non-inferiority, each with the reason for it.

The file is YAML: ``margins.yaml`` beside this module holds the defaults and shows the layout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from cds.errors import SettingsError

DEFAULTS: Final = Path(__file__).with_name("margins.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What a candidate must keep."""

    by_metric: Mapping[str, float]
    """Metric to the largest loss that is put up with, in the metric's own unit."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Metric to why that much."""
    confidence: float = 0.95
    """One-sided: the lower bound of every difference must lie above the margin at this level."""
    slope_low: float = 0.67
    """Lowest calibration slope that counts as calibrated."""
    slope_high: float = 1.5
    """Highest."""
    subgroup_loss: float = 0.10
    """A subgroup whose estimate falls by more, with an interval wholly below 0, refuses the candidate."""
    subgroup_items: int = 40
    """A smaller subgroup is shown and not judged."""
    subgroup_each: int = 10
    """The same with fewer positives, or with fewer negatives."""
    fewest_groups: int = 5
    """With fewer independent groups nothing can be told, and no candidate passes."""
    fewest_each: int = 20
    """The same with fewer items that have the finding, or fewer without: a bootstrap of a handful that happen not to
    change shows no loss, whatever the loss."""


def read_margins(kind: str, path: Path | None = None) -> Margins:
    """The margins for one kind of model.

    Args:
        kind: ``detector``, ``fracture_type``, ``risk``, ``healing`` or ``bone_age``.
        path: YAML file; the defaults where None. What it does not name keeps its default.

    Raises:
        SettingsError: the file cannot be read, or holds values that cannot be.
    """
    merged: dict[str, Any] = _read(DEFAULTS)
    if path is not None:
        own = _read(path)
        unknown = set(own) - set(merged)
        if unknown:
            raise _invalid(f"unknown entries {', '.join(sorted(unknown))}")
        for name, entry in own.items():
            merged[name] = {**merged[name], **entry} if isinstance(entry, dict) else entry
    try:
        metrics = merged["metrics"][kind]
        return Margins(
            by_metric={name: _positive(entry["margin"]) for name, entry in metrics.items()},
            reasons={name: str(entry["reason"]).strip() for name, entry in metrics.items()},
            confidence=_share(merged["confidence"]),
            slope_low=_positive(merged["calibration_slope"]["low"]),
            slope_high=_positive(merged["calibration_slope"]["high"]),
            subgroup_loss=_positive(merged["subgroups"]["loss"]),
            subgroup_items=int(merged["subgroups"]["items"]),
            subgroup_each=int(merged["subgroups"]["each"]),
            fewest_groups=int(merged["fewest_groups"]),
            fewest_each=int(merged["fewest_each"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(f"{type(error).__name__} at {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        raise _invalid("it cannot be read as YAML") from None
    if not isinstance(document, dict):
        raise _invalid("it is not a table of names")
    return document


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{number} is not above 0")
    return number


def _share(value: Any) -> float:
    number = float(value)
    if not 0.5 < number < 1:
        raise ValueError(f"{number} is not between 0.5 and 1")
    return number


def _invalid(why: str) -> SettingsError:
    return SettingsError(
        f"The file of margins cannot be used: {why}.", remedy="Compare it with cds/learning/margins.yaml."
    )
