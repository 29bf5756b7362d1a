"""From an assessment to training data: assess, give feedback, export, and the tools that learn accept the folder.

The detector has random weights: what is judged depends on no training.
"""

import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cds.audit import NoAuditTrail
from cds.bootstrap import build_engines
from cds.demo import demo_image
from cds.entrypoints.cli import app
from cds.entrypoints.service import RawCase, Service
from cds.learning.feedback.cases import judged_case
from cds.options import Runtime
from cds.settings import Settings
from cds.store.feedback import FeedbackContent, FeedbackKind
from cds.store.opening import open_store
from imaging.dicom.writer import DicomHeader, build_dicom
from imaging.phantom.build import make_phantom
from imaging.phantom.spec import PhantomSpec
from imaging.training.datasets import read_collection
from tests.support.inputs import patient_bundle
from tests.support.radiographs import write_weights

PLACE = (60.0, 80.0, 140.0, 160.0)


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def healthy(seed: int) -> bytes:
    """A phantom without a fracture, marked synthetic."""
    phantom = make_phantom(PhantomSpec(), seed=seed)
    header = DicomHeader(
        region=phantom.truth.region, spacing=phantom.truth.spacing, synthetic=True, patient_id=f"MRN-{seed}"
    )
    target = BytesIO()
    build_dicom(phantom.pixels, header).save_as(target, enforce_file_format=True)
    return target.getvalue()


def test_what_clinicians_say_becomes_data_that_a_detector_is_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_weights(tmp_path / "weights")
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", "off")
    monkeypatch.setenv("FRACTURE_CDS_DETECTOR_DIR", str(weights))
    settings = Settings(data_dir=tmp_path / "data", audit_log=None, detector_dir=weights, runtime=Runtime.TORCH)
    store = open_store(settings)
    service = Service(settings=settings, engines=build_engines(settings), audit=NoAuditTrail(), store=store)
    made = []
    for image in (demo_image(), healthy(7)):
        raw = RawCase(
            image=image, bundle=patient_bundle(), patient_id=None, frame=None,
            as_of=datetime(2026, 3, 4, tzinfo=UTC).isoformat(), bedside={"site": "distal_radius"},
        )  # fmt: skip
        made.append(service.assess(raw, client="anna").case_id)
    reads = (FeedbackContent(fracture=True, boxes=(PLACE,)), FeedbackContent(fracture=False))
    for case_id, read in zip(made, reads, strict=True):
        store.feedback.add(case_id, FeedbackKind.OWN_READ, author="key:anna", role="clinician", content=read)
    store.feedback.add(
        made[0], FeedbackKind.OUTCOME, author="key:anna", role="clinician",
        content=FeedbackContent(weeks=7.0, united=True),
    )  # fmt: skip
    assert [judged_case(store, one).truth.independent_readers for one in made] == [1, 1]
    store.close()

    out = tmp_path / "export"
    done = cds("feedback", "export", "--out", out, "--site", "Demo", "--with-synthetic")
    assert done.exit_code == 0, done.output
    assert "2 images (1 with a fracture, 1 boxes), 1 outcomes, of 1 patients" in done.output.replace("\n", " ")
    assert [len(one.boxes) for one in read_collection(out).samples if one.fractured] == [1]
    checked = cds("data", "check", "--data", out)
    assert checked.exit_code == 0, checked.output
    measured = tmp_path / "metrics.json"
    evaluated = cds("evaluate", "detector", "--data", out, "--model", weights, "--runtime", "torch", "--json", measured)
    assert evaluated.exit_code == 0, evaluated.output
    assert json.loads(measured.read_text())
