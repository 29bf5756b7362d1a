"""Alarms that were raised: each stands until somebody sets a new reference, whatever becomes of the cases behind it.

The guarantee on false alarms is one on raising them (`cds.learning.drift.evidence`), whoever looks and whenever; that
the cases are erased later, or judged anew, says nothing against an alarm. What is kept of it is a day and a figure of
many cases: no case's identifier, no moment at which a case came in.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedAlarm:
    """An alarm that somebody may have seen."""

    since: datetime | None
    """Midnight, UTC, of the day on which it was raised; None where what is kept of it is damaged."""
    evidence: float
    """Base-10 logarithm of the largest stake when it was first seen; 0 where what is kept of it is damaged."""


def day_of(moment: datetime) -> datetime:
    """Midnight, UTC, before a moment."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def written(alarms: Mapping[str, RaisedAlarm]) -> dict[str, Any]:
    """Alarms by monitor, as JSON holds them."""
    return {
        name: {"since": None if one.since is None else one.since.isoformat(), "evidence": one.evidence}
        for name, one in alarms.items()
    }


def read_alarms(kept: object) -> dict[str, RaisedAlarm]:
    """Alarms by monitor from JSON; one that is damaged stands, too, without its day.

    Args:
        kept: what `written` gave, or anything.
    """
    if not isinstance(kept, dict):
        _log.warning("the drift alarms that are kept cannot be read")
        return {}
    return {str(name): _read(one) for name, one in kept.items()}


def _read(kept: object) -> RaisedAlarm:
    try:
        if not isinstance(kept, dict):
            raise TypeError
        since, evidence = datetime.fromisoformat(kept["since"]), float(kept["evidence"])
        if since.tzinfo is None or not math.isfinite(evidence):
            raise ValueError
        return RaisedAlarm(since=day_of(since), evidence=evidence)
    except (KeyError, TypeError, ValueError, OverflowError):
        _log.warning("a drift alarm that is kept is damaged; it stands without its day")
        return RaisedAlarm(since=None, evidence=0.0)
