"""The workers: each radiograph makes one case and one set of results, whatever fails on the way."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom import dcmread
from pydicom.dataset import FileDataset
from typer.testing import CliRunner

from cds.audit import NoAuditTrail
from cds.audit_chain import open_chain
from cds.entrypoints.cli import app
from cds.errors import PacsRefusedError, PacsUnreachableError
from cds.pacs.queue import ASSESS, SEND, SEND_FIRST, PacsQueue
from cds.pacs.service import _workers, open_intake
from cds.pacs.worker import AssessingWorker, Patience, SendingWorker, work
from cds.pacs.worklist import task_bundle, worklist
from cds.store.cases import CaseQuery
from cds.store.opening import Store, open_store
from imaging.errors import ModelFilesError, OutsideIntendedUseError
from tests.support import dicom as files
from tests.support.pacs_listener import MODEL_ID, QuickParts, service, settings

QUICK = Patience(lease=timedelta(seconds=30), first_wait_s=0.0)


@dataclass(slots=True)
class _Archive:
    """Takes files, or fails as told."""

    errors: list[Exception] = field(default_factory=list)
    sent: list[list[bytes]] = field(default_factory=list)
    first: list[bool] = field(default_factory=list)
    label: str = "a list"

    def send(self, contents: Sequence[bytes], *, first: bool) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(list(contents))
        self.first.append(first)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(settings(tmp_path))
    yield opened
    opened.close()


def _queued(store: Store, folder: Path) -> FileDataset:
    content = files.file()
    assert open_intake(settings(folder), store, model_id=MODEL_ID).take(content).verdict.value == "queued"
    return dcmread(BytesIO(content))


def _assessing(store: Store, parts: QuickParts, *, patience: Patience = QUICK, name: str = "a") -> AssessingWorker:
    return AssessingWorker(store, parts.engines(), audit=NoAuditTrail(), sends=True, name=name, patience=patience)


def _sending(store: Store, archive: _Archive, *, patience: Patience = QUICK) -> SendingWorker:
    return SendingWorker(store, archive, name="s", patience=patience)


def test_a_radiograph_becomes_a_case_results_and_a_place_on_the_worklist(store: Store, tmp_path: Path) -> None:
    source = _queued(store, tmp_path)
    archive = _Archive()

    assert _assessing(store, QuickParts()).step()
    assert _sending(store, archive).step()

    (case,) = store.cases.find(CaseQuery()).cases
    assert (case.study_uid, case.patient_key) == (source.StudyInstanceUID, source.PatientID)
    (sent,) = archive.sent
    made = [dcmread(BytesIO(one)) for one in sent]
    assert {one.Modality for one in made} == {"SR", "PR", "OT"}
    assert {one.StudyInstanceUID for one in made} == {source.StudyInstanceUID}
    (item,) = worklist(store.cases)
    assert archive.first == [item.dicom_priority == "HIGH"]
    bundle = task_bundle([item])
    Bundle.model_validate(bundle)
    assert bundle["entry"][0]["resource"]["focus"]["identifier"]["value"] == f"urn:oid:{source.StudyInstanceUID}"
    assert source.PatientID not in str(bundle)
    store.cases.sign(case.id, actor="dr")
    assert worklist(store.cases) == ()


def test_what_the_listener_assesses_is_in_the_audit_chain(tmp_path: Path) -> None:
    given = settings(tmp_path)
    running = service(given, QuickParts().engines(), None)
    _queued(running.store, tmp_path)

    (worker,) = _workers(running, QUICK).values()
    assert worker.step()

    chain = open_chain(given, running.store.database, running.store.privacy)
    assert chain.verify() == (1, ())
    running.store.close()


def test_a_worker_that_died_half_way_doubles_nothing(store: Store, tmp_path: Path) -> None:
    _queued(store, tmp_path)
    dying = _assessing(store, QuickParts(), name="dying")
    job = store.jobs.claim("dying", kinds=(ASSESS,), lease=timedelta(seconds=-1))  # over at once, as after a kill
    assert job is not None
    dying._assess(job)  # everything but the last word

    assert _assessing(store, QuickParts(), name="next").step()

    assert len(store.cases.find(CaseQuery()).cases) == 1
    assert PacsQueue(store.database).status().counts == {"assess": {"done": 1}, "send": {"queued": 1}}


def test_critical_results_are_sent_first(store: Store) -> None:
    archive = _Archive()
    for name, kind in (("routine", SEND), ("critical", SEND_FIRST)):
        store.jobs.submit(kind, {"case_id": name}, actor="t", files={"sr.dcm": name.encode()})
    worker = _sending(store, archive)

    assert worker.step()
    assert worker.step()
    assert not worker.step()

    assert (archive.sent, archive.first) == ([[b"critical"], [b"routine"]], [True, False])


def test_a_pacs_that_is_down_is_tried_again_and_told_about(store: Store) -> None:
    store.jobs.submit(SEND, {}, actor="t", files={"sr.dcm": b"x"})
    archive = _Archive(errors=[PacsUnreachableError(stored=0, total=1, attempts=1)])
    worker = _sending(store, archive)

    assert not worker.step()
    (waiting,) = PacsQueue(store.database).status().troubled
    assert (waiting.state.value, waiting.error_code) == ("queued", "cds.pacs.unreachable")
    assert waiting.next_try is not None
    assert worker.step()
    assert archive.sent == [[b"x"]]


def test_the_sender_rests_while_the_pacs_is_down(store: Store) -> None:
    for number in range(3):
        store.jobs.submit(SEND, {}, actor="t", files={"sr.dcm": b"%d" % number})
    errors: list[Exception] = [PacsUnreachableError(stored=0, total=1, attempts=1) for _ in range(3)]
    archive = _Archive(errors=errors)
    worker = _sending(store, archive, patience=Patience(first_wait_s=60.0))

    assert [worker.step() for _ in range(3)] == [False] * 3
    assert len(archive.errors) == 2


def test_waits_grow_and_are_bounded() -> None:
    patience = Patience(first_wait_s=5.0, longest_wait_s=300.0)

    assert [patience.wait_s(number) for number in (1, 2, 3, 10, 10_000)] == [5.0, 10.0, 20.0, 300.0, 300.0]


def test_patience_ends_and_a_person_can_start_it_again(store: Store, tmp_path: Path) -> None:
    store.jobs.submit(SEND, {}, actor="t", files={"sr.dcm": b"x"})
    down: list[Exception] = [PacsUnreachableError(stored=0, total=1, attempts=1) for _ in range(2)]
    archive = _Archive(errors=down)
    over = Patience(first_wait_s=0.0, give_up_after=timedelta(0))

    _sending(store, archive, patience=over).step()
    assert PacsQueue(store.database).status().counts["send"] == {"failed": 1}
    environment = {"FRACTURE_CDS_DATA_DIR": str(tmp_path), "FRACTURE_CDS_AUDIT_LOG": "off"}
    told = CliRunner().invoke(app, ["pacs", "status"], env=environment).output
    assert "send: 1 failed" in told
    assert "given up" in told
    assert CliRunner().invoke(app, ["pacs", "retry"], env=environment).output == "1 put back\n"
    _sending(store, archive).step()  # still down, but patience counts anew
    assert _sending(store, archive).step()
    assert archive.sent == [[b"x"]]


def test_what_the_pacs_refuses_for_good_is_given_up(store: Store) -> None:
    store.jobs.submit(SEND, {}, actor="t", files={"sr.dcm": b"x"})

    _sending(store, _Archive(errors=[PacsRefusedError("no", remedy="none")])).step()

    (failed,) = PacsQueue(store.database).status().troubled
    assert (failed.state.value, failed.error_code) == ("failed", "cds.pacs.refused")


def test_what_turns_out_to_be_no_limb_is_skipped_with_its_reason(store: Store, tmp_path: Path) -> None:
    _queued(store, tmp_path)

    assert _assessing(store, QuickParts(fail_assessment=OutsideIntendedUseError("a chest"))).step()

    status = PacsQueue(store.database).status()
    assert (status.counts["assess"], status.counts["send"]) == ({"done": 1}, {})
    assert list(status.skipped.values()) == [1]


def test_a_broken_model_loses_no_radiograph(store: Store, tmp_path: Path) -> None:
    _queued(store, tmp_path)

    assert not _assessing(store, QuickParts(fail_assessment=ModelFilesError("digest"))).step()
    assert PacsQueue(store.database).status().counts["assess"] == {"queued": 1}
    assert _assessing(store, QuickParts()).step()


def test_an_error_nobody_expected_ends_one_job_and_tells_no_name(store: Store, tmp_path: Path) -> None:
    _queued(store, tmp_path)

    assert _assessing(store, QuickParts(fail_assessment=RuntimeError(files.PATIENT_NAME))).step()

    (failed,) = PacsQueue(store.database).status().troubled
    assert failed.error_code == "cds.internal"
    assert files.PATIENT_NAME not in str(failed)


def test_a_database_that_is_gone_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from cds.errors import StoreUnavailableError

    stop = threading.Event()
    waits: list[float] = []

    class Unlucky:
        def step(self) -> bool:
            raise StoreUnavailableError("gone", remedy="wait")

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            stop.set()
        return True

    monkeypatch.setattr(stop, "wait", wait)
    work(Unlucky(), stop)
    assert waits == [2.0, 4.0, 8.0]


def test_the_worklist_puts_the_most_urgent_first(store: Store, tmp_path: Path) -> None:
    from cds.store.tables import CaseRow

    for number, urgency in enumerate(("routine", "clinic", "immediate", "within_hours", "immediate")):
        row = CaseRow(
            id=f"c{number}", created=datetime(2026, 1, 1 + number, tzinfo=UTC), actor="t", title="t", call=None,
            severity="none", urgency=urgency, engine_version="1", model_versions=[], context={},
        )  # fmt: skip
        with store.database.transaction() as session:
            session.add(row)

    items = worklist(store.cases)

    assert [one.case_id for one in items] == ["c2", "c4", "c3", "c1", "c0"]
    assert [one.dicom_priority for one in items] == ["HIGH", "HIGH", "HIGH", "MEDIUM", "MEDIUM"]
    assert [one.task_priority for one in items] == ["stat", "stat", "asap", "urgent", "routine"]
    environment = {"FRACTURE_CDS_DATA_DIR": str(tmp_path), "FRACTURE_CDS_AUDIT_LOG": "off"}
    for shape in ("text", "json", "fhir"):
        shown = CliRunner().invoke(app, ["pacs", "worklist", "--format", shape], env=environment)
        assert shown.exit_code == 0
        assert "immediate" in shown.output or "stat" in shown.output
