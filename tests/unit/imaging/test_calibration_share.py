"""A calibrated probability travels with the share of fractures that it belongs to."""

import json
from pathlib import Path

import pytest

from imaging.engine import FractureEngine
from imaging.radiograph import Radiograph
from tests.support.radiographs import write_weights
from tests.unit.imaging.test_engine import radiograph

CALIBRATION = {
    "kind": "detector_score",
    "slope": 1.0,
    "intercept": 0.0,
    "prevalence": 0.25,
    "n": 10,
    "n_fractured": 3,
    "refits": [],
}


def weights(folder: Path, calibration: dict[str, object] | None) -> Path:
    written = write_weights(folder)
    path = written / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("calibration", None)
    if calibration is not None:
        manifest["calibration"] = calibration
    path.write_text(json.dumps(manifest))
    return written


@pytest.mark.parametrize(("calibration", "share"), [(CALIBRATION, 0.25), (None, None)])
def test_the_share_is_there_with_the_probability(
    calibration: dict[str, object] | None, share: float | None, tmp_path: Path
) -> None:
    shown: Radiograph = radiograph()
    findings = FractureEngine.load(weights(tmp_path / "weights", calibration), runtime="torch").analyse(shown)
    assert findings.calibration_prevalence == share
    assert (findings.fracture_probability is None) is (share is None)
