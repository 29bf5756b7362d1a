"""The radiographs that the shipped detector was trained on, in short: how far a site lies from them.

A site always differs from the training data, so that this is shown beside the reference and raises no alarm.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from cds.learning.drift.watching import Summary

_FILE: Final = Path(__file__).with_name("training_reference.json")
SCHEMA: Final = "fracture-cds.training-reference/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReference:
    """Figures of the training data, no rows."""

    model: str
    """The detector that answered."""
    data: str
    """Which radiographs, with their number."""
    summaries: Mapping[str, Summary]
    """By the name of the monitor."""


@cache
def training_reference() -> TrainingReference:
    """The shipped figures."""
    document: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return TrainingReference(
        model=document["model"],
        data=document["data"],
        summaries={name: Summary(**values) for name, values in document["monitors"].items()},
    )
