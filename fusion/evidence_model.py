"""What one fact of the evidence base is made of."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from fusion.errors import UnknownEvidenceError


class EvidenceStatus(StrEnum):
    """How far an entry was checked against its source."""

    VERIFIED = "verified"
    """Read in the cited source."""
    WEAK = "weak"
    """Read, but in a weak or secondary source."""
    UNVERIFIED = "unverified"
    """Written down from memory; shown as such and never the only ground of a recommendation."""
    COMPUTED = "computed"
    """Computed from data or code, or a rule of this engine."""


class EvidenceGrade(StrEnum):
    """Kind of source, which says how strong the evidence can be."""

    SYSTEMATIC_REVIEW = "systematic_review"
    RANDOMISED_TRIAL = "randomised_trial"
    GUIDELINE = "guideline"
    COHORT = "cohort"
    CASE_CONTROL = "case_control"
    CASE_SERIES = "case_series"
    LABORATORY = "laboratory"
    NARRATIVE_REVIEW = "narrative_review"
    TEXTBOOK = "textbook"
    PRODUCT_LABEL = "product_label"
    WEB_PAGE = "web_page"
    EXPERT_OPINION = "expert_opinion"
    MODEL_CODE = "model_code"
    ENGINEERING = "engineering"
    """A rule of this project, not a finding of medicine."""


class Measure(StrEnum):
    """What the number of an entry is."""

    ODDS_RATIO = "odds_ratio"
    RISK_RATIO = "risk_ratio"
    HAZARD_RATIO = "hazard_ratio"
    TIME_RATIO = "time_ratio"
    DIFFERENCE = "difference"
    RATE = "rate"
    """A proportion, 0..1."""
    RANGE = "range"
    MEAN = "mean"
    THRESHOLD = "threshold"
    LIMIT = "limit"
    INTAKE = "intake"
    SPACING = "spacing"
    TIMING = "timing"
    ACCURACY = "accuracy"
    RULE = "rule"
    FINDING = "finding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A publication, guideline or rule that entries cite."""

    key: str
    citation: str
    identifier: str | None
    """``doi:...``, ``PMID:...``, ``PMC...`` or a guideline number; None when none was seen."""
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceEntry:
    """One fact, its number, where it holds and where it comes from."""

    id: str
    """``<file>.<topic>.<name>``, lower case."""
    statement: str
    population: str
    grade: EvidenceGrade
    sources: tuple[str, ...]
    """Keys of `EvidenceBase.sources`."""
    status: EvidenceStatus
    reviewed_on: date
    measure: Measure | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    """UCUM where UCUM has the unit; ``1`` for a pure number."""
    interval: str | None = None
    """What `low` and `high` are."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers that belong to the entry."""
    note: str | None = None

    @property
    def is_unverified(self) -> bool:
        """True when the entry may be shown but never be the only ground of a recommendation."""
        return self.status is EvidenceStatus.UNVERIFIED

    def number(self, name: str = "value") -> float:
        """A number of the entry: ``value``, ``low``, ``high`` or a key of `table`.

        Raises:
            UnknownEvidenceError: the entry has no such number.
        """
        found = getattr(self, name) if name in {"value", "low", "high"} else self.table.get(name)
        if not isinstance(found, int | float) or isinstance(found, bool) or not math.isfinite(found):
            raise UnknownEvidenceError(
                f"The evidence entry {self.id} has no number called {name}.",
                remedy="Add the number to the entry or correct the rule that reads it.",
            )
        return float(found)
