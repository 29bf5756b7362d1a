"""A PostgreSQL server of the tests' own: loopback only, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


def _programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server that a test may stop and start again."""

    url: str
    socket_url: str
    """The same server over a socket in a folder, which other network namespaces reach, too."""
    start: Callable[[], None]
    stop: Callable[[], None]


@contextmanager
def running_postgres() -> Iterator[str]:
    """Yields the address of an empty database; skips where PostgreSQL is not installed, but not under ``CI=true``."""
    with postgres_server() as server:
        yield server.url


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Yields a running server with an empty database; skips as `running_postgres` does."""
    programs = _programs()
    if programs is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed: .ci/run should have done so")
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="cds-postgres-"))
    as_user: dict[str, int] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        as_user = {"user": account.pw_uid, "group": account.pw_gid}
        os.chown(folder, account.pw_uid, account.pw_gid)
    data, port = folder / "data", _free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    subprocess.run(
        [programs / "initdb", "-D", data, "-A", "trust", "-U", "cds", "-E", "UTF8", "--no-sync"],
        check=True,
        **quiet,
        **as_user,  # type: ignore[call-overload]
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    control = [programs / "pg_ctl", "-D", data, "-w", "-o", options]

    def start() -> None:
        subprocess.run([*control, "start"], check=True, **quiet, **as_user)  # type: ignore[call-overload]

    def stop() -> None:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, **quiet, **as_user)  # type: ignore[call-overload]

    start()
    try:
        folder.chmod(0o711)
        by_socket = f"postgresql://cds@/postgres?host={folder}&port={port}"
        yield PostgresServer(f"postgresql://cds@127.0.0.1:{port}/postgres", by_socket, start, stop)
    finally:
        stop()
        shutil.rmtree(folder, ignore_errors=True)
