from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapters.dates import first_moment, parse_moment


@pytest.mark.parametrize(
    ("text", "start", "complete"),
    [
        ("2024", datetime(2024, 1, 1, tzinfo=UTC), False),
        ("2024-05", datetime(2024, 5, 1, tzinfo=UTC), False),
        ("2024-05-06", datetime(2024, 5, 6, tzinfo=UTC), False),
        ("2024-05-06T07:08:09Z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), True),
        ("2024-05-06T07:08:09.123456789+02:00", datetime(2024, 5, 6, 5, 8, 9, 123456, tzinfo=UTC), True),
        ("2024-05-06T07:08:09", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), True),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC), True),
    ],
)
def test_reads_dates_of_every_precision(text: str, start: datetime, complete: bool) -> None:
    moment = parse_moment(text)
    assert moment is not None
    assert (moment.start, moment.complete) == (start, complete)


@pytest.mark.parametrize(
    "text",
    ["", "20240506", "2024-W01-1", "2024-13", "2024-02-30", "0000", "0024-01-01", "9999", "2024-05-06T", 2024, None],
)
def test_refuses_what_is_no_fhir_date(text: object) -> None:
    assert parse_moment(text) is None


_OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1850, 1, 2), datetime(2200, 12, 30), timezones=_OFFSETS))
def test_any_instant_survives(when: datetime) -> None:
    moment = parse_moment(when.isoformat())
    assert moment is not None
    assert moment.start == when


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_moment(text)


def test_a_bare_day_may_have_begun_east_of_greenwich() -> None:
    as_of = datetime(2024, 6, 14, 20, 0, tzinfo=UTC)
    tomorrow = parse_moment("2024-06-15")
    assert tomorrow is not None
    assert not tomorrow.is_after(as_of)
    assert tomorrow.until(as_of) == as_of
    assert tomorrow.is_after(as_of - timedelta(hours=12))


def test_first_moment_falls_through_and_tells_what_it_could_not_read() -> None:
    resource: dict[str, object] = {"effectiveDateTime": "soon", "effectivePeriod": {"end": "2024-01-02"}}
    moment, unreadable = first_moment(resource, "effectiveDateTime", "effectivePeriod.end")
    assert unreadable
    assert moment is not None
    assert first_moment({}, "issued") == (None, False)
