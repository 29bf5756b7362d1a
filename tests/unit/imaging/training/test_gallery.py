"""The evaluation folder: its numbers against cases worked out by hand, its files, and what a browser would load."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_curve as reference_roc

from imaging.training import evaluate
from imaging.training.datasets import read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.evaluate import Evaluation
from imaging.training.gallery.curves import (
    FrocTable,
    calibration_groups,
    confusion,
    precision_recall_curve,
    roc_curve,
    wilson,
)
from imaging.training.gallery.folder import write_evaluation
from imaging.training.gallery.pictures import worst_errors
from imaging.training.gallery.subgroups import attributes_of, subgroup_tables
from imaging.training.metrics import ImageRecord, Thresholds
from tests.support.radiographs import write_fracatlas, write_weights

THRESHOLDS = Thresholds(high_sensitivity=0.2, high_specificity=0.6)


def record(
    name: str,
    truth: list[list[float]],
    found: list[tuple[float, float, float, float, float]],
    *,
    fractured: bool | None = None,
    probability: float | None = None,
) -> ImageRecord:
    rows = np.array(found, dtype=float).reshape(-1, 5)
    return ImageRecord(
        image_id=name,
        fractured=bool(truth) if fractured is None else fractured,
        boxes_known=True,
        truth=np.array(truth, dtype=float).reshape(-1, 4),
        boxes=rows[:, :4],
        scores=rows[:, 4],
        probability=probability,
    )


RECORDS = [
    record("hit", [[10, 10, 30, 30]], [(10, 10, 30, 30, 0.9), (50, 50, 60, 60, 0.3)], probability=0.9),
    record("miss", [[10, 10, 30, 30]], [(50, 50, 60, 60, 0.1)], probability=0.2),
    record("elsewhere", [[10, 10, 30, 30]], [(50, 50, 60, 60, 0.7)], probability=0.6),
    record("alarm", [], [(5, 5, 20, 20, 0.5)], probability=0.5),
    record("quiet", [], [], probability=0.05),
]


def test_confusion_and_intervals() -> None:
    counts = confusion(RECORDS, "high_sensitivity", 0.2)
    assert (counts.true_positive, counts.false_negative, counts.false_positive, counts.true_negative) == (2, 1, 1, 1)
    share = counts.shares()["sensitivity"]
    assert share.value == pytest.approx(2 / 3)
    # Wilson's interval of 2 of 3, by the closed formula.
    assert [share.low, share.high] == pytest.approx([0.2077, 0.9385], abs=1e-4)
    assert (wilson(0, 5).low, wilson(5, 5).high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        wilson(0, 0)


def test_curves() -> None:
    rng = np.random.default_rng(0)
    many = [record(f"r{n}", [[0, 0, 9, 9]] if n % 3 else [], [(0, 0, 9, 9, round(rng.random(), 1))]) for n in range(60)]
    found = roc_curve(many)
    assert found is not None
    x, y, _ = reference_roc([one.fractured for one in many], [one.image_score for one in many], drop_intermediate=False)
    np.testing.assert_allclose(found.x, x)
    np.testing.assert_allclose(found.y, y)
    assert roc_curve(RECORDS[:3]) is None
    precision = precision_recall_curve(RECORDS)
    assert precision is not None
    np.testing.assert_allclose(precision.y, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    np.testing.assert_allclose(precision.x, [1 / 3] * 5)
    assert precision_recall_curve(RECORDS[3:]) is None


def test_froc() -> None:
    table = FrocTable(RECORDS)
    curve = table.curve()
    assert curve is not None
    np.testing.assert_allclose(curve.x, [0, 0, 0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(curve.y, [0, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3])
    interval = table.at(0.5, rounds=20)
    assert interval is not None and interval.low <= interval.value <= interval.high
    assert FrocTable(RECORDS[3:]).curve() is None
    assert FrocTable([]).at(0.5, rounds=2) is None


def test_calibration_groups() -> None:
    groups = calibration_groups(RECORDS, groups=2)
    assert [group.seen.whole for group in groups] == [3, 2]
    assert groups[0].said == pytest.approx(0.25) and groups[0].seen.part == 1
    assert calibration_groups([record("none", [], [])]) == []


def test_worst_errors_are_sorted_out() -> None:
    errors = worst_errors(RECORDS, 0.2)
    names = [[one.image_id for one in kind] for kind in (errors.misses, errors.false_alarms, errors.elsewhere)]
    assert names == [["miss"], ["alarm"], ["elsewhere"]]


def test_subgroups_of_both_layouts(tmp_path: Path) -> None:
    (tmp_path / "dataset.csv").write_text(
        "image_id,hand,leg,hip,shoulder,mixed,hardware,frontal,lateral,oblique\n"
        "hit,1,0,0,0,0,0,1,0,0\nmiss,1,0,0,0,0,1,0,1,0\nelsewhere,0,1,0,0,0,0,1,1,0\nalarm,1,1,0,0,0,0,1,0,0\n"
    )
    tables = subgroup_tables(RECORDS, attributes_of(tmp_path), THRESHOLDS, rounds=10)
    assert {row.name: row.n for row in tables["region"]} == {"hand": 2, "leg": 1, "mixed": 1, "not stated": 1}
    assert {row.name for row in tables["view"]} == {"frontal", "lateral", "several", "not stated"}
    hand = next(row for row in tables["region"] if row.name == "hand")
    assert hand.sensitivity is not None and hand.sensitivity.value == 0.5
    assert hand.specificity is None and hand.area is None
    (tmp_path / "dataset.csv").unlink()
    (tmp_path / "images.csv").write_text("image,source,view\nhit,a,x\nmiss,b,x\n")
    assert attributes_of(tmp_path) == {"hit": {"source": "a"}, "miss": {"source": "b"}}
    (tmp_path / "images.csv").unlink()
    assert attributes_of(tmp_path) == {}


def test_the_folder_is_complete_and_replaced_whole(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa", fractured=2, healthy=1)
    (data / "images" / "Fractured" / "IMG0000000.jpg").write_bytes(b"broken")
    weights = write_weights(tmp_path / "weights", width=1.0, image_size=32)
    out = tmp_path / "report"
    result = evaluate.run(data, model=weights, runtime="torch", rounds=5, report_folder=out, gallery=1)
    assert result["n_refused"] == 1
    page = (out / "index.html").read_text()
    linked = re.findall(r'src="([^"]+)"', page)
    assert linked and all((out / name).is_file() for name in linked)
    assert "holds patient images" in page and "http" not in page
    assert {"roc.svg", "precision-recall.svg", "froc.svg", "confusion.svg"} <= {path.name for path in out.iterdir()}
    document = json.loads((out / "metrics.json").read_text())
    assert set(document["confusion"]) == {"high_sensitivity", "high_specificity"}
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_plate_that_the_engine_would_not_judge_is_counted_and_stays(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa", fractured=2, healthy=2)
    blank = next((data / "images" / "Non_fractured").iterdir())
    cv2.imwrite(str(blank), np.random.default_rng(0).integers(60, 130, (320, 240)).astype(np.uint8))  # noise alone
    weights = write_weights(tmp_path / "weights", width=1.0, image_size=32)
    result = evaluate.run(data, model=weights, runtime="torch", rounds=5)
    assert (result["n"], result["n_refused"], result["n_cannot_judge"]) == (4, 0, 1)
    share = result["metrics"]["cannot_judge"]
    assert share["value"] == 0.25 and share["low"] < 0.25 < share["high"]
    assert result["metrics"]["cannot_judge_fractured"] == {"value": 0.0, "low": 0.0, "high": 0.8419}
    assert "sensitivity_high_sensitivity_judged" in result["metrics"]
    assert set(result["subgroups"]) <= {"region", "view", "hardware"} and result["confusion"]["high_sensitivity"]
    json.dumps(result, allow_nan=False)


def test_names_are_escaped_and_one_class_will_do(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa", fractured=0, healthy=1)
    collection = read_collection(data)
    odd = record("<b>odd</b>", [], [(1, 1, 9, 9, 0.5)])
    sample = collection.samples[0]
    named = type(sample)(image_id=odd.image_id, path=sample.path, boxes=(), fractured=False)
    result = {
        "dataset": "d", "split": "all", "n": 1, "n_fractured": 0, "n_boxes": 0, "n_refused": 0, "model": "m",
        "runtime": "torch", "interval": "i", "problems": ["<i>"], "metrics": {},
    }  # fmt: skip
    collection = type(collection)(name="d", samples=(named,))
    one = Evaluation(result=result, records=(odd,), collection=collection, thresholds=THRESHOLDS)
    page = write_evaluation(one, tmp_path / "out", root=data).read_text()
    assert "&lt;b&gt;odd" in page and "<b>odd" not in page and "No calibration plot" in page
    assert write_evaluation(one, tmp_path / "out", root=data).is_file()  # an earlier evaluation is replaced
    (tmp_path / "out" / "index.html").unlink()
    with pytest.raises(TrainingDataError, match="no evaluation"):
        write_evaluation(one, tmp_path / "out", root=data)
