"""The way from the network into the queue: what is taken, what is skipped, what is refused and with which status."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless
from pynetdicom import AE
from pynetdicom.sop_class import ComputedRadiographyImageStorage, Verification

from cds.errors import SettingsError, StoreUnavailableError
from cds.pacs.callers import parse_callers
from cds.pacs.intake import Intake, Taken, Verdict
from cds.pacs.listener import STATUSES, Listener, ListenerOptions
from cds.pacs.queue import ASSESS, ASSESS_FIRST, PacsQueue, instance_key
from cds.pacs.selection import Change, Skip, read_instance
from cds.settings import Settings
from cds.store.jobs import JobQueue
from cds.store.opening import Store, open_store
from tests.support import dicom as files
from tests.support.filed import FILING, finding_sets, image

MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(Settings(data_dir=tmp_path, audit_log=None))
    yield opened
    opened.close()


def _intake(store: Store, folder: Path, *, capacity: int | None = None, **changes: Any) -> Intake:
    fields: dict[str, Any] = {"model_id": "m@1", "folder": folder, "max_bytes": MIB, "min_free_bytes": 0}
    jobs = JobQueue(store.database, store.blobs, capacity=capacity)
    return Intake(jobs, PacsQueue(store.database), **{**fields, **changes})


def _bent(**tags: object) -> bytes:
    def bend(made: FileDataset) -> None:
        for name, value in {"Manufacturer": "Example", **tags}.items():
            setattr(made, name, value)

    return files.file(bend)


def _uid(content: bytes) -> str:
    return str(dcmread(BytesIO(content)).SOPInstanceUID)


@pytest.mark.parametrize(
    ("content", "skip"),
    [
        (_bent(), None),
        (_bent(BodyPartExamined=""), None),
        (_bent(Modality="DX", Manufacturer="fracture-cds"), None),
        (_bent(Modality="CT"), Skip.NOT_RADIOGRAPH),
        (_bent(Modality="OT"), Skip.NOT_RADIOGRAPH),
        (_bent(Modality="OT", Manufacturer="fracture-cds"), Skip.OWN),
        (_bent(BodyPartExamined="CHEST"), Skip.NOT_LIMB),
    ],
    ids=["wrist", "unstated", "own example", "ct", "capture", "own capture", "chest"],
)
def test_limb_radiographs_are_assessed_and_nothing_else(content: bytes, skip: Skip | None) -> None:
    found = read_instance(content, max_bytes=MIB)

    assert found is not None
    assert found.skip is skip


def test_every_result_of_this_program_is_known_as_its_own() -> None:
    from imaging.dicom.capture import build_capture
    from imaging.dicom.filing import file_bytes
    from imaging.dicom.presentation import build_presentation
    from imaging.dicom.sr import build_report

    source, radiograph = image("cr")
    findings = finding_sets(radiograph)["several"]
    state = build_presentation(source, findings, FILING)
    assert state is not None
    made = (build_report(source, findings, FILING), state, build_capture(source, radiograph, findings, FILING))
    found = [read_instance(file_bytes(one), max_bytes=MIB) for one in made]

    assert [one.skip for one in found if one is not None] == [Skip.OWN] * 3


def test_a_radiograph_that_names_no_part_is_left_alone_where_that_is_wanted() -> None:
    def bare(made: FileDataset) -> None:
        for name in ("BodyPartExamined", "AnatomicRegionSequence", "SeriesDescription", "StudyDescription"):
            if name in made:
                delattr(made, name)

    found = read_instance(files.file(bare), max_bytes=MIB, unstated="skip")

    assert found is not None
    assert found.skip is Skip.NOT_STATED


def test_an_instance_is_on_the_disk_once(store: Store, tmp_path: Path) -> None:
    intake, content = _intake(store, tmp_path), _bent(PatientID="P1")

    assert intake.take(content, announced=_uid(content)) == Taken(verdict=Verdict.QUEUED)
    assert intake.take(content) == Taken(verdict=Verdict.KNOWN)
    changed = _bent(SOPInstanceUID=_uid(content), PatientID="P2")
    assert intake.take(changed) == Taken(verdict=Verdict.KNOWN, reason=Change.PATIENT.value)
    job = store.jobs.claim("w", kinds=(ASSESS,))
    assert job is not None
    assert store.jobs.file(job.files["image"]) == content
    assert job.patient_key == "P1"
    assert store.jobs.claim("w", kinds=(ASSESS,)) is None
    assert _intake(store, tmp_path, model_id="m@2").take(content).verdict is Verdict.QUEUED


def test_one_uid_is_one_image(store: Store, tmp_path: Path) -> None:
    first = _bent(PatientID="p-1")
    intake = _intake(store, tmp_path)
    assert intake.take(first).verdict is Verdict.QUEUED

    def again(bend: Any) -> bytes:
        made = dcmread(BytesIO(first))
        bend(made)
        stream = BytesIO()
        made.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    def other_pixels(made: FileDataset) -> None:
        made.PixelData = bytes(reversed(made.PixelData))

    described = again(lambda made: setattr(made, "StudyDescription", "said later"))
    merged = again(lambda made: setattr(made, "PatientID", "p-2"))
    packed = again(lambda made: made.compress(RLELossless, generate_instance_uid=False))
    assert len({first, described, merged, packed}) == 4
    for content, verdict, reason in (
        (first, Verdict.KNOWN, None),
        (described, Verdict.KNOWN, None),
        (packed, Verdict.KNOWN, None),
        (merged, Verdict.KNOWN, Change.PATIENT.value),
        (again(other_pixels), Verdict.CHANGED, Change.IMAGE.value),
        (again(other_pixels), Verdict.CHANGED, Change.IMAGE.value),
        (again(lambda made: delattr(made, "PixelData")), Verdict.CHANGED, Change.IMAGE.value),
    ):
        assert intake.take(content) == Taken(verdict=verdict, reason=reason)
    job = store.jobs.claim("w", kinds=(ASSESS,))
    assert job is not None
    assert store.jobs.file(job.files["image"]) == first  # the first is kept
    assert store.jobs.claim("w", kinds=(ASSESS,)) is None  # and assessed once
    status = PacsQueue(store.database).status()
    assert status.skipped == {"changed_image": 1, "changed_patient": 1}
    assert STATUSES[Verdict.CHANGED] == 0xB006


def test_what_the_sender_calls_urgent_goes_first(store: Store, tmp_path: Path) -> None:
    _intake(store, tmp_path).take(_bent(), first=True)

    assert store.jobs.claim("w", kinds=(ASSESS_FIRST,)) is not None


def test_what_is_skipped_is_noted_once_with_its_reason(store: Store, tmp_path: Path) -> None:
    intake, content = _intake(store, tmp_path), _bent(Modality="CT")

    assert intake.take(content) == Taken(verdict=Verdict.SKIPPED, reason="not_a_radiograph")
    assert intake.take(content).verdict is Verdict.KNOWN
    status = PacsQueue(store.database).status()
    assert status.skipped == {"not_a_radiograph": 1}
    assert status.counts == {"assess": {}, "send": {}}
    assert PacsQueue(store.database).knows(instance_key(_uid(content), "m@1"))


def test_no_room_is_said_before_anything_is_kept(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = _intake(store, tmp_path, min_free_bytes=1 << 62)
    assert full.take(_bent()) == Taken(verdict=Verdict.NO_ROOM, reason="disk")
    small = _intake(store, tmp_path, capacity=1)
    assert small.take(_bent()).verdict is Verdict.QUEUED
    assert small.take(_bent()) == Taken(verdict=Verdict.NO_ROOM, reason="queue")

    def broken(_: bytes) -> str:
        raise StoreUnavailableError("full", remedy="more")

    monkeypatch.setattr(store.blobs, "put", broken)
    assert _intake(store, tmp_path).take(_bent()) == Taken(verdict=Verdict.NO_ROOM, reason="cds.store.unavailable")
    assert store.jobs.unfinished() == 1


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (b"", Verdict.NOT_READABLE),
        (b"\0" * 128 + b"DICM" + b"\xff" * 300, Verdict.NOT_READABLE),
        (_bent()[:-500], Verdict.NOT_READABLE),
        (_bent(StudyInstanceUID=""), Verdict.NOT_READABLE),
        (b"\0" * (MIB + 1), Verdict.TOO_LARGE),
    ],
    ids=["empty", "noise", "cut", "no study", "large"],
)
def test_what_cannot_be_used_is_refused(content: bytes, verdict: Verdict, store: Store, tmp_path: Path) -> None:
    assert _intake(store, tmp_path).take(content).verdict is verdict
    assert store.jobs.unfinished() == 0


@contextmanager
def _listening(intake: Intake, **changes: Any) -> Iterator[int]:
    listener = Listener(intake, ListenerOptions(port=0, timeout_s=20.0, **changes))
    port = listener.start()
    try:
        yield port
    finally:
        listener.stop(grace_s=1.0)


def _associate(port: int, *, calling: str = "CALLER", called: str = "FRACTURE-CDS") -> Any:
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20  # a busy machine
    entity.add_requested_context(Verification)
    for storage in (ComputedRadiographyImageStorage, CTImageStorage):
        entity.add_requested_context(storage, ExplicitVRLittleEndian)
    return entity.associate("127.0.0.1", port, ae_title=called)


def test_statuses_tell_the_sender_what_to_do(store: Store, tmp_path: Path) -> None:
    content = _bent()
    other = dcmread(BytesIO(content))
    with _listening(_intake(store, tmp_path, max_bytes=40_000)) as port:
        association = _associate(port)
        assert association.send_c_echo().Status == 0x0000
        assert association.send_c_store(dcmread(BytesIO(content))).Status == 0x0000
        assert association.send_c_store(dcmread(BytesIO(content))).Status == 0x0000
        other.StudyInstanceUID = ""
        other.SOPInstanceUID = "1.2.3"
        assert association.send_c_store(other).Status == 0xC000
        other.PixelData = b"\0" * 50_000
        answer = association.send_c_store(other)
        assert (answer.Status, answer.ErrorComment) == (0xC001, "Larger than is accepted here")
        association.release()
    assert store.jobs.unfinished() == 1


def test_a_full_disk_is_told_as_out_of_resources(store: Store, tmp_path: Path) -> None:
    with _listening(_intake(store, tmp_path, min_free_bytes=1 << 62)) as port:
        association = _associate(port)
        assert association.send_c_store(dcmread(BytesIO(_bent()))).Status == 0xA700
        association.release()


def test_an_error_nobody_expected_is_no_success(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    intake = _intake(store, tmp_path)

    def broken(*_: object, **__: object) -> Taken:
        raise RuntimeError("quoting Rosalind^Unmistakable")

    monkeypatch.setattr(intake, "take", broken)
    with _listening(intake) as port:
        association = _associate(port)
        assert association.send_c_store(dcmread(BytesIO(_bent()))).Status == 0xA700
        association.release()
    assert all("Rosalind" not in record.getMessage() for record in caplog.records)


def test_an_endless_instance_is_cut_off(store: Store, tmp_path: Path) -> None:
    endless = dcmread(BytesIO(_bent()))
    endless.PixelData = b"\0" * 3_000_000
    with _listening(_intake(store, tmp_path, max_bytes=100_000)) as port:
        association = _associate(port)
        assert association.send_c_store(endless).get("Status") is None
        assert _associate(port).send_c_echo().Status == 0x0000


def test_a_unit_of_absurd_length_is_not_read(store: Store, tmp_path: Path) -> None:
    with _listening(_intake(store, tmp_path)) as port, socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(20)
        line.sendall(b"\x01\x00\x7f\xff\xff\xff" + b"\0" * 1000)
        assert line.recv(1) == b""


def test_only_callers_on_the_list_are_let_in(store: Store, tmp_path: Path) -> None:
    callers = parse_callers(["PACS@127.0.0.0/8", "FAR@192.0.2.1"])
    with _listening(_intake(store, tmp_path), callers=callers) as port:
        assert _associate(port, calling="PACS").is_established
        assert _associate(port, calling="FAR").is_rejected
        assert _associate(port, calling="OTHER").is_rejected
        assert _associate(port, calling="PACS", called="SOMEONE").is_rejected


def test_without_a_list_only_this_machine_is_served(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="who may call"):
        Listener(_intake(store, tmp_path), ListenerOptions(host="0.0.0.0", port=0)).start()


def test_a_port_in_use_is_explained(store: Store, tmp_path: Path) -> None:
    with _listening(_intake(store, tmp_path)) as port, pytest.raises(SettingsError, match="cannot have port"):
        Listener(_intake(store, tmp_path), ListenerOptions(port=port)).start()


@pytest.mark.parametrize("text", ["", "@host", "A@", "*", "SEVENTEEN-LETTERS", "A\\B", "A@no.such.host.invalid"])
def test_unusable_entries_of_the_list_are_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_callers([text])


def test_entries_of_the_list_admit_what_they_say() -> None:
    (anywhere, network, host) = parse_callers(["PACS", "*@10.1.0.0/16", "PACS@localhost"])

    assert anywhere.admits("PACS", "203.0.113.9")
    assert not anywhere.admits("OTHER", "203.0.113.9")
    assert network.admits("ANY", "10.1.2.3")
    assert network.admits("ANY", "::ffff:10.1.2.3")
    assert not network.admits("ANY", "10.2.0.1")
    assert not network.admits("ANY", "nonsense")
    assert host.admits("PACS", "127.0.0.1")
