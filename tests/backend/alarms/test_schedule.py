"""Which minutes are due."""

from hypothesis import given
from hypothesis import strategies as st

from backend.alarms.schedule import DELAY, MAXIMUM_BEHIND, due


def test_a_minute_is_due_when_the_delay_after_it_is_over() -> None:
    assert due(9, 11 * 60 + DELAY - 0.01) == (range(10, 10), 0)
    assert due(9, 11 * 60 + DELAY) == (range(10, 11), 0)
    assert due(10, 11 * 60 + DELAY) == (range(11, 11), 0)


def test_without_a_past_only_the_latest_is_due() -> None:
    assert due(None, 1_000 * 60 + DELAY) == (range(999, 1_000), 0)


def test_what_is_too_far_behind_is_left_out() -> None:
    assert due(100, 121 * 60 + DELAY) == (range(111, 121), 10)
    assert due(110, 121 * 60 + DELAY) == (range(111, 121), 0)


def test_a_clock_that_goes_back_makes_nothing_due() -> None:
    assert due(500, 100 * 60 + DELAY) == (range(501, 501), 0)


@given(st.lists(st.floats(0, 600), max_size=30))
def test_every_minute_is_checked_once_or_skipped_once(pauses: list[float]) -> None:
    seen: list[int] = []
    now, checked, left_out = 6_000.0, None, 0
    for pause in pauses:
        now += pause
        minutes, skipped = due(checked, now)
        assert len(minutes) <= MAXIMUM_BEHIND
        seen += minutes
        left_out += skipped
        checked = seen[-1]
    assert seen == sorted(set(seen))
    assert not seen or len(seen) + left_out == seen[-1] - seen[0] + 1
