"""Many streams at once: the shipped ranks and stakes, a step of all streams at a time.

What `cds.learning.drift` computes for one monitor of one site takes milliseconds; a thousand years of twenty-one
monitors take too many of them. Here every stream and monitor is a row, and all rows move to their next value together.
A test holds the two computations against each other.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cds.learning.drift.evidence import YEAR_DAYS, bets
from cds.learning.drift.monitors import MONITORS, Group, Kind, Monitor
from cds.learning.drift.watching import MONITOR_LEVEL, OUTCOME_REFERENCE_CASES

Column = NDArray[np.float64] | NDArray[np.str_]
Stream = tuple[Mapping[str, Column], NDArray[np.int64], int]
"""Columns by monitor, the day of each case (-1 in the reference), and the number of cases in the reference."""
_QUIET: Final = -1
_MOST: Final = 1e60


def alarms_of(streams: Sequence[Stream], draw: np.random.Generator) -> list[dict[str, int]]:
    """Day of the first alarm of each monitor that raises one, of each stream.

    Args:
        streams: of one year at most each.
        draw: random numbers that break ties.
    """
    found: list[dict[str, int]] = [{} for _ in streams]
    for wanted in (_is_outcome, _is_number, _is_category):
        monitors = [one for one in MONITORS if wanted(one)]
        rows = [(place, one) for place in range(len(streams)) for one in monitors]
        days = first_alarms([_row(streams[place], one) for place, one in rows], draw, categories=wanted is _is_category)
        for (place, monitor), day in zip(rows, days.tolist(), strict=True):
            if day != _QUIET:
                found[place][monitor.name] = day
    return found


def _is_outcome(monitor: Monitor) -> bool:
    return monitor.group is Group.OUTCOME


def _is_category(monitor: Monitor) -> bool:
    return monitor.kind is Kind.CATEGORY


def _is_number(monitor: Monitor) -> bool:
    return not _is_outcome(monitor) and not _is_category(monitor)


def _row(stream: Stream, monitor: Monitor) -> tuple[NDArray[np.int16], NDArray[np.int64], int]:
    """Codes of the values in their order, the day of each, and how many are the reference."""
    columns, when, reference = stream
    column = columns[monitor.name]
    there = np.ones(len(column), np.bool_) if _is_category(monitor) else ~np.isnan(column.astype(np.float64))
    kept = np.flatnonzero(there)
    size = OUTCOME_REFERENCE_CASES if _is_outcome(monitor) else int((kept < reference).sum())
    codes = np.unique(column[kept], return_inverse=True)[1].astype(np.int16)
    return codes, np.maximum(when[kept], 0), size


def first_alarms(
    rows: Sequence[tuple[NDArray[np.int16], NDArray[np.int64], int]], draw: np.random.Generator, *, categories: bool
) -> NDArray[np.int64]:
    """Day of the first alarm of each row, -1 where there is none.

    Args:
        rows: of each the codes of its values in their order, the day of each, and how many are the reference.
        draw: random numbers that break ties, one per row and step.
        categories: whether the codes are categories, not numbers.
    """
    count, longest = len(rows), max(len(codes) for codes, _, _ in rows)
    codes = np.zeros((longest, count), dtype=np.int16)
    share, waiting = np.zeros((longest, count), dtype=np.float32), np.ones((longest, count), dtype=np.float32)
    days = np.zeros((longest, count), dtype=np.int16)
    active = np.zeros((longest, count), dtype=np.bool_)
    there = np.zeros((longest, count), dtype=np.bool_)
    for place, (own, when, size) in enumerate(rows):
        end = len(own)
        codes[:end, place], days[:end, place], there[:end, place] = own, when, True
        active[size:end, place] = True
        share[size:end, place] = np.diff(when[size:] + 1, prepend=when[size : size + 1]) / YEAR_DAYS
        waiting[size:end, place] = 1 - (when[size:] + 1) / YEAR_DAYS
    counter = _Categories(count, int(codes.max()) + 1) if categories else _Numbers(count, int(codes.max()) + 1)
    running: NDArray[np.float64] | None = None
    found = np.full(count, _QUIET, dtype=np.int64)
    for step in range(longest):
        ranks = counter.ranks(codes[step].astype(np.int64), there[step], draw.random(count))
        if not active[step].any():
            continue
        on = active[step]
        factors = bets(np.where(on, ranks, 0.5))
        running = np.zeros_like(factors) if running is None else running
        running[on] = np.minimum(factors[on] * (running[on] + share[step, on, None]), _MOST)
        crossed = on & (running.mean(axis=1) + waiting[step] >= 1 / MONITOR_LEVEL) & (found == _QUIET)
        found[crossed] = days[step, crossed]
    return found


class _Numbers:
    """Ranks of numbers: counts of smaller and of equal values so far, in a tree of partial sums (Fenwick)."""

    def __init__(self, rows: int, codes: int) -> None:
        self._levels = max(1, int(codes).bit_length())
        self._tree = np.zeros((rows, 2**self._levels + 1), dtype=np.int16)
        self._same = np.zeros((rows, codes), dtype=np.int16)
        self._seen = np.zeros(rows, dtype=np.int64)
        self._row = np.arange(rows)

    def ranks(
        self, codes: NDArray[np.int64], there: NDArray[np.bool_], ties: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Of the next value of every row; a row without one stays as it is."""
        below = np.zeros(len(codes), dtype=np.int64)
        at = codes.copy()
        for _ in range(self._levels):
            below += np.where(at > 0, self._tree[self._row, at], 0)
            at &= at - 1
        same = self._same[self._row, codes] + 1
        ranks = (below + ties * same) / (self._seen + 1)
        self._same[self._row, codes] += there
        self._seen += there
        at, most = codes + 1, self._tree.shape[1] - 1
        for _ in range(self._levels + 1):
            inside = there & (at <= most)
            self._tree[self._row, np.minimum(at, most)] += inside
            at += at & -at
        return np.asarray(ranks)


class _Categories:
    """Ranks of categories by how often each was seen, the value itself included."""

    def __init__(self, rows: int, codes: int) -> None:
        self._counts = np.zeros((rows, codes), dtype=np.int64)
        self._row = np.arange(rows)

    def ranks(
        self, codes: NDArray[np.int64], there: NDArray[np.bool_], ties: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Of the next value of every row; a row without one stays as it is."""
        self._counts[self._row, codes] += there
        own = self._counts[self._row, codes][:, None]
        rarer = np.where(self._counts < own, self._counts, 0).sum(axis=1)
        same = np.where(self._counts == own, self._counts, 0).sum(axis=1)
        return np.asarray((rarer + ties * same) / np.maximum(self._counts.sum(axis=1), 1))
