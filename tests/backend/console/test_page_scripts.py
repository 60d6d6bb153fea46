"""The console's own reckoning: numbers as people read them, and the places of a graph's nodes."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backend.console.browser import Browser

pytestmark = pytest.mark.browser
NOTHING = "–"  # noqa: RUF001 - the dash that is shown
NODES = "abcdefgh"

edges_of = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=20, unique=True)


@pytest.mark.parametrize(
    ("function", "values", "texts"),
    [
        ("count", [None, 0, 1234567], [NOTHING, "0", "1,234,567"]),
        (
            "rate",
            [None, 0, 0.052, 1, 12.34, 99.96, 4560, 1.2e6],
            [NOTHING, "0", "0.05", "1", "12.3", "100", "4,560", "1.2 M"],
        ),
        ("bytes", [None, 0, 1023, 1024, 1536, 2**30], [NOTHING, "0 B", "1,023 B", "1 KiB", "1.5 KiB", "1 GiB"]),
        ("bytesPerSecond", [None, 1536], [NOTHING, "1.5 KiB/s"]),
        (
            "share",
            [None, 0, 0.29, 0.5, 2 / 3, 0.9995, 0.999999, 1],
            [NOTHING, "0 %", "29 %", "50 %", "66.67 %", "99.95 %", "99.99 %", "100 %"],
        ),
        (
            "duration",
            [None, 0, 850, 999.9, 12_340, 4_500_000, 9e10],
            [NOTHING, "0 ns", "850 ns", "1 µs", "12.3 µs", "4.5 ms", "90 s"],
        ),
    ],
)
def test_numbers(browser: Browser, site: str, function: str, values: list[float | None], texts: list[str]) -> None:
    browser.open(f"{site}console/missing.html")
    shown = browser.load(
        f"{site}console/scripts/format.js", f"{json.dumps(values)}.map((value) => m.{function}(value))"
    )
    assert shown == texts


@pytest.mark.parametrize(
    ("arguments", "axis"),
    [
        ("60, m.rate", {"step": 25, "most": 75}),
        ("1200, m.rate", {"step": 500, "most": 1500}),
        ("20 * 1024, m.bytesPerSecond", {"step": 10 * 1024, "most": 30 * 1024}),
        ("3e6, m.duration", {"step": 2e6, "most": 4e6}),
        ("0, m.rate", {"step": 0.5, "most": 0.5}),
    ],
)
def test_axes_are_round(browser: Browser, site: str, arguments: str, axis: dict[str, float]) -> None:
    browser.open(f"{site}console/missing.html")
    assert browser.load(f"{site}console/scripts/format.js", f"m.ticks({arguments})") == axis


def layout(browser: Browser, site: str, edges: list[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Column and row of each node."""
    listed = json.dumps([{"source": source, "target": target} for source, target in edges])
    nodes = json.dumps(sorted(NODES))
    expression = f"[...m.layout({nodes}, {listed}).nodes].map(([node, {{ column, row }}]) => [node, column, row])"
    found = browser.load(f"{site}console/scripts/layout.js", expression)
    return {node: (column, row) for node, column, row in found}


def test_a_chain_runs_through_the_columns(browser: Browser, site: str) -> None:
    browser.open(f"{site}console/missing.html")
    places = layout(browser, site, [("a", "b"), ("b", "c"), ("a", "c"), ("c", "a")])
    assert [places[node][0] for node in "abc"] == [0, 1, 2]


def test_brothers_stand_beside_what_calls_them(browser: Browser, site: str) -> None:
    browser.open(f"{site}console/missing.html")
    places = layout(browser, site, [("a", "h"), ("b", "g"), ("a", "f"), ("b", "e"), ("c", "d")])
    rows = {node: places[node][1] for node in NODES}
    assert max(rows["f"], rows["h"]) < min(rows["e"], rows["g"]) < rows["d"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=edges_of)
def test_any_graph_has_a_place_for_every_node(browser: Browser, site: str, edges: list[tuple[str, str]]) -> None:
    if not browser.driver.current_url.startswith(site):
        browser.open(f"{site}console/missing.html")
    places = layout(browser, site, edges)
    assert places.keys() == set(NODES)
    assert len(set(places.values())) == len(NODES)  # no two in one place
    backward = {edge for edge in edges if edge[0] != edge[1] and places[edge[1]][0] <= places[edge[0]][0]}
    forward = set(edges) - backward
    # Only what closes a cycle may lead back: without cycles nothing does.
    for source, target in backward:
        assert reaches(forward | backward - {(source, target)}, target, source)


def reaches(edges: set[tuple[str, str]], start: str, end: str) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        if node == end:
            return True
        following = [target for source, target in edges if source == node and target not in seen]
        seen.update(following)
        waiting += following
    return False
