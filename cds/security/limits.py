"""How much one user or address may ask: a bucket that refills steadily."""

import math
import threading
import time
from collections.abc import Callable

CAPACITY = 50_000
"""Buckets at once; full ones are forgotten first, since they say nothing."""


class RateLimit:
    """Token buckets by name: a burst of `count`, then `count` per `per_s`."""

    def __init__(self, count: int, *, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with every bucket full.

        Args:
            count: how often in `per_s` seconds, and at once.
            per_s: seconds.
            clock: seconds, from anywhere.
        """
        self._count = float(count)
        self._per_s = per_s
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> int:
        """Use one up; returns 0 when there was one, else the seconds until there is (at least 1)."""
        with self._lock:
            left = self._left(name)
            now = self._clock()
            if left < 1:
                return self._wait_s(left)
            if len(self._buckets) >= CAPACITY and name not in self._buckets:
                self._forget(now)
            self._buckets[name] = (left - 1, now)
            return 0

    def blocked(self, name: str) -> int:
        """As `take`, without using one up."""
        with self._lock:
            left = self._left(name)
            return 0 if left >= 1 else self._wait_s(left)

    def _left(self, name: str) -> float:
        left, when = self._buckets.get(name, (self._count, 0.0))
        return min(self._count, left + (self._clock() - when) * self._count / self._per_s)

    def _wait_s(self, left: float) -> int:
        return max(1, math.ceil((1 - left) * self._per_s / self._count))

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full again; if none is, the oldest tenth."""
        old = [name for name, (_, when) in self._buckets.items() if now - when >= self._per_s]
        for name in old or sorted(self._buckets, key=lambda one: self._buckets[one][1])[: max(1, CAPACITY // 10)]:
            del self._buckets[name]
