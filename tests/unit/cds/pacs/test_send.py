"""Files to a PACS, against dcmtk's storescp and against a peer that fails as told."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification
from typer.testing import CliRunner

from cds.entrypoints.cli import app
from cds.errors import ExitCode, InputError, PacsRefusedError, PacsUnreachableError, explain
from cds.pacs.send import Outcome, PacsPeer, push
from imaging.dicom.capture import build_capture
from imaging.dicom.filing import file_bytes
from imaging.dicom.presentation import build_presentation
from imaging.dicom.sr import build_report
from tests.support import dicom as files
from tests.support.filed import FILING, finding_sets, image
from tests.support.tools import requires_dcmtk


def _results() -> list[bytes]:
    source, radiograph = image("cr")
    findings = finding_sets(radiograph)["several"]
    state = build_presentation(source, findings, FILING)
    assert state is not None
    made = (build_report(source, findings, FILING), state, build_capture(source, radiograph, findings, FILING))
    return [file_bytes(one) for one in made]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _peer(port: int, **changes: object) -> PacsPeer:
    fields: dict[str, object] = {"host": "127.0.0.1", "port": port, "called_aet": "ARCHIVE", "timeout_s": 5.0}
    return PacsPeer(**{**fields, **changes})  # type: ignore[arg-type]


@contextmanager
def _storescp(folder: Path) -> Iterator[int]:
    program = shutil.which("storescp")
    assert program is not None
    port = _free_port()
    command = [program, "--output-directory", str(folder), "--aetitle", "ARCHIVE", "+B", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("storescp does not listen")


@dataclass(slots=True)
class _Archive:
    """A PACS that answers each C-STORE with the next status of its list, then with success."""

    statuses: list[int] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    abort_after: int | None = None

    def store(self, event: evt.Event) -> int:
        if self.abort_after is not None and len(self.received) >= self.abort_after:
            self.abort_after = None
            event.assoc.abort()
            return 0xA700
        status = self.statuses.pop(0) if self.statuses else 0x0000
        if status in (0x0000, 0xB000):
            self.received.append(str(event.request.AffectedSOPInstanceUID))
        return status

    @contextmanager
    def listening(self, contexts: list[str], *, require_called: bool = False) -> Iterator[int]:
        entity = AE(ae_title="ARCHIVE")
        entity.require_called_aet = require_called
        for context in contexts:
            entity.add_supported_context(context)
        port = _free_port()
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.store)])
        assert server is not None
        try:
            yield port
        finally:
            server.shutdown()


def _classes(contents: list[bytes]) -> list[str]:
    from io import BytesIO

    return [str(dcmread(BytesIO(one)).SOPClassUID) for one in contents]


@requires_dcmtk
def test_dcmtk_stores_every_object(tmp_path: Path) -> None:
    contents = _results()
    with _storescp(tmp_path) as port:
        for _ in range(2):  # repeated: the archive keeps one copy of each
            sent = push(contents, _peer(port))
            assert [one.outcome for one in sent] == [Outcome.STORED] * 3
    stored = {str(dcmread(path).SOPInstanceUID) for path in tmp_path.iterdir()}
    assert stored == {one.sop_instance_uid for one in sent}


@requires_dcmtk
def test_command(tmp_path: Path) -> None:
    given = tmp_path / "sr.dcm"
    given.write_bytes(_results()[0])
    (tmp_path / "archive").mkdir()
    with _storescp(tmp_path / "archive") as port:
        options = ["--host", "127.0.0.1", "--port", str(port), "--called-aet", "ARCHIVE"]
        done = CliRunner().invoke(app, ["pacs", "push", str(given), *options])
    assert done.exit_code == 0, done.output
    assert "stored:" in done.output
    assert len(list((tmp_path / "archive").iterdir())) == 1


def test_nobody_answers() -> None:
    pauses: list[float] = []
    with pytest.raises(PacsUnreachableError) as caught:
        push(_results(), _peer(_free_port()), attempts=3, pause_s=1.0, sleep=pauses.append)
    assert pauses == [1.0, 2.0]
    assert "0 of 3 files" in str(caught.value)
    assert explain(caught.value).exit_code is ExitCode.SERVER


def test_only_what_is_missing_is_sent_again() -> None:
    contents = _results()
    archive = _Archive(statuses=[0x0000, 0xA700])
    with archive.listening(_classes(contents)) as port:
        sent = push(contents, _peer(port), sleep=lambda _: None)
    assert [one.attempts for one in sent] == [1, 2, 2]
    assert archive.received == [one.sop_instance_uid for one in sent]


def test_a_broken_association_is_tried_again() -> None:
    contents = _results()
    archive = _Archive(abort_after=1)
    with archive.listening(_classes(contents)) as port:
        sent = push(contents, _peer(port), sleep=lambda _: None)
    assert [one.attempts for one in sent] == [1, 2, 2]


def test_a_warning_counts_as_stored() -> None:
    contents = _results()[:1]
    with _Archive(statuses=[0xB000]).listening(_classes(contents)) as port:
        assert push(contents, _peer(port))[0].outcome is Outcome.STORED_WITH_WARNING


def test_a_refused_file_is_named() -> None:
    contents = _results()
    with (
        _Archive(statuses=[0x0000, 0xC123]).listening(_classes(contents)) as port,
        pytest.raises(PacsRefusedError, match=r"file number 2 with status C123"),
    ):
        push(contents, _peer(port))


def test_an_unknown_title_is_not_tried_again() -> None:
    contents = _results()
    with (
        _Archive().listening(_classes(contents), require_called=True) as port,
        pytest.raises(PacsRefusedError, match="refuses the association") as caught,
    ):
        push(contents, _peer(port, called_aet="OTHER"), sleep=lambda _: pytest.fail("tried again"))
    assert "--called-aet" in caught.value.remedy


def test_a_class_that_is_not_taken() -> None:
    contents = _results()
    with (
        _Archive().listening([*_classes(contents)[1:], Verification]) as port,
        pytest.raises(PacsRefusedError, match=r"Comprehensive 3D SR.*file number 1"),
    ):
        push(contents, _peer(port))


@pytest.mark.parametrize("content", [b"", b"junk", files.file()[132:]])
def test_no_dicom_file(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        push([content], _peer(1))
    assert files.PATIENT_NAME not in str(caught.value)
