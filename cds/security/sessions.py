"""Who is logged in with a browser: a random cookie, which opens the locker that says who holds it."""

import secrets
import time
from collections.abc import Callable

from pydantic import TypeAdapter, ValidationError

from cds.security.lockers import Lockers
from cds.security.roles import Principal

COOKIE = "fracture_cds_session"
KIND = "session"
CAPACITY = 10_000
"""Sessions at once; the one that would end first makes room."""
_PRINCIPAL = TypeAdapter(Principal)


class Sessions:
    """The open sessions; they outlast a restart where there is a store, and every process that uses it knows them."""

    def __init__(
        self,
        *,
        lasts_s: float,
        lockers: Lockers | None = None,
        bound_to: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            lasts_s: how long one lasts, in seconds.
            lockers: where they lie; None for this process only.
            bound_to: what they depend on: with another value they are over.
            clock: seconds since 1970.
        """
        self._lasts_s = lasts_s
        self._lockers = lockers or Lockers(clock=clock)
        self._bound_to = bound_to
        self._clock = clock

    def begin(self, principal: Principal) -> str:
        """Open a session; returns the value of its cookie.

        Raises:
            StoreError: it cannot be kept.
        """
        value = secrets.token_urlsafe(32)
        content, ends = _PRINCIPAL.dump_json(principal), self._clock() + self._lasts_s
        self._lockers.keep(KIND, self._secret(value), content, ends=ends, capacity=CAPACITY)
        return value

    def principal(self, value: str) -> Principal | None:
        """Whose session a cookie stands for; None when it has ended.

        Raises:
            StoreError: the store does not answer.
        """
        content = self._lockers.look(KIND, self._secret(value))
        try:
            return None if content is None else _PRINCIPAL.validate_json(content)
        except ValidationError:  # another version of the program began it
            return None

    def end(self, value: str) -> None:
        """Close a session, in every process.

        Raises:
            StoreError: the store does not answer.
        """
        self._lockers.take(KIND, self._secret(value))

    def _secret(self, value: str) -> str:
        return f"{value}\0{self._bound_to}"
