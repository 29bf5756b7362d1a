import numpy as np
import pytest

from cds.learning.federated.errors import UpdateRefusedError
from cds.learning.federated.masking import LARGEST, make_round_key, mask, unmask_sum

NAMES = [bytes([number]) * 32 for number in range(8)]


def masked_round(updates: list[dict[str, np.ndarray]], shares: list[float]) -> list[dict[str, np.ndarray]]:
    keys = [make_round_key() for _ in updates]
    result = []
    for index, (update, share) in enumerate(zip(updates, shares, strict=True)):
        others = {NAMES[other]: keys[other].public for other in range(len(updates)) if other != index}
        result.append(mask(update, share=share, key=keys[index], others=others, own=NAMES[index], info=b"run 1"))
    return result


def updates(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [
        {"w": rng.normal(size=(5, 7)).astype(np.float32), "b": rng.normal(size=3).astype(np.float32)}
        for _ in range(count)
    ]


def test_masks_cancel_in_the_sum() -> None:
    given, shares = updates(4), [0.1, 0.2, 0.3, 0.4]
    total = unmask_sum(masked_round(given, shares), given[0])
    for name in given[0]:
        wanted = sum(share * one[name] for share, one in zip(shares, given, strict=True))
        assert np.abs(total[name] - wanted).max() < 1e-5
        assert total[name].shape == given[0][name].shape


def test_a_single_masked_update_tells_nothing_of_its_values() -> None:
    """The same update under two rounds' keys: unrelated words, spread over the whole range."""
    given = [{"w": np.zeros(20_000, dtype=np.float32)} for _ in range(3)]
    first, second = masked_round(given, [1 / 3] * 3)[0]["w"], masked_round(given, [1 / 3] * 3)[0]["w"]
    assert (first == second).mean() < 0.001
    for words in (first, second):
        assert abs(words.astype(np.float64).mean() / 2**32 - 0.5) < 0.02
        assert abs(np.unpackbits(words.view(np.uint8)).mean() - 0.5) < 0.01


def test_without_one_hospital_the_sum_is_noise() -> None:
    given = updates(3)
    total = unmask_sum(masked_round(given, [1 / 3] * 3)[:2], given[0])
    assert np.abs(total["w"]).max() > 50


@pytest.mark.parametrize("hospitals", [3, 4, 8])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_largest_values_of_many_hospitals_do_not_wrap(hospitals: int, sign: float) -> None:
    given = [{"w": np.array([sign * LARGEST, 0.5], dtype=np.float32)}] * hospitals
    equal = unmask_sum(masked_round(given, [1 / hospitals] * hospitals), given[0])
    unequal = unmask_sum(masked_round(given, [0.6, *[0.4 / (hospitals - 1)] * (hospitals - 1)]), given[0])
    for total in (equal, unequal):
        assert total["w"] == pytest.approx([sign * LARGEST, 0.5], abs=1e-4)


@pytest.mark.parametrize(("value", "reason"), [(2048.0, "too-large"), (1e4, "too-large"), (np.nan, "not-finite")])
def test_values_beyond_the_fixed_point_are_refused(value: float, reason: str) -> None:
    with pytest.raises(UpdateRefusedError) as refused:
        masked_round([{"w": np.array([value], dtype=np.float32)}] * 3, [1 / 3] * 3)
    assert refused.value.reason == reason


def test_a_sum_of_other_shapes_is_refused() -> None:
    given = updates(3)
    masked = masked_round(given, [1 / 3] * 3)
    masked[0]["b"] = masked[0]["b"][:2]
    with pytest.raises(UpdateRefusedError):
        unmask_sum(masked, given[0])
