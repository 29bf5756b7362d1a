"""Weeks to union before any factor."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.sites import FractureSite
from fusion.union_times import LogNormal, combine, groups_for, quantile
from tests.unit.fusion.cases import facts, patient, writer

PARTS = st.builds(LogNormal, st.floats(0.5, 3.5), st.floats(0.1, 0.8))


@given(st.lists(PARTS, min_size=1, max_size=5), st.floats(0.05, 0.95))
def test_quantile_inverts_the_mixture(parts: list[LogNormal], probability: float) -> None:
    week = quantile(parts, probability)
    assert sum(part.cdf(week) for part in parts) / len(parts) == pytest.approx(probability, abs=1e-6)


@given(st.lists(PARTS, min_size=1, max_size=5))
def test_quantiles_rise(parts: list[LogNormal]) -> None:
    weeks = [quantile(parts, one) for one in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert weeks == sorted(weeks)


@given(PARTS, st.floats(-0.5, 0.5), st.floats(0.0, 0.5))
def test_a_factor_moves_the_median_and_only_widens(part: LogNormal, log_ratio: float, error: float) -> None:
    moved = part.shifted(log_ratio, error)
    assert quantile([moved], 0.5) == pytest.approx(quantile([part], 0.5) * math.exp(log_ratio))
    assert moved.sigma >= part.sigma


def span(age: int | None, site: FractureSite, **context: object) -> tuple[float, float, float]:
    case = facts(person=patient(age), site=site, **context)
    weeks = combine(groups_for(case, writer()), 0.0, 0.0)
    return weeks.low, weeks.median, weeks.high


@pytest.mark.parametrize("site", list(FractureSite))
@pytest.mark.parametrize("age", [0, 1, 5, 13, 15, 16, 17, 18, 40, 90, None])
def test_every_site_and_age_has_an_ordered_interval(site: FractureSite, age: int | None) -> None:
    low, median, high = span(age, site)
    assert 0.5 < low < median < high < 60


@pytest.mark.parametrize("site", list(FractureSite))
def test_unknown_age_and_adolescence_cover_children_and_adults(site: FractureSite) -> None:
    for age in (None, 16, 17):
        low, _, high = span(age, site)
        adult = span(40, site)
        assert low <= adult[0] + 1e-9
        assert high >= adult[2] - 1e-9


def test_a_printed_range_is_read_as_the_middle_sixty_per_cent() -> None:
    # Pelvis: 6 to 12 weeks and one source only.
    case = facts(person=patient(40), site=FractureSite.PELVIS)
    (group,) = groups_for(case, writer())
    assert quantile(group.parts, 0.2) == pytest.approx(6)
    assert quantile(group.parts, 0.8) == pytest.approx(12)


def test_a_narrow_range_is_given_the_spread_of_verified_series() -> None:
    low, median, high = span(40, FractureSite.INTERTROCHANTERIC)
    assert high / median == pytest.approx(math.exp(1.281552 * 0.22), rel=1e-6)
    assert median / low == pytest.approx(high / median)


def test_a_small_series_is_given_that_spread_too_and_keeps_its_mean() -> None:
    case = facts(person=patient(30), site=FractureSite.FEMORAL_NECK)
    (group,) = groups_for(case, writer())
    assert [part.sigma for part in group.parts] == pytest.approx([0.22, 0.22])
    means = [math.exp(part.mu + part.sigma**2 / 2) for part in group.parts]
    assert means == pytest.approx([14.03, 22.2])


def test_the_femoral_series_keeps_its_mean() -> None:
    case = facts(person=patient(30), site=FractureSite.FEMORAL_SHAFT)
    (group,) = groups_for(case, writer())
    series = group.parts[0]
    assert math.exp(series.mu + series.sigma**2 / 2) == pytest.approx(16.19)


def test_the_tibial_curve_is_met_within_a_few_per_cent() -> None:
    case = facts(person=patient(30), site=FractureSite.TIBIAL_SHAFT)
    (group,) = groups_for(case, writer())
    curve = group.parts[2]
    for week, united in ((12, 0.30), (18, 0.59), (24, 0.74)):
        assert curve.cdf(week) == pytest.approx(united, abs=0.05)


def test_gustilo_iiib_of_the_tibia_takes_its_own_series() -> None:
    from fusion.context import Gustilo

    plain_open = span(40, FractureSite.TIBIAL_SHAFT, gustilo=Gustilo.II)
    for grade in (Gustilo.IIIB, Gustilo.IIIC):
        assert span(40, FractureSite.TIBIAL_SHAFT, gustilo=grade)[1] > 1.8 * plain_open[1]


def test_children_heal_faster_than_adults_at_shafts() -> None:
    for site in (FractureSite.FEMORAL_SHAFT, FractureSite.TIBIAL_SHAFT, FractureSite.FOREARM_SHAFT):
        assert span(5, site)[1] < span(40, site)[1]


def test_an_infant_is_not_given_the_figures_of_walking_children() -> None:
    assert span(0, FractureSite.FEMORAL_SHAFT)[2] < 8
    case = facts(site=FractureSite.FEMORAL_SHAFT, non_ambulant_infant=True)
    assert combine(groups_for(case, writer()), 0.0, 0.0).high < 8
