"""When a request is tried again, and how long to wait before it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Limits of patience for one request."""

    attempts: int = 5
    """Times a request is sent in all while the server is busy (429, 502, 503, 504) or the connection fails."""
    failure_attempts: int = 2
    """Times in all when the server fails (500) or its answer is damaged: seldom mended by asking again."""
    first_wait_s: float = 0.5
    """Wait before the second attempt; doubles each time."""
    longest_wait_s: float = 20.0
    """No wait of our own choosing is longer; a server may ask for more, within the deadline."""
    deadline_s: float = 90.0
    """From the first attempt to the last byte of the answer."""
    jitter: Callable[[], float] = field(default=random.random, repr=False, compare=False)
    """Draws from [0, 1): clients that failed together must not come back together."""

    def wait_s(self, attempt: int, retry_after: str | None = None) -> float:
        """Seconds to wait after an attempt that failed.

        Exponential back-off with equal jitter: half of the wait is fixed, half is drawn.

        Args:
            attempt: number of the attempt that failed, from 1.
            retry_after: the ``Retry-After`` header, which is a lower bound when it can be read.
        """
        ceiling = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (attempt - 1))
        own = ceiling * (0.5 + 0.5 * self.jitter())
        asked = parse_retry_after(retry_after)
        return own if asked is None else max(asked, own)


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or an HTTP date (RFC 9110, 10.2.3); None if absent or no such."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
