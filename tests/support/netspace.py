"""A network of the tests' own: only a loopback interface, so that no server in it can be reached from outside."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


class Netspace:
    """Runs programs and functions in the network namespace of a process."""

    def __init__(self, pid: int) -> None:
        """Join it in a thread kept for that: a namespace belongs to a thread, and threads it starts inherit it."""
        self._pid = pid
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=_join, initargs=(pid,))

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function inside; its sockets, and those of its threads, are inside, too."""
        return self._thread.submit(function, *args, **kwargs).result()

    def command(self, command: Sequence[str]) -> list[str]:
        """The command that runs another one inside."""
        return ["nsenter", "-t", str(self._pid), "-n", "--", *command]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def _join(pid: int) -> None:
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)


@contextmanager
def own_network() -> Iterator[Netspace]:
    """A namespace with a loopback interface; skips where the system allows none, but not under ``CI=true``."""
    script = "ip link set lo up && echo up && exec sleep 3600"
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    holder = None
    if not missing:
        holder = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "up":
            holder.wait()
            missing, holder = ["the right to make a network namespace"], None
    if holder is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"missing: {', '.join(missing)}")
        pytest.skip(f"missing: {', '.join(missing)}")
    space = Netspace(holder.pid)
    try:
        yield space
    finally:
        space.close()
        holder.kill()
        holder.wait()
