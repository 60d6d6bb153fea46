"""Who had what when: examples, and any history beside a list of what was said."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend.entities.addresses.timeline import LASTING, Holding, Missing, Timeline


def holdings(timeline: Timeline[str, str], key: str = "k") -> list[tuple[int, int, str]]:
    return [(first, last, value) for first, last, value in timeline._holdings.get(key, ())]


def test_an_address_passes_from_one_to_the_next() -> None:
    timeline: Timeline[str, str] = Timeline(grace=5)
    assert timeline.set("k", "a", since=90, now=100)
    assert timeline.set("k", None, since=110, now=110)
    assert timeline.set("k", "b", since=112, now=112)
    found = {minute: timeline.find("k", minute) for minute in (88, 89, 90, 109, 110, 111, 112, 500)}
    assert found == {
        88: Missing.BEFORE,
        89: "a",  # clocks differ
        90: "a",
        109: "a",
        110: "a",
        111: "a",  # nobody has it, and its connections are not over yet
        112: "b",
        500: "b",
    }
    assert timeline.find("other", 100) is Missing.NEVER


def test_what_has_ended_answers_for_a_while() -> None:
    timeline: Timeline[str, str] = Timeline(grace=5)
    timeline.set("k", "a", since=100, now=100)
    timeline.set("k", None, since=110, now=110)
    assert [timeline.find("k", minute) for minute in (115, 116)] == ["a", Missing.AFTER]
    assert [timeline.find("k", minute, late=False) for minute in (110, 111)] == ["a", Missing.AFTER]


def test_within_a_minute_the_last_one_counts() -> None:
    timeline: Timeline[str, str] = Timeline()
    for answer in ("a", None, "b", None, "c"):
        assert timeline.set("k", answer, since=100, now=100)
    assert holdings(timeline) == [(100, LASTING, "c")]


def test_what_was_missed_is_put_right_by_the_time_since_which_it_is_there() -> None:
    timeline: Timeline[str, str] = Timeline()
    timeline.set("k", "a", since=50, now=100)
    timeline.set("k", "b", since=103, now=107)
    assert holdings(timeline) == [(50, 103, "a"), (103, LASTING, "b")]
    timeline.set("k", None, since=110, now=110)
    timeline.set("k", "c", since=108, now=111)  # it was not there before the last one had gone
    assert holdings(timeline)[-1] == (110, LASTING, "c")


def test_what_only_changes_its_name_does_so_now() -> None:
    timeline: Timeline[str, str] = Timeline()
    timeline.set("k", "pod without a service", since=50, now=100)
    timeline.set("k", "pod with a service", since=50, now=107)
    assert holdings(timeline) == [(50, 107, "pod without a service"), (107, LASTING, "pod with a service")]


def test_a_time_in_the_future_is_not_believed() -> None:
    timeline: Timeline[str, str] = Timeline()
    timeline.set("k", "a", since=500, now=100)
    timeline.set("k", "b", since=900, now=107)
    assert holdings(timeline) == [(100, 107, "a"), (107, LASTING, "b")]


def test_saying_the_same_again_changes_nothing() -> None:
    timeline: Timeline[str, str] = Timeline()
    assert timeline.set("k", "a", since=1, now=1)
    assert not timeline.set("k", "a", since=2, now=2)
    assert timeline.set("k", None, since=3, now=3)
    assert not timeline.set("k", None, since=4, now=4)
    assert holdings(timeline) == [(1, 3, "a")]


def test_what_has_ended_is_forgotten_in_time() -> None:
    timeline: Timeline[str, str] = Timeline(kept=60)
    timeline.set("k", "a", since=0, now=10)
    timeline.set("k", "b", since=20, now=20)
    timeline.set("gone", "c", since=0, now=10)
    timeline.set("gone", None, since=20, now=20)
    assert not timeline.forget(80)
    assert timeline.forget(81)
    assert holdings(timeline) == [(20, LASTING, "b")]
    assert (len(timeline), timeline.forgotten_early) == (1, 0)
    assert not timeline._ended


def test_too_many_that_have_ended_make_room_early_and_are_counted() -> None:
    timeline: Timeline[int, str] = Timeline(maximum_ended=3)
    for key in range(5):
        timeline.set(key, "a", since=1, now=1)
        timeline.set(key, None, since=2, now=2)
    assert timeline.forget(2)
    assert timeline.forgotten_early == 2
    assert sorted(timeline._holdings) == [2, 3, 4]


def test_a_key_beyond_the_bound_is_not_taken_and_counted() -> None:
    timeline: Timeline[int, str] = Timeline(maximum_keys=2)
    assert [timeline.set(key, "a", since=1, now=1) for key in range(3)] == [True, True, False]
    assert timeline.keys_without_room == 1
    assert timeline.set(0, "b", since=2, now=2)  # those that are known may change
    assert timeline.find(2, 1) is Missing.NEVER


_STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None])), max_size=30)


@given(_STEPS, st.integers(0, 4))
def test_any_history_that_is_told_in_time_reads_as_it_happened(steps: list[tuple[int, str | None]], grace: int) -> None:
    timeline: Timeline[str, str] = Timeline(grace=grace)
    now = 10
    said: list[tuple[int, str | None]] = []
    for pause, answer in steps:
        now += pause
        timeline.set("k", answer, since=now, now=now)
        said.append((now, answer))
    for minute in range(8, now + 10):
        assert timeline.find("k", minute) == _expected(said, minute, grace)


def _expected(said: list[tuple[int, str | None]], minute: int, grace: int) -> Any:  # noqa: ANN401 - as find
    """By going through everything that was said."""
    # Within a minute whoever was told last counts, also when the key was given up in that minute.
    holders = {time: answer for time, answer in said if answer is not None}
    if not holders:
        return Missing.NEVER
    if minute < min(holders):
        return holders[min(holders)] if min(holders) == minute + 1 else Missing.BEFORE
    last = max(at for at, (time, answer) in enumerate(said) if time <= minute and answer is not None)
    ends = [time for time, answer in said[last + 1 :] if answer is None]
    return said[last][1] if not ends or minute - ends[0] <= grace else Missing.AFTER


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-10, 10), st.sampled_from(["a", "b", None])), max_size=30))
def test_holdings_follow_each_other_whatever_is_said_of_the_past(steps: list[tuple[int, int, str | None]]) -> None:
    timeline: Timeline[str, str] = Timeline(kept=20)
    now = 50
    last: str | None = None
    for pause, before, answer in steps:
        now += pause
        timeline.set("k", answer, since=now + before, now=now)
        last = answer
        timeline.forget(now)
        found = timeline._holdings.get("k", ())
        assert all(isinstance(holding, Holding) for holding in found)
        assert all(one.begin < two.begin and one.end <= two.begin for one, two in pairwise(found))
        assert all(holding.begin <= holding.end for holding in found)
        assert dict(timeline.current()).get("k") == last
        assert all(holding.end >= now - 20 for holding in found)
