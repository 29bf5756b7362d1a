"""Draws agree with the exact window, repeat byte for byte, and pair what they compare."""

import math
import time
from typing import Any

import pytest

from fhir_adapters.patient import DiabetesType, DrugClass, SmokingStatus
from fusion.evidence_base import EvidenceBase
from fusion.healing import estimate_healing, window_of
from fusion.healing_factors import OVERLAP, healing_factors
from fusion.healing_simulation import DRAWS, SIMULATION, Span, log_odds, percentile, simulate_union, weeks_apart
from fusion.sites import FractureSite
from fusion.union_times import groups_for
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import drug, facts, findings, patient, sourced, writer

BURDENED: dict[str, Any] = {
    "smoking": sourced(SmokingStatus.CURRENT, "Observation/s"),
    "osteoporosis": sourced(True, "Condition/o"),
    "diabetes": sourced(DiabetesType.TYPE_2, "Condition/d"),
    "medications": (drug(DrugClass.NSAID),),
}


@pytest.mark.parametrize("record", [{}, {"smoking": BURDENED["smoking"]}, BURDENED], ids=["none", "smoker", "many"])
@pytest.mark.parametrize("age", [5, 16, 40, None])
def test_the_draws_agree_with_the_exact_window(age: int | None, record: dict[str, Any]) -> None:
    for site in FractureSite:
        case = facts(person=patient(age, **record), site=site)
        groups, factors = groups_for(case, writer()), healing_factors(case, writer())
        exact, drawn = window_of(groups, factors), simulate_union(groups, factors)
        for name in ("low", "median", "high"):
            mine, theirs = getattr(drawn, name), getattr(exact, name)
            assert mine == pytest.approx(theirs, rel=0.01, abs=0.05), (site, name)


def test_the_same_case_gives_the_same_bytes() -> None:
    case = facts(person=patient(40, **BURDENED), site=FractureSite.TIBIAL_SHAFT, open_wound=True)
    first = estimate_healing(case, writer())
    log_odds.__globals__["_log_odds"].cache_clear()
    log_odds.__globals__["_stream"].cache_clear()
    assert repr(estimate_healing(case, writer())) == repr(first)


def test_the_number_of_draws_is_the_one_that_is_cited() -> None:
    assert EvidenceBase.load()[SIMULATION].value == DRAWS


def test_a_percentile_lies_between_its_neighbours() -> None:
    assert percentile([3.0], 0.9) == 3.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert percentile([1.0, 2.0], 0.0) == 1.0 and percentile([1.0, 2.0], 1.0) == 2.0


def test_nothing_counted_moves_nothing() -> None:
    case = facts(person=patient(40), site=FractureSite.TIBIAL_SHAFT)
    assert log_odds(healing_factors(case, writer()), 0.5) == Span(low=0.0, high=0.0)


def test_one_source_gives_its_own_interval() -> None:
    # COX-2 inhibitor: odds ratio 1.84, 95 % interval 1.38 to 2.46, one source.
    case = facts(person=patient(40, medications=(drug(DrugClass.COX2_INHIBITOR),)), site=FractureSite.ANKLE)
    span = log_odds(healing_factors(case, writer()), 0.5)
    error = (math.log(2.46) - math.log(1.38)) / (2 * 1.959964)
    assert span.low == pytest.approx(math.log(1.84) - 1.281552 * error, abs=0.002)
    assert span.high == pytest.approx(math.log(1.84) + 1.281552 * error, abs=0.002)


def test_sources_that_disagree_stand_side_by_side() -> None:
    # Osteoporosis: 1.24 (narrow) and 3.16: the range reaches into both, and a tenth lies below the lower one's middle.
    case = facts(person=patient(40, osteoporosis=sourced(True, "Condition/o")), site=FractureSite.ANKLE)
    span = log_odds(healing_factors(case, writer()), 0.5)
    assert math.exp(span.low) == pytest.approx(1.21, abs=0.03)
    assert 3.1 < math.exp(span.high) < 4.2


def test_further_factors_count_by_half() -> None:
    case = facts(person=patient(40, **BURDENED), site=FractureSite.ANKLE)
    factors = healing_factors(case, writer())
    half, full = log_odds(factors, writer().value(OVERLAP)), log_odds(factors, 1.0)
    assert half.high < full.high and half.low < full.low


def test_paired_differences_cancel_what_the_factor_does_not_touch() -> None:
    case = facts(person=patient(40, **BURDENED), site=FractureSite.TIBIAL_SHAFT)
    groups, factors = groups_for(case, writer()), healing_factors(case, writer())
    apart = weeks_apart(groups, factors, "current_smoking")
    full = window_of(groups, factors)
    assert 0 < apart.low < apart.high < (full.high - full.low) / 2
    assert weeks_apart(groups, factors, "no such factor") == Span(low=0.0, high=0.0)


def test_a_case_with_many_factors_takes_little_time() -> None:
    case = facts(
        image=findings(FractureCall.DEFINITE, BodyRegion.WRIST), person=patient(None, **BURDENED), open_wound=True
    )
    estimate_healing(case, writer())
    clock = time.process_time()
    estimate_healing(case, writer())
    assert time.process_time() - clock < 0.2  # some 15 ms on a quiet machine
