"""What the browser gets of a case, and what it does not."""

import base64
import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from cds.entrypoints.form import opened
from cds.entrypoints.form.running import STEPS, run
from cds.entrypoints.service import Service
from cds.errors import InputError
from cds.localisation.language import Language
from cds.options import ReportFormat
from cds.presenters.viewer.payload import blind, picture, view_of
from cds.settings import Settings
from cds.smart_launch import Launched
from cds.store.opening import open_store
from cds.work.requests import RawCase
from cds.work.steps import Step
from fhir_adapters.client.send import Sent
from imaging.errors import UnsupportedModalityError
from tests.support import cases
from tests.support.fakes import FakeParts, RememberingAuditTrail

RAW = RawCase(image=b"image", bundle=b"record", patient_id=None, frame=None, as_of=None, bedside={}, explain=True)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = Settings(data_dir=tmp_path, audit_log=None)
    store = open_store(settings)
    yield Service(settings=settings, engines=FakeParts().engines(), audit=RememberingAuditTrail(), store=store)
    store.close()


def test_a_dicom_radiograph_keeps_twelve_bits() -> None:
    sent = picture(cases.radiograph())
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sent["source"].partition(",")[2]))), dtype=np.uint16)
    values = (pixels[..., 0] << 4) | (pixels[..., 1] >> 4)
    assert sent["bits"] == 12 and values.shape == (sent["height"], sent["width"])
    assert np.abs(values / 4095 - cases.radiograph().pixels).max() < 1 / 4000


def test_nothing_of_the_machines_reaches_a_browser_that_reads_first(service: Service) -> None:
    result = service.assess(RAW, client="a")
    case = opened.opened_result(service, result, read_first=True)
    text = opened.page_data(service, case, author="a")
    data = json.loads(text)
    assert data["blind"] and data["view"]["detections"] == [] and data["view"]["heat"] == []
    assert not {"report", "exports", "agreement"} & set(data)
    for word in ("definite", "suspected", case.title, "score"):
        assert word not in text
    shown = json.loads(opened.page_data(service, replace(case, blind=False), author="a"))
    assert len(shown["view"]["detections"]) == 2 and shown["view"]["heat"] and "<h1>" in shown["report"]


def test_blind_keeps_pixels_and_spacing_only() -> None:
    view = view_of(cases.full_case())
    assert view is not None
    hidden = blind(view)
    assert hidden["image"]["source"] == view["image"]["source"] and hidden["detections"] == []
    assert "box" not in hidden["image"]["alt"]


def unlinked(report: str) -> str:
    without_rules = re.sub(r' <a class="cite" href="/evidence#rule-[^>]*>rule</a>', "", report)
    return re.sub(r"</?a\b[^>]*>", "", without_rules)


def test_a_kept_case_opens_as_it_was_shown(service: Service) -> None:
    case = opened.opened_result(service, service.assess(RAW, client="a"), read_first=False)
    again = opened.opened_stored(service, case.case_id, author="a")
    assert again.view == json.loads(json.dumps(case.view))
    # The kept file must make sense away from the service, so only the page at hand links to the evidence page.
    assert unlinked(again.report) == unlinked(case.report)
    signed = opened.signed(service, again, author="a")
    assert signed.signed_by == "a"
    assert opened.opened_stored(service, case.case_id, author="b").signed_by == "a"
    with pytest.raises(InputError, match="signed already"):
        opened.signed(service, signed, author="b")


def test_what_is_not_to_be_had_says_why(service: Service) -> None:
    case = opened.opened_result(service, service.assess(RAW, client="a"), read_first=False)
    data = json.loads(opened.page_data(service, case, author="a"))
    reasons = {one["format"]: one["reason"] for one in data["exports"]}
    assert reasons["patient"] == opened.SIGN_FIRST and reasons["html"] is None
    assert "FRACTURE_CDS_FHIR_SERVER" in data["send"]["ehr"] and "FRACTURE_CDS_PACS_PEER" in data["send"]["pacs"]
    for chosen in (ReportFormat.PATIENT,):
        with pytest.raises(InputError):
            opened.exported(service, case, chosen, Language.DE, client="a")
    with pytest.raises(InputError):
        opened.sent_to_ehr(service, case, client="a")
    with pytest.raises(InputError):
        opened.sent_to_pacs(service, case, client="a")
    off = replace(service, store=None)
    unkept = opened.opened_result(off, off.assess(RAW, client="a"), read_first=False)
    told = json.loads(opened.page_data(off, unkept, author="a"))
    assert told["judging"] == told["sign"] == opened.NO_STORE and told["feedback"] == []


def test_dicom_objects_travel_together(service: Service) -> None:
    result = replace(cases.full_case(), source_image=None)
    case = opened.opened_result(replace(service, store=None), result, read_first=False)
    try:
        file = opened.exported(service, case, ReportFormat.DICOM, Language.EN, client="a")
    except Exception as error:  # the drawn case refers to a file that is not there
        assert type(error).__name__ == "NoDicomError"
    else:
        names = zipfile.ZipFile(io.BytesIO(base64.b64decode(file["content"]))).namelist()
        assert "sr.dcm" in names


def test_every_step_has_words() -> None:
    assert set(STEPS) == set(Step)


def test_progress_names_every_step_and_a_failure_ends_it(service: Service) -> None:
    steps, result = list(run(service, lambda tell: RAW, client="a"))[-1]
    assert result is not None and not isinstance(result, Exception)
    assert steps == (
        "Reading the X-ray",
        "Looking for fractures",
        "Computing heat maps",
        "Reading the patient record",
        "Estimating the risk",
        "Weighing it together",
        "Writing the report",
    )
    broken = replace(service, engines=FakeParts(fail_image=UnsupportedModalityError("CT")).engines())
    _, error = list(run(broken, lambda tell: RAW, client="a"))[-1]
    assert isinstance(error, UnsupportedModalityError)


def _launched(server: str, *, ends: float) -> Launched:
    return Launched(
        id="l1",
        server=server,
        patient_id="p1",
        token=SecretStr("token-of-the-launch"),
        ends=ends,
        actor="a",
        browser="b",
    )


def test_a_report_goes_where_its_record_came_from_and_nowhere_else(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Settings] = []

    def send(settings: Settings, content: bytes) -> Sent:
        sent.append(settings)
        return Sent(created=1, found=0, locations=())

    monkeypatch.setattr("cds.sending.send_bundle", send)
    own = replace(service, settings=service.settings.model_copy(update={"fhir_server": "https://own.example/fhir"}))
    result = own.assess(RAW, client="a")
    elsewhere = _launched("https://other.example/fhir", ends=time.time() + 60)
    case = opened.signed(own, opened.opened_result(own, result, read_first=False, launched=elsewhere), author="a")
    opened.sent_to_ehr(own, case, client="a")
    assert (sent[0].fhir_server, sent[0].fhir_token) == ("https://other.example/fhir", elsewhere.token)

    over = replace(case, launched=replace(elsewhere, ends=time.time() - 1))
    from_history = opened.opened_stored(own, case.case_id, author="a")
    assert from_history.server == "https://other.example/fhir"
    for one in (over, from_history):
        with pytest.raises(InputError, match="launch that has ended"):
            opened.sent_to_ehr(own, one, client="a")
    assert len(sent) == 1
    assert "token-of-the-launch" not in opened.page_data(own, case, author="a") + repr(case)


def test_a_launch_from_the_own_ehr_is_sent_with_the_own_credentials(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Settings] = []

    def send(settings: Settings, content: bytes) -> Sent:
        sent.append(settings)
        return Sent(created=1, found=0, locations=())

    monkeypatch.setattr("cds.sending.send_bundle", send)
    own = replace(service, settings=service.settings.model_copy(update={"fhir_server": "https://own.example/fhir"}))
    launched = _launched("https://own.example/fhir", ends=0)
    case = opened.opened_result(own, own.assess(RAW, client="a"), read_first=False, launched=launched)
    opened.sent_to_ehr(own, opened.signed(own, case, author="a"), client="a")
    assert sent == [own.settings]
    assert opened.opened_stored(own, case.case_id, author="a").server is None
