import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.learning.federated.privacy import (
    ORDERS,
    Accountant,
    BudgetSpentError,
    Steps,
    clip_factor,
    epsilon_of,
    noisy_sum,
    renyi,
    to_epsilon,
)


def classical_epsilon(steps: Steps, delta: float) -> float:
    """Mironov's first conversion, looser than the one in use; published figures of the time rest on it."""
    return min(
        steps.count * renyi(order, steps.noise_multiplier, steps.sampling) + math.log(1 / delta) / (order - 1)
        for order in ORDERS
    )


def exact_delta(epsilon: float, noise_multiplier: float, steps: int) -> float:
    """Delta of composed Gaussian mechanisms without sampling (Balle and Wang, ICML 2018, theorem 8)."""
    shift = math.sqrt(steps) / noise_multiplier

    def phi(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    return phi(shift / 2 - epsilon / shift) - math.exp(epsilon) * phi(-shift / 2 - epsilon / shift)


def test_without_sampling_it_is_the_gaussian_mechanism() -> None:
    assert renyi(8, 2.0) == pytest.approx(8 / (2 * 4.0))
    assert renyi(8, 2.0, 0.0) == 0.0
    assert epsilon_of([], 1e-5) == 0.0


@pytest.mark.parametrize("sampling", [0.01, 0.3, 0.9])
def test_order_two_has_a_closed_form(sampling: float) -> None:
    sigma = 1.3
    assert renyi(2, sampling=sampling, noise_multiplier=sigma) == pytest.approx(
        math.log1p(sampling**2 * math.expm1(1 / sigma**2))
    )


def test_sampled_divergence_matches_numerical_integration() -> None:
    sigma, q, order = 1.1, 0.2, 5
    x = np.linspace(-30, 30, 400_001)
    base = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    ratio = (1 - q) + q * np.exp((2 * x - 1) / (2 * sigma**2))
    integral = float(np.sum(base * ratio**order) * (x[1] - x[0]))
    assert renyi(order, sigma, q) == pytest.approx(math.log(integral) / (order - 1), rel=1e-6)


@pytest.mark.parametrize(("sigma", "epochs", "published"), [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)])
def test_known_figures_of_dp_sgd(sigma: float, epochs: int, published: float) -> None:
    """TensorFlow Privacy's MNIST tutorial: 60,000 examples, batches of 256, delta 1e-5."""
    steps = Steps(noise_multiplier=sigma, sampling=256 / 60_000, count=epochs * 60_000 // 256)
    assert classical_epsilon(steps, 1e-5) == pytest.approx(published, abs=0.06)
    assert epsilon_of([steps], 1e-5) < classical_epsilon(steps, 1e-5)


@settings(deadline=None, max_examples=40)
@given(
    sigma=st.floats(0.7, 20.0),
    count=st.integers(1, 50),
    delta=st.sampled_from([1e-3, 1e-5, 1e-7]),
)
def test_the_bound_is_never_below_the_exact_one(sigma: float, count: int, delta: float) -> None:
    epsilon = epsilon_of([Steps(noise_multiplier=sigma, sampling=1.0, count=count)], delta)
    assert exact_delta(epsilon, sigma, count) <= delta * (1 + 1e-9)


@settings(deadline=None, max_examples=25)
@given(sigma=st.floats(0.5, 10), q=st.floats(0.001, 1.0), count=st.integers(1, 1000))
def test_more_steps_or_people_cost_more_and_noise_costs_less(sigma: float, q: float, count: int) -> None:
    one = epsilon_of([Steps(noise_multiplier=sigma, sampling=q, count=count)], 1e-5)
    assert one >= 0
    assert epsilon_of([Steps(noise_multiplier=sigma, sampling=q, count=count + 1)], 1e-5) >= one
    assert epsilon_of([Steps(noise_multiplier=sigma * 1.5, sampling=q, count=count)], 1e-5) <= one + 1e-9
    assert epsilon_of([Steps(noise_multiplier=sigma, sampling=q / 2, count=count)], 1e-5) <= one + 1e-9


def test_steps_of_different_kinds_add_up() -> None:
    one, two = Steps(noise_multiplier=2, sampling=0.1, count=5), Steps(noise_multiplier=1, sampling=0.5, count=3)
    spent = [5 * renyi(order, 2, 0.1) + 3 * renyi(order, 1, 0.5) for order in ORDERS]
    assert epsilon_of([one, two], 1e-6) == pytest.approx(to_epsilon(spent, 1e-6))


def test_what_was_spent_survives_a_restart_and_the_limit_holds(tmp_path: Path) -> None:
    path = tmp_path / "privacy.json"
    steps = Steps(noise_multiplier=2.0, sampling=0.1, count=10)
    first = Accountant(path).spend(steps, 1e-5)
    again = Accountant(path, limit=first * 1.2)
    assert again.epsilon(1e-5) == pytest.approx(first)
    with pytest.raises(BudgetSpentError):
        again.spend(Steps(noise_multiplier=2.0, sampling=0.1, count=100), 1e-5)
    assert Accountant(path).epsilon(1e-5) == pytest.approx(first)


def test_noise_has_the_stated_size_and_rows_are_clipped() -> None:
    rows = np.array([[3.0, 4.0], [0.3, 0.4]])
    draws = np.array(
        [
            noisy_sum(rows, clip_norm=1.0, noise_multiplier=0.5, generator=np.random.default_rng(seed))
            for seed in range(4000)
        ]
    )
    assert draws.mean(axis=0) == pytest.approx([0.9, 1.2], abs=0.05)
    assert draws.std(axis=0) == pytest.approx([0.5, 0.5], rel=0.05)
    empty = noisy_sum(np.zeros((0, 3)), clip_norm=1.0, noise_multiplier=1.0, generator=np.random.default_rng(1))
    assert empty.shape == (3,)


@settings(deadline=None)
@given(st.floats(0, 1e9), st.floats(1e-3, 1e3))
def test_a_clipped_norm_is_within_the_limit(norm: float, limit: float) -> None:
    assert norm * clip_factor(norm, limit) <= limit * (1 + 1e-12)
    assert clip_factor(math.nan, limit) == clip_factor(math.inf, limit) == 0.0
