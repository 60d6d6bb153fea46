"""Spans of time, as people and programs write them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.metrics.windows import Step
from backend.query.errors import QueryError
from backend.query.times import MAXIMUM_BUCKETS, Window, format_minute, parse_minute, parse_step, parse_window
from tests.backend.query.world import NOW, NOW_MINUTE


@pytest.mark.parametrize(
    ("text", "minute"),
    [
        ("now", NOW_MINUTE),
        ("-1m", NOW_MINUTE),
        ("-15m", NOW_MINUTE - 14),
        ("-30s", NOW_MINUTE),
        ("-61s", NOW_MINUTE - 1),
        ("-0m", NOW_MINUTE),
        ("-6h", NOW_MINUTE - 359),
        ("-2d", NOW_MINUTE - 2879),
        ("-1w", NOW_MINUTE - 10079),
        ("2027-01-15T08:00:00Z", NOW_MINUTE),
        ("2027-01-15T08:00:59.999+00:00", NOW_MINUTE),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_times_are_whole_minutes(text: str, minute: int) -> None:
    assert parse_minute(text, NOW, "start") == minute


def test_a_relative_span_has_as_many_minutes_as_it_says() -> None:
    window = parse_window("-15m", None, NOW)
    assert len(window.buckets(Step.MINUTE)) == 15
    assert window.last == NOW_MINUTE


@given(st.integers(0, 2_000_000_000 // 60))
def test_what_is_written_is_read_back(minute: int) -> None:
    assert parse_minute(format_minute(minute), NOW, "start") == minute


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        minute = parse_minute(text, NOW, "start")
    except QueryError:
        with pytest.raises(QueryError, match=r"^start=") as refused:
            parse_minute(text, NOW, "start")
        assert refused.value.hint.startswith("use RFC 3339")
    else:
        assert datetime.fromtimestamp(minute * 60, UTC)


@given(st.integers(0, 10_000_000), st.integers(0, 2_000_000))
def test_the_finest_step_that_fits_is_chosen(first: int, length: int) -> None:
    window = Window(first, first + length, NOW)
    try:
        step = parse_step(None, window)
    except QueryError:
        assert len(window.buckets(Step.DAY)) > MAXIMUM_BUCKETS
        return
    buckets = window.buckets(step)
    assert len(buckets) <= MAXIMUM_BUCKETS
    assert all(len(window.buckets(finer)) > MAXIMUM_BUCKETS for finer in Step if finer < step)
    assert buckets[0] <= first < buckets[0] + step
    assert buckets[-1] <= first + length < buckets[-1] + step


def test_unobserved_minutes_are_no_part_of_a_rate() -> None:
    window = Window(100, 109, 105 * 60 + 15)
    assert window.observed([]) == 0
    assert window.observed([99, 100, 103, 110]) == 2
    assert window.observed([104, 105]) == 1.25
    # The first seconds of a minute are too short for a rate; a clock that is behind must not make one negative.
    assert Window(100, 109, 105 * 60 + 1).observed([105]) == pytest.approx(1 / 6)
    assert Window(100, 109, 105 * 60 - 30).observed([105]) == pytest.approx(1 / 6)
