"""The privacy commands: what leaves, what goes, and what is said about it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cds.audit_chain import open_chain
from cds.entrypoints.privacy_commands import privacy_app
from cds.errors import StoreError
from cds.settings import Settings
from cds.store.cases import CaseQuery, NamedFile
from cds.store.opening import Store, open_store
from tests.support import cases
from tests.support.fakes import full_input

PATIENT = "Planted-4711"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", "off")
    return Settings(data_dir=tmp_path, audit_log=None)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    report = NamedFile(name="report.json", media_type="application/json", content=b"{}")
    opened.cases.save(full_input(), cases.full_case(), actor="test", reports=[report], patient_key=PATIENT)
    yield opened
    opened.close()


def kinds(settings: Settings, store: Store) -> list[str]:
    return [json.loads(one)["action"] for one in open_chain(settings, store.database, store.privacy).events()]


def test_export_is_private_and_noted(settings: Settings, store: Store, tmp_path: Path) -> None:
    out = tmp_path / "patient.zip"
    done = CliRunner().invoke(privacy_app, ["export", "--patient", PATIENT, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.stat().st_mode & 0o077 == 0
    assert "cases.json" in zipfile.ZipFile(out).namelist()
    assert kinds(settings, store) == ["R"]


def test_erase_wants_the_key_twice(store: Store) -> None:
    run = CliRunner()
    assert run.invoke(privacy_app, ["erase"], input=f"{PATIENT}\nPlanted-4712\n").exit_code != 0
    assert len(store.cases.find(CaseQuery()).cases) == 1
    done = run.invoke(privacy_app, ["erase"], input=f"{PATIENT}\n{PATIENT}\n")
    assert done.exit_code == 0, done.output
    assert store.cases.find(CaseQuery()).cases == ()


def test_erase_prints_the_proof_and_notes_it(settings: Settings, store: Store) -> None:
    done = CliRunner().invoke(privacy_app, ["erase", "--patient", PATIENT, "--yes"])
    assert done.exit_code == 0, done.output
    proof = json.loads(done.stdout)
    assert proof["reason"] == "patient_request" and proof["deleted"]["cases"] == 1
    assert set(proof["left"].values()) == {0} and PATIENT not in done.stdout
    assert kinds(settings, store) == ["D"]
    assert CliRunner().invoke(privacy_app, ["erase", "--patient", PATIENT, "--yes"]).exit_code == 2


def test_drift_is_looked_at_before_anything_goes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def looked(opened: Store) -> None:
        seen.append(len(opened.cases.find(CaseQuery()).cases))
        raise StoreError("The store does not answer.", remedy="Try again.")

    monkeypatch.setattr("cds.learning.drift.watching.watch", looked)
    run = CliRunner()
    assert run.invoke(privacy_app, ["retention", "--days", "1", "--yes"]).exit_code == 0
    assert run.invoke(privacy_app, ["erase", "--patient", PATIENT, "--yes"]).exit_code == 0
    assert seen == [1, 1]
    assert store.cases.find(CaseQuery()).cases == ()


def test_retention(store: Store) -> None:
    run = CliRunner()
    done = run.invoke(privacy_app, ["retention", "--days", "30", "--yes"])
    assert done.exit_code == 0 and "Nothing is older" in done.stdout
    assert run.invoke(privacy_app, ["retention", "--days", "30"], input="n\n").exit_code != 0
    assert run.invoke(privacy_app, ["retention", "--days", "0", "--yes"]).exit_code == 2
