"""Spans of time, against the calendar of Python."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.query.mqe.duration import (
    MAXIMUM_POINTS,
    Duration,
    DurationError,
    Step,
    between,
    parse_duration,
    parse_offset,
)

FORMATS = {
    Step.SECOND: "%Y-%m-%d %H%M%S",
    Step.MINUTE: "%Y-%m-%d %H%M",
    Step.HOUR: "%Y-%m-%d %H",
    Step.DAY: "%Y-%m-%d",
}
OFFSETS = st.sampled_from([0, 60, -60, 330, -570, 765, 840, -720])


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("start", "end", "step", "first", "points"),
    [
        ("2026-03-01", "2026-03-03", Step.DAY, "2026-03-01T00:00:00Z", 3),
        ("2026-03-01 22", "2026-03-02 01", Step.HOUR, "2026-03-01T22:00:00Z", 4),
        ("2026-03-01 2259", "2026-03-01 2301", Step.MINUTE, "2026-03-01T22:59:00Z", 3),
        ("2026-03-01 225959", "2026-03-01 230001", Step.SECOND, "2026-03-01T22:59:59Z", 3),
        ("2024-02-29", "2024-02-29", Step.DAY, "2024-02-29T00:00:00Z", 1),
    ],
)
def test_both_ends_are_in_it(start: str, end: str, step: Step, first: str, points: int) -> None:
    assert parse_duration(start, end, step) == Duration(at(first), points, step)


@given(
    st.datetimes(datetime(1970, 1, 3), datetime(2098, 1, 1)),  # noqa: DTZ001 - clocks of any zone
    st.integers(0, MAXIMUM_POINTS - 1),
    st.sampled_from(Step),
    OFFSETS,
)
def test_buckets_are_those_that_the_clocks_of_the_zone_show(
    start: datetime, more: int, step: Step, offset: int
) -> None:
    zone = timezone(timedelta(minutes=offset))
    clocks = [start.replace(tzinfo=zone) + timedelta(seconds=number * step.value) for number in range(more + 1)]
    shown = [clock.strftime(FORMATS[step]) for clock in clocks]
    duration = parse_duration(shown[0], shown[-1], step, offset)
    assert [datetime.fromtimestamp(bucket, zone).strftime(FORMATS[step]) for bucket in duration.buckets] == shown
    expected = [datetime.strptime(text, FORMATS[step]).replace(tzinfo=zone).timestamp() for text in shown]
    assert list(duration.buckets) == expected


@pytest.mark.parametrize(
    ("step", "offset", "unit"),
    [
        (Step.DAY, 0, Step.DAY),
        (Step.DAY, 120, Step.HOUR),
        (Step.DAY, 330, Step.MINUTE),
        (Step.DAY, -1_440 + 660, Step.HOUR),
        (Step.HOUR, 480, Step.HOUR),
        (Step.HOUR, 345, Step.MINUTE),
        (Step.MINUTE, 345, Step.MINUTE),
        (Step.SECOND, 0, Step.SECOND),
    ],
)
def test_buckets_of_a_zone_are_put_together_from_the_longest_that_fit(step: Step, offset: int, unit: Step) -> None:
    start = at("2026-03-01T10:10:10Z")
    duration = between(start, start + 2 * step.value, step, offset)
    assert duration.unit is unit


def test_earlier_ones() -> None:
    duration = parse_duration("2026-03-01 10", "2026-03-01 12", Step.HOUR, 60)
    assert duration.before(2) == parse_duration("2026-03-01 08", "2026-03-01 10", Step.HOUR, 60)
    assert duration.extended(2) == parse_duration("2026-03-01 08", "2026-03-01 12", Step.HOUR, 60)


@pytest.mark.parametrize("step", Step)
def test_the_longest_span(step: Step) -> None:
    first = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    assert between(first, first + (MAXIMUM_POINTS - 1) * step.value, step).points == MAXIMUM_POINTS
    longer = "ask for a shorter span" if step is Step.DAY else "ask for a shorter span or a longer step"
    with pytest.raises(DurationError) as caught:
        between(first, first + MAXIMUM_POINTS * step.value, step)
    assert str(caught.value) == f"the span has 502 points of one {step.name.lower()}, more than 501: {longer}"


@pytest.mark.parametrize(
    ("start", "step", "pattern"),
    [
        ("2026-03-01", Step.HOUR, "yyyy-MM-dd HH"),
        ("2026-03-01 1011", Step.HOUR, "yyyy-MM-dd HH"),
        ("2026-03-01 10:11", Step.MINUTE, "yyyy-MM-dd HHmm"),
        ("2026-03-01 1011", Step.SECOND, "yyyy-MM-dd HHmmss"),
        ("2026-02-29", Step.DAY, "yyyy-MM-dd"),
        ("2026-03-01 24", Step.HOUR, "yyyy-MM-dd HH"),
        ("2026-03-01\n", Step.DAY, "yyyy-MM-dd"),
        ("\u0662\u0660\u0662\u0666-03-01", Step.DAY, "yyyy-MM-dd"),  # digits of another script
    ],
)
def test_times_are_written_as_the_step_wants_them(start: str, step: Step, pattern: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(start, start, step)
    assert str(caught.value) == f"start={start!r} is not a time at the step {step.name}: write it as {pattern}"
    assert step.pattern == pattern


@pytest.mark.parametrize(
    ("start", "end", "error"),
    [
        ("1969-12-31", "2026-03-01", "start='1969-12-31' is outside the years 1970 to 2099"),
        ("2026-03-01", "2100-01-01", "end='2100-01-01' is outside the years 1970 to 2099"),
        ("2026-03-02", "2026-03-01", "the start is after the end: exchange them; both belong to the span"),
    ],
)
def test_spans_that_are_none(start: str, end: str, error: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(start, end, Step.DAY)
    assert str(caught.value) == error


def test_offsets_of_zones() -> None:
    assert [parse_offset(text) for text in ("+0000", "+0800", "-03:30", "+1800")] == [0, 480, -210, 1_080]
    for text in ("0800", "+8", "+0860", "+1801", "+08000", ""):
        with pytest.raises(DurationError, match="write it as"):
            parse_offset(text)
    with pytest.raises(DurationError, match="no zone has that"):
        between(0, 0, Step.DAY, 1_081)
