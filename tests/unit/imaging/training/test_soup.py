"""The mean of several detectors' weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from imaging.engine import FractureEngine
from imaging.errors import ModelFilesError
from imaging.manifest import read_manifest
from imaging.training.errors import TrainingDataError
from imaging.training.soup import average
from imaging.yolov7.checkpoint import load_weights
from tests.support.radiographs import write_classifier, write_fracatlas
from tests.support.trainings import TINY, untrained_detector

pytestmark = pytest.mark.usefixtures("few_resamples")


def silent(_: str) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_fracatlas(tmp_path_factory.mktemp("soup") / "fa")


def test_the_mean_is_a_detector_of_its_own(data: Path, tmp_path: Path) -> None:
    first = write_classifier(untrained_detector(tmp_path / "first", seed=1))
    second = untrained_detector(tmp_path / "second", seed=2, extra_data=("hip",), epochs=9)
    out = average(data, [first, second], tmp_path / "mean", report=silent)
    one, other, mean = (load_weights(folder / "detector.safetensors")[0] for folder in (first, second, out))
    for name, value in mean.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (one[name] + other[name]) / 2, atol=1e-3, rtol=2e-3)
    manifest = read_manifest(out)
    assert manifest.image_classifier is not None and manifest.image_classifier.weights.parent == out
    record = manifest.document["training"]
    assert [member["sha256"] for member in record["start"]["members"]] == [
        read_manifest(folder).sha256 for folder in (first, second)
    ]
    assert record["config"]["extra_data"] == ["hip"] and manifest.document["development"]["n"] == 4
    assert record["config"]["crop_size"] == TINY.crop_size and "epochs" not in record["config"]
    assert record["command"] == "cds train detector-mean --data fa --of first --of second --out mean"
    assert FractureEngine.load(out, runtime="torch").model_id == manifest.model_id


def test_detectors_that_do_not_belong_together_are_refused(data: Path, tmp_path: Path) -> None:
    first, second = untrained_detector(tmp_path / "first", seed=1), untrained_detector(tmp_path / "second", seed=2)
    out = tmp_path / "mean"

    def refused(*folders: Path, match: str) -> None:
        with pytest.raises(TrainingDataError, match=match):
            average(data, folders, out, report=silent)
        assert not out.exists()

    refused(first, match="at least two different")
    refused(first, first, match="at least two different")
    refused(first, untrained_detector(tmp_path / "fold", seed=3, development_fold=1), match="held out different")
    other = untrained_detector(tmp_path / "other", seed=3)
    document = json.loads((other / "manifest.json").read_text())
    document["preprocessing"]["image_size"] = 128
    (other / "manifest.json").write_text(json.dumps(document))
    refused(first, other, match="graph, classes or preprocessing")
    pair = shutil.copytree(second, tmp_path / "pair")
    document = json.loads((pair / "manifest.json").read_text())
    document["companion"] = {name: document[name] for name in ("graph", "weights", "sha256")}
    (pair / "manifest.json").write_text(json.dumps(document))
    refused(first, pair, match="single detectors")
    (second / "detector.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelFilesError, match="cannot be used"):
        average(data, [first, second], out, report=silent)
    assert not out.exists()
