"""PostgreSQL is stopped and started again under a running service and a running worker."""

import threading
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from cds.audit import NoAuditTrail
from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.opening import open_store
from cds.work.worker import Worker
from tests.support.fakes import FakeParts, RememberingAuditTrail
from tests.support.postgres import postgres_server

FILES = {"image": ("x.dcm", b"image"), "bundle": ("p.json", b"record")}


def test_the_database_goes_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.work.worker.STORE_AWAY_S", 0.2)
    with postgres_server() as server:
        settings = Settings(data_dir=tmp_path, audit_log=None, database_url=SecretStr(server.url))
        store = open_store(settings)
        worker = Worker(
            settings=settings, store=open_store(settings), engines=FakeParts().engines(), audit=NoAuditTrail()
        )
        thread = threading.Thread(target=worker.run, daemon=True)
        app = create_app(settings, FakeParts().engines(), RememberingAuditTrail(), store)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            thread.start()
            assert client.get("/readyz").status_code == 200
            first = client.post("/api/assess", files=FILES).headers["fracture-cds-case"]

            server.stop()
            for response in (
                client.get("/readyz"),
                client.post("/api/assess", files=FILES),
                client.post("/api/jobs", files=FILES),
                client.get("/api/cases"),
            ):
                assert response.status_code == 503, response.text
                assert response.json()["code"] == "cds.store.unavailable"
            assert client.get("/healthz").status_code == 200
            assert "fracture_cds_job_queue NaN" in client.get("/metrics").text

            server.start()
            assert client.get("/readyz").status_code == 200
            job = client.post("/api/jobs", files=FILES).json()["id"]
            deadline = time.monotonic() + 60
            while (state := client.get(f"/api/jobs/{job}").json()["state"]) != "done":
                assert time.monotonic() < deadline, state
                time.sleep(0.1)
            ids = {one["id"] for one in client.get("/api/cases").json()["cases"]}
            assert len(ids) == 2
            assert first in ids
        worker.stopping.set()
        thread.join(20)
        worker.store.close()
        store.close()
