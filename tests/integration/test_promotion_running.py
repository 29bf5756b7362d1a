"""A running service takes up a new model of each kind with the next case, names it, answers with it, and goes back.

Service and engines are the real ones; the models are the shipped ones, changed just enough that an answer shows which
one gave it. What decides over them is tested beside this; here they are put to use by the call that ``cds learn
promote`` ends with. That the change may come from another process is `test_promotion_service`.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cds.audit import NoAuditTrail
from cds.bootstrap import build_engines
from cds.demo import demo_image
from cds.entrypoints.cli import app
from cds.entrypoints.web import create_app
from cds.learning.model_kinds import ModelKind, Question, sha256_of_file
from cds.learning.models import ModelStore, model_store
from cds.options import Runtime
from cds.settings import Settings
from imaging.attributes.manifest import read_attribute_manifest
from imaging.errors import ModelFilesError
from imaging.manifest import SHIPPED_WEIGHTS
from imaging.yolov7.checkpoint import load_weights, save_weights
from tabular.healing.boosting import FEATURES
from tabular.healing.outcomes import SITE_GROUPS
from tabular.healing.training import MANIFEST_FILE, SCHEMA
from tabular.model import DEFAULT_DIRECTORY
from tests.support.inputs import patient_bundle

SITE = "tibial_shaft"


class Running:
    """A service that runs as long as this module's tests, and the models of its site."""

    def __init__(self, client: TestClient, store: ModelStore) -> None:
        self.client = client
        self.store = store
        self.image = demo_image()
        self.before = self.answer()
        """Of the shipped models."""

    def answer(self) -> dict[str, Any]:
        """One case: the drawn wrist of an invented woman."""
        files = {"image": ("x.dcm", self.image), "bundle": ("x.json", patient_bundle())}
        answer = self.client.post("/api/assess", files=files, data={"site": SITE})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def kept(self) -> dict[str, str]:
        """Kinds of which the model before answers, as ``/readyz`` tells."""
        answer = self.client.get("/readyz")
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["models_kept"])

    def put_to_use(self, kind: ModelKind, candidate: Path) -> str:
        """What ``cds learn promote`` does once the gate lets a candidate pass."""
        model_id = self.store.adopt(kind, candidate, by="tester")
        self.store.promote(kind, model_id, by="tester", why="a test")
        return model_id


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        for name in [one for one in os.environ if one.startswith("FRACTURE_CDS_") and one != "FRACTURE_CDS_SHARED"]:
            patch.delenv(name)
        patch.setenv("FRACTURE_CDS_DATA_DIR", str(folder))
        patch.setenv("FRACTURE_CDS_AUDIT_LOG", "off")
        settings = Settings(data_dir=folder, audit_log=None, store="off", runtime=Runtime.TORCH, threads=1)
        made = create_app(settings, audit=NoAuditTrail())
        with TestClient(made, base_url="http://127.0.0.1") as client:
            yield Running(client, model_store(settings))


def rolled_back(question: Question) -> None:
    """One step back, as an administrator types it."""
    words = ["learn", "rollback", "--kind", question.value, "--by", "tester", "--reason", "a test"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


def renamed(folder: Path, **changed: Any) -> None:
    """The manifest of a folder under another version."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "version": "9.9.9", **changed}), encoding="utf-8")


def other_heads(folder: Path) -> Path:
    """The shipped detector whose pattern head prefers what it held for least probable."""
    shutil.copytree(SHIPPED_WEIGHTS, folder, ignore=shutil.ignore_patterns("bone_age"))
    heads = read_attribute_manifest(folder)
    assert heads is not None
    state, about = load_weights(heads.weights)
    digest = save_weights(heads.weights, state | {name: -state[name] for name in state if "pattern" in name}, about)
    path = folder / "attributes.json"
    path.write_text(json.dumps({**heads.document, "version": "9.9.9", "sha256": digest}), encoding="utf-8")
    renamed(folder)
    return folder


def other_risk(folder: Path) -> Path:
    """The shipped boosters, those of the hip in the place of all major fractures and the other way about."""
    shutil.copytree(DEFAULT_DIRECTORY, folder)
    names = [f"{head}.without_density.ubj" for head in ("hip", "major_osteoporotic")]
    contents = [(folder / name).read_bytes() for name in names]
    for name, content in zip(names, reversed(contents), strict=True):
        (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    renamed(folder, files=files | {name: sha256_of_file(folder / name) for name in names})
    return folder


def own_healing(folder: Path) -> Path:
    """Outcomes of a site whose tibial shafts all took half as long again as published."""
    folder.mkdir()
    nothing = xgb.DMatrix(np.zeros((2, len(FEATURES))), label=[0.0, 0.0], feature_names=list(FEATURES))
    xgb.train({"base_score": 0.0}, nothing, num_boost_round=1).save_model(folder / "model.ubj")
    group = {"cases": 140, "events": 100, "weight": 1.0, "comparison": None}
    manifest = {
        "schema": SCHEMA,
        "model_id": "own-healing@9.9.9",
        "features": list(FEATURES),
        "file": "model.ubj",
        "sha256": sha256_of_file(folder / "model.ubj"),
        "shift": math.log(1.5),
        "sigma": 0.3,
        "groups": {SITE_GROUPS[SITE]: group},
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def patterns(answer: dict[str, Any]) -> list[str]:
    """Patterns of the best place, the most probable first."""
    told = answer["findings"]["detections"][0]["pattern"]["probabilities"]
    return [str(name) for name, _ in sorted(told.items() if isinstance(told, dict) else told, key=lambda one: -one[1])]


def test_each_kind_is_taken_up_named_used_and_given_back(running: Running, tmp_path: Path) -> None:
    before = running.before
    heads = other_heads(tmp_path / "heads")
    detector = running.put_to_use(ModelKind.DETECTOR, heads)
    risk = running.put_to_use(ModelKind.RISK, other_risk(tmp_path / "risk"))
    healing = running.put_to_use(ModelKind.HEALING, own_healing(tmp_path / "healing"))
    manifest = read_attribute_manifest(heads)
    assert manifest is not None

    after = running.answer()
    assert after["findings"]["model_id"] == detector != before["findings"]["model_id"]
    assert after["findings"]["attributes"]["model_id"] == manifest.model_id
    assert patterns(after) == patterns(before)[::-1]
    assert after["risk"]["model_id"] == risk != before["risk"]["model_id"]
    assert after["risk"]["hip"]["value"] > before["risk"]["hip"]["value"]
    assert after["assessment"]["healing"]["learned"]["model_id"] == healing
    weeks = [one["assessment"]["healing"]["median_weeks"] for one in (before, after)]
    assert weeks[1] > weeks[0]
    assert running.kept() == {}

    for question in (Question.FRACTURE_TYPE, Question.RISK, Question.HEALING):
        rolled_back(question)
    again = running.answer()
    for part in ("findings", "risk"):
        assert again[part] == before[part]
    assert again["assessment"]["healing"] == before["assessment"]["healing"]


def test_a_model_that_is_damaged_on_disk_is_not_taken_up(
    running: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = running.before
    risk = running.put_to_use(ModelKind.RISK, other_risk(tmp_path / "risk"))
    heads = running.put_to_use(ModelKind.DETECTOR, other_heads(tmp_path / "heads"))
    booster = running.store.folder / ModelKind.RISK / risk / "hip.without_density.ubj"
    booster.write_bytes(booster.read_bytes()[:1000])
    # Without this file an engine loads as one that has no heads.
    (running.store.folder / ModelKind.DETECTOR / heads / "attributes.json").unlink()

    after = running.answer()
    assert after["findings"] == before["findings"]
    assert after["risk"] == before["risk"]
    assert set(running.kept()) == {"detector", "risk"}, "the service is ready, and says which model stayed"
    metrics = running.client.get("/metrics").text
    for kind in ("detector", "risk"):
        assert f'fracture_cds_model_failures_total{{kind="{kind}",where="web"}} 1.0' in metrics
        assert f"the {kind} model that was chosen cannot be used; the one before answers" in caplog.text
        rolled_back(Question.of(kind))


def test_a_choice_that_cannot_be_read_costs_a_case_its_skeletal_age_alone(tmp_path: Path) -> None:
    store = model_store(Settings(data_dir=tmp_path, audit_log=None))
    store.folder.mkdir()
    (store.folder / "state.json").write_text("{", encoding="utf-8")
    reader = build_engines(Settings(data_dir=tmp_path, audit_log=None)).bone_age
    assert reader is not None
    with pytest.raises(ModelFilesError, match="state of the model store cannot be read"):  # which a case goes on from
        reader.estimate(np.zeros((64, 64), np.float32), None)
