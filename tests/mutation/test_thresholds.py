"""The boundary cases hold, the pinned numbers stand, and a sample of mutants is noticed.

Every mutant is tried by ``python -m tests.mutation.thresholds``.
"""

import pytest

from fusion.engine import FusionEngine
from fusion.evidence_base import EvidenceBase
from tests.mutation.boundaries import Boundary, boundaries
from tests.mutation.mutants import Mutant, comparison_mutants, constant_mutants, evidence_mutants
from tests.mutation.pins import pinned_cases, pinned_numbers, pins
from tests.mutation.thresholds import Fate, try_mutant
from tests.unit.fusion.cases import engine
from tests.unit.fusion.observed import run

FURTHER = [one for one in boundaries() if not one.name.endswith((" speaks", " silent"))]
"""Those beside the table of rules, which has its own test."""
THRESHOLDS = frozenset(
    {
        "care.specialist.egfr30_calcium_vitamin_d",
        "care.avoid.egfr35_alendronate_zoledronate",
        "care.calcium.serum_reference",
        "care.vitamin_d.deficient_nmol_l",
        "care.lab.max_age_days",
        "care.alcohol.units_week_f",
        "risk.threshold.bhof_hip",
        "risk.threshold.bhof_mof",
        "risk.threshold.bhof_t_score",
        "severity.tibia_shaft_adult.coronal_deg",
        "growth.end.boys",
    }
)
"""Entries whose mutants are tried with every run of the tests."""
CONSTANTS = frozenset(
    {
        "fusion.facts ADULT_FROM_YEARS",
        "fusion.facts OLDER_FROM_YEARS",
        "fusion.facts FRAGILITY_FROM_YEARS",
        "fusion.facts HIP_OLDER_FROM_YEARS",
        "fusion.facts OBESE_FROM_BMI",
        "fusion.healing_factors KIDNEY_FROM_EGFR",
        "fusion.supplementation EMPIRIC_FROM_YEARS",
        "fusion.fragility MIDDLE_FROM_YEARS",
    }
)


@pytest.mark.parametrize("boundary", FURTHER, ids=lambda one: one.name)
def test_the_threshold_lies_where_it_is_written_down(boundary: Boundary) -> None:
    assert boundary.holds(run(engine(), boundary.case))


def test_the_numbers_are_those_that_were_written_down() -> None:
    """After a change that is meant: read what ``python -m tests.mutation.pins`` prints, then run it with --write."""
    load = FusionEngine.load()
    now = {name: found for name in pinned_cases() if (found := pinned_numbers(load, name))}
    assert now == pins()


def _sample() -> list[Mutant]:
    base = EvidenceBase.load()
    return [*evidence_mutants(base, THRESHOLDS), *(one for one in constant_mutants() if one.place in CONSTANTS)]


@pytest.mark.parametrize("mutant", _sample(), ids=lambda one: one.name)
def test_a_changed_threshold_is_noticed_by_a_boundary_case(mutant: Mutant) -> None:
    assert try_mutant(mutant).fate is Fate.BOUNDARY


def test_a_mutant_leaves_nothing_behind() -> None:
    case = pinned_cases()["rule safety.nsaid.older"][0]
    before = run(FusionEngine.load(), case)
    for mutant in (*constant_mutants(), *comparison_mutants()):
        assert mutant.patch is not None
        with mutant.patch():
            pass
    assert run(FusionEngine.load(), case) == before
    assert {one.place for one in comparison_mutants()}


def test_a_number_that_nothing_reads_has_no_effect() -> None:
    base = EvidenceBase.load()
    idle = next(iter(evidence_mutants(base, frozenset({"healing.union.rib"}))))
    assert try_mutant(idle).fate is Fate.NO_EFFECT
