"""The console's own reckoning: numbers as people read them, and the places of a graph's nodes."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.dashboards.loading import standard_dashboards
from backend.dashboards.templates import to_template
from backend.entities.ids import service_id
from tests.backend.console.browser import SUPPRESSED, Browser

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
            [None, 0, 0.052, 1, 12.34, 99.96, 4560, 1.2e6, 9.994e8, 9.995e8, 5e9],
            [NOTHING, "0", "0.05", "1", "12.3", "100", "4,560", "1.2 M", "999 M", "1 G", "5 G"],
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


@pytest.mark.parametrize(
    ("unit", "expressions", "most"),
    [
        ("%", ["kubernetes_service_successful_rate / 100"], 100),
        ("number", ["kubernetes_service_apdex / 10000"], 1),
        ("number", ["kubernetes_service_relation_client_apdex/10000 ", "kubernetes_service_apdex / 10000"], 1),
        ("number", ["kubernetes_service_apdex"], None),
        ("number", ["kubernetes_service_apdex / 10000", "kubernetes_service_read_cpm"], None),
        ("per minute", ["kubernetes_service_read_cpm"], None),
    ],
)
def test_what_no_value_can_exceed_is_known(
    browser: Browser, site: str, unit: str, expressions: list[str], most: float | None
) -> None:
    browser.open(f"{site}console/missing.html")
    widget = {"unit": unit, "lines": [{"expression": each} for each in expressions]}
    assert browser.load(f"{site}console/scripts/widgets.js", f"m.wholeOf({json.dumps(widget)})") == most


def test_every_apdex_that_the_dashboards_show_is_seen_against_1(browser: Browser, site: str) -> None:
    browser.open(f"{site}console/missing.html")
    shown = {
        (dashboard.name, widget.title): msgspec.to_builtins(widget)  # as the page is told it
        for dashboard in standard_dashboards()
        for tab in dashboard.content.tabs
        for widget in tab.widgets
        if widget.title.startswith("Apdex")
    }
    assert len(shown) >= 5
    found = browser.load(f"{site}console/scripts/widgets.js", f"{json.dumps(list(shown.values()))}.map(m.wholeOf)")
    assert dict(zip(shown, found, strict=True)) == dict.fromkeys(shown, 1)


@pytest.mark.parametrize(
    ("unit", "values", "texts"),
    [
        ("number", [None, -2.5, 0, 12.34], [NOTHING, "-2.5", "0", "12.3"]),
        ("per minute", [None, 4560], [NOTHING, "4,560/min"]),
        ("per second", [None, 0.5], [NOTHING, "0.50/s"]),
        ("bytes", [None, 2048], [NOTHING, "2 KiB"]),
        ("bytes per second", [None, 2048], [NOTHING, "2 KiB/s"]),
        ("ns", [None, 2500], [NOTHING, "2.5 µs"]),
        ("ms", [None, 0, 0.25, 1500], [NOTHING, "0 ms", "250 µs", "1.5 s"]),
        ("%", [None, 99.5, 100], [NOTHING, "99.50 %", "100 %"]),
        ("apples", [None, 3], [NOTHING, "3 apples"]),
    ],
)
def test_units(browser: Browser, site: str, unit: str, values: list[float | None], texts: list[str]) -> None:
    browser.open(f"{site}console/missing.html")
    expression = f"{json.dumps(values)}.map(m.formatOf({json.dumps(unit)}))"
    assert browser.load(f"{site}console/scripts/format.js", expression) == texts


@pytest.mark.parametrize(("hour", "text"), [(0, "00:05"), (13, "13:05")])
def test_a_moment_has_the_hours_that_charts_have(browser: Browser, site: str, hour: int, text: str) -> None:
    browser.open(f"{site}console/missing.html")
    shown = browser.load(f"{site}console/scripts/format.js", f"m.moment(new Date(Date.UTC(2026, 0, 31, {hour}, 5)))")
    assert "2026" in shown
    assert shown.endswith(text)


@pytest.mark.parametrize("name", ["api", "cluster::späti.default", "日本", ""])
def test_names_of_services_are_read_from_ids(browser: Browser, site: str, name: str) -> None:
    browser.open(f"{site}console/missing.html")
    for normal in (True, False):
        identity = service_id(name, normal=normal)
        found = browser.load(f"{site}console/scripts/entities.js", f"m.serviceOf({json.dumps(identity)})")
        assert found == {"name": name or "_blank", "normal": normal}


def test_an_id_that_is_none_is_shown_as_it_is(browser: Browser, site: str) -> None:
    browser.open(f"{site}console/missing.html")
    found = browser.load(f"{site}console/scripts/entities.js", "['%', 'wA==.1'].map((id) => m.serviceOf(id).name)")
    assert found == ["%", "wA==.1"]


def test_stages_lie_beside_each_other_within_their_outer_one(browser: Browser, site: str) -> None:
    browser.open(f"{site}console/missing.html")
    stages = [
        {"name": "call", "within": None, "value": 100},
        {"name": "a", "within": "call", "value": 30},
        {"name": "b", "within": "call", "value": None},
        {"name": "c", "within": "call", "value": 50},
        {"name": "d", "within": "c", "value": 5},
        {"name": "e", "within": "b", "value": 1},
    ]
    expression = f"m.place({json.dumps(stages)}).map(({{ name, depth, start, share }}) => [name, depth, start, share])"
    assert browser.load(f"{site}console/scripts/stages.js", expression) == [
        ["call", 0, 0, None],
        ["a", 1, 0, 0.3],
        ["b", 1, 30, None],
        ["c", 1, 30, 0.5],
        ["d", 2, 30, 0.1],
        ["e", 2, 30, None],
    ]


def test_a_dashboard_comes_back_from_its_template(browser: Browser, site: str) -> None:
    browser.open(f"{site}console/missing.html")
    widgets = [
        {"title": kind, "kind": kind, "unit": "ms", "lines": [{"expression": "a", "name": "A"}]}
        for kind in ("line", "area", "bar", "value", "table")
    ]
    made = {"title": "Mine", "scope": "instance relation", "tabs": [{"title": "Mine", "widgets": widgets}]}
    kept = f"{{ id: 'x', configuration: JSON.stringify(m.toConfiguration({json.dumps(made)})) }}"
    found = browser.load(f"{site}console/scripts/templates.js", f"m.fromTemplate({kept})")
    assert found == {**made, "name": "x", "origin": "console"}


def test_templates_of_files_are_read_as_the_backend_writes_them(browser: Browser, site: str) -> None:
    browser.open(f"{site}console/missing.html")
    for dashboard in standard_dashboards():
        template = to_template(dashboard)
        given = json.dumps({"id": template.id, "configuration": template.configuration})
        found = browser.load(f"{site}console/scripts/templates.js", f"m.fromTemplate({given})")
        assert found["scope"] == dashboard.content.scope
        assert [tab["title"] for tab in found["tabs"]] == [tab.title for tab in dashboard.content.tabs]


@pytest.mark.parametrize(
    "configuration", ["{", "null", "[]", "{}", '{"entity":"Service","layer":"MESH","children":[]}']
)
def test_templates_of_others_are_left_out(browser: Browser, site: str, configuration: str) -> None:
    browser.open(f"{site}console/missing.html")
    given = json.dumps({"id": "x", "configuration": configuration})
    assert browser.load(f"{site}console/scripts/templates.js", f"m.fromTemplate({given})") is None


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


@settings(max_examples=60, deadline=None, suppress_health_check=SUPPRESSED)
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
