"""An earlier model draws the boxes of fractures that came without."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from imaging.engine import FractureEngine
from imaging.training.datasets import LabelledRadiograph
from imaging.training.errors import TrainingDataError
from imaging.training.mining import label
from imaging.training.train import TrainingConfig, run
from tests.support.radiographs import write_fracatlas


class Teacher:
    """Answers with the same boxes each time."""

    def __init__(self, *rows: list[float]) -> None:
        self.rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)

    def detect(self, _: np.ndarray) -> Tensor:
        return self.rows


def teacher(*rows: list[float]) -> FractureEngine:
    return cast(FractureEngine, Teacher(*rows))


@pytest.fixture
def unboxed(tmp_path: Path) -> LabelledRadiograph:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((50, 100), 90, np.uint8))
    return LabelledRadiograph(image_id="a", path=tmp_path / "a.png", boxes=(), fractured=True, boxes_known=False)


def test_sure_boxes_become_labels_and_unsure_ones_do_not(unboxed: LabelledRadiograph) -> None:
    (labelled,) = label([unboxed], teacher([10, 5, 20, 10, 0.9, 0], [50, 25, 100, 50, 0.4, 0]), 0.5)
    assert labelled.boxes_known and labelled.fractured
    assert labelled.boxes[0] == pytest.approx((0.1, 0.1, 0.2, 0.2)) and len(labelled.boxes) == 1


def test_a_box_never_leaves_the_picture(unboxed: LabelledRadiograph) -> None:
    (labelled,) = label([unboxed], teacher([-4, 5, 120, 60, 0.9, 0]), 0.5)
    assert labelled.boxes[0] == pytest.approx((0.0, 0.1, 1.0, 1.0))


def test_where_nothing_is_sure_or_nothing_can_be_read_there_is_no_label(unboxed: LabelledRadiograph) -> None:
    assert label([unboxed], teacher(), 0.5) == []
    assert label([unboxed], teacher([10, 5, 20, 10, 0.4, 0]), 0.5) == []
    broken = replace(unboxed, path=unboxed.path.with_name("broken.png"))
    broken.path.write_bytes(b"no picture")
    assert label([broken], teacher([10, 5, 20, 10, 0.9, 0]), 0.5) == []


@pytest.mark.parametrize("setting", [{"hard_negatives": True}, {"self_labelled": ("fa",)}])
def test_who_wants_a_teacher_must_name_one(setting: dict[str, object], tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa")
    config = replace(TrainingConfig(graph="yolov7-tiny", folds=3, development_fold=0), **setting)  # type: ignore[arg-type]
    with pytest.raises(TrainingDataError, match="earlier model"):
        run(data, tmp_path / "out", config=config, progress=False, report=lambda _: None)


def test_folders_in_a_configuration_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("self_labelled: [web]\nteacher: weights\nself_label_score: 0.7\n")
    config = TrainingConfig.read(tmp_path / "c.yaml")
    assert (config.self_labelled, config.teacher, config.self_label_score) == (("web",), "weights", 0.7)
