"""The measures, against torchmetrics, scikit-learn and cases worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from imaging.training.metrics import (
    ImageRecord,
    PrecisionTable,
    Thresholds,
    area_under_curve,
    bootstrap,
    mean_average_precision,
    measure,
)


def record(number: int, truth: object, boxes: object, scores: object, *, fractured: bool | None = None) -> ImageRecord:
    truths = np.array(truth, dtype=float).reshape(-1, 4)
    order = np.argsort(-np.array(scores, dtype=float), kind="stable")
    return ImageRecord(
        image_id=f"i{number}",
        fractured=bool(len(truths)) if fractured is None else fractured,
        boxes_known=True,
        truth=truths,
        boxes=np.array(boxes, dtype=float).reshape(-1, 4)[order],
        scores=np.array(scores, dtype=float)[order],
    )


def random_records(seed: int, count: int = 40) -> list[ImageRecord]:
    rng = np.random.default_rng(seed)
    records = []
    # Scores are unique over the whole set: libraries order ties as they like.
    scores = rng.permutation(10_000) / 10_000
    used = 0
    for number in range(count):
        truth = [[x, y, x + w, y + h] for x, y, w, h in rng.uniform(5, 60, (rng.integers(0, 3), 4))]
        boxes = [np.array(box) + rng.normal(0, 3, 4) for box in truth if rng.random() < 0.8]
        boxes += [np.array([x, y, x + w, y + h]) for x, y, w, h in rng.uniform(5, 60, (rng.integers(0, 4), 4))]
        records.append(record(number, truth, boxes, scores[used : used + len(boxes)]))
        used += len(boxes)
    return records


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_torchmetrics(seed: int) -> None:
    records = random_records(seed)
    own = PrecisionTable(records).average_precision(np.ones(len(records)))
    map50, map50_95 = mean_average_precision(records)
    assert own[0] == pytest.approx(map50, abs=1e-6)
    assert own.mean() == pytest.approx(map50_95, abs=1e-6)


def test_a_detector_that_finds_nothing_has_no_precision() -> None:
    thresholds = Thresholds(high_sensitivity=0.1, high_specificity=0.5)
    silent = [record(i, [[0, 0, 5, 5]] if i % 2 else [], [], []) for i in range(6)]
    assert not PrecisionTable(silent).average_precision(np.ones(6)).any()
    assert measure(silent, thresholds, rounds=10)["map50"].value == 0


def test_counting_an_image_twice_equals_having_it_twice() -> None:
    records = random_records(7, 10)
    counts = np.array([2, 0, 1, 1, 3, 1, 0, 1, 1, 1], dtype=float)
    repeated = [one for one, count in zip(records, counts, strict=True) for _ in range(int(count))]
    weighted = PrecisionTable(records).average_precision(counts)
    plain = PrecisionTable(repeated).average_precision(np.ones(len(repeated)))
    # Equal scores of the copies may be ordered either way, which moves a step of the curve by one detection.
    np.testing.assert_allclose(weighted, plain, atol=0.03)


def test_area_under_curve_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.3
    scores = np.round(rng.random(200) + np.where(positive, 0.3, 0.0), 1).astype(np.float64)
    assert area_under_curve(positive, scores) == pytest.approx(roc_auc_score(positive, scores))
    assert np.isnan(area_under_curve(np.zeros(3, dtype=bool), np.ones(3)))


def test_metrics_that_cannot_be_given_are_left_out() -> None:
    thresholds = Thresholds(high_sensitivity=0.1, high_specificity=0.5)
    only_negative = [record(i, [], [[0, 0, 5, 5]], [0.2]) for i in range(5)]
    names = set(measure(only_negative, thresholds, rounds=10))
    assert names == {"specificity_high_sensitivity", "specificity_high_specificity", "cannot_judge"}


def test_abstention_and_probability_are_counted() -> None:
    thresholds = Thresholds(high_sensitivity=0.1, high_specificity=0.5)
    records = [
        replace(
            record(i, [[0, 0, 5, 5]] if i % 4 == 0 else [], [[0, 0, 5, 5]], [0.6 if i % 4 == 0 else 0.2]),
            judged=i not in (0, 1),
            probability=None if i in (0, 1) else 0.8 if i % 4 == 0 else 0.1,
        )
        for i in range(40)
    ]
    metrics = measure(records, thresholds, rounds=20)
    assert metrics["cannot_judge"].value == pytest.approx(0.05)
    assert metrics["cannot_judge_fractured"].value == pytest.approx(0.1)
    assert metrics["sensitivity_high_specificity_judged"].value == 1.0
    assert metrics["brier"].value == pytest.approx((9 * 0.04 + 29 * 0.01) / 38)
    assert metrics["calibration_error"].value < 0.25


def test_bootstrap_interval_holds_the_value() -> None:
    data = np.random.default_rng(2).normal(size=100)
    interval = bootstrap(100, lambda index: float(data[index].mean()), value=float(data.mean()), rounds=200)
    assert interval.low <= interval.value <= interval.high
    assert interval.high - interval.low == pytest.approx(4 * data.std() / 10, rel=0.3)
