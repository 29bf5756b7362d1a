"""The listener between real peers: Orthanc sends, receives, is asked, goes down and comes back; dcmtk calls."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from cds.errors import PacsQueryError
from cds.pacs.destinations import StowDestination
from cds.pacs.folder import file_taker
from cds.pacs.pull import PullRequest, echo, find_series, get, move
from cds.pacs.pull_web import get_by_web
from cds.pacs.queue import PacsQueue, QueueStatus
from cds.pacs.send import PacsPeer
from cds.store.database import open_database
from tests.support import dicom as files
from tests.support.netspace import Netspace, own_network
from tests.support.orthanc import AET as ORTHANC
from tests.support.orthanc import DICOM_PORT, Orthanc, running_orthanc
from tests.support.pacs_listener import AET, settings
from tests.support.postgres import postgres_server
from tests.support.tools import requires_dcmtk

pytestmark = requires_dcmtk
REPOSITORY = Path(__file__).resolve().parents[2]
PORT = 11112
PEER = PacsPeer(host="127.0.0.1", port=DICOM_PORT, called_aet=ORTHANC, calling_aet=AET, timeout_s=10.0)
RESULTS = {"SR", "PR", "OT"}


@pytest.fixture(scope="module")
def space() -> Iterator[Netspace]:
    with own_network() as made:
        yield made


@pytest.fixture(scope="module")
def orthanc(space: Netspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(space, tmp_path_factory.mktemp("orthanc"), {"cds": (AET, PORT)}) as server:
        yield server


@contextmanager
def _listener(space: Netspace, folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.pacs_listener", str(folder), str(PORT), *options]
    process = subprocess.Popen(space.command(command), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=40)


def _status(folder: Path) -> QueueStatus:
    database = open_database(settings(folder))
    try:
        return PacsQueue(database).status()
    finally:
        database.close()


def _until(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


def _image(day: str = "20260301") -> tuple[bytes, FileDataset]:
    """A radiograph in a study of its own."""

    def dated(made: FileDataset) -> None:
        made.StudyDate = day

    content = files.file(dated)
    return content, dcmread(BytesIO(content))


def _chest(made: FileDataset) -> None:
    made.BodyPartExamined = "CHEST"


def _tool(space: Netspace, *command: str) -> str:
    """Run a dcmtk tool inside; its output."""
    done = subprocess.run(
        space.command(command), capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_pacs_sends_asks_and_moves_and_finds_the_results_in_the_same_study(
    space: Netspace, orthanc: Orthanc, tmp_path: Path
) -> None:
    content, source = _image()
    second, moved = _image("20260302")
    third, sent = _image("20260303")
    (tmp_path / "third.dcm").write_bytes(third)
    stored, chest = orthanc.store(content), orthanc.store(files.file(_chest))
    orthanc.store(second)
    to_listener = ("-aec", AET, "127.0.0.1", str(PORT))

    with _listener(space, tmp_path, "--send-to", f"127.0.0.1:{DICOM_PORT}:{ORTHANC}"):
        _tool(space, "echoscu", *to_listener)
        orthanc.send("cds", [stored, chest])
        _tool(space, "storescu", *to_listener, str(tmp_path / "third.dcm"))
        assert space.call(_pull_by_move, moved.StudyInstanceUID) == (1, 1, 0)
        for study in (source, moved, sent):
            _until(lambda study=study: _modalities(orthanc, study) >= RESULTS)
        before = {one["SOPInstanceUID"] for one in orthanc.instances()}
        # Everything once more, and what came back with it, as a PACS does that forwards whole studies.
        orthanc.send("cds", orthanc.get("instances"))
        _tool(space, "movescu", "-S", "-aet", AET, "-aem", AET, "-aec", ORTHANC, "-k", "QueryRetrieveLevel=STUDY",
              "-k", f"StudyInstanceUID={moved.StudyInstanceUID}", "127.0.0.1", str(DICOM_PORT))  # fmt: skip
        time.sleep(1.5)

    found = orthanc.instances()
    assert {one["SOPInstanceUID"] for one in found} == before
    for study, first in ((source, "CR"), (moved, "CR")):
        of_study = [one for one in found if one["StudyInstanceUID"] == study.StudyInstanceUID]
        assert sorted(one["Modality"] for one in of_study) == sorted([first, *RESULTS])
        assert {one["PatientID"] for one in of_study} == {study.PatientID}
    status = _status(tmp_path)
    assert status.counts == {"assess": {"done": 3}, "send": {"done": 3}}
    assert status.skipped == {"own_result": 9, "outside_intended_use": 1}
    keys = ("QueryRetrieveLevel=STUDY", "ModalitiesInStudy", f"StudyInstanceUID={source.StudyInstanceUID}")
    query = [part for key in keys for part in ("-k", key)]
    answer = _tool(space, "findscu", "-S", "-aet", AET, "-aec", ORTHANC, *query, "127.0.0.1", str(DICOM_PORT))
    assert "SR" in answer


def _pull_by_move(study: str) -> tuple[int, int, int]:
    pulled = move(PEER, find_series(PEER, PullRequest(study=study)), destination_aet=AET, first=True)
    return pulled.series, pulled.completed, pulled.failed


def test_nothing_is_lost_or_doubled_when_the_listener_is_killed_and_the_pacs_is_down(
    space: Netspace, orthanc: Orthanc, tmp_path: Path
) -> None:
    images = [_image() for _ in range(3)]
    stored = [orthanc.store(content) for content, _ in images]
    stow = ("--stow", Orthanc.dicomweb)

    with _listener(space, tmp_path, *stow, "--delay", "1.0") as process:
        orthanc.send("cds", stored)
        assert sum(_status(tmp_path).counts["assess"].values()) == 3
        _until(lambda: _status(tmp_path).counts["assess"].get("done", 0) >= 1)
        _until(lambda: _status(tmp_path).counts["assess"].get("running", 0) == 1)
        _kill(space, process)
    orthanc.stop()
    left = _status(tmp_path).counts["assess"]
    assert left["running"] == 1
    assert left["done"] < 3

    with _listener(space, tmp_path, *stow):
        _until(lambda: _status(tmp_path).counts["assess"] == {"done": 3})
        _until(lambda: bool(_status(tmp_path).troubled))
        told = _status(tmp_path).troubled
        assert {one.error_code for one in told} == {"fhir.server.unreachable"}
        assert {one.state.value for one in told} <= {"queued", "running"}
        orthanc.start()
        _until(lambda: _status(tmp_path).counts["send"] == {"done": 3})

    for _, source in images:
        assert sorted(_listed(orthanc, source)) == ["CR", "OT", "PR", "SR"]


def test_postgresql_behind_the_listener_and_one_image_for_each_uid(
    space: Netspace, orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STOW-RS to a real PACS, the queue in a real database that goes away; a UID that comes with two images."""
    content, source = _image("20260401")
    changed = dcmread(BytesIO(content))
    changed.PixelData = bytes(reversed(changed.PixelData))
    changed.save_as(tmp_path / "changed.dcm", enforce_file_format=True)
    second, other = _image("20260402")
    stored = [orthanc.store(one) for one in (content, second)]
    to_listener = ("-aec", AET, "127.0.0.1", str(PORT))
    with postgres_server() as database:
        monkeypatch.setenv("FRACTURE_CDS_DATABASE_URL", database.socket_url)

        def counts() -> dict[str, dict[str, int]]:
            return {name: dict(one) for name, one in _status(tmp_path).counts.items()}

        with _listener(space, tmp_path, "--stow", Orthanc.dicomweb, "--delay", "0.5") as process:
            orthanc.send("cds", stored[:1])
            _until(lambda: counts()["send"] == {"done": 1})
            told = _tool(space, "storescu", "-v", *to_listener, str(tmp_path / "changed.dcm"))
            assert "b006" in told.lower() or "warning" in told.lower(), told

            database.stop()
            refused = subprocess.run(
                space.command(["storescu", "-v", *to_listener, str(tmp_path / "changed.dcm")]),
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert "a700" in (refused.stdout + refused.stderr).lower() or refused.returncode != 0
            assert process.poll() is None
            database.start()
            orthanc.send("cds", stored)
            _until(lambda: counts() == {"assess": {"done": 2}, "send": {"done": 2}})
        assert _status(tmp_path).skipped == {"changed_image": 1}
        assert not list(tmp_path.glob("*.sqlite"))
    for study in (source, other):
        assert sorted(_listed(orthanc, study)) == ["CR", "OT", "PR", "SR"]
    (kept,) = [one for one in orthanc.get("instances") if orthanc.get(f"instances/{one}/simplified-tags")
               ["SOPInstanceUID"] == source.SOPInstanceUID]  # fmt: skip
    assert kept in stored


def _kill(space: Netspace, process: "subprocess.Popen[str]") -> None:
    """Kill -9: ``nsenter`` has become the listener itself."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)


def test_radiographs_are_fetched_by_get_and_by_dicomweb_and_results_pushed_by_stow(
    space: Netspace, orthanc: Orthanc, tmp_path: Path
) -> None:
    content, source = _image("20310102")
    space.call(StowDestination(url=Orthanc.dicomweb, settings=settings(tmp_path)).send, [content], first=False)
    orthanc.store(files.file(_another_modality))
    wanted = PullRequest(patient_id=str(source.PatientID), since=date(2031, 1, 1))

    def by_get() -> tuple[int, int, int]:
        echo(PEER)
        found = get(PEER, find_series(PEER, wanted), file_taker(tmp_path / "get", max_bytes=1 << 24))
        return found.series, found.completed, found.failed

    def by_web() -> tuple[int, int, int]:
        taker = file_taker(tmp_path / "web", max_bytes=1 << 24)
        found = get_by_web(settings(tmp_path), Orthanc.dicomweb, wanted, taker)
        return found.series, found.completed, found.failed

    assert space.call(by_get) == (1, 1, 0)
    assert space.call(by_web) == (1, 1, 0)
    for way in ("get", "web"):
        (path,) = (tmp_path / way).iterdir()
        fetched = dcmread(path)
        assert path.name == f"{source.SOPInstanceUID}.dcm"
        assert fetched.PixelData == source.PixelData
    with pytest.raises(PacsQueryError, match="refuses"):
        space.call(lambda: move(PEER, find_series(PEER, wanted), destination_aet="NOBODY"))


def _another_modality(made: FileDataset) -> None:
    made.StudyDate, made.Modality = "20310102", "US"


def _modalities(orthanc: Orthanc, study: FileDataset) -> set[str]:
    return set(_listed(orthanc, study))


def _listed(orthanc: Orthanc, study: FileDataset) -> list[str]:
    return [one["Modality"] for one in orthanc.instances() if one["StudyInstanceUID"] == study.StudyInstanceUID]
