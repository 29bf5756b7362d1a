"""The sanity screen: how far a round's labels contradict the current model."""

import numpy as np
import pytest

from cds.learning.retraining.screen import Scored, Screen, screen


def cases(n: int, *, wrong: float, seed: int, separation: float = 2.0) -> list[Scored]:
    """Scores of a decent detector; a share of the labels is flipped."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        fractured = number % 3 == 0
        score = 1 / (1 + np.exp(-rng.normal(separation if fractured else 0.0, 1.0)))
        flipped = rng.random() < wrong
        made.append(Scored(group=f"g{number // 2}", fractured=fractured is not flipped, score=float(score)))
    return made


def judged(new: list[Scored], *, earlier: tuple[float, ...] = (), seed: int = 0) -> Screen:
    old = cases(240, wrong=0.0, seed=99)
    return screen(new, old, thresholds=(0.5, 0.9), earlier=earlier, limit=0.15, excess=0.1, seed=seed)


@pytest.mark.parametrize("wrong", [0.0, 0.3, 0.6, 1.0])
def test_the_share_of_wrong_labels_is_found(wrong: float) -> None:
    found = judged(cases(400, wrong=wrong, seed=3))
    assert found.noise is not None and found.noise_low is not None and found.noise_high is not None
    assert found.noise == pytest.approx(wrong, abs=0.12)
    assert found.noise_low <= found.noise <= found.noise_high
    assert found.suspicious is (wrong >= 0.3)
    assert ("Suspicious" in found.words) is found.suspicious


@pytest.mark.parametrize("seed", range(6))
def test_honest_rounds_raise_no_suspicion(seed: int) -> None:
    assert not judged(cases(150, wrong=0.05, seed=seed)).suspicious


def test_a_round_is_held_against_earlier_rounds_too() -> None:
    noisy = cases(400, wrong=0.35, seed=5)
    assert judged(noisy).suspicious
    calm = judged(noisy, earlier=(0.1, 0.4))
    assert not calm.suspicious
    assert "in earlier rounds at most 40%" in calm.words


def test_too_few_cases_or_too_weak_a_model_give_no_estimate() -> None:
    few = judged(cases(6, wrong=1.0, seed=1))
    assert few.noise is None and not few.suspicious
    assert "cannot be estimated" in few.words
    blind = screen(
        cases(100, wrong=1.0, seed=1), cases(100, wrong=0.0, seed=2, separation=0.0),
        thresholds=(0.5, 0.9), limit=0.15, excess=0.1, seed=0,
    )  # fmt: skip
    assert blind.noise is None


def test_contradictions_are_counted_at_the_operating_points() -> None:
    new = [
        Scored(group="a", fractured=True, score=0.1),
        Scored(group="b", fractured=True, score=0.6),
        Scored(group="c", fractured=False, score=0.95),
        Scored(group="d", fractured=False, score=0.6),
    ]
    found = screen(new, (), thresholds=(0.5, 0.9), limit=0.15, excess=0.1, seed=0)
    assert found.contradictions == 2
    assert found.contradictions_before is None
    assert found.as_entry()["n"] == 4
