"""``cds feedback`` and the REST routes beside it, as a person and a program meet them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cds.audit import AccessRecord, AuditRecord
from cds.entrypoints.cli import app
from cds.entrypoints.web import create_app
from cds.learning.feedback.pseudonyms import KEY_NAME
from cds.security.api_keys import ApiKeys
from cds.security.roles import Role
from cds.settings import Settings
from cds.store.opening import Store, open_store
from tests.support.fakes import FakeParts, RememberingAuditTrail
from tests.support.feedback_cases import keep_case, limb, png, say


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["feedback", *(str(argument) for argument in arguments)])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", "off")
    opened = open_store(Settings(data_dir=tmp_path / "data", audit_log=None))
    yield opened
    opened.close()


@pytest.fixture
def disputed(store: Store) -> str:
    case_id = keep_case(store, png(limb(1)), patient_key="p1")
    say(store, case_id, "agree")
    say(store, case_id, "reject", author="key:ben", role="radiologist")
    return case_id


def test_open_disagreements_are_listed_shown_and_settled(store: Store, disputed: str) -> None:
    agreed = keep_case(store, png(limb(2)))
    say(store, agreed, "reject")
    listed = cds("list")
    assert listed.exit_code == 0 and disputed in listed.output and agreed not in listed.output
    first, readers, truth = listed.output.splitlines()
    assert first.startswith(f"{disputed}  ") and "machine: " in first and "_" not in first
    assert readers == "    readers: clinician fracture, radiologist no fracture"
    assert truth.endswith("truth: not determined (disagree); open: fracture"), "no word is cut"
    everything = json.loads(cds("list", "--all", "--json").stdout)
    assert {one["case"]: one["fracture"] for one in everything} == {disputed: None, agreed: False}
    assert cds("list", "--all", "--since", "2020-01-01").output.count(agreed) == 1
    assert "No disagreement" in cds("list", "--since", "2200-01-01").output
    shown = cds("show", disputed)
    assert "radiologist key:ben: reject" in shown.output and "open: fracture" in shown.output
    settled = cds("adjudicate", disputed, "--fracture", "--box", "20,30,50,60", "--type", "spiral", "--author", "cleo")
    assert settled.exit_code == 0, settled.output
    told = json.loads(cds("show", disputed, "--json").stdout)
    assert (told["fracture"], told["adjudicated_by"], told["fracture_type"]) == (True, "radiologist", "spiral")
    assert told["places"] == [{"box": [20.0, 30.0, 50.0, 60.0], "type": "spiral", "drawn": True}]
    assert [one["kind"] for one in told["feedback"]] == ["agree", "reject", "adjudication"]
    assert "No disagreement" in cds("list").output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "nothing"), 2),
        (("adjudicate", "nothing", "--fracture", "--author", "cleo"), 2),
        (("list", "--since", "yesterday"), 2),
        (("export",), 2),
    ],
)
def test_wrong_uses_end_as_elsewhere(store: Store, arguments: tuple[str, ...], code: int) -> None:
    assert cds(*arguments).exit_code == code


def test_who_may_not_settle_is_told(store: Store, disputed: str) -> None:
    done = cds("adjudicate", disputed, "--no-fracture", "--author", "key:ben")
    assert done.exit_code == 2 and "cds.store.conflict" in done.stderr
    for more in (("--type", "bent"), ("--box", "1,2,3"), ("--role", "viewer"), ("--box", "1,2,0,3")):
        done = cds("adjudicate", disputed, "--fracture", "--author", "cleo", *more)
        assert done.exit_code == 2, done.output
    assert cds("adjudicate", disputed, "--author", "cleo").exit_code == 2


def test_export_writes_the_folder_and_keeps_its_key(store: Store, disputed: str, tmp_path: Path) -> None:
    agreed = keep_case(store, png(limb(2)))
    say(store, agreed, "reject")
    done = cds("export", "--out", tmp_path / "a", "--site", "General Hospital")
    assert done.exit_code == 0, done.output
    assert "1 images (0 with a fracture, 0 boxes)" in done.output and "left out: 1: Readers disagree" in done.output
    key = tmp_path / "data" / KEY_NAME
    assert key.stat().st_mode & 0o777 == 0o600
    assert cds("export", "--out", tmp_path / "b", "--site", "General Hospital", "--key-file", key).exit_code == 0
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    again = cds("export", "--out", tmp_path / "a")
    assert again.exit_code == 2 and "not empty" in again.stderr
    assert cds("export", "--out", tmp_path / "data" / KEY_NAME / "x").exit_code == 7


# --- REST


class Trail(RememberingAuditTrail):
    """Also remembers who looked."""

    seen: list[AccessRecord]

    def record_access(self, entry: AccessRecord) -> None:
        """Keep one record."""
        self.__class__.seen.append(entry)

    def record(self, entry: AuditRecord) -> None:
        """Not asked for here."""


Trail.seen = []


@pytest.fixture
def service(store: Store, tmp_path: Path) -> Iterator[tuple[TestClient, dict[str, dict[str, str]]]]:
    keys = ApiKeys(store.database)
    people = {
        name: {"Authorization": f"Bearer {keys.create(name, role, created_by='test', expires=None).secret}"}
        for name, role in (
            ("anna", Role.CLINICIAN),
            ("ben", Role.CLINICIAN),
            ("cleo", Role.ADMIN),
            ("vera", Role.VIEWER),
        )
    }
    settings = Settings(data_dir=tmp_path / "data", audit_log=None, access_token=SecretStr("t" * 32))
    made = create_app(settings, FakeParts().engines(), Trail(), store)
    with TestClient(made, base_url="http://127.0.0.1") as client:
        yield client, people


def test_a_disagreement_is_found_and_settled_over_rest(
    service: tuple[TestClient, dict[str, dict[str, str]]], store: Store
) -> None:
    client, people = service
    case_id = keep_case(store, png(limb(1)), patient_key="p1")
    address = f"/api/cases/{case_id}/feedback"

    def post(who: str, **said: Any) -> Any:
        return client.post(address, json=said, headers=people[who])

    assert post("anna", kind="own_read", unsure=True).json()["content"]["unsure"] is True
    assert post("anna", kind="agree").status_code == 201
    assert client.get("/api/feedback/open", headers=people["vera"]).json() == []
    assert post("ben", kind="reject").status_code == 201
    (found,) = client.get("/api/feedback/open", headers=people["vera"]).json()
    assert found["case_id"] == case_id and found["disputes"] == ["fracture"]
    assert {one["author"]: one["fracture"] for one in found["readers"]} == {"key:anna": True, "key:ben": False}
    assert post("vera", kind="adjudication", fracture=True).status_code == 403
    own = post("ben", kind="adjudication", fracture=False)
    assert (own.status_code, own.json()["code"]) == (409, "cds.store.conflict")
    assert post("cleo", kind="adjudication", finding=0, fracture=True).status_code == 422
    assert post("cleo", kind="adjudication").status_code == 422
    settled = post("cleo", kind="adjudication", fracture=True, boxes=[[20, 30, 50, 60]])
    assert settled.status_code == 201 and settled.json()["role"] == "admin"
    assert client.get("/api/feedback/open", headers=people["anna"]).json() == []
    assert (
        client.get("/api/feedback/open", params={"since": "0001-01-01T00:00:00Z"}, headers=people["anna"]).status_code
        == 422
    )
    assert any(one.kind.value == "query" and one.target is None for one in Trail.seen)
