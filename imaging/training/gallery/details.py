"""What an evaluation tells beside its metrics: confusion at both points, FROC, calibration groups and subgroups."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from imaging.training.gallery.curves import (
    FALSE_MARKS_PER_IMAGE,
    FROC_IOU,
    CalibrationGroup,
    Confusion,
    FrocTable,
    calibration_groups,
    confusion,
)
from imaging.training.gallery.subgroups import Subgroup, attributes_of, subgroup_tables
from imaging.training.metrics import ImageRecord, Interval, Thresholds

FROC_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Tables for people and programs."""

    points: tuple[Confusion, ...]
    froc: FrocTable
    marks: Mapping[float, Interval]
    """Share of fractures that are marked, by the false marks allowed per radiograph; empty without boxes."""
    groups: Sequence[CalibrationGroup]
    tables: Mapping[str, Sequence[Subgroup]]
    """Per column of the data set, one row per value."""

    @classmethod
    def of(cls, records: Sequence[ImageRecord], thresholds: Thresholds, root: Path) -> Self:
        """From what was found; `root` is the data set's folder, for the tables per region, view and hardware."""
        froc = FrocTable(records)
        marks = {limit: froc.at(limit, rounds=FROC_ROUNDS) for limit in FALSE_MARKS_PER_IMAGE}
        return cls(
            points=(
                confusion(records, "high_sensitivity", thresholds.high_sensitivity),
                confusion(records, "high_specificity", thresholds.high_specificity),
            ),
            froc=froc,
            marks={limit: one for limit, one in marks.items() if one is not None},
            groups=calibration_groups(records),
            tables=subgroup_tables(records, attributes_of(root), thresholds),
        )

    def as_entry(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "confusion": {point.name: point.as_entry() for point in self.points},
            "froc": {
                "iou": FROC_IOU,
                "fractures_marked": {str(limit): asdict(one) for limit, one in self.marks.items()},
            },
            "calibration_groups": [asdict(group) for group in self.groups],
            "subgroups": {name: [row.as_entry() for row in rows] for name, rows in self.tables.items()},
        }
