"""Operating points and probabilities: what is promised, and what survives the manifest."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from imaging.calibration import ScoreCalibration, ScoreKind, log_odds, logistic
from imaging.errors import ModelFilesError
from imaging.training.calibration import fit_calibration
from imaging.training.metrics import calibration_error, calibration_line
from imaging.training.operating_points import allowed_errors, choose_points, lower_bound


def drawn(n: int, seed: int, share: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """Fractures and scores whose log odds are normal, 1.5 apart: the right line is known."""
    rng = np.random.default_rng(seed)
    fractured = rng.random(n) < share
    x = rng.normal(np.where(fractured, -1.0, -2.5), 1.0)
    return fractured, 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("hits", "n", "low"), [(30, 33, 0.7812), (33, 33, 0.9132), (0, 9, 0.0), (5, 10, 0.2224)])
def test_lower_bound_against_tables(hits: int, n: int, low: float) -> None:
    assert lower_bound(hits, n) == pytest.approx(low, abs=1e-3)


def test_errors_that_may_be_made() -> None:
    # (k + 1) / (n + 1) <= rate
    assert [allowed_errors(n, 1 - 0.9) for n in (8, 9, 18, 19, 33)] == [-1, 0, 0, 1, 2]


def test_points_keep_their_promise_on_new_radiographs() -> None:
    found = []
    for seed in range(300):
        fractured, scores = drawn(220, seed)
        sensitive, specific = choose_points(fractured, scores)
        more, their = drawn(400, 10_000 + seed)
        found.append(((their[more] >= sensitive.threshold).mean(), (their[~more] < specific.threshold).mean()))
        assert sensitive.sensitivity_low < sensitive.sensitivity and sensitive.controlled
        assert specific.threshold >= sensitive.threshold
    sensitivity, specificity = np.mean(found, axis=0)
    # At least the wanted share, and not much more, since the threshold is the highest that keeps it.
    assert 0.895 <= sensitivity <= 0.945
    assert 0.947 <= specificity <= 0.965


def test_points_need_both_kinds_and_say_when_they_are_too_few() -> None:
    with pytest.raises(ValueError, match="with and without"):
        choose_points(np.ones(4, dtype=bool), np.linspace(0, 1, 4))
    sensitive, specific = choose_points(np.array([True, False, True]), np.array([0.5, 0.2, 0.7]))
    assert not sensitive.controlled and not specific.controlled
    assert sensitive.sensitivity == 1.0 and specific.specificity == 1.0


def test_the_line_is_found_and_its_interval_holds_it() -> None:
    fractured, scores = drawn(20_000, 0)
    fitted = fit_calibration(fractured, scores, refits=5)
    x = np.array([log_odds(s) for s in scores])
    plain = LogisticRegression(C=1e6).fit(x[:, None], fractured)
    assert fitted.slope == pytest.approx(plain.coef_[0, 0], rel=0.02)
    assert fitted.intercept == pytest.approx(plain.intercept_[0], rel=0.02)
    inside = 0
    for seed in range(40):
        few = fit_calibration(*drawn(300, 100 + seed), prevalence=0.15, refits=60)
        value = few.probability(0.3)
        assert value.low <= value.value <= value.high
        inside += value.low <= fitted.reanchored(0.15).probability(0.3).value <= value.high
    assert inside >= 30


@given(st.floats(0, 1), st.floats(0.01, 0.99))
def test_probability_grows_with_score_and_moves_with_prevalence(score: float, share: float) -> None:
    model = ScoreCalibration(
        kind=ScoreKind.DETECTOR_SCORE,
        slope=0.9,
        intercept=0.4,
        prevalence=0.2,
        refits=((0.8, 0.2), (1.0, 0.6)),
        n=300,
        n_fractured=33,
    )
    assert model.probability(score).value <= model.probability(min(1.0, score + 0.1)).value
    moved = model.reanchored(share)
    assert moved.reanchored(0.2).probability(score).value == pytest.approx(model.probability(score).value)
    odds = [p / (1 - p) for p in (moved.probability(score).value, model.probability(score).value)]
    assert math.log(odds[0] / odds[1]) == pytest.approx(math.log(share / (1 - share) * 4), abs=1e-6)


def test_it_survives_the_manifest() -> None:
    fitted = fit_calibration(*drawn(300, 3), kind=ScoreKind.DETECTOR_SCORE)
    document = json.loads(json.dumps({"calibration": fitted.as_entry()}))
    read = ScoreCalibration.from_manifest(document)
    assert read is not None and len(read.refits) == 100
    assert read.probability(0.2).value == pytest.approx(fitted.probability(0.2).value, abs=1e-3)
    assert len(json.dumps(document)) < 4000
    assert ScoreCalibration.from_manifest({}) is None
    for damage in ({"slope": "x"}, {"prevalence": 0.0}, {"kind": "other"}, {"refits": [[1]]}):
        with pytest.raises(ModelFilesError):
            ScoreCalibration.from_manifest({"calibration": {**document["calibration"], **damage}})


def test_a_logit_is_taken_as_it_is() -> None:
    fractured, scores = drawn(400, 5)
    x = np.array([log_odds(s) for s in scores])
    by_score, by_logit = fit_calibration(fractured, scores), fit_calibration(fractured, x, kind=ScoreKind.LOGIT)
    assert by_score.probability(0.3).value == pytest.approx(by_logit.probability(log_odds(0.3)).value)
    assert logistic(-800) == 0.0 and logistic(800) == 1.0


def test_calibration_measures() -> None:
    rng = np.random.default_rng(0)
    probability = rng.beta(1, 4, 20_000)
    truth = rng.random(20_000) < probability
    slope, intercept = calibration_line(truth, probability)
    assert slope == pytest.approx(1.0, abs=0.06) and intercept == pytest.approx(0.0, abs=0.1)
    assert calibration_error(truth, probability) < 0.015
    sharper = 1 / (1 + ((1 - probability) / probability) ** 2)
    assert calibration_line(truth, sharper)[0] == pytest.approx(0.5, abs=0.04)
    assert calibration_error(truth, np.minimum(probability + 0.2, 1)) == pytest.approx(0.2, abs=0.02)
    assert np.isnan(calibration_line(np.zeros(3, dtype=bool), np.full(3, 0.5))[0])


@pytest.mark.parametrize("spread", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("base", [-2.0, 0.0])
@pytest.mark.parametrize("wanted", [0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0])
def test_the_line_is_found_from_far_too_extreme_to_far_too_flat(wanted: float, base: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(size=3000) * spread + base
    truth = rng.random(3000) < 1 / (1 + np.exp(-wanted * odds))
    slope, intercept = calibration_line(truth, 1 / (1 + np.exp(-odds)))
    kept = np.clip(odds, -13.8155, 13.8155)[:, None]
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(kept, truth)
    assert slope == pytest.approx(exact.coef_[0, 0], rel=2e-3)
    assert intercept == pytest.approx(exact.intercept_[0], abs=5e-3)
    assert slope == pytest.approx(wanted, rel=0.1, abs=0.08)


def test_the_line_of_separated_classes_is_steep_and_finite() -> None:
    truth = np.arange(40) >= 20
    slope, intercept = calibration_line(truth, np.linspace(0.2, 0.8, 40))
    assert 5 < slope < 1000
    assert math.isfinite(intercept)
    assert np.isnan(calibration_line(truth, np.full(40, 0.3))[0])
