"""agent/telemetry/causes.py: no more causes than fit, and no figure that falls."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.causes import CAUSES, OTHER, Causes


def test_what_fits_is_told_as_it_is() -> None:
    assert Causes().bounded("tls", {"a": 1, "b": 0}) == {"a": 1, "b": 0}


def test_beyond_the_bound_the_rest_is_one() -> None:
    causes = Causes()
    counts = {f"cause {number}": 1 for number in range(CAUSES + 10)}
    bounded = causes.bounded("tls", counts)
    assert len(bounded) == CAUSES + 1
    assert bounded[OTHER] == 10
    assert len(causes.bounded("conntrack", counts)) == CAUSES + 1  # each part has its own


@given(st.lists(st.permutations(range(6)).flatmap(lambda order: st.tuples(st.just(order), st.integers(0, 5)))))
def test_nothing_falls_and_nothing_is_lost(steps: list[tuple[list[int], int]]) -> None:
    """Counts grow, and come in any order."""
    causes, counts = Causes(3), Counter[str]()
    before: dict[str, int] = {}
    for order, grown in steps:
        counts[str(grown)] += 1
        bounded = causes.bounded("part", {str(at): counts[str(at)] for at in order if str(at) in counts})
        assert sum(bounded.values()) == counts.total()
        assert len(bounded) <= 4
        assert all(bounded[cause] >= count for cause, count in before.items())
        before = bounded
