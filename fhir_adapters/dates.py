"""FHIR dates and times as aware datetimes.

A date of which only the year, the month or the day is recorded stands for its first moment, so a partial date counts as
older than a complete one within it. A time without zone is read as UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from fhir_adapters.shapes import JsonObject, as_list, as_number, as_object, as_text

EARLIEST_ZONE_AHEAD = timedelta(hours=14)
"""A calendar day begins up to 14 hours earlier on some meridian than in UTC."""

_YEARS = range(1850, 2201)
"""Outside of these a date is a typing error, and arithmetic on it may overflow."""

_DAYS_PER_AGE_UNIT = {"a": 365.25, "mo": 30.4375, "wk": 7.0, "d": 1.0}
"""UCUM units of an Age: mean Julian year and month."""
_OLDEST_YEARS = 130

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something was, as precisely as the record says."""

    start: datetime
    """Timezone-aware; the first moment of a partial date."""
    complete: bool = True
    """False for a year, a month or a day without a time."""

    def is_after(self, as_of: datetime) -> bool:
        """Whether it surely lies after `as_of`; a bare day is given the benefit of the meridian."""
        return self.start > (as_of if self.complete else as_of + EARLIEST_ZONE_AHEAD)

    def until(self, as_of: datetime) -> datetime:
        """The start, but never later than `as_of` (today's bare date may begin after it in UTC)."""
        return min(self.start, as_of)


def parse_moment(text: object) -> Moment | None:
    """A FHIR date, dateTime or instant; None when it is absent, malformed or of an impossible year."""
    return _parse(text) if isinstance(text, str) else None


@lru_cache(maxsize=4096)
def _parse(text: str) -> Moment | None:
    """Parse one date; remembered, because all measurements of a visit bear the same."""
    try:
        if "T" in text:
            if _TIME.fullmatch(text) is None:
                return None
            # FHIR allows the leap second :60, Python does not.
            start = datetime.fromisoformat(text if text[16:19] != ":60" else text[:17] + "59" + text[19:])
            start = start if start.tzinfo is not None else start.replace(tzinfo=UTC)
            return Moment(start=start) if start.year in _YEARS else None
        match = _DATE.fullmatch(text)
        if match is None or int(match[1]) not in _YEARS:
            return None
        start = datetime(int(match[1]), int(match[2] or 1), int(match[3] or 1), tzinfo=UTC)
        return Moment(start=start, complete=False)
    except ValueError:
        return None


def first_moment(resource: JsonObject, *names: str) -> tuple[Moment | None, bool]:
    """The first readable date among the named elements.

    ``xPeriod.start`` and ``xPeriod.end`` reach into a Period, ``xTiming`` takes its first event.

    Returns:
        The moment, and whether a date was there that cannot be read.
    """
    unreadable = False
    for name in names:
        element, _, part = name.partition(".")
        value = resource.get(element)
        if value is None:
            continue
        if part:
            value = as_object(value).get(part)
        elif element.endswith("Timing"):
            value = next(iter(as_list(as_object(value).get("event"))), None)
        if value is None:
            continue
        moment = parse_moment(value)
        if moment is not None:
            return moment, unreadable
        unreadable = True
    return None, unreadable


def moment_at_age(born: date | None, age: object) -> Moment | None:
    """When a person reached an age: the first moment at which it may have been.

    Args:
        born: Date of birth; without it an age is no date.
        age: A FHIR Age with a UCUM unit (``a``, ``mo``, ``wk``, ``d``).

    Returns:
        None when the age is absent, has another unit or a comparator, or is impossible.
    """
    quantity = as_object(age)
    value = as_number(quantity.get("value"))
    days = _DAYS_PER_AGE_UNIT.get(as_text(quantity.get("code")) or as_text(quantity.get("unit")) or "")
    if born is None or value is None or days is None or "comparator" in quantity:
        return None
    if not 0 <= value * days <= _OLDEST_YEARS * _DAYS_PER_AGE_UNIT["a"]:
        return None
    start = datetime(born.year, born.month, born.day, tzinfo=UTC) + timedelta(days=value * days)
    return Moment(start=start, complete=False)
