"""The demonstration: nobody's data, marked as such, and readable by the real readers."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cds.demo import demo_case, run_demo
from cds.demo_patient import AGE_YEARS, demo_bundle
from cds.mapping import map_features
from fhir_adapters.patient import DrugClass, Sex
from fhir_adapters.reader import read_bundle
from imaging.labels import BodyRegion
from imaging.reader import read_radiograph
from tests.support.fakes import FakeParts

AS_OF = datetime(2026, 2, 28, 9, 30, tzinfo=UTC)


def test_every_resource_is_marked_as_test_data() -> None:
    bundle = json.loads(demo_bundle(AS_OF))
    for resource in (bundle, *(entry["resource"] for entry in bundle["entry"])):
        assert resource["meta"]["tag"][0]["code"] == "HTEST"


@pytest.mark.parametrize("as_of", [AS_OF, datetime(2028, 2, 29, 23, 59, tzinfo=UTC)])
def test_the_real_reader_understands_the_record(as_of: datetime) -> None:
    patient = read_bundle(demo_bundle(as_of), as_of=as_of)
    assert (patient.age_years, patient.sex) == (AGE_YEARS, Sex.FEMALE)
    assert patient.vitamin_d_nmol_l is not None
    assert patient.vitamin_d_nmol_l.value == pytest.approx(13.5 * 2.496, abs=0.1)
    assert patient.egfr_ml_min_1_73m2 is not None
    assert patient.takes(DrugClass.LEVOTHYROXINE) is not None
    assert patient.warnings == ()
    row = map_features(patient).features
    assert row.prior_fragility_fracture is True
    assert row.recent_fracture_2y is True
    assert row.current_smoker is True
    assert row.diabetes_type_2 is True
    assert row.osteoporosis_diagnosed is True
    assert row.femoral_neck_t_score == -2.7


def test_the_real_reader_understands_the_image() -> None:
    image = demo_case(AS_OF).image
    assert image is not None
    radiograph = read_radiograph(image)
    assert radiograph.synthetic
    assert radiograph.region is BodyRegion.FOREARM
    assert radiograph.spacing is not None


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo-output"
    for _ in range(2):  # a second demonstration replaces the first
        run_demo(folder, FakeParts().engines())
    names = [
        "bundle.json",
        "patient.html",
        "patient.json",
        "phantom.dcm",
        "report.html",
        "report.json",
        "report.pdf",
    ]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert "phantom.dcm" in capsys.readouterr().out
