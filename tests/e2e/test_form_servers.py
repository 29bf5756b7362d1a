"""The form between a real FHIR server and a real Orthanc: patient and study found there, the report sent to both."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from pydicom.dataset import FileDataset

from cds.audit import NoAuditTrail
from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.opening import open_store
from tests.support import dicom as files
from tests.support.browser import ARGUMENTS, chromium_path
from tests.support.fhir_server import LOADER, FhirServer, keeping_ids, running_fhir_server
from tests.support.form import REPORT, fill, minded_page, sign, to_tab
from tests.support.netspace import Netspace, own_network
from tests.support.orthanc import Orthanc, running_orthanc
from tests.support.pacs_listener import QuickParts
from tests.support.server import serving

PATIENT = "example-72f"
FAMILY = "Plantedname"
RECORD = keeping_ids(
    [
        {
            "resourceType": "Patient",
            "id": PATIENT,
            "name": [{"family": FAMILY, "given": ["Anna"]}],
            "gender": "female",
            "birthDate": "1953-06-01",
        },
        {"resourceType": "Patient", "id": "another", "name": [{"family": "Other"}], "gender": "male"},
    ]
)
MARKS = {"SR", "PR", "OT"}


@pytest.fixture(scope="module")
def space() -> Iterator[Netspace]:
    with own_network() as made:
        yield made


@contextmanager
def inside(space: Netspace, context: Any) -> Iterator[Any]:
    """A context entered and left in the network namespace: what it starts is inside, too."""
    with ExitStack() as stack:
        yield space.call(stack.enter_context, context)
        space.call(stack.close)


@pytest.fixture(scope="module")
def browser(space: Netspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium in the namespace; told what to do through a pipe."""
    program = tmp_path_factory.mktemp("browser") / "chromium"
    program.write_text(f'#!/bin/sh\nexec {" ".join(space.command([chromium_path()]))} "$@"\n')
    program.chmod(0o700)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def orthanc(space: Netspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(space, tmp_path_factory.mktemp("orthanc"), {}) as server:
        yield server


@pytest.fixture(scope="module")
def ehr(space: Netspace) -> Iterator[FhirServer]:
    with inside(space, running_fhir_server([RECORD])) as server:
        yield server


def _dated(made: FileDataset) -> None:
    made.StudyDate, made.StudyDescription = "20260304", "Left wrist"


def test_found_assessed_signed_and_sent(
    browser: Browser, space: Netspace, orthanc: Orthanc, ehr: FhirServer, tmp_path: Path
) -> None:
    orthanc.store(files.file(_dated))
    settings = Settings(data_dir=tmp_path, audit_log=None, fhir_server=ehr.url, dicomweb_url=orthanc.dicomweb)
    store = open_store(settings)
    parts = QuickParts()
    try:
        app = create_app(settings, parts.engines(), NoAuditTrail(), store)
        with inside(space, serving(app)) as address, minded_page(browser) as page:
            page.goto(address)
            page.get_by_text("Find the study in the PACS").click()
            fill(page, "study-patient", files.PATIENT_ID)
            page.locator("#study-find").click()
            page.locator("#studies").get_by_text("Left wrist").click()
            page.get_by_text("Find the patient in the EHR").click()
            fill(page, "patient-name", "planted")
            page.locator("#patient-find").click()
            expect(page.locator("#patients label")).to_have_count(2)  # this one, and none
            page.locator("#patients").get_by_text(f"born 1953-06-01 \u00b7 id {PATIENT}").click()
            page.locator("#assess").click()
            expect(page.frame_locator(REPORT).locator("h1")).to_be_visible()
            assert parts.calls.count("read_record") == 1 and parts.analysed

            # Sent only once it is signed; told what became of it, and sent again it is there already.
            for button in ("Send to EHR", "Send to PACS"):
                expect(page.get_by_role("button", name=button)).to_be_disabled()
            sign(page)
            said = page.locator(".cds-answer")
            page.get_by_role("button", name="Send to EHR").press("Enter")
            expect(said).to_contain_text("Stored on the FHIR server")
            page.get_by_role("button", name="Send to EHR").press("Enter")
            expect(said).to_contain_text("already there")
            page.get_by_role("button", name="Send to PACS").press("Enter")
            expect(said).to_contain_text("Stored in the PACS")

            # From the history, too.
            to_tab(page, "History")
            page.locator(".cds-open").first.click()
            expect(page.locator(".cds-status")).to_contain_text("Signed by")
            page.get_by_role("button", name="Send to PACS").press("Enter")
            expect(said).to_contain_text("Stored in the PACS")
    finally:
        store.close()

    sent = [one for one in orthanc.instances() if one["Modality"] in MARKS]
    assert {one["Modality"] for one in sent} >= {"SR", "PR"}
    assert len({one["StudyInstanceUID"] for one in orthanc.instances()}) == 1
    assert [one["Modality"] for one in sent].count("SR") == 1  # sent twice, kept once

    def reports() -> Any:
        return httpx.get(
            f"{ehr.url}/DiagnosticReport",
            params={"patient": PATIENT},
            headers=LOADER,
            timeout=30,
            trust_env=False,
        ).json()

    assert len(space.call(reports)["entry"]) == 1


def test_servers_that_are_down_are_explained(browser: Browser, space: Netspace, tmp_path: Path) -> None:
    gone = "http://127.0.0.1:9"
    settings = Settings(
        data_dir=tmp_path,
        audit_log=None,
        store="off",
        fhir_server=f"{gone}/fhir",
        dicomweb_url=f"{gone}/dicom-web",
        fhir_deadline_seconds=1,
    )
    app = create_app(settings, QuickParts().engines(), NoAuditTrail())
    with inside(space, serving(app)) as address, minded_page(browser) as page:
        page.goto(address)
        page.get_by_text("Find the patient in the EHR").click()
        page.locator("#patient-find").click()
        expect(page.locator("#patient-note .problem")).to_contain_text("nothing to search by")
        fill(page, "patient-name", FAMILY)
        page.locator("#patient-find").click()
        expect(page.locator("#patient-note .problem")).to_contain_text("fhir.server")
        page.get_by_text("Find the study in the PACS").click()
        fill(page, "study-patient", "4711")
        page.locator("#study-find").click()
        expect(page.locator("#study-note .problem")).to_contain_text("fhir.server")
        assert FAMILY not in page.locator("#patient-note").inner_text()
