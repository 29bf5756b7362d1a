"""The columns by which a locked set is parted into subgroups."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

COLUMNS: Final = ("region", "view", "age_band", "sex", "hardware", "site", "manufacturer", "type")
AGE_BANDS: Final = ((0, 18), (18, 40), (40, 65), (65, 200))
NOT_STATED: Final = "not stated"


def subgroup_columns(root: Path) -> dict[str, dict[str, str]]:
    """Image id to the columns that subgroups are made of; empty where the set has none."""
    if not (root / "images.csv").is_file():
        from imaging.training.gallery.subgroups import attributes_of

        return attributes_of(root)
    with (root / "images.csv").open(encoding="utf-8", newline="") as handle:
        return {row.get("image", ""): _columns(row) for row in csv.DictReader(handle, restval="")}


def age_band(years: float, bands: Iterable[tuple[int, int]] = AGE_BANDS) -> str:
    """The band of an age in years, such as ``18-39`` or ``65+``."""
    for low, high in bands:
        if low <= years < high:
            return f"{low}-{high - 1}" if high < AGE_BANDS[-1][1] else f"{low}+"
    return NOT_STATED


def _columns(row: Mapping[str, str]) -> dict[str, str]:
    found = {name: row[name] or NOT_STATED for name in COLUMNS if name in row}
    if "age_years" in row and "age_band" not in found:
        try:
            found["age_band"] = age_band(float(row["age_years"]))
        except ValueError:
            found["age_band"] = NOT_STATED
    return found
