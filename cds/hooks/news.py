"""What is worth a card: plain data, in the order of pressure. `cds.presenters.cards` puts it into words."""

from dataclasses import dataclass, field
from enum import StrEnum

from cds.batch.care_gaps import CareGap, CareGapKind
from fhir_adapters.cds_hooks.orders import DraftOrder
from fhir_adapters.patient import DrugClass, PatientSnapshot, PriorFracture, Sourced
from fusion.results import Advice
from tabular.results import RiskEstimate


class NewsKind(StrEnum):
    """The kinds of cards."""

    RISK = "fracture-risk"
    HISTORY = "radiograph-history"
    DRUG = "ordered-drug"


class Pressure(StrEnum):
    """How much a card interrupts."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFracture:
    """A fracture that nobody followed up, as far as the record tells."""

    fracture: PriorFracture
    age_years: int
    """Completed years when it happened."""
    days: int
    """Since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskNews:
    """patient-view: the risk and the gaps of one patient."""

    patient: PatientSnapshot = field(repr=False)
    pressure: Pressure
    lead: CareGapKind | None
    """The gap that heads the card; None when the probability alone does."""
    gaps: tuple[CareGap, ...]
    risk: RiskEstimate | None
    fracture: OpenFracture | None = None
    """With the lead `CareGapKind.FRACTURE`: the newest of the fractures."""
    t_score: Sourced[float] | None = None
    """The lowest T-score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One thing that matters for a radiograph of a limb."""

    words: str
    """Lower-case, short: it also stands in the summary."""
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryNews:
    """order-select, order-sign: what the radiographer and the reader of a radiograph should know."""

    patient: PatientSnapshot = field(repr=False)
    orders: tuple[DraftOrder, ...]
    entries: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrugNews:
    """order-select, order-sign: what speaks against an ordered drug."""

    patient: PatientSnapshot = field(repr=False)
    pressure: Pressure
    order: DraftOrder
    classes: tuple[DrugClass, ...]
    fracture: PriorFracture | None
    fracture_days: int | None
    advice: tuple[Advice, ...]
    """Most pressing first."""


News = RiskNews | HistoryNews | DrugNews
