"""What `make bench-export` says of a file beside eager torch."""

from tests.benchmarks.export import agreement


def test_a_card_in_three_words() -> None:
    found = {"boxes": 200, "matched_share": 0.995, "max_score_difference": 4e-6}
    assert agreement({"agreement": found}) == ("199 of 200", "4.0e-06", "not asked")
    accuracy = {"development": {"n": 297, "ap50": {"loss": -0.0}}, "val": {"n": 232, "ap50": {"loss": 0.0179}}}
    assert agreement({"agreement": found, "accuracy": accuracy})[2] == "0.000 (n = 297), 0.018 (n = 232)"
