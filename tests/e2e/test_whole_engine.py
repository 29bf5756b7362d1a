"""The command line over the real engines, with a detector of random weights: what is judged depends on no training."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cds.entrypoints.cli import app
from tests.support.inputs import PLANTED, dicom_file, patient_bundle
from tests.support.radiographs import write_weights
from tests.support.shared import requires_shared, shared_dir


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTURE_CDS_DETECTOR_DIR", str(weights))
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    yield
    if Path("audit.jsonl").exists():
        text = Path("audit.jsonl").read_text()
        assert all(word not in text for word in PLANTED)


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def report(result: Result, folder: str = "out") -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path(folder).glob("*.html")) == ["patient.html", "report.html"]
    loaded: dict[str, Any] = json.loads(Path(folder, "report.json").read_bytes())
    return loaded


def write(name: str, content: bytes) -> Path:
    path = Path(name)
    path.write_bytes(content)
    return path


def test_demo() -> None:
    case = report(cds("demo", "--out", "demo"), "demo")
    results = {"bundle.json", "patient.html", "report.html", "report.json", "report.pdf"}
    names = results | {"patient.json", "phantom.dcm", "sr.dcm", "presentation.dcm", "overlay.dcm"}
    assert {path.name for path in Path("demo").iterdir()} == names
    assert case["findings"]["synthetic"] is True
    assert case["patient"]["age_years"] == 67
    assert 0 < case["risk"]["hip"]["value"] < case["risk"]["major_osteoporotic"]["value"] < 1
    assert case["assessment"]["healing"] is not None


def test_image_without_a_record() -> None:
    case = report(cds("assess", "--image", write("x.dcm", dicom_file())))
    assert case["findings"]["region"] == "wrist"
    assert (case["patient"], case["risk"]) == (None, None)
    assert case["risk_unavailable"]
    assert case["assessment"]["limitations"]


def test_record_without_an_image() -> None:
    case = report(cds("assess", "--patient", write("p.json", patient_bundle())))
    assert (case["radiograph"], case["findings"]) == (None, None)
    assert case["risk"] is not None
    assert case["assessment"]["limitations"]


def test_record_without_a_birth_date() -> None:
    case = report(cds("assess", "--patient", write("p.json", patient_bundle(birthDate=None))))
    assert case["risk"] is None
    assert "age" in case["risk_unavailable"]


def test_neither_name_nor_identifier_is_printed() -> None:
    result = cds("assess", "--image", write("x.dcm", dicom_file()), "--patient", write("p.json", patient_bundle()))
    assert result.exit_code == 0
    assert all(word not in result.output for word in PLANTED)


@requires_shared
def test_real_radiograph_and_record() -> None:
    data = shared_dir()
    assert data is not None
    image = next((data / "data/fracatlas/images/Fractured").iterdir())
    record = next((data / "data/fhir/synthea_r4").glob("*.json.gz"))
    case = report(cds("assess", "--image", image, "--patient", record, "--site", "distal_radius"))
    assert case["findings"]["spacing"] is None
    assert case["context"]["site"] == "distal_radius"


@requires_shared
def test_real_dicom_files() -> None:
    data = shared_dir()
    assert data is not None
    assert cds("assess", "--image", data / "data/dicom/RG1_J2KI.dcm").exit_code == 3  # a chest
    assert not Path("out").exists()
    assert report(cds("assess", "--image", data / "data/dicom/RG3_J2KR.dcm"))["findings"]["warnings"]
