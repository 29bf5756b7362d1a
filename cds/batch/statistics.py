"""Counts over many rows: what the summary and the report show. They add up over partitions, in any order."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

AGE_BANDS_FROM = (0, 40, 50, 60, 70, 80, 90)
"""First year of each band of age."""
RISK_BANDS_FROM = (0.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0)
"""First percent of each band of the ten-year probability of a major fracture."""
HIP_BANDS_FROM = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
UNKNOWN = "not recorded"


@dataclass(slots=True, kw_only=True)
class Statistics:
    """Counts of rows; the keys are codes, bands and names of columns, never a patient's data."""

    status: Counter[str] = field(default_factory=Counter)
    sex: Counter[str] = field(default_factory=Counter)
    age_and_sex: Counter[str] = field(default_factory=Counter)
    """``60|female``: first year of the band, and sex."""
    major: Counter[str] = field(default_factory=Counter)
    """First percent of the band, of the patients with an estimate."""
    hip: Counter[str] = field(default_factory=Counter)
    care_gaps: Counter[str] = field(default_factory=Counter)
    with_care_gap: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    """Patients with the warning, by its code."""
    not_estimated_because: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one row."""
        sex = row["sex"] or UNKNOWN
        self.status[row["status"]] += 1
        self.sex[sex] += 1
        self.age_and_sex[f"{band(row['age_years'], AGE_BANDS_FROM)}|{sex}"] += 1
        major = row["major_osteoporotic_fracture_10y_percent"]
        if major is not None:
            self.major[band(major, RISK_BANDS_FROM)] += 1
            self.hip[band(row["hip_fracture_10y_percent"], HIP_BANDS_FROM)] += 1
            self.missing.update(_entries(row["missing"]))
        gaps = _entries(row["care_gaps"])
        self.care_gaps.update(gaps)
        self.with_care_gap += bool(gaps)
        self.warnings.update({entry.partition(":")[0] for entry in _entries(row["warnings"])})
        if row["not_estimated_because"]:
            self.not_estimated_because[row["not_estimated_because"]] += 1

    def merge(self, other: Mapping[str, Any]) -> None:
        """Add the counts of another partition, as `to_json` gives them."""
        for item in fields(self):
            mine = getattr(self, item.name)
            if isinstance(mine, Counter):
                mine.update(other[item.name])
        self.with_care_gap += other["with_care_gap"]

    def to_json(self) -> dict[str, Any]:
        """The counts as plain objects, keys sorted."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: dict(sorted(value.items())) if isinstance(value, Counter) else value for name, value in values.items()
        }

    @property
    def patients(self) -> int:
        """Rows counted."""
        return self.status.total()


def band(value: float | None, starts: tuple[float, ...]) -> str:
    """The first value of the band a number falls into; the last band is open."""
    if value is None:
        return UNKNOWN
    return f"{max((start for start in starts if start <= value), default=starts[0]):g}"


def _entries(text: str) -> list[str]:
    return text.split("; ") if text else []
