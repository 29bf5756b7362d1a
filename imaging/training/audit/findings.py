"""What the check finds: findings with row, reason and remedy, and the report of all of them."""

import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from imaging.training.boxes import Box


class Effect(StrEnum):
    """What a finding means for a training."""

    STOP = "stop"
    """The data set as a whole cannot be trained on."""
    IMAGE_OUT = "image left out"
    ROW_OUT = "row left out"
    CHANGED = "box cut to the image"
    NOTE = "kept; look at it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    code: str
    """Dotted, stable: ``data.image.corrupt``."""
    file: str
    """The file that says it, below the data set's folder."""
    row: int | None
    """Line in that file, from 1; the header of a table is line 1. None when the whole file is meant."""
    image: str
    """Image the row speaks of; empty when none."""
    reason: str
    remedy: str
    effect: Effect
    box: Box | None = None
    """The box meant, cut to the image, as fractions; only where one box of several is to be left out."""

    def line(self) -> str:
        """One line for a person."""
        place = self.file if self.row is None else f"{self.file}:{self.row}"
        subject = f" ({self.image})" if self.image and Path(self.file).name != self.image else ""
        return f"{place}{subject}: {self.reason} [{self.effect.value}]. {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """All findings of one data set, files in order."""

    findings: tuple[Finding, ...]
    images: int
    fractured: int
    boxes: int

    @property
    def unusable(self) -> tuple[Finding, ...]:
        """Findings that cost a row, an image or the whole data set."""
        return tuple(one for one in self.findings if one.effect in (Effect.STOP, Effect.IMAGE_OUT, Effect.ROW_OUT))

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "images": self.images,
            "fractured": self.fractured,
            "boxes": self.boxes,
            "unusable": len(self.unusable),
            "counts": dict(sorted(Counter(one.code for one in self.findings).items())),
            "findings": [
                {
                    "code": one.code,
                    "file": one.file,
                    "row": one.row,
                    "image": one.image,
                    "reason": one.reason,
                    "remedy": one.remedy,
                    "effect": one.effect.value,
                }
                for one in self.findings
            ],
        }

    def write(self, path: Path) -> Path:
        """Write the JSON, in one piece."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(self.as_document(), indent=2) + "\n", encoding="utf-8")
        return partial.replace(path)
