"""How the detector does per region, view, hardware and other columns that a data set gives."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imaging.training.gallery.curves import Share, truth_and_scores, wilson
from imaging.training.metrics import ImageRecord, Interval, Thresholds, area_under_curve, bootstrap

REGIONS = ("hand", "leg", "hip", "shoulder", "mixed")
VIEWS = ("frontal", "lateral", "oblique")
TABLE_COLUMNS = ("region", "view", "hardware", "type", "displaced", "source")
"""Columns of ``images.csv`` that are worth a table."""
MAX_GROUPS = 15
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """One row of a table."""

    name: str
    n: int
    n_fractured: int
    sensitivity: Share | None
    """At the high-sensitivity point; None without fractured images."""
    specificity: Share | None
    """At the high-specificity point; None without images that show no fracture."""
    area: Interval | None
    """Image-level area under the ROC curve; None with one class only."""

    def as_entry(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def attributes_of(root: Path) -> dict[str, dict[str, str]]:
    """Image id to its attributes, from FracAtlas' ``dataset.csv`` or from ``images.csv``; empty without either."""
    if (root / "dataset.csv").is_file():
        return {row.get("image_id", ""): _fracatlas_attributes(row) for row in _rows(root / "dataset.csv")}
    if (root / "images.csv").is_file():
        rows = _rows(root / "images.csv")
        columns = [name for name in TABLE_COLUMNS if rows and name in rows[0] and _is_grouping(rows, name)]
        return {row.get("image", ""): {name: row[name] or NOT_STATED for name in columns} for row in rows}
    return {}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, restval=""))


def _is_grouping(rows: Sequence[dict[str, str]], name: str) -> bool:
    return 1 < len({row[name] for row in rows}) <= MAX_GROUPS


def _fracatlas_attributes(row: dict[str, str]) -> dict[str, str]:
    regions = [name for name in REGIONS if row.get(name) == "1"]
    views = [name for name in VIEWS if row.get(name) == "1"]
    return {
        "region": (regions[0] if len(regions) == 1 else "mixed") if regions else NOT_STATED,
        "view": (views[0] if len(views) == 1 else "several") if views else NOT_STATED,
        "hardware": {"1": "present", "0": "none"}.get(row.get("hardware", ""), NOT_STATED),
    }


def subgroup_tables(
    records: Sequence[ImageRecord],
    attributes: Mapping[str, Mapping[str, str]],
    thresholds: Thresholds,
    *,
    rounds: int = 500,
) -> dict[str, list[Subgroup]]:
    """Column to the rows of its table, the largest subgroup first."""
    names = sorted({name for record in records for name in attributes.get(record.image_id, {})})
    tables: dict[str, list[Subgroup]] = {}
    for name in names:
        groups: dict[str, list[ImageRecord]] = {}
        for record in records:
            groups.setdefault(attributes.get(record.image_id, {}).get(name, NOT_STATED), []).append(record)
        rows = [_measure(value, members, thresholds, rounds) for value, members in groups.items()]
        tables[name] = sorted(rows, key=lambda row: (-row.n, row.name))
    return tables


def _measure(name: str, records: Sequence[ImageRecord], thresholds: Thresholds, rounds: int) -> Subgroup:
    fractured, scores = truth_and_scores(records)
    broken, whole = int(fractured.sum()), int((~fractured).sum())
    area = None
    if broken and whole:
        area = bootstrap(
            len(records),
            lambda index: area_under_curve(fractured[index], scores[index]),
            value=area_under_curve(fractured, scores),
            rounds=rounds,
        )
    hits = int(np.sum(scores[fractured] >= thresholds.high_sensitivity))
    rejected = int(np.sum(scores[~fractured] < thresholds.high_specificity))
    return Subgroup(
        name=name,
        n=len(records),
        n_fractured=broken,
        sensitivity=wilson(hits, broken) if broken else None,
        specificity=wilson(rejected, whole) if whole else None,
        area=area,
    )
