"""backend/query/topology_tree.py: every call on one line below its caller, whatever the graph looks like."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.query import shapes
from backend.query.topology_tree import ABOVE, BELOW, DEEPEST, MOST_LINES, Health, Line, lines, tree

SPAN = shapes.Span("2027-01-15T07:46:00Z", "2027-01-15T08:00:00Z", 15.0)


def call(source: str, target: str, volume: float = 0.0) -> shapes.Call:
    return shapes.Call(
        id=f"{source}-{target}",
        source=source,
        target=target,
        detect_points=["client"],
        protocols=["http"],
        connects=None,
        connects_failed=2,
        accepts=None,
        closes=None,
        client=shapes.CallTotals(),
        server=shapes.CallTotals(),
        rates=shapes.CallRates(bytes_sent_per_second=volume, bytes_received_per_second=0.0, writes_per_minute=30.0),
    )


def topology(calls: Iterable[shapes.Call]) -> shapes.Topology:
    calls = list(calls)
    names = sorted({end for one in calls for end in (one.source, one.target)})
    return shapes.Topology(SPAN, [shapes.Node(name, name, name, name != "Unknown") for name in names], calls)


def drawn(*calls: shapes.Call) -> list[str]:
    return [f"{line.guide}{line.node}{line.note}" for line in lines(calls)]


def test_callers_with_those_they_call_busiest_first() -> None:
    calls = call("front", "cart", 10), call("front", "api", 20), call("api", "db"), call("api", "cache", 5)
    assert drawn(*calls) == ["front", "├─ api", "│  ├─ cache", "│  └─ db", "└─ cart"]


def test_a_service_that_calls_is_drawn_with_those_once() -> None:
    calls = call("a", "x", 10), call("b", "x", 5), call("x", "db"), call("b", "db")
    assert drawn(*calls) == ["a", "└─ x", "   └─ db", "b", "├─ x (above)", "└─ db"]


def test_circles_begin_at_the_busiest() -> None:
    assert drawn(call("a", "b", 1), call("b", "c", 9), call("c", "a", 2)) == [
        "b",
        "└─ c",
        "   └─ a",
        "      └─ b (above)",
    ]
    assert drawn(call("a", "a")) == ["a", "└─ a (itself)"]


def test_a_long_way_goes_on_in_a_tree_of_its_own() -> None:
    chain = [call(f"s{number:02}", f"s{number + 1:02}") for number in range(DEEPEST + 2)]
    shown = drawn(*chain)
    assert shown[DEEPEST].endswith(f"s{DEEPEST:02}{BELOW}")
    assert shown[DEEPEST + 1 :] == ["s08", "└─ s09", "   └─ s10"]


GRAPHS = st.dictionaries(
    st.tuples(st.sampled_from("abcdefghijklm"), st.sampled_from("abcdefghijklm")), st.integers(0, 9), max_size=40
)


def _levels(line: Line) -> int:
    return len(line.guide) // 3


@given(GRAPHS)
def test_every_call_has_a_line_below_its_caller(graph: dict[tuple[str, str], int]) -> None:
    shown = lines([call(source, target, volume) for (source, target), volume in graph.items()])
    path: list[str] = []
    found: Counter[tuple[str, str]] = Counter()
    expanded: Counter[str] = Counter()
    for line in shown:
        level = _levels(line)
        assert level <= DEEPEST
        del path[level:]
        if line.call is None:
            assert level == 0
        else:
            assert (line.call.source, line.call.target) == (path[-1], line.node)
            found[line.call.source, line.call.target] += 1
        calls_others = any(source == line.node for source, _ in graph)
        if calls_others and not line.note:
            expanded[line.node] += 1
        path.append(line.node)
    assert found == dict.fromkeys(graph, 1)
    assert expanded == dict.fromkeys({source for source, _ in graph}, 1)


@given(GRAPHS)
def test_notes_point_the_right_way(graph: dict[tuple[str, str], int]) -> None:
    shown = lines([call(source, target, volume) for (source, target), volume in graph.items()])
    drawn_at = {line.node: at for at, line in enumerate(shown) if not line.note}
    for at, line in enumerate(shown):
        if line.note == ABOVE:
            assert drawn_at[line.node] < at
        if line.note == BELOW:
            assert drawn_at[line.node] > at


def test_a_row_has_the_health_of_the_called_and_the_numbers_of_the_call() -> None:
    health = {"api": Health(200.0, 12_000_000.0, 0.9512), "front": Health()}
    listing = tree(topology([call("front", "api", 1024), call("Unknown", "front", 5)]), health)
    assert listing.rows == [
        ("Unknown (no agent)", "-", "-", "-", "", "", "", "", ""),
        ("└─ front", "-", "-", "-", "2", "5 B/s", "0 B/s", "30", "http"),
        ("   └─ ▲ api", "200", "12 ms", "95.12 %", "2", "1 KiB/s", "0 B/s", "30", "http"),
    ]
    assert listing.caption == (
        "2027-01-15 07:46 to 2027-01-15 08:00 UTC, 15 minutes observed\n▲ less than 99 % succeed"
    )


@pytest.mark.parametrize(
    ("success", "mark"), [(None, ""), (1.0, ""), (0.99, ""), (0.9899, "▲ "), (0.95, "▲ "), (0.9499, "✖ "), (0.0, "✖ ")]
)
def test_marks(success: float | None, mark: str) -> None:
    assert Health(1.0, 1.0, success).mark == mark


def test_more_lines_than_anybody_reads_are_counted() -> None:
    listing = tree(topology(call("hub", f"s{number:04}") for number in range(MOST_LINES + 20)), {})
    assert len(listing.rows) == MOST_LINES
    assert listing.caption is not None
    assert listing.caption.endswith("\n21 further lines; a pipe or --json gets all calls")
