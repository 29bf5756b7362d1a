"""Between the rules and a site's own outcomes: the published forecast of a recorded row, and the row of a case.

`tabular.healing` knows no clinical rule and `fusion` no trained model; this module hands each what the other offers.
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from fhir_adapters.patient import (
    DiabetesType,
    DrugClass,
    MedicationEntry,
    PatientSnapshot,
    Sex,
    SmokingStatus,
    Sourced,
)
from fusion.context import ClinicalContext, FractureType
from fusion.engine import FusionEngine
from fusion.evidence_base import EvidenceBase
from fusion.facts import CaseFacts
from fusion.healing import published_forecast
from fusion.results import Assessment
from fusion.sites import FractureSite
from fusion.statements import Writer
from imaging.results import BoneAgeEstimate, ImageFindings
from tabular.healing.forecasts import Forecast, Part
from tabular.healing.outcomes import HealingRow
from tabular.results import LearnedHealing, RiskEstimate

_AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
"""Any day: the forecast of a row depends on completed years alone."""
_RECORDED = "table"


def train_on(outcomes: Path, out: Path, *, seed: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Fit a model to a table of recorded outcomes, compare it with the published figures and write it.

    Args:
        outcomes: the table, as `tabular.healing.outcomes` describes it.
        out: folder to write to.
        seed: of every random choice.
        report: takes a line about each step and what was decided for each group of bones.

    Returns:
        The manifest.

    Raises:
        TabularError: the table cannot be used, or holds too few unions.
    """
    from tabular.healing.outcomes import read_outcomes
    from tabular.healing.training import train

    manifest = train(read_outcomes(outcomes), forecast_of_row, out, seed=seed, progress=report)
    for group, found in manifest["groups"].items():
        verdict = f"blended with weight {found['weight']:.2f}" if found["weight"] > 0 else "published figures alone"
        report(f"{group.replace('_', ' ')}: {found['events']} unions of {found['cases']} cases, {verdict}")
    return manifest


class HealingEstimator(Protocol):
    """A trained model of recorded outcomes; `tabular.healing.engine.HealingModel` is one."""

    def estimate(self, row: HealingRow, start_log_weeks: float) -> LearnedHealing | None:
        """What it says of one fracture."""


class LearnedAssessor:
    """The fusion engine with a model of the site's own outcomes beside it."""

    def __init__(self, engine: FusionEngine, model: HealingEstimator) -> None:
        """Takes the engine, and the model that is asked for every stated fracture."""
        self._engine = engine
        self._model = model
        self._writer = Writer(engine.evidence)

    def assess(
        self,
        *,
        findings: ImageFindings | None,
        patient: PatientSnapshot | None,
        risk: RiskEstimate | None,
        context: ClinicalContext,
        as_of: datetime,
        bone_age: BoneAgeEstimate | None = None,
    ) -> Assessment:
        """As `FusionEngine.assess`, with the model's answer where the site of the fracture is stated."""
        facts = CaseFacts(
            findings=findings, patient=patient, risk=risk, context=context, as_of=as_of, bone_age=bone_age
        )
        row = row_of(facts)
        learned = None
        if row is not None:
            learned = self._model.estimate(row, forecast_of(facts, self._writer).base_log_median)
        return self._engine.assess(
            findings=findings,
            patient=patient,
            risk=risk,
            context=context,
            as_of=as_of,
            bone_age=bone_age,
            learned_healing=learned,
        )


def row_of(facts: CaseFacts) -> HealingRow | None:
    """A case as a row of the model; None unless a site is stated."""
    site, pattern = facts.context.site, facts.context.fracture_type
    if site is None:
        return None
    known = facts.patient is not None
    smoking = facts.smoking
    return HealingRow(
        site=site.value,
        pattern=None if pattern is None else pattern.value,
        age_years=facts.age_years,
        female=None if facts.sex is None else facts.sex is Sex.FEMALE,
        # A record that lists no disease and no drug is taken at its word, as the rules do.
        diabetes=facts.diabetes is not None if known else None,
        smoking=None if smoking is None else smoking.value is SmokingStatus.CURRENT,
        osteoporosis=facts.osteoporosis is not None if known else None,
        nsaid=bool(facts.drugs(DrugClass.NSAID)) if known else None,
        open=facts.open_fracture,
        comminuted=None if pattern is None else pattern is FractureType.COMMINUTED,
        operated=facts.context.operated,
    )


def forecast_of(facts: CaseFacts, writer: Writer) -> Forecast:
    """The published figures of a case as a forecast that outcomes can be held against."""
    found = published_forecast(facts, writer)
    share = 1.0 / len(found.parts)
    parts = tuple(Part(share, one.mu, one.sigma) for one in found.parts)
    return Forecast(parts=parts, never=found.never, base_log_median=math.log(found.base_median_weeks))


@lru_cache(maxsize=1 << 16)
def forecast_of_row(row: HealingRow) -> Forecast:
    """The published forecast of a recorded fracture, by the evidence base that ships with the code."""
    return forecast_of(_facts(row), Writer(EvidenceBase.load()))


def _facts(row: HealingRow) -> CaseFacts:
    pattern = row.pattern if row.pattern is not None else "comminuted" if row.comminuted is True else None
    drugs = (MedicationEntry(drug_class=DrugClass.NSAID, code=_RECORDED, resource=_RECORDED, active=True),)
    smoking = {True: SmokingStatus.CURRENT, False: SmokingStatus.NEVER, None: SmokingStatus.UNKNOWN}[row.smoking]
    patient = PatientSnapshot(
        patient_id=_RECORDED,
        as_of=_AS_OF,
        birth_date=None if row.age_years is None else date(_AS_OF.year - row.age_years, 1, 1),
        age_years=row.age_years,
        sex={True: Sex.FEMALE, False: Sex.MALE, None: None}[row.female],
        smoking=Sourced(value=smoking, resource=_RECORDED, effective=None),
        diabetes=Sourced(value=DiabetesType.UNSPECIFIED, resource=_RECORDED, effective=None) if row.diabetes else None,
        osteoporosis=Sourced(value=True, resource=_RECORDED, effective=None) if row.osteoporosis else None,
        medications=drugs if row.nsaid else (),
    )
    context = ClinicalContext(
        site=FractureSite(row.site),
        fracture_type=None if pattern is None else FractureType(pattern),
        open_wound=row.open,
        operated=row.operated,
    )
    return CaseFacts(findings=None, patient=patient, risk=None, context=context, as_of=_AS_OF)
