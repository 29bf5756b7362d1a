"""A real Orthanc (with DICOMweb) of the tests' own, in a network that nobody else reaches."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.netspace import Netspace

AET = "ORTHANC"
DICOM_PORT, HTTP_PORT = 4242, 8042
_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")


class Orthanc:
    """What tests ask and tell it, over its REST interface."""

    dicomweb = f"http://127.0.0.1:{HTTP_PORT}/dicom-web"

    def __init__(self, space: Netspace, folder: Path, modalities: Mapping[str, tuple[str, int]]) -> None:
        """Remember; nothing is started yet."""
        self.space = space
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomAet": AET,
            "DicomPort": DICOM_PORT,
            "HttpPort": HTTP_PORT,
            "HttpsCACertificates": "",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowGet": True,
            "OverwriteInstances": False,
            "StableAge": 1,
            "ConcurrentJobs": 1,
            "Plugins": [str(_plugin())],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "DicomModalities": {name: [aet, "127.0.0.1", port] for name, (aet, port) in modalities.items()},
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orthanc.json").write_text(json.dumps(config))

    def start(self) -> None:
        """Start, and wait until it answers."""
        program = shutil.which("Orthanc")
        assert program is not None
        log = (self._folder / "orthanc.log").open("ab")
        self._process = subprocess.Popen(
            self.space.command([program, str(self._folder / "orthanc.json")]), stdout=log, stderr=log
        )
        for _ in range(200):
            try:
                self.get("system")
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError((self._folder / "orthanc.log").read_text()[-2000:])

    def stop(self) -> None:
        """Stop; what it stored stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def get(self, path: str) -> Any:
        """GET of JSON."""
        return self._ask("GET", path).json()

    def post(self, path: str, content: bytes) -> Any:
        """POST, JSON back."""
        return self._ask("POST", path, content=content).json()

    def store(self, content: bytes) -> str:
        """Put a DICOM file in; its Orthanc identifier."""
        return str(self.post("instances", content)["ID"])

    def send(self, modality: str, identifiers: list[str]) -> None:
        """Have it send instances to a modality, and wait for it."""
        self.post(f"modalities/{modality}/store", json.dumps(identifiers).encode())

    def instances(self) -> list[dict[str, str]]:
        """The tags of every instance it holds, by keyword."""
        return [self.get(f"instances/{one}/simplified-tags") for one in self.get("instances")]

    def _ask(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        def ask() -> httpx.Response:
            with httpx.Client(base_url=f"http://127.0.0.1:{HTTP_PORT}", timeout=30, trust_env=False) as client:
                return client.request(method, path, content=content)

        return self.space.call(ask).raise_for_status()


@contextmanager
def running_orthanc(space: Netspace, folder: Path, modalities: Mapping[str, tuple[str, int]]) -> Iterator[Orthanc]:
    """Yields it; skips where Orthanc is not installed, but not under ``CI=true``."""
    if shutil.which("Orthanc") is None or _plugin() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Orthanc is not installed: .ci/run should have done so")
        pytest.skip("Orthanc is not installed")
    server = Orthanc(space, folder, modalities)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _plugin() -> Path | None:
    found = [path for place in _PLUGINS for path in sorted(Path(place).glob("**/libOrthancDicomWeb.so*"))]
    return found[0] if found else None
