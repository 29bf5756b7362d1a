"""Files of a model: what is shipped, and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tabular.engine import RiskEngine
from tabular.errors import ManifestError, TabularError, WeightsDigestError, WeightsMissingError
from tabular.features import RiskFeatures
from tabular.model import DEFAULT_DIRECTORY, INTERVALS_NAME, MANIFEST_NAME, load_model, sha256_of


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped weights in a folder that may be spoilt."""
    return Path(shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "weights"))


def test_shipped_files_are_small_and_as_stated() -> None:
    manifest = json.loads((DEFAULT_DIRECTORY / MANIFEST_NAME).read_text(encoding="utf-8"))
    assert sum(path.stat().st_size for path in DEFAULT_DIRECTORY.iterdir()) < 3_000_000
    for name, digest in manifest["files"].items():
        assert sha256_of(DEFAULT_DIRECTORY / name) == digest
    for key in ("description", "intended_use", "limits", "training_data", "metrics", "seed", "command", "software"):
        assert manifest[key], key
    assert manifest["metrics"]["official_major_osteoporotic_with_density"]["calibration_slope"]["n"] == 3127


def test_shipped_model_calls_itself_by_its_own_name() -> None:
    text = (DEFAULT_DIRECTORY / MANIFEST_NAME).read_text(encoding="utf-8").lower()
    assert "frax" not in text
    assert "qfracture" not in text


@pytest.mark.parametrize("name", ["hip.with_density.ubj", "major_osteoporotic.without_density.ubj", INTERVALS_NAME])
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(WeightsDigestError, match=name) as caught:
        RiskEngine.load(copy)
    assert caught.value.code == "risk.weights.digest"


@pytest.mark.parametrize("name", ["hip.without_density.ubj", INTERVALS_NAME, MANIFEST_NAME])
def test_an_absent_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(WeightsMissingError) as caught:
        RiskEngine.load(copy)
    assert caught.value.code == "risk.weights.missing"
    assert caught.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other/1"},
        {"features": {}},
        {"files": {}},
        {"files": {"../outside.ubj": "00"}},
        {"validation": None},
    ],
)
def test_a_manifest_of_another_kind_is_refused(copy: Path, change: dict[str, object]) -> None:
    path = copy / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ManifestError):
        load_model(copy)


def test_a_manifest_that_is_not_json_is_refused(copy: Path) -> None:
    (copy / MANIFEST_NAME).write_text("{", encoding="utf-8")
    with pytest.raises(TabularError):
        load_model(copy)


def test_another_model_can_be_loaded_and_has_another_name(small_model: Path) -> None:
    small, shipped = RiskEngine.load(small_model), RiskEngine.load()
    assert small.model_id != shipped.model_id
    assert small.model_id.startswith("fracture-risk-nhanes@")
    assert small.estimate(RiskFeatures(age_years=60)).model_id == small.model_id


def test_result_types_load_no_framework() -> None:
    code = (
        "import sys, tabular.results, tabular.features, tabular.errors, tabular.warnings;"
        "assert not {'xgboost', 'pandas', 'numpy', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])
