import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from cds.learning.federated.aggregation import (
    Contribution,
    add,
    bounded_shares,
    check_update,
    combine,
    flatten,
    krum,
    trimmed_mean,
    unflatten,
)
from cds.learning.federated.errors import UpdateRefusedError
from cds.learning.federated.settings import Aggregation, FederationSettings, ModelKind


def settings(**changes: object) -> FederationSettings:
    return FederationSettings(kind=ModelKind.RISK_LINEAR, **changes)  # type: ignore[arg-type]


def sent(name: str, values: list[float], examples: int = 100) -> Contribution:
    return Contribution(hospital=name, update={"w": np.array(values, dtype=np.float32)}, examples=examples)


HONEST = [sent("a", [1.0, 2.0]), sent("b", [1.2, 1.8]), sent("c", [0.8, 2.2]), sent("d", [1.1, 2.1])]
BAD = sent("bad", [-1e6, 1e6])


@tuned(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.text("abcdef", min_size=1), st.integers(-5, 10**9), min_size=1),
    st.floats(0.05, 1.0),
    st.integers(1, 10**6),
)
def test_no_count_can_be_talked_up_without_end(counts: dict[str, int], most_share: float, most: int) -> None:
    shares = bounded_shares(counts, most_examples=most, most_share=most_share)
    taught = sum(count > 0 for count in counts.values())
    if taught == 0:
        assert set(shares.values()) == {0.0}
        return
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares.values()) <= max(most_share, 1 / taught) + 1e-9
    assert all(share == 0 for name, share in shares.items() if counts[name] <= 0)


def test_counts_within_the_bounds_weigh_as_they_are() -> None:
    assert bounded_shares({"a": 100, "b": 300}, most_examples=10**6, most_share=1.0) == {"a": 0.25, "b": 0.75}
    assert bounded_shares({"a": 10**9, "b": 1, "c": 1}, most_examples=10**6, most_share=0.5)["a"] == 0.5


def test_the_mean_is_weighted_by_examples() -> None:
    both = [sent("a", [0.0, 4.0], 100), sent("b", [4.0, 0.0], 300)]
    combined = combine(both, settings(most_share=1.0))
    assert combined.update["w"].tolist() == [3.0, 1.0]
    assert combined.update["w"].dtype == np.float32


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregation": Aggregation.MEDIAN},
        {"aggregation": Aggregation.TRIMMED_MEAN, "trim": 0.25},
        {"aggregation": Aggregation.KRUM, "byzantine": 1, "min_hospitals": 5},
    ],
)
def test_one_bad_hospital_does_not_move_a_robust_rule(changes: dict[str, object]) -> None:
    update = combine([*HONEST, BAD], settings(**changes)).update["w"]
    assert np.abs(update - [1.0, 2.0]).max() < 0.3
    assert np.abs(combine([*HONEST, BAD], settings()).update["w"]).max() > 1e4


def test_clipping_bounds_what_one_hospital_can_do() -> None:
    combined = combine([*HONEST, BAD], settings(clip_norm=3.0))
    assert combined.clipped == ("bad",)
    assert np.linalg.norm(combined.update["w"]) <= 3.0 + 1e-6
    assert combined.norms["bad"] > 1e6


def test_krum_needs_enough_hospitals() -> None:
    with pytest.raises(UpdateRefusedError) as refused:
        krum(np.zeros((4, 2)), 1)
    assert refused.value.reason == "too-few"


@tuned(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.floats(0, 0.49))
def test_trimmed_mean_always_leaves_something(n: int, trim: float) -> None:
    stack = np.arange(n, dtype=float)[:, None] * np.ones((1, 3))
    assert trimmed_mean(stack, trim) == pytest.approx((n - 1) / 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_updates_that_are_not_finite_are_refused(value: float) -> None:
    like = {"w": np.zeros(3, dtype=np.float32)}
    with pytest.raises(UpdateRefusedError) as refused:
        check_update({"w": np.array([0, value, 0], dtype=np.float32)}, like)
    assert refused.value.reason == "not-finite"


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"w": np.zeros(4, dtype=np.float32)},
        {"w": np.zeros(3, dtype=np.float64)},
        {"v": np.zeros(3, dtype=np.float32)},
        {"w": np.zeros(3, dtype=np.float32), "x": np.zeros(1, dtype=np.float32)},
    ],
)
def test_updates_of_another_shape_are_refused(update: dict[str, np.ndarray]) -> None:
    with pytest.raises(UpdateRefusedError) as refused:
        check_update(update, {"w": np.zeros(3, dtype=np.float32)})
    assert refused.value.reason == "shape"


def test_nobody_learnt_anything() -> None:
    with pytest.raises(UpdateRefusedError):
        combine([sent("a", [1.0, 1.0], 0)], settings())


def test_flat_and_back() -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(7.0, dtype=np.float32)}
    back = unflatten(flatten(tensors), tensors)
    assert all((back[name] == tensors[name]).all() and back[name].shape == tensors[name].shape for name in tensors)
    assert add(tensors, back)["a"][1, 2] == 10.0
