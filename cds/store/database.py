"""Opens SQLite or PostgreSQL, brings the tables up to date, hands out transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Session, sessionmaker

from cds.errors import ConflictError, SettingsError, StoreError, StoreOutOfDateError, StoreUnavailableError
from cds.settings import Settings

SQLITE_NAME: Final = "fracture-cds.sqlite3"
BUSY_MS: Final = 15_000
"""How long a writer waits for another one (SQLite has one writer at a time)."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_NUMBER: Final = 742_017_311
"""PostgreSQL advisory lock under which one process migrates."""


class Database:
    """One open database.

    Args:
        url: SQLAlchemy address, SQLite or PostgreSQL.
    """

    def __init__(self, url: URL) -> None:
        self._engine = _make_engine(url)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return self._engine

    @property
    def is_sqlite(self) -> bool:
        """SQLite rather than PostgreSQL."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """All or nothing: commits at the end, rolls back on any error.

        Raises:
            StoreUnavailableError: the database does not answer, is locked, or its disk is full; nothing was kept.
            ConflictError: another transaction stored something under the same key first; nothing was kept.
            StoreError: the database refused for another reason.
        """
        try:
            with self._sessions.begin() as session:
                if self.is_sqlite:
                    # A deferred transaction that turns into a writer may fail at once; one that begins as such waits.
                    session.execute(text("BEGIN IMMEDIATE"))
                yield session
        except SQLAlchemyError as error:
            raise translated(error) from None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent look; writes nothing.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        try:
            with self._sessions() as session:
                if self.is_sqlite:
                    session.execute(text("BEGIN"))
                yield session
                session.expunge_all()
                session.rollback()
        except SQLAlchemyError as error:
            raise translated(error) from None

    def migrate(self) -> None:
        """Bring the tables up to this program's version; safe with several processes starting at once.

        Raises:
            StoreOutOfDateError: the tables are newer than the program.
            StoreUnavailableError: the database does not answer.
        """
        try:
            with self._engine.connect() as connection:
                if self.is_sqlite:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                else:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
                known = ScriptDirectory.from_config(_alembic(connection))
                current = MigrationContext.configure(connection).get_current_revision()
                if current is not None and current not in {one.revision for one in known.walk_revisions()}:
                    raise StoreOutOfDateError(
                        "The tables were made by a newer version of this program.",
                        remedy="Run the newer version, or restore the backup that was made before it.",
                    )
                command.upgrade(_alembic(connection), "head")
                connection.commit()
        except SQLAlchemyError as error:
            raise translated(error) from None

    def check(self) -> None:
        """Answer, or say why not.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def open_database(settings: Settings) -> Database:
    """The database that the settings name, up to date.

    Raises:
        SettingsError: the address cannot be used.
        StoreError: it does not answer, or its tables are newer than the program.
    """
    database = Database(database_url(settings))
    database.migrate()
    return database


def database_url(settings: Settings) -> URL:
    """The address of the database; the password from its own file where one is named.

    Raises:
        SettingsError: it is no address, or of another kind of database, or the password cannot be read.
    """
    if settings.database_url is None:
        return URL.create("sqlite", database=str(settings.data_dir / SQLITE_NAME))
    try:
        url = make_url(settings.database_url.get_secret_value())
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise SettingsError(
            "FRACTURE_CDS_DATABASE_URL is no address of a SQLite or PostgreSQL database.",
            remedy="Write it like postgresql://user@host:5432/name or sqlite:////var/lib/fracture-cds/store.sqlite3.",
        )
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if settings.database_password_file is not None:
        try:
            password = settings.database_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                "The file of the database's password cannot be read.",
                remedy="Check FRACTURE_CDS_DATABASE_PASSWORD_FILE and who may read that file.",
            ) from None
        url = url.set(password=password)
    return url


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        # hide_parameters: an error text must not quote what was to be stored.
        return create_engine(
            url, pool_pre_ping=True, pool_size=5, max_overflow=10, pool_timeout=15, hide_parameters=True
        )
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            Path(url.database).touch(mode=0o600, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(
                f"The folder of the store cannot be written: {error.strerror}.",
                remedy="Let this user write it (in a container: mount a volume there), or set FRACTURE_CDS_DATA_DIR.",
            ) from None
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver must not begin transactions of its own: `transaction` says when and how.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        # Deleted rows are overwritten: erased data must not stay in free pages.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    return engine


def _alembic(connection: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def translated(error: SQLAlchemyError) -> StoreError:
    """The store's own error; the driver's text is dropped, since it may quote what was to be stored."""
    if isinstance(error, OperationalError | InterfaceError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return StoreUnavailableError(
            "The database does not answer, is locked, or its disk is full; nothing was kept.",
            remedy="Check the database server and the free space, then repeat.",
        )
    if isinstance(error, IntegrityError):
        return ConflictError("Something else was stored under the same key at the same time.", remedy="Ask again.")
    if type(error).__name__ == "TimeoutError":
        return StoreUnavailableError(
            "Every connection to the database is in use.", remedy="Repeat a little later, or lower the load."
        )
    return StoreError(
        f"The database refused ({type(error).__name__}).", remedy="Report this to the maintainers; nothing was kept."
    )
