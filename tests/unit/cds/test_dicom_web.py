"""The service gives the structured report as ``application/dicom``, and says why when there is none."""

from io import BytesIO

from fastapi.testclient import TestClient
from pydicom import dcmread

from cds.entrypoints.web import create_app
from cds.settings import Settings
from tests.support import cases
from tests.support import dicom as files
from tests.support.fakes import FakeParts, RememberingAuditTrail


def _image() -> bytes:
    """A file with the identifiers and the size of the radiograph that the fakes read."""
    reference = cases.radiograph().dicom
    assert reference is not None
    made = files.dataset(cases.drawn_pixels().astype(float))
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = reference.sop_instance_uid
    made.SeriesInstanceUID, made.StudyInstanceUID = reference.series_instance_uid, reference.study_instance_uid
    return files.to_bytes(made)


def test_report_over_http() -> None:
    app = create_app(Settings(max_image_mib=1), FakeParts().engines(), RememberingAuditTrail())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        sent = {"files": {"image": ("x.dcm", _image(), "application/dicom")}}
        response = client.post("/api/assess", headers={"Accept": "application/dicom"}, **sent)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/dicom"
        made = dcmread(BytesIO(response.content))
        assert (made.Modality, made.PatientID) == ("SR", files.PATIENT_ID)
        record = {"files": {"bundle": ("p.json", b"record", "application/fhir+json")}}
        refused = client.post("/api/assess?format=dicom", **record)
        assert refused.status_code == 422
        assert refused.json()["code"] == "cds.output.no_dicom"
