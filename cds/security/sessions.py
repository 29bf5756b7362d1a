"""Who is logged in with a browser: a random cookie, remembered by its digest in this process only."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

from cds.security.roles import Principal

COOKIE = "fracture_cds_session"
CAPACITY = 10_000
"""Sessions at once; the oldest makes room."""


class Sessions:
    """The open sessions; a restart ends all of them."""

    def __init__(self, *, lasts_s: float, clock: Callable[[], float] = time.time) -> None:
        """Begin with none.

        Args:
            lasts_s: how long one lasts, in seconds.
            clock: seconds since 1970.
        """
        self._lasts_s = lasts_s
        self._clock = clock
        self._open: dict[str, tuple[Principal, float]] = {}
        self._lock = threading.Lock()

    def begin(self, principal: Principal) -> str:
        """Open a session; returns the value of its cookie."""
        value = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            for key in [key for key, (_, ends) in self._open.items() if ends <= now]:
                del self._open[key]
            while len(self._open) >= CAPACITY:
                del self._open[next(iter(self._open))]
            self._open[_digest(value)] = (principal, now + self._lasts_s)
        return value

    def principal(self, value: str) -> Principal | None:
        """Whose session a cookie stands for; None when it has ended."""
        found = self._open.get(_digest(value))
        return None if found is None or found[1] <= self._clock() else found[0]

    def end(self, value: str) -> None:
        """Close a session."""
        with self._lock:
            self._open.pop(_digest(value), None)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()
