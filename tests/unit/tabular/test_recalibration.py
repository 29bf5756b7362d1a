"""Corrections of log-odds, and intervals that lack an entry."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabular.calibration import IntervalTable
from tabular.errors import IntervalsError, ManifestError
from tabular.formula import log_odds, probability
from tabular.metrics import slope
from tabular.model import DEFAULT_DIRECTORY, INTERVALS_NAME
from tabular.recalibration import MarginMap, fit_map, logistic_line


@given(
    knot=st.floats(-8, 0),
    shift=st.floats(-2, 2),
    slopes=st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)),
    pair=st.tuples(st.floats(-12, 6), st.floats(-12, 6)),
)
def test_a_correction_rises_and_is_continuous(
    knot: float, shift: float, slopes: tuple[float, float], pair: tuple[float, float]
) -> None:
    correct = MarginMap(knot=knot, shift=shift, slope=slopes[0], slope_below=slopes[1])
    low, high = correct(np.sort(np.array(pair)))
    assert low <= high
    near = correct(np.array([knot - 1e-9, knot + 1e-9]))
    assert near[0] == pytest.approx(near[1], abs=1e-6)


def test_a_correction_mends_the_slope_and_the_mean() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(-5, 1, 4000)
    wanted = 1.4 * (margins + 5) - 4.8
    truth = probability(wanted + rng.normal(0, 0.3, 4000))
    weights = rng.uniform(1, 3, 4000)
    corrected = fit_map(margins, truth, log_odds(truth), weights)(margins)
    assert slope(log_odds(truth), margins, weights) > 1.3
    assert slope(log_odds(truth), corrected, weights) == pytest.approx(1.0, abs=0.02)
    assert weights @ probability(corrected) / (weights @ truth) == pytest.approx(1.0, abs=0.05)


def test_a_calibrated_outcome_has_shift_0_and_slope_1() -> None:
    margins = np.linspace(-6, 1, 500)
    shift, steep = logistic_line(margins, probability(margins), np.ones(500))
    assert shift == pytest.approx(0.0, abs=1e-6)
    assert steep == pytest.approx(1.0, abs=1e-6)


def test_intervals_fall_back_on_the_level_and_say_what_is_missing() -> None:
    table = IntervalTable(coverage=0.9, offsets={"hip": {"with_density": (-1.0, 2.0)}})
    assert table.bounds("hip", "with_density/few_known/80+", 0.5) == (-0.5, 2.5)
    for head, pattern in (("hip", "without_density/few_known/80+"), ("wrist", "with_density")):
        with pytest.raises(IntervalsError) as caught:
            table.bounds(head, pattern, 0.0)
        assert caught.value.code == "risk.weights.intervals"
        assert caught.value.remedy
    with pytest.raises(IntervalsError):
        table.require(["hip"], ["with_density", "without_density"])


@pytest.mark.parametrize(
    "content", [{}, {"coverage": 0.9}, {"coverage": "x", "offsets": {}}, {"coverage": 1, "offsets": 3}]
)
def test_intervals_of_another_form_are_refused(content: dict[str, object]) -> None:
    with pytest.raises(ManifestError):
        IntervalTable.from_json(content)


def test_shipped_intervals_cover_every_level() -> None:
    content = json.loads((Path(DEFAULT_DIRECTORY) / INTERVALS_NAME).read_text(encoding="utf-8"))
    IntervalTable.from_json(content).require(["major_osteoporotic", "hip"], ["with_density", "without_density"])
