"""``cds pacs listen`` with engines that answer at once, for tests; also as a program: it can be killed.

``python -m tests.support.pacs_listener FOLDER PORT [--send-to HOST:PORT:AET | --stow URL] [--delay SECONDS]``; the
database is that of ``FRACTURE_CDS_DATABASE_URL``, if set.
"""

import argparse
import signal
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cds.pacs.destinations import CStoreDestination, Destination, StowDestination, parse_peer
from cds.pacs.listener import ListenerOptions
from cds.pacs.service import Service, listen, open_service
from cds.pacs.worker import Patience
from cds.pipeline import Engines
from cds.settings import Settings
from imaging.radiograph import Radiograph
from imaging.reader import read_radiograph
from imaging.results import ImageFindings
from tests.support.fakes import FakeParts
from tests.support.filed import finding_sets

MODEL_ID = "test@1+00000000"
AET = "FRACTURE-CDS"


@dataclass(slots=True)
class QuickParts(FakeParts):
    """Really reads the radiograph, and finds the same in each."""

    delay_s: float = 0.0
    analysed: list[str] = field(default_factory=list)

    def read_image(self, source: bytes, *, frame: int = 1) -> Radiograph:
        """The radiograph of a file."""
        return read_radiograph(source, frame=frame)

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """Several findings, after a while."""
        time.sleep(self.delay_s)
        self.analysed.append(radiograph.sha256)
        return replace(finding_sets(radiograph)["several"], model_id=MODEL_ID)


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings that keep everything in one folder."""
    fields: dict[str, Any] = {
        "data_dir": folder,
        "audit_log": None,
        "pacs_min_free_mib": 0,
        "pacs_timeout_seconds": 5.0,
        "fhir_deadline_seconds": 3.0,
    }
    return Settings(**{**fields, **changes})


def service(given: Settings, engines: Engines, destination: Destination | None) -> Service:
    """A service with these engines."""
    return open_service(given, engines, model_id=MODEL_ID, destination=destination)


def main() -> None:
    """Listen until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--send-to")
    parser.add_argument("--stow")
    parser.add_argument("--delay", type=float, default=0.0)
    given = parser.parse_args()
    chosen = settings(given.folder)
    destination: Destination | None = None
    if given.send_to:
        destination = CStoreDestination(peer=parse_peer(given.send_to, chosen))
    elif given.stow:
        destination = StowDestination(url=given.stow, settings=chosen)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    listen(
        chosen,
        service(chosen, QuickParts(delay_s=given.delay).engines(), destination),
        ListenerOptions(port=given.port, aet=AET),
        stop=stop,
        started=lambda port: print("listening", port, flush=True),
        patience=Patience(lease=timedelta(seconds=2), first_wait_s=0.5, longest_wait_s=2.0),
    )


if __name__ == "__main__":
    main()
