"""One case as a row of training data."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cds.learning.feedback.cases import JudgedCase
from cds.learning.feedback.outcomes import OLDEST
from cds.learning.feedback.places import Place
from cds.learning.feedback.readers import READER_ROLES

HARDWARE_FROM: Final = 0.5
"""Probability from which the model's word on hardware is told as ``present``."""
BAND_YEARS: Final = 10
HEALTHY: Final = "healthy"
"""Word of the column ``type`` for no fracture."""

COLUMNS: Final[Mapping[str, str]] = {
    "case": "string",
    "group": "string",
    "image": "string",
    "width": "int32",
    "height": "int32",
    "label": "int8",
    "boxes": "int32",
    "boxes_known": "bool",
    "fracture_type": "string",
    "agreement": "string",
    "adjudicated": "bool",
    "adjudicated_by_role": "string",
    "readers": "int32",
    **{f"readers_{role}": "int32" for role in sorted(READER_ROLES)},
    "readers_independent": "int32",
    "independence": "string",
    "machine_call": "string",
    "machine_score": "float64",
    "machine_probability": "float64",
    "machine_right": "bool",
    "model_versions": "list<string>",
    "engine_version": "string",
    "age_band": "string",
    "sex": "string",
    "region": "string",
    "region_source": "string",
    "hardware": "string",
    "hardware_probability": "float64",
    "synthetic": "bool",
    "site": "string",
    "outcome_weeks_lower": "float64",
    "outcome_weeks_upper": "float64",
    "outcome_united": "bool",
}
"""Columns of ``rows.parquet`` and their types. ``agreement`` is one of `truth.Agreement`; ``independence`` is
``independent`` (somebody gave the answer before the machine's was shown), ``dependent`` (only afterwards) or
``adjudication`` (it rests on an adjudication alone); ``machine_right`` says whether the machine's call at the time was
the answer: False marks the examples that a new model has most to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The radiograph of a case, as it stands in the export."""

    image: str
    """File name."""
    width: int
    height: int
    places: tuple[Place, ...]
    """Cut at the image's borders."""
    places_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """One case of an export."""

    case: str
    """Pseudonym, as all names here."""
    group: str
    labelled: Labelled | None
    """None where nothing can be learned from the radiograph."""
    outcome: Mapping[str, str] | None
    """Row of ``healing_outcomes.csv``."""
    judged: JudgedCase
    """What it comes from; its identifiers go into no file."""
    site: str | None

    @property
    def fracture(self) -> bool:
        """The answer; only of a row with a radiograph."""
        return bool(self.judged.truth.fracture)

    @property
    def pattern(self) -> str | None:
        """The pattern that was stated, of a fracture."""
        found = self.judged.truth.fracture_type
        return found.value if self.fracture and found is not None else None

    @property
    def hardware(self) -> str | None:
        """Whether the model sees metal; None where it was not asked."""
        found = self.judged.facts.hardware_probability
        return None if found is None else "present" if found >= HARDWARE_FROM else "none"


def age_band(age_years: int | None) -> str | None:
    """``40-49``; ``90+`` from 90 years on; None where the age is not known."""
    if age_years is None:
        return None
    if age_years >= OLDEST:
        return f"{OLDEST}+"
    first = age_years // BAND_YEARS * BAND_YEARS
    return f"{first}-{first + BAND_YEARS - 1}"


def record_of(row: ExportRow) -> dict[str, Any]:
    """A row of ``rows.parquet``; None for what is not known."""
    values = {**_who(row), **_what(row), **_circumstances(row)}
    return {name: values[name] for name in COLUMNS}


def _what(row: ExportRow) -> dict[str, Any]:
    """Label, place, outcome."""
    labelled, outcome, truth = row.labelled, row.outcome or {}, row.judged.truth
    weeks = {name: outcome.get(name) or None for name in ("lower_week", "upper_week", "weeks_observed")}
    united = None if row.outcome is None else outcome["united"] == "1"
    lower = weeks["lower_week"] if united else weeks["weeks_observed"]
    return {
        "image": None if labelled is None else labelled.image,
        "width": None if labelled is None else labelled.width,
        "height": None if labelled is None else labelled.height,
        "label": None if labelled is None else int(row.fracture),
        "boxes": None if labelled is None else len(labelled.places),
        "boxes_known": None if labelled is None else labelled.places_known,
        "fracture_type": None if labelled is None else row.pattern,
        "agreement": truth.agreement.value,
        "outcome_weeks_lower": None if lower is None else float(lower),
        "outcome_weeks_upper": None if weeks["upper_week"] is None else float(weeks["upper_week"]),
        "outcome_united": united,
    }


def _who(row: ExportRow) -> dict[str, Any]:
    """Readers by role and count, never by name."""
    truth = row.judged.truth
    roles = Counter(one.role for one in truth.readers)
    independent = truth.independent_readers
    alone = truth.adjudicated_by is not None and not truth.supporters
    return {
        "adjudicated": truth.adjudicated_by is not None,
        "adjudicated_by_role": truth.adjudicated_by,
        "readers": len(truth.readers),
        **{f"readers_{role}": roles[role] for role in READER_ROLES},
        "readers_independent": independent,
        "independence": None
        if row.labelled is None
        else "independent"
        if independent
        else "adjudication"
        if alone
        else "dependent",
    }


def _circumstances(row: ExportRow) -> dict[str, Any]:
    """The machine's part, and what subgroups are made of."""
    facts, case = row.judged.facts, row.judged.case
    said, machine = row.judged.truth.fracture, facts.machine.fracture
    versions = {one for each in row.judged.feedback for one in each.model_versions} | set(case.model_versions)
    return {
        "case": row.case,
        "group": row.group,
        "machine_call": facts.machine.call,
        "machine_score": facts.score,
        "machine_probability": facts.probability,
        "machine_right": None if row.labelled is None or machine is None else machine is said,
        "model_versions": sorted(versions),
        "engine_version": case.engine_version,
        "age_band": age_band(facts.age_years),
        "sex": facts.sex,
        "region": facts.region,
        "region_source": facts.region_source,
        "hardware": row.hardware,
        "hardware_probability": facts.hardware_probability,
        "synthetic": facts.synthetic,
        "site": row.site,
    }
