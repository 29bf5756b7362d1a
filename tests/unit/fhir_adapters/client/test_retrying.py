"""When to try again and how long to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapters.client.retrying import RetryPolicy, parse_retry_after

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("1.5", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, now=NOW) == seconds


@given(st.text(max_size=60))
def test_any_header_reads_or_is_ignored(header: str) -> None:
    seconds = parse_retry_after(header, now=NOW)
    assert seconds is None or seconds >= 0


@given(st.integers(1, 40), st.floats(0, 1, exclude_max=True))
def test_own_wait_grows_up_to_its_limit(attempt: int, draw: float) -> None:
    wait = RetryPolicy(jitter=lambda: draw, first_wait_s=1, longest_wait_s=16).wait_s(attempt)
    ceiling = min(16.0, 2.0 ** (attempt - 1))
    assert ceiling / 2 <= wait <= ceiling


def test_the_server_may_ask_for_more_but_not_for_less() -> None:
    policy = RetryPolicy(jitter=lambda: 1, first_wait_s=1)
    assert policy.wait_s(1, "30") == 30
    assert policy.wait_s(1, "0") == 1
