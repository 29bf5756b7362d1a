"""Both audit trails: whatever is changed, removed, inserted, moved or cut off afterwards is found."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from cds.audit import (
    AccessRecord,
    AuditKind,
    AuditRecord,
    JsonLinesAuditTrail,
    NoAuditTrail,
    head_of,
    record_access,
    verify_log,
)
from cds.audit_chain import AuditChain, StoreAuditTrail, open_chain
from cds.entrypoints.audit_commands import audit_app
from cds.errors import AuditError, StoreError
from cds.security.events import EventSource, event_of, without_patients
from cds.settings import Settings
from cds.store.opening import Store, open_store
from tests.support.postgres import running_postgres

NOW = datetime(2026, 3, 4, 9, 30, 0, 123456, tzinfo=UTC)
PATIENT = "Planted-Patient-4711"


def assessment(case_id: str = "a") -> AuditRecord:
    return AuditRecord(
        case_id=case_id,
        started=NOW,
        duration_ms=5,
        actor="cli:somebody",
        outcome="ok",
        engine_version="0.1.0",
        model_versions=("m@1",),
        image_sha256=None,
        record_sha256="0" * 64,
        patient_key=PATIENT,
    )


def access(kind: AuditKind = AuditKind.READ, **changed: object) -> AccessRecord:
    given: dict[str, object] = {
        "occurred": NOW,
        "kind": kind,
        "actor": "oidc:jdoe",
        "role": "clinician",
        "address": "192.0.2.7",
        "target": "case/c-1",
        "patient_key": PATIENT,
        "request_id": "r-1",
        "token_tail": "abcd",
    }
    return AccessRecord(**given | changed)  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    trail = JsonLinesAuditTrail(path)
    for number in range(6):
        trail.record(assessment(f"case-{number}"))
    trail.record_access(access())
    return path


def test_untouched_log_is_sound(log: Path) -> None:
    assert verify_log(log) == (7, ())
    fields = json.loads(log.read_text().splitlines()[-1])
    assert fields["kind"] == "read" and fields["sequence"] == 7
    assert PATIENT not in log.read_text() and "abcd" not in log.read_text()


Change = Callable[[list[bytes]], list[bytes]]
TAMPERED: dict[str, Change] = {
    "changed": lambda lines: [*lines[:2], lines[2].replace(b"somebody", b"somebodx"), *lines[3:]],
    "changed first": lambda lines: [lines[0].replace(b'"duration_ms": 5', b'"duration_ms": 6'), *lines[1:]],
    "changed last": lambda lines: [*lines[:-1], lines[-1].replace(b"jdoe", b"jdof")],
    "removed": lambda lines: [*lines[:3], *lines[4:]],
    "removed first": lambda lines: lines[1:],
    "inserted copy": lambda lines: [*lines[:3], lines[1], *lines[3:]],
    "inserted nonsense": lambda lines: [*lines[:3], b"{}", *lines[3:]],
    "reordered": lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
    "cut": lambda lines: lines[:-1],
    "cut to half": lambda lines: lines[:3],
    "emptied": lambda lines: [],
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_tampering_with_the_log_is_found(change: Change, log: Path) -> None:
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"".join(line + b"\n" for line in change(lines)))
    assert verify_log(log)[1]
    # ... and is not hidden by what is written afterwards.
    JsonLinesAuditTrail(log).record(assessment("later"))
    assert verify_log(log)[1]


def test_log_written_anew_is_found_by_its_head(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    for number in range(7):
        JsonLinesAuditTrail(other).record(assessment(f"forged-{number}"))
    log.write_bytes(other.read_bytes())
    assert any("anew" in fault for fault in verify_log(log)[1])
    head_of(log)._path.write_bytes(head_of(other)._path.read_bytes())
    assert any("not signed" in fault for fault in verify_log(log)[1])
    head_of(log)._path.unlink()
    assert any("missing" in fault for fault in verify_log(log)[1])


def test_anchor_kept_elsewhere_finds_a_cut_that_the_head_was_cut_with(log: Path) -> None:
    saved = head_of(log)._path.read_text()
    lines = log.read_bytes().splitlines(keepends=True)
    early = head_of(log).text(type(head_of(log).checked(saved))(sequence=3, hash=json.loads(lines[2])["hash"]))
    log.write_bytes(b"".join(lines[:3]))
    head_of(log)._path.write_text(early)
    assert verify_log(log) == (3, ())
    assert any("cut off" in fault for fault in verify_log(log, anchor=saved)[1])
    assert any("not signed" in fault for fault in verify_log(log, anchor=saved.replace("7", "3"))[1])


def test_half_a_line_is_noticed_and_the_chain_goes_on(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b'{"schema": "fra')
    JsonLinesAuditTrail(log).record(assessment("later"))
    count, faults = verify_log(log)
    assert count == 8
    assert faults == ("Line 8 is no entry of the chain.",)


def test_lines_of_the_first_format_are_vouched_for(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"schema": "fracture-cds.audit/1", "case_id": "old"}\n')
    for _ in range(2):
        JsonLinesAuditTrail(path).record(assessment())
    assert verify_log(path) == (2, ())
    path.write_text(path.read_text().replace("old", "odd"))
    assert verify_log(path)[1]


def test_several_writers_share_one_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def write(name: int) -> None:
        for number in range(25):
            JsonLinesAuditTrail(path).record(assessment(f"{name}-{number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert verify_log(path) == (100, ())


def test_full_disk_leaves_no_half_line(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    write, before = os.write, log.read_bytes()
    monkeypatch.setattr("cds.audit.os.write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(AuditError):
        JsonLinesAuditTrail(log).record(assessment("later"))
    assert log.read_bytes() == before


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path, audit_log=None)
    address = request.getfixturevalue("postgres")
    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return Settings(data_dir=tmp_path, audit_log=None, database_url=SecretStr(address))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture
def chain(settings: Settings, store: Store) -> AuditChain:
    made = open_chain(settings, store.database, store.privacy)
    for number in range(6):
        made.append(access(occurred=NOW + timedelta(seconds=number), target=f"case/c-{number}"))
    return made


def unlocked(store: Store, *statements: str) -> None:
    """As somebody does who owns the database: triggers off, then what they want."""
    off = (
        ["DROP TRIGGER IF EXISTS audit_events_no_update", "DROP TRIGGER IF EXISTS audit_events_no_delete"]
        if store.database.is_sqlite
        else ["ALTER TABLE audit_events DISABLE TRIGGER ALL"]
    )
    with store.database.transaction() as session:
        for one in (*off, *statements):
            session.execute(text(one))


def test_untouched_chain_is_sound(chain: AuditChain, store: Store) -> None:
    assert chain.verify() == (6, ())
    with store.database.reading() as session:
        kept = str(session.execute(text("SELECT * FROM audit_events")).all())
    assert PATIENT not in kept
    assert store.privacy.patient_digest(PATIENT) in kept


@pytest.mark.parametrize("statement", ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"])
def test_database_refuses_changes(statement: str, chain: AuditChain, store: Store) -> None:
    with pytest.raises(StoreError), store.database.transaction() as session:
        session.execute(text(statement))
    assert chain.verify() == (6, ())


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE audit_events SET actor = 'somebody-else' WHERE sequence = 3"],
        ["UPDATE audit_events SET kind = 'query' WHERE sequence = 1"],
        ["UPDATE audit_events SET patient_key_hash = NULL WHERE sequence = 6"],
        ["UPDATE audit_events SET event = event || event WHERE sequence = 2"],
        ["UPDATE audit_events SET recorded = '2020-01-01 00:00:00' WHERE sequence = 2"],
        ["DELETE FROM audit_events WHERE sequence = 3"],
        ["DELETE FROM audit_events WHERE sequence = 1"],
        ["DELETE FROM audit_events WHERE sequence > 4"],
        ["DELETE FROM audit_events"],
        [
            "UPDATE audit_events SET sequence = 99 WHERE sequence = 3",
            "UPDATE audit_events SET sequence = 3 WHERE sequence = 4",
            "UPDATE audit_events SET sequence = 4 WHERE sequence = 99",
        ],
        ["UPDATE audit_events SET sequence = sequence + 100 WHERE sequence > 3"],
        [
            "INSERT INTO audit_events (sequence, recorded, kind, actor, event, previous_hash, hash) SELECT 77,"
            " recorded, kind, actor, event, 'forged-1', 'forged-2' FROM audit_events WHERE sequence = 2"
        ],
    ],
    ids=[
        "actor", "kind", "patient", "event", "time", "removed", "removed first", "cut", "emptied", "reordered",
        "renumbered", "inserted",
    ],
)  # fmt: skip
def test_tampering_with_the_chain_is_found(statements: list[str], chain: AuditChain, store: Store) -> None:
    unlocked(store, *statements)
    assert chain.verify()[1]
    # ... and is not hidden by what is appended afterwards.
    chain.append(access())
    assert chain.verify()[1]


def test_several_writers_share_one_chain(chain: AuditChain) -> None:
    def write() -> None:
        for _ in range(8):
            chain.append(access())

    threads = [threading.Thread(target=write) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert chain.verify() == (38, ())


def test_chain_survives_reopening_and_erasure(settings: Settings, chain: AuditChain, store: Store) -> None:
    again = open_store(settings)
    reopened = open_chain(settings, again.database, again.privacy)
    reopened.append(access(AuditKind.DELETE))
    assert reopened.verify() == (7, ())
    again.close()


def test_trail_keeps_both(settings: Settings, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    chain = open_chain(settings, store.database, store.privacy)
    trail = StoreAuditTrail(chain, JsonLinesAuditTrail(path))
    trail.record(assessment("case-1"))
    record_access(trail, access(AuditKind.QUERY, query="/api/cases?call=fracture"))
    record_access(NoAuditTrail(), access())
    assert verify_log(path) == (2, ()) and chain.verify() == (2, ())
    first, second = (AuditEvent.model_validate_json(one) for one in chain.events())
    assert first.action == "C" and second.action == "E"


@pytest.mark.parametrize("kind", list(AuditKind))
@pytest.mark.parametrize("outcome", ["ok", "cds.store.not_found"])
def test_every_event_is_a_valid_audit_event(kind: AuditKind, outcome: str) -> None:
    entry = access(kind, outcome=outcome, query="/api/cases?x=1" if kind is AuditKind.QUERY else None)
    for one in (entry, AccessRecord(occurred=NOW, kind=kind, actor="local")):
        for patient in (None, "f" * 64):
            event = AuditEvent.model_validate_json(event_of(one, patient, EventSource(address="127.0.0.1:8000")))
            assert len(event.agent) >= 3 and sum(bool(agent.requestor) for agent in event.agent) >= 1
            assert event.outcome == ("0" if one.outcome == "ok" else "4")


def test_events_follow_balp() -> None:
    source = EventSource(address="127.0.0.1:8000")
    read = json.loads(event_of(access(), "f" * 64, source))
    assert read["meta"]["profile"][0].endswith("/IHE.BasicAudit.PatientRead")
    assert (read["type"]["code"], read["subtype"][0]["code"], read["action"]) == ("rest", "read", "R")
    assert [one["type"]["coding"][0]["code"] for one in read["agent"]] == ["110152", "110153", "IRCP", "UserOauthAgent"]
    assert read["agent"][3]["policy"] == ["abcd"]
    entities = {one["type"]["code"]: one for one in read["entity"]}
    assert entities["1"]["role"]["code"] == "1" and entities["1"]["what"]["identifier"]["value"] == "f" * 64
    assert entities["2"]["role"]["code"] == "4" and entities["XrequestId"]["what"]["identifier"]["value"] == "r-1"
    raw = "/api/cases?call=fracture&_x=%3Cscript%3E"
    query = json.loads(event_of(access(AuditKind.QUERY, query=raw, target=None), "f" * 64, source))
    assert query["meta"]["profile"][0].endswith("/IHE.BasicAudit.PatientQuery")
    assert [one["type"]["coding"][0]["code"] for one in query["agent"][:2]] == ["110153", "110152"]
    found = next(one for one in query["entity"] if one["role"]["code"] == "24")
    assert base64.b64decode(found["query"]).decode() == raw and "what" not in found
    made = json.loads(event_of(access(AuditKind.CREATE, token_tail=None), None, source))
    assert [one.rpartition("/")[2] for one in made["meta"]["profile"]] == ["IHE.BasicAudit.Create"]
    failed = json.loads(event_of(access(outcome="cds.store.not_found"), None, source))
    assert "meta" not in failed and failed["outcomeDesc"] == "cds.store.not_found"


def test_query_names_no_patient() -> None:
    raw = "/api/cases?patient_key=4711&call=no_fracture&text=Smith&limit=5&patient:identifier=urn%7C9&name=M%C3%BCller"
    cleaned = without_patients(raw)
    assert not any(one in cleaned for one in ("4711", "Smith", "urn", "ller"))
    assert "call=no_fracture" in cleaned and "limit=5" in cleaned


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", str(log))
    settings = Settings(data_dir=tmp_path, audit_log=log)
    store = open_store(settings)
    chain = open_chain(settings, store.database, store.privacy)
    StoreAuditTrail(chain, JsonLinesAuditTrail(log)).record(assessment())
    record_access(StoreAuditTrail(chain, NoAuditTrail()), access())
    run = CliRunner()
    sound = run.invoke(audit_app, ["verify"])
    assert sound.exit_code == 0, sound.output
    assert "2 entries" in sound.output and "1 entry" in sound.output
    exported = run.invoke(audit_app, ["export"]).stdout.splitlines()
    assert [AuditEvent.model_validate_json(line).action for line in exported] == ["C", "R"]
    out = tmp_path / "events.ndjson"
    assert run.invoke(audit_app, ["export", "--out", str(out)]).exit_code == 0
    assert out.read_text().splitlines() == exported
    anchor = tmp_path / "anchor.json"
    anchor.write_text(run.invoke(audit_app, ["head"]).stdout)
    assert run.invoke(audit_app, ["verify", "--anchor", str(anchor)]).exit_code == 0
    assert run.invoke(audit_app, ["verify", "--file", str(log)]).exit_code == 0
    unlocked(store, "DELETE FROM audit_events WHERE sequence = 2")
    store.close()
    broken = run.invoke(audit_app, ["verify"])
    assert broken.exit_code == 7 and "cut off" in broken.output
    log.write_text(log.read_text().replace("somebody", "nobody"))
    assert run.invoke(audit_app, ["verify", "--file", str(log)]).exit_code == 7
