"""Patients and studies to choose from, asked of servers on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cds.entrypoints.form.sources import MOST, find_patients, find_studies
from cds.errors import InputError
from cds.settings import Settings
from fhir_adapters.errors import FhirError

ANNA = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"use": "old", "family": "Before"}, {"use": "official", "family": "M\u00fcller", "given": ["Anna", "B"]}],
    "gender": "female",
    "birthDate": "1953-06-01",
}


def study(uid: str, day: str, *modalities: str) -> dict[str, Any]:
    return {
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00080020": {"vr": "DA", "Value": [day]},
        "00080061": {"vr": "CS", "Value": list(modalities)} if modalities else {"vr": "CS"},
        "00081030": {"vr": "LO", "Value": ["Wrist"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "M\u00fcller^Anna"}]},
        "00100020": {"vr": "LO", "Value": ["4711"]},
    }


class Double:
    """Answers every search with the same, and keeps what was asked."""

    def __init__(self) -> None:
        self.patients: list[dict[str, Any]] = [ANNA]
        self.studies: list[dict[str, Any]] | None = []
        self.asked: list[dict[str, list[str]]] = []
        self.status = 200
        double = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, query: str) -> None:
                double.asked.append(parse_qs(query))
                entries = [{"resource": one, "search": {"mode": "match"}} for one in double.patients]
                bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
                is_fhir = self.path.startswith("/fhir/")
                body = json.dumps(bundle if is_fhir else double.studies or []).encode()
                empty = not is_fhir and double.studies is None
                self.send_response(204 if empty else double.status)
                self.send_header("Content-Type", f"application/{'fhir' if is_fhir else 'dicom'}+json")
                self.send_header("Content-Length", "0" if empty else str(len(body)))
                self.end_headers()
                self.wfile.write(b"" if empty else body)

            def do_GET(self) -> None:
                self._answer(urlsplit(self.path).query)

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def settings(self) -> Settings:
        base = f"http://127.0.0.1:{self.server.server_port}"
        return Settings(
            fhir_server=f"{base}/fhir", dicomweb_url=f"{base}/dicom", audit_log=None, fhir_deadline_seconds=2
        )


@pytest.fixture
def double() -> Iterator[Double]:
    made = Double()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_patients_are_found_by_name_and_birth_date(double: Double) -> None:
    found = find_patients(double.settings, name=" M\u00fcller ", identifier="", birth_date="1953-06-01")
    assert [(one.value, one.label) for one in found.rows] == [
        ("p1", "M\u00fcller, Anna B \u00b7 female \u00b7 born 1953-06-01 \u00b7 id p1")
    ]
    assert double.asked[0]["name"] == ["M\u00fcller"] and double.asked[0]["birthdate"] == ["1953-06-01"]
    assert "identifier" not in double.asked[0] and not found.more


def test_a_long_answer_says_so(double: Double) -> None:
    double.patients = [ANNA | {"id": f"p{number}"} for number in range(MOST + 5)]
    found = find_patients(double.settings, name="m", identifier="", birth_date="")
    assert len(found.rows) == MOST and found.more


def test_a_patient_without_a_name_is_still_a_row(double: Double) -> None:
    double.patients = [{"resourceType": "Patient", "id": "p2"}]
    (row,) = find_patients(double.settings, name="", identifier="4711", birth_date="").rows
    assert row.label == "no name \u00b7 id p2"


@pytest.mark.parametrize("words", [("", "", ""), (" ", "", ""), ("", "", "1.6.1953")])
def test_nothing_to_search_by_or_a_bad_date_is_refused(words: tuple[str, str, str]) -> None:
    with pytest.raises(InputError):
        find_patients(Settings(audit_log=None), name=words[0], identifier=words[1], birth_date=words[2])
    with pytest.raises(InputError):
        find_studies(Settings(audit_log=None), patient_id=words[0], name=words[1], study_date=words[2])


def test_no_server_is_explained() -> None:
    with pytest.raises(InputError, match="no server"):
        find_patients(Settings(audit_log=None), name="a", identifier="", birth_date="")
    with pytest.raises(InputError, match="DICOMweb"):
        find_studies(Settings(audit_log=None), patient_id="a", name="", study_date="")


def test_studies_with_radiographs_come_newest_first(double: Double) -> None:
    double.studies = [
        study("1.2.1", "20260101", "CR"),
        study("1.2.2", "20260304", "DX", "SR"),
        study("1.2.3", "20260401", "CT"),
        study("1.2.4", "20250101"),
        study("no uid", "20260501", "DX"),
    ]
    found = find_studies(double.settings, patient_id="4711", name="", study_date="")
    assert [one.value for one in found.rows] == ["1.2.2", "1.2.1", "1.2.4"]
    assert found.rows[0].label == "2026-03-04 \u00b7 Wrist \u00b7 M\u00fcller Anna \u00b7 patient 4711"
    assert double.asked[0]["PatientID"] == ["4711"] and "StudyDate" not in double.asked[0]


def test_no_content_is_no_study(double: Double) -> None:
    double.studies = None
    assert find_studies(double.settings, patient_id="", name="m", study_date="2026-03-04").rows == ()
    assert double.asked[0]["PatientName"] == ["*m*"] and double.asked[0]["StudyDate"] == ["20260304"]


def test_a_server_that_fails_is_an_explained_error(double: Double) -> None:
    double.status = 403
    with pytest.raises(FhirError):
        find_patients(double.settings, name="a", identifier="", birth_date="")
