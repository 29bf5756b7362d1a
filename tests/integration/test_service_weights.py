"""Damaged weights: the service lives, is not ready, and says why."""

import json
from dataclasses import replace
from pathlib import Path

from fastapi.testclient import TestClient

from cds.bootstrap import build_engines
from cds.entrypoints.web import create_app
from cds.settings import Settings
from imaging.manifest import SHIPPED_WEIGHTS
from tests.support.fakes import FakeParts, RememberingAuditTrail


def test_damaged_weights_are_not_ready_and_say_so(tmp_path: Path) -> None:
    for file in SHIPPED_WEIGHTS.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / json.loads((tmp_path / "manifest.json").read_text())["weights"]
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    settings = Settings(audit_log=None, detector_dir=tmp_path)
    engines = replace(FakeParts().engines(), image=build_engines(settings).image)
    app = create_app(settings, engines, RememberingAuditTrail())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        response = client.get("/readyz")
        assert (response.status_code, response.json()["code"]) == (503, "imaging.model.files")
        assert response.json()["remedy"]
        assert client.get("/healthz").status_code == 200
