"""agent/tls/shortage.py: how soon room is looked for, on a clock that the test moves."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.tls.shortage import PAUSES, Shortage


def test_nothing_is_due_until_a_file_finds_no_room() -> None:
    shortage = Shortage()
    assert (shortage.is_noted, shortage.due) == (False, math.inf)
    shortage.note()
    assert shortage.is_noted
    assert shortage.due < 0


def test_a_look_that_does_not_help_is_followed_by_longer_and_longer_pauses() -> None:
    shortage, now, pauses = Shortage(), 1000.0, []
    for _ in range(9):
        shortage.note()
        now = max(now, shortage.due)
        shortage.looked(now, made_room=False)
        shortage.note()
        pauses.append(shortage.due - now)
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300, 300]


def test_a_look_that_helps_is_followed_by_a_short_pause() -> None:
    shortage = Shortage()
    for now in range(5):
        shortage.note()
        shortage.looked(now, made_room=False)
    shortage.note()
    shortage.looked(100, made_room=True)
    assert shortage.due == math.inf
    shortage.note()
    assert shortage.due == 100 + PAUSES[0]


def test_a_look_that_nobody_waited_for_makes_no_pause_longer() -> None:
    shortage = Shortage()
    for now in range(5):
        shortage.looked(now, made_room=False)
    shortage.note()
    assert shortage.due == 4 + PAUSES[0]


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=50))
def test_two_looks_are_never_closer_than_the_first_pause(steps: list[tuple[int, bool]]) -> None:
    """However often files find no room, and whatever helps."""
    shortage, now, looks = Shortage(), 0.0, []
    for seconds, helps in steps:
        now += seconds / 10
        shortage.note()
        if now >= shortage.due:
            looks.append(now)
            shortage.looked(now, made_room=helps)
    assert all(later - earlier >= PAUSES[0] for earlier, later in pairwise(looks))
    assert bool(looks) is bool(steps)
