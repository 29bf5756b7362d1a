"""Recorded outcomes, one fracture a row: how long it was watched, whether it was seen to unite, and what went with it.

Columns (CSV with a header, or Parquet):

    site             a bone and its part, such as ``tibial_shaft``; see `SITE_GROUPS`
    pattern          ``transverse``, ``oblique``, ``spiral``, ``comminuted`` ... or empty
    age              completed years, or empty
    sex              ``female``, ``male`` or empty
    diabetes, smoking, osteoporosis, nsaid, open, comminuted
                     0, 1 or empty for not known
    weeks_observed   weeks from the injury to union (united = 1) or to the last look (united = 0)
    united           1 seen united, 0 not (censored)
    treatment        optional: ``operative``, ``conservative`` or empty
    lower_week, upper_week
                     optional, both or neither in a row: union was seen between these two checks; they win over
                     ``weeks_observed`` where ``united`` is 1

The table holds no name, number or date of a person, and needs none.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tabular.healing.errors import OutcomesError

SITE_GROUPS: dict[str, str] = {
    "hand_phalanx": "hand",
    "metacarpal": "hand",
    "scaphoid_distal": "scaphoid",
    "scaphoid_waist": "scaphoid",
    "scaphoid_proximal": "scaphoid",
    "distal_radius": "forearm",
    "forearm_shaft": "forearm",
    "olecranon": "forearm",
    "humerus_shaft": "upper_arm",
    "humerus_proximal": "upper_arm",
    "clavicle": "clavicle",
    "pelvis": "pelvis",
    "femoral_neck": "femur",
    "intertrochanteric": "femur",
    "femoral_shaft": "femur",
    "patella": "knee",
    "tibial_plateau": "knee",
    "tibial_shaft": "lower_leg",
    "ankle": "ankle_foot",
    "calcaneus": "ankle_foot",
    "metatarsal": "ankle_foot",
    "toe": "ankle_foot",
}
"""Groups of bones that are judged together, by site."""
PATTERNS = (
    "transverse",
    "oblique",
    "spiral",
    "comminuted",
    "greenstick",
    "avulsion",
    "impacted",
    "hairline",
    "pathological",
    "fracture_dislocation",
)
FLAGS = ("diabetes", "smoking", "osteoporosis", "nsaid", "open", "comminuted")
REQUIRED = ("site", "pattern", "age", "sex", *FLAGS, "weeks_observed", "united")
OPTIONAL = ("treatment", "lower_week", "upper_week")
MAX_WEEKS = 520.0
"""Ten years; a longer time to union is an input error."""
MAX_AGE = 120
_REMEDY = "Write the table as the documentation of `tabular.healing.outcomes` describes."


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingRow:
    """What is known of one fracture before it heals; None for what is not known."""

    site: str
    pattern: str | None = None
    age_years: int | None = None
    female: bool | None = None
    diabetes: bool | None = None
    smoking: bool | None = None
    osteoporosis: bool | None = None
    nsaid: bool | None = None
    open: bool | None = None
    comminuted: bool | None = None
    operated: bool | None = None

    @property
    def group(self) -> str:
        """Group of bones, see `SITE_GROUPS`."""
        return SITE_GROUPS[self.site]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """A table of recorded outcomes."""

    rows: tuple[HealingRow, ...]
    lower: tuple[float, ...]
    """Weeks after the injury at which the fracture was not yet united, above 0."""
    upper: tuple[float, ...]
    """Weeks by which it was united: `lower` where the week is known, infinity where union was not seen."""
    sha256: str
    """Of the file."""
    file: str
    """Its name without folders."""

    @property
    def united(self) -> tuple[bool, ...]:
        """Seen to unite, row by row."""
        return tuple(math.isfinite(one) for one in self.upper)


def read_outcomes(path: Path) -> Outcomes:
    """Read and check a table.

    Args:
        path: ``.csv`` (plain or gzip) or ``.parquet``.

    Raises:
        OutcomesError: the file cannot be read, lacks a column, or a row breaks the layout; the text names the row by
            its number and the column, never a value.
    """
    import pandas as pd

    try:
        data = path.read_bytes()
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError, ImportError) as error:
        raise OutcomesError(f"the table {path.name!r} cannot be read", remedy=_REMEDY) from error
    if missing := [name for name in REQUIRED if name not in frame.columns]:
        raise OutcomesError(f"the table lacks the columns {', '.join(missing)}", remedy=_REMEDY)
    if unknown := [str(name) for name in frame.columns if name not in {*REQUIRED, *OPTIONAL}]:
        raise OutcomesError(f"the table has unknown columns: {', '.join(unknown)}", remedy=_REMEDY)
    rows, lower, upper = [], [], []
    for place, fields in enumerate(frame.to_dict(orient="records"), start=1):
        known = {str(name): value for name, value in fields.items() if not pd.isna(value) and value != ""}
        rows.append(_row(place, known))
        first, last = _weeks(place, known)
        lower.append(first)
        upper.append(last)
    if not rows:
        raise OutcomesError("the table holds no row", remedy=_REMEDY)
    digest = hashlib.sha256(data).hexdigest()
    return Outcomes(rows=tuple(rows), lower=tuple(lower), upper=tuple(upper), sha256=digest, file=path.name)


def _row(place: int, fields: Mapping[str, Any]) -> HealingRow:
    site = _word(place, fields, "site", tuple(SITE_GROUPS))
    if site is None:
        _refuse(place, "site")
    pattern = _word(place, fields, "pattern", PATTERNS)
    flags = {name: _flag(place, fields, name) for name in FLAGS}
    if pattern == "comminuted":
        flags["comminuted"] = True
    sex = _word(place, fields, "sex", ("female", "male"))
    treatment = _word(place, fields, "treatment", ("operative", "conservative"))
    age = _number(place, fields, "age", MAX_AGE)
    return HealingRow(
        site=site,
        pattern=pattern,
        age_years=None if age is None else int(age),
        female=None if sex is None else sex == "female",
        operated=None if treatment is None else treatment == "operative",
        **flags,
    )


def _weeks(place: int, fields: Mapping[str, Any]) -> tuple[float, float]:
    united = _flag(place, fields, "united")
    seen = _number(place, fields, "weeks_observed", MAX_WEEKS)
    first, last = (_number(place, fields, name, MAX_WEEKS) for name in ("lower_week", "upper_week"))
    if united is None:
        _refuse(place, "united")
    if (first is None) is not (last is None):
        _refuse(place, "lower_week and upper_week")
    if united and first is not None and last is not None:
        if not 0 <= first <= last or last <= 0:
            _refuse(place, "lower_week and upper_week")
        return (last, last) if first == last else (first, last)
    if seen is None or seen <= 0:
        _refuse(place, "weeks_observed")
    return (seen, seen) if united else (seen, math.inf)


def _word(place: int, fields: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str | None:
    if name not in fields:
        return None
    word = str(fields[name]).strip().lower()
    if word not in known:
        _refuse(place, name)
    return word


def _flag(place: int, fields: Mapping[str, Any], name: str) -> bool | None:
    number = _number(place, fields, name, 1.0)
    if number is not None and number not in {0.0, 1.0}:
        _refuse(place, name)
    return None if number is None else number == 1.0


def _number(place: int, fields: Mapping[str, Any], name: str, largest: float) -> float | None:
    if name not in fields:
        return None
    try:
        number = float(fields[name])
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= largest:
        _refuse(place, name)
    return number


def _refuse(place: int, column: str) -> NoReturn:
    raise OutcomesError(f"row {place} of the table: {column} is missing or not valid", remedy=_REMEDY)
