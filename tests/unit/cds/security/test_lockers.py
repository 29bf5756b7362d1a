"""Logins, sessions and launches outlast a process, are shared by several, and mean nothing without the browser."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, select, text

from cds.errors import LaunchRefusedError, StoreUnavailableError
from cds.security.access import build_gate
from cds.security.authorization_code import LASTS_S, Pending
from cds.security.lockers import Lockers
from cds.security.roles import Principal, PrincipalKind, Role
from cds.security.sessions import Sessions
from cds.settings import Settings
from cds.store.database import Database, open_database
from cds.store.tables import LockerRow
from tests.support.postgres import running_postgres

SECRET, OTHER = "s" * 43, "t" * 43
CONTENT = b'{"token": "Planted"}'
SOMEONE = Principal(
    name="jdoe", role=Role.CLINICIAN, kind=PrincipalKind.OIDC, credential_id="jti-1", token_tail="tail"
)  # fmt: skip


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a store that several processes may open."""
    plain = Settings(data_dir=tmp_path, audit_log=None)
    if request.param == "sqlite":
        return plain
    address = request.getfixturevalue("postgres")
    return plain.model_copy(update={"database_url": SecretStr(address)})


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = open_database(settings)
    with opened.transaction() as session:
        session.execute(text("DELETE FROM lockers"))
    yield opened
    opened.close()


@pytest.fixture(params=["here", "kept"])
def place(request: pytest.FixtureRequest, database: Database) -> Database | None:
    return None if request.param == "here" else database


def test_what_lies_there_is_found_by_its_secret_and_kind_only(place: Database | None) -> None:
    now = [1000.0]
    lockers = Lockers(place, clock=lambda: now[0])
    lockers.keep("launch", SECRET, CONTENT, ends=1010, capacity=10)
    assert lockers.look("launch", SECRET) == lockers.look("launch", SECRET) == CONTENT
    assert lockers.look("launch", OTHER) is lockers.look("session", SECRET) is lockers.look("launch", "") is None
    assert lockers.look("launch", "\ud800\x00") is None
    now[0] = 1010
    assert lockers.look("launch", SECRET) is lockers.take("launch", SECRET) is None


def test_what_is_taken_is_gone(place: Database | None) -> None:
    lockers = Lockers(place)
    lockers.keep("launch", SECRET, CONTENT, ends=4e9, capacity=10)
    assert lockers.take("launch", OTHER) is None
    assert lockers.take("launch", SECRET) == CONTENT
    assert lockers.take("launch", SECRET) is lockers.look("launch", SECRET) is None


def test_the_one_that_would_end_first_makes_room_within_its_kind(place: Database | None) -> None:
    lockers = Lockers(place, clock=lambda: 0.0)
    lockers.keep("session", SECRET, b"of another kind", ends=1, capacity=1)
    for number in range(4):
        lockers.keep("launch", f"{SECRET}{number}", b"%d" % number, ends=100 - number, capacity=3)
    found = [lockers.look("launch", f"{SECRET}{number}") for number in range(4)]
    assert found == [b"0", b"1", None, b"3"]
    assert lockers.look("session", SECRET) == b"of another kind"


def test_the_store_alone_gives_nothing_away(database: Database) -> None:
    lockers = Lockers(database)
    lockers.keep("launch", SECRET, CONTENT, ends=4e9, capacity=10)
    with database.reading() as session:
        row = session.scalars(select(LockerRow)).one()
    held = repr((row.name, row.kind, row.ends, row.sealed))
    assert "Planted" not in held and SECRET not in held
    with database.transaction() as session:
        session.execute(text("UPDATE lockers SET sealed = :other"), {"other": row.sealed[:-1] + b"\x00\x00"})
    assert lockers.look("launch", SECRET) is None
    with database.transaction() as session:
        session.execute(text("UPDATE lockers SET sealed = :other"), {"other": b"short"})
    assert lockers.take("launch", SECRET) is None


def test_what_has_ended_is_thrown_out(database: Database) -> None:
    Lockers(database, clock=lambda: 1000.0).keep("launch", SECRET, CONTENT, ends=1001, capacity=10)
    Lockers(database, clock=lambda: 1002.0).keep("session", OTHER, b"", ends=1003, capacity=10)
    with database.reading() as session:
        assert [one.kind for one in session.scalars(select(LockerRow))] == ["session"]


def test_of_many_who_ask_at_once_one_gets_it(settings: Settings, database: Database) -> None:
    Lockers(database).keep("launch", SECRET, CONTENT, ends=4e9, capacity=10)
    got: list[bytes | None] = []
    gate = threading.Barrier(4)

    def ask() -> None:
        own = Database(database.engine.url)
        gate.wait()
        got.append(Lockers(own).take("launch", SECRET))
        own.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(got, key=bool) == [None, None, None, CONTENT]


def test_a_login_begun_in_one_process_ends_once_in_another(database: Database) -> None:
    now = [1000.0]

    def process() -> Pending[Principal]:
        return Pending(Principal, kind="login", lockers=Lockers(database, clock=lambda: now[0]), clock=lambda: now[0])

    state, verifier = process().begin(SOMEONE, browser="cookie")
    begun = process().take(state, browser="cookie")
    assert (begun.what, begun.verifier) == (SOMEONE, verifier)
    with pytest.raises(LaunchRefusedError, match="used before"):
        process().take(state, browser="cookie")
    state, _ = process().begin(SOMEONE, browser="cookie")
    with pytest.raises(LaunchRefusedError):
        Pending(Principal, kind="launching", lockers=Lockers(database)).take(state, browser="cookie")
    now[0] += LASTS_S
    with pytest.raises(LaunchRefusedError, match="too long"):
        process().take(state, browser="cookie")


def test_what_another_version_wrote_counts_as_nothing(database: Database) -> None:
    lockers = Lockers(database)
    lockers.keep("login", SECRET, b'{"what": 1}', ends=4e9, capacity=10)
    with pytest.raises(LaunchRefusedError):
        Pending(Principal, kind="login", lockers=lockers).take(SECRET, browser="cookie")
    lockers.keep("session", SECRET + "\0", b'{"name": 1}', ends=4e9, capacity=10)
    assert Sessions(lasts_s=10, lockers=lockers).principal(SECRET) is None


def test_a_session_outlasts_its_process_and_ends_in_all(database: Database) -> None:
    first, second = (Sessions(lasts_s=60, lockers=Lockers(database)) for _ in range(2))
    value = first.begin(SOMEONE)
    assert second.principal(value) == SOMEONE
    second.end(value)
    assert first.principal(value) is None


@pytest.mark.parametrize("change", [{"access_token": SecretStr("another-token-2b7d")}, {"oidc_roles": {"a": "admin"}}])
def test_new_credentials_end_the_sessions_of_the_old_ones(
    settings: Settings, database: Database, change: dict[str, object]
) -> None:
    before = settings.model_copy(update={"access_token": SecretStr("first-token-9Xq3")})
    value = build_gate(before, database)._sessions.begin(SOMEONE)
    assert build_gate(before, database)._sessions.principal(value) == SOMEONE
    assert build_gate(before.model_copy(update=change), database)._sessions.principal(value) is None


def test_a_store_that_is_away_is_an_error_and_lets_nobody_in() -> None:
    away = Lockers(Database(make_url("postgresql+psycopg://cds@127.0.0.1:9/cds")))
    with pytest.raises(StoreUnavailableError):
        away.look("session", SECRET)
