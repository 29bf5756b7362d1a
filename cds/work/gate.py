"""How many assessments may run and wait inside the web process; who comes when it is full is told when to come back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

from anyio import CapacityLimiter

from cds.errors import TooManyRequestsError

FULL: Final = "Too many cases wait for this service."
LONGEST_WAIT_S: Final = 60
_WEIGHT_OF_NEWEST: Final = 0.2


class Turnstile:
    """Lets a few in at a time, a bounded number wait, and nobody else; used from one event loop only.

    Args:
        at_once: how many run at the same time.
        limit: how many may run or wait.
    """

    def __init__(self, *, at_once: int, limit: int) -> None:
        self._places = CapacityLimiter(at_once)
        self._at_once = at_once
        self._limit = limit
        self._inside = 0
        self._usual_s = 1.0

    @property
    def inside(self) -> int:
        """How many run or wait."""
        return self._inside

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait for a place and hold it.

        Raises:
            TooManyRequestsError: as many wait as may.
        """
        if self._inside >= self._limit:
            raise TooManyRequestsError(retry_after_s=self.wait_s(), message=FULL)
        self._inside += 1
        try:
            async with self._places:
                began = monotonic()
                yield
                self._usual_s += _WEIGHT_OF_NEWEST * (monotonic() - began - self._usual_s)
        finally:
            self._inside -= 1

    def wait_s(self) -> int:
        """Seconds until there should be a place, 1 to 60."""
        return max(1, min(LONGEST_WAIT_S, round(self._usual_s * self._inside / self._at_once)))
