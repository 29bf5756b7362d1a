"""The store on SQLite and on PostgreSQL: nothing lost, nothing doubled, nothing left."""

import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import text

from cds.case import CaseInput, CaseResult
from cds.errors import (
    ConflictError,
    DamagedBlobError,
    InputError,
    NotStoredError,
    SettingsError,
    StoreError,
    StoreOutOfDateError,
    StoreUnavailableError,
    explain,
)
from cds.settings import Settings
from cds.store.cases import CaseQuery, NamedFile
from cds.store.database import database_url
from cds.store.feedback import FeedbackContent, FeedbackKind
from cds.store.jobs import MAX_ATTEMPTS, JobState
from cds.store.opening import Store, open_store
from cds.store.tables import Base
from tests.support import cases
from tests.support.postgres import running_postgres

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
Opener = Callable[[], Store]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path)
    address = request.getfixturevalue("postgres")
    from sqlalchemy import create_engine

    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return Settings(data_dir=tmp_path, database_url=SecretStr(address))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings, job_capacity=3)
    yield opened
    opened.close()


def given(image: bytes = b"an image", bundle: bytes | None = b'{"a": "record"}') -> CaseInput:
    return CaseInput(image=image, bundle=bundle, as_of=NOW)


def concluded(number: int = 0) -> CaseResult:
    return replace(cases.full_case(), case_id=f"case-{number}")


def keep(store: Store, number: int = 0, **more: object) -> str:
    report = NamedFile(name="report.html", media_type="text/html", content=f"<p>{number}</p>".encode())
    case = given(image=f"image {number}".encode())
    more = {"actor": "web:anna", "patient_key": f"patient-{number}", **more}
    return store.cases.save(case, concluded(number), reports=[report], **more).id  # type: ignore[arg-type]


# --- the tables


def test_tables_are_those_of_the_program(store: Store) -> None:
    with store.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opening_again_changes_nothing(settings: Settings, store: Store) -> None:
    case_id = keep(store)
    again = open_store(settings)
    assert again.cases.get(case_id).title
    again.close()


def test_several_processes_may_start_at_once(settings: Settings) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            open_store(settings).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []


def test_newer_tables_are_refused(settings: Settings, store: Store) -> None:
    with store.database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreOutOfDateError):
        open_store(settings)


def test_audit_chain_cannot_be_changed(store: Store) -> None:
    row = (
        "INSERT INTO audit_events (recorded, kind, actor, event, previous_hash, hash) "
        "VALUES ('2026-01-01', 'k', 'a', :event, 'p', 'h')"
    )
    with store.database.transaction() as session:
        session.execute(text(row), {"event": b"{}"})
    for statement in ("UPDATE audit_events SET actor = 'b'", "DELETE FROM audit_events"):
        with pytest.raises(StoreError), store.database.transaction() as session:
            session.execute(text(statement))


# --- settings


def test_addresses(tmp_path: Path) -> None:
    assert database_url(Settings(data_dir=tmp_path)).database == str(tmp_path / "fracture-cds.sqlite3")
    secret = tmp_path / "password"
    secret.write_text("open sesame\n", encoding="utf-8")
    url = database_url(Settings(database_url=SecretStr("postgresql://cds@db.example/x"), database_password_file=secret))
    assert (url.drivername, url.password) == ("postgresql+psycopg", "open sesame")
    for wrong in ("mysql://x/y", "no address"):
        with pytest.raises(SettingsError):
            database_url(Settings(database_url=SecretStr(wrong)))
    with pytest.raises(SettingsError):
        database_url(Settings(database_url=SecretStr("postgresql://x/y"), database_password_file=tmp_path / "missing"))


def test_a_database_that_is_away_is_said_so() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(Settings(database_url=SecretStr("postgresql://cds@127.0.0.1:1/x")))
    assert explain(caught.value).http_status == 503


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="cannot be written") as caught:
        open_store(Settings(data_dir=tmp_path / "file" / "data", audit_log=None))
    assert str(tmp_path) not in str(caught.value)


def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    opened = open_store(Settings(data_dir=tmp_path))
    keep(opened)
    opened.close()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept if not path.name.endswith(("-wal", "-shm")))


# --- cases


def test_a_case_comes_back_with_its_files(store: Store) -> None:
    case_id = keep(store, study_uid="1.2.3")
    found = store.cases.get(case_id)
    assert (found.patient_key, found.study_uid, found.actor) == ("patient-0", "1.2.3", "web:anna")
    assert {one.name for one in found.files} == {"image", "record", "report.html"}
    assert store.cases.file(case_id, "report.html") == (b"<p>0</p>", "text/html")
    assert found.created.tzinfo is not None
    assert abs(found.created - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_repeated_request_is_the_same_case(store: Store) -> None:
    first = store.cases.save(given(), concluded(1), actor="a", reports=[], request_key="k")
    second = store.cases.save(given(), concluded(2), actor="a", reports=[], request_key="k")
    assert second.id == first.id
    assert store.cases.by_request("k") is not None
    assert store.cases.by_request("other") is None
    assert len(store.cases.find(CaseQuery()).cases) == 1
    with pytest.raises(ConflictError):
        store.cases.save(given(image=b"another"), concluded(3), actor="a", reports=[], request_key="k")


def test_lists_are_narrowed_and_paged(store: Store) -> None:
    for number in range(5):
        keep(store, number)
    first = store.cases.find(CaseQuery(limit=2))
    second = store.cases.find(CaseQuery(limit=2, cursor=first.next_cursor))
    third = store.cases.find(CaseQuery(limit=2, cursor=second.next_cursor))
    ids = [one.id for page in (first, second, third) for one in page.cases]
    assert ids == [f"case-{number}" for number in (4, 3, 2, 1, 0)]
    assert third.next_cursor is None
    assert [one.id for one in store.cases.find(CaseQuery(patient_key="patient-3")).cases] == ["case-3"]
    assert [one.id for one in store.cases.find(CaseQuery(text="patient-2")).cases] == ["case-2"]
    assert store.cases.find(CaseQuery(text="100%_")).cases == ()
    assert store.cases.find(CaseQuery(until=NOW)).cases == ()
    assert len(store.cases.find(CaseQuery(since=NOW, signed=False)).cases) == 5
    title = store.cases.get("case-0").title
    assert len(store.cases.find(CaseQuery(text=title[3:20].upper())).cases) == 5
    with pytest.raises(InputError):
        store.cases.find(CaseQuery(limit=0))
    for cursor in ("x", "bm8="):
        with pytest.raises(InputError):
            store.cases.find(CaseQuery(cursor=cursor))


def test_a_signature_is_never_replaced(store: Store) -> None:
    case_id = keep(store)
    assert store.cases.sign(case_id, actor="dr").signed_by == "dr"
    assert [one.id for one in store.cases.find(CaseQuery(signed=True)).cases] == [case_id]
    with pytest.raises(ConflictError):
        store.cases.sign(case_id, actor="other")


def test_a_shared_image_outlives_one_of_its_cases(store: Store) -> None:
    for number in (1, 2):
        store.cases.save(given(), concluded(number), actor="a", reports=[])
    store.cases.delete("case-1")
    assert store.cases.file("case-2", "image")[0] == b"an image"
    store.cases.delete("case-2")
    assert list(store.blobs.digests()) == []


def test_what_is_not_there(store: Store) -> None:
    for ask in (
        lambda: store.cases.get("x"),
        lambda: store.cases.file("x", "image"),
        lambda: store.cases.sign("x", actor="a"),
        lambda: store.cases.delete("x"),
        lambda: store.cases.add_file("x", NamedFile(name="a", media_type="b", content=b"")),
        lambda: store.jobs.get("x"),
        lambda: store.jobs.cancel("x"),
        lambda: store.privacy.erase_patient("x", actor="a"),
        lambda: store.privacy.export_patient("x"),
        lambda: store.feedback.add("x", FeedbackKind.AGREE, author="a", role="clinician"),
    ):
        with pytest.raises(NotStoredError):
            ask()


def test_a_file_can_be_added_later(store: Store) -> None:
    case_id = keep(store)
    store.cases.add_file(case_id, NamedFile(name="sr.dcm", media_type="application/dicom", content=b"sr"))
    assert store.cases.file(case_id, "sr.dcm")[0] == b"sr"


def test_a_damaged_file_is_found(settings: Settings, store: Store) -> None:
    case_id = keep(store)
    for path in settings.data_dir.rglob("files/*/*"):
        path.write_bytes(b"something else")
    with pytest.raises(DamagedBlobError):
        store.cases.file(case_id, "image")


def test_a_full_disk_keeps_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cds.store.blobs.os.fsync", full)
    with pytest.raises(StoreUnavailableError, match="No space left"):
        keep(store)
    monkeypatch.undo()
    assert store.cases.find(CaseQuery()).cases == ()
    assert list(store.blobs.digests()) == []


# --- jobs


def test_a_job_goes_its_way(store: Store) -> None:
    job = store.jobs.submit("assess", {"format": "json"}, actor="a", files={"image": b"x"}, request_key="r")
    assert job is not None
    again = store.jobs.submit("assess", {"format": "json"}, actor="a", files={"image": b"x"}, request_key="r")
    assert again is not None
    assert again.id == job.id
    with pytest.raises(ConflictError):
        store.jobs.submit("assess", {"format": "html"}, actor="a", request_key="r")
    taken = store.jobs.claim("w1", kinds=("assess",))
    assert taken is not None
    assert (taken.id, taken.state, taken.attempts) == (job.id, JobState.RUNNING, 1)
    assert store.jobs.file(taken.files["image"]) == b"x"
    assert store.jobs.claim("w2", kinds=("assess",)) is None
    assert store.jobs.renew(job.id, "w1", progress=0.5, step="image")
    assert not store.jobs.renew(job.id, "w2", progress=0.5)
    assert store.jobs.finish(job.id, "w1", {"case_id": "c"})
    done = store.jobs.get(job.id)
    assert (done.state, done.progress, done.result) == (JobState.DONE, 1.0, {"case_id": "c"})
    assert not store.jobs.finish(job.id, "w1", {})
    with pytest.raises(ConflictError):
        store.jobs.cancel(job.id)


def test_a_dead_worker_loses_its_job_and_a_killer_is_given_up(store: Store) -> None:
    job = store.jobs.submit("assess", {}, actor="a")
    assert job is not None
    for number in range(MAX_ATTEMPTS):
        taken = store.jobs.claim(f"w{number}", kinds=("assess",), lease=timedelta(seconds=-1))
        assert taken is not None
    assert not store.jobs.finish(job.id, "w0", {})
    assert store.jobs.claim("w9", kinds=("assess",)) is None
    assert store.jobs.get(job.id).state is JobState.FAILED
    assert store.jobs.get(job.id).error_code == "cds.job.given_up"


def test_cancelling(store: Store) -> None:
    waiting, running, lost = (store.jobs.submit("assess", {"n": n}, actor="a") for n in range(3))
    assert waiting is not None and running is not None and lost is not None
    assert store.jobs.cancel(waiting.id).state is JobState.CANCELLED
    assert store.jobs.claim("w", kinds=("assess",)) is not None
    assert store.jobs.claim("v", kinds=("assess",), lease=timedelta(seconds=-1)) is not None
    for one in (running, lost):
        assert store.jobs.cancel(one.id).state is JobState.RUNNING
    assert not store.jobs.renew(running.id, "w", progress=0.1)
    assert store.jobs.stopped(running.id, "w")
    assert store.jobs.claim("w", kinds=("assess",)) is None
    assert store.jobs.get(lost.id).state is JobState.CANCELLED


def test_a_full_queue_accepts_nothing_and_postponed_work_waits(store: Store) -> None:
    for number in range(3):
        assert store.jobs.submit("send", {"n": number}, actor="a") is not None
    assert store.jobs.submit("send", {"n": 3}, actor="a") is None
    taken = store.jobs.claim("w", kinds=("send",))
    assert taken is not None
    assert store.jobs.postpone(taken.id, "w", seconds=60, code="pacs.down", text="The PACS does not answer.")
    assert store.jobs.get(taken.id).attempts == 0
    following = store.jobs.claim("w", kinds=("send",))
    assert following is not None
    assert following.id != taken.id
    assert store.jobs.fail(following.id, "w", code="x", text="y")
    assert store.jobs.unfinished() == 2


def test_a_job_is_taken_once_by_many_workers(settings: Settings) -> None:
    store = open_store(settings)
    for number in range(20):
        store.jobs.submit("assess", {"n": number}, actor="a")
    taken: list[str] = []

    def work(name: str) -> None:
        while (job := store.jobs.claim(name, kinds=("assess",))) is not None:
            taken.append(job.id)
            store.jobs.finish(job.id, name, {})

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    store.close()
    assert len(taken) == len(set(taken)) == 20


# --- feedback


def test_feedback_is_versioned(store: Store) -> None:
    case_id = keep(store)
    first = store.feedback.add(case_id, FeedbackKind.REJECT, author="anna", role="clinician", finding=0)
    better = store.feedback.add(
        case_id,
        FeedbackKind.CORRECT,
        author="anna",
        role="clinician",
        finding=0,
        content=FeedbackContent(boxes=((1, 2, 30, 40),)),
        supersedes=first.id,
    )
    assert [one.id for one in store.feedback.of_case(case_id)] == [better.id]
    assert [one.id for one in store.feedback.of_case(case_id, current=False)] == [first.id, better.id]
    assert better.content.boxes == ((1.0, 2.0, 30.0, 40.0),)
    assert better.model_versions == store.cases.get(case_id).model_versions
    for author, before in (("anna", first.id), ("ben", better.id), ("anna", "unknown")):
        with pytest.raises(ConflictError):
            store.feedback.add(case_id, FeedbackKind.AGREE, author=author, role="clinician", supersedes=before)


@pytest.mark.parametrize(
    ("kind", "content", "finding"),
    [
        (FeedbackKind.MISSED, FeedbackContent(), None),
        (FeedbackKind.CORRECT, FeedbackContent(), 0),
        (FeedbackKind.OWN_READ, FeedbackContent(), None),
        (FeedbackKind.OWN_READ, FeedbackContent(fracture=False, boxes=((0, 0, 1, 1),)), None),
        (FeedbackKind.OWN_READ, FeedbackContent(fracture=True), 0),
        (FeedbackKind.AGREE, FeedbackContent(), -1),
        (FeedbackKind.OUTCOME, FeedbackContent(weeks=12), None),
        (FeedbackKind.OUTCOME, FeedbackContent(weeks=-1, united=True), None),
        (FeedbackKind.OUTCOME, FeedbackContent(weeks=float("nan"), united=True), None),
        (FeedbackKind.AGREE, FeedbackContent(weeks=3, united=True), 0),
        (FeedbackKind.MISSED, FeedbackContent(boxes=((0, 0, 0, 5),)), None),
        (FeedbackKind.MISSED, FeedbackContent(boxes=((0, 0, float("inf"), 5),)), None),
        (FeedbackKind.MISSED, FeedbackContent(boxes=((0, 0, 1, 1),) * 51), None),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(
    tmp_path: Path, kind: FeedbackKind, content: FeedbackContent, finding: int | None
) -> None:
    opened = open_store(Settings(data_dir=tmp_path))
    case_id = keep(opened)
    with pytest.raises(InputError):
        opened.feedback.add(case_id, kind, author="a", role="clinician", content=content, finding=finding)
    opened.close()


def test_hook_feedback_is_all_or_none(store: Store) -> None:
    store.hook_feedback.add("fracture-risk", [{"card": "1", "outcome": "accepted"}])
    with pytest.raises(KeyError):
        store.hook_feedback.add("fracture-risk", [{"card": "2", "outcome": "accepted"}, {"card": "3"}])
    with store.database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM hook_feedback")).scalar() == 1


# --- one patient's data

SECRET = "Plantedname-5417"


def with_secret(store: Store) -> None:
    """A case and a waiting job that hold a planted word wherever a patient's data may stand."""
    report = NamedFile(name="report.html", media_type="text/html", content=SECRET.encode())
    case = CaseInput(image=SECRET.encode() * 3, bundle=SECRET.encode() * 2, as_of=NOW)
    store.cases.save(case, concluded(7), actor="a", reports=[report], patient_key=SECRET)
    store.feedback.add("case-7", FeedbackKind.OWN_READ, author="a", role="c", content=FeedbackContent(fracture=True))
    store.jobs.submit("assess", {"note": SECRET}, actor="a", files={"image": SECRET.encode() * 4}, patient_key=SECRET)


def test_export_holds_everything(store: Store) -> None:
    with_secret(store)
    with zipfile.ZipFile(BytesIO(store.privacy.export_patient(SECRET))) as archive:
        assert set(archive.namelist()) == {"cases.json", "case-7/image", "case-7/record", "case-7/report.html"}
        assert b"own_read" in archive.read("cases.json")


def test_erasure_leaves_nothing_of_the_patient_and_everything_of_others(settings: Settings, store: Store) -> None:
    keep(store, 1)
    with_secret(store)
    proof = store.privacy.erase_patient(SECRET, actor="dpo")
    assert proof.counts == {"cases": 1, "feedback": 1, "jobs": 1, "files": 4}
    assert not any(proof.left.values())
    assert store.cases.get("case-1").files
    with pytest.raises(NotStoredError):
        store.privacy.export_patient(SECRET)
    store.close()
    for path in settings.data_dir.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    with store.database.reading() as session:
        proofs = session.execute(text("SELECT patient_key_hash, reason FROM erasures")).all()
    assert proofs == [(store.privacy.patient_digest(SECRET), "patient_request")]


def test_retention(settings: Settings, store: Store) -> None:
    keep(store, 1)
    job = store.jobs.submit("assess", {}, actor="a")
    assert job is not None
    assert store.privacy.apply_retention(days=30, actor="timer") is None
    later = datetime.now(UTC) + timedelta(days=31)
    proof = store.privacy.apply_retention(days=30, actor="timer", now=later)
    assert proof is not None
    assert proof.counts["cases"] == 1
    assert store.jobs.get(job.id).state is JobState.QUEUED
    assert store.cases.find(CaseQuery()).cases == ()
    with pytest.raises(ValueError, match="at least a day"):
        store.privacy.apply_retention(days=0, actor="timer")


def test_stray_files_go_after_a_day(settings: Settings, store: Store) -> None:
    import os

    digest, fresh = store.blobs.put(b"stray"), store.blobs.put(b"just now")
    old = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(settings.data_dir / "files" / digest[:2] / digest, (old, old))
    store.privacy.apply_retention(days=30, actor="timer")
    assert list(store.blobs.digests()) == [fresh]


def test_patient_digest_is_stable_and_keyed(settings: Settings, store: Store, tmp_path: Path) -> None:
    one = store.privacy.patient_digest("p")
    again = open_store(settings)
    assert again.privacy.patient_digest("p") == one
    again.close()
    other = open_store(Settings(data_dir=tmp_path / "elsewhere"))
    assert other.privacy.patient_digest("p") != one
    other.close()
