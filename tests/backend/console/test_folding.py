"""What of a large cluster is drawn: little enough to read, and nothing counted twice."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import SUPPRESSED, Browser
from tests.backend.query import large_world, world

pytestmark = pytest.mark.browser
SPACES = ("", ".shop", ".bank", *(f".n{number}" for number in range(20)))


def topology(names: list[str], ends: list[tuple[int, int]]) -> dict[str, Any]:
    """The nth call sends 2^n bytes a second, so that a sum says which calls are in it."""
    rates = dict.fromkeys(("writes_per_minute", "reads_per_minute", "connects_per_minute"))
    return {
        "nodes": [{"id": f"id-{name}", "name": name, "service": name, "observed": True} for name in names],
        "calls": [
            {
                "id": f"call-{number}",
                "source": f"id-{names[source]}",
                "target": f"id-{names[target]}",
                "protocols": ["http"],
                "connects_failed": None,
                "rates": {**rates, "bytes_sent_per_second": 2**number, "bytes_received_per_second": None},
            }
            for number, (source, target) in enumerate(ends)
        ],
    }


def fold(browser: Browser, site: str, given: dict[str, Any], selected: str, *, around: bool = False) -> dict[str, Any]:
    if not browser.driver.current_url.startswith(f"{site}console/missing"):
        browser.open(f"{site}console/missing.html")
    asked = f"{json.dumps(given)}, {json.dumps(f'id-{selected}')}, {json.dumps(around)}"
    found: dict[str, Any] = browser.load(f"{site}console/scripts/folding.js", f"m.fold({asked})")
    return found


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("api.shop", "shop"),
        ("west::api.shop", "shop"),
        ("api", ""),
        ("10.0.0.1", ""),
        ("10.0.0.1:80", ""),
        ("[::1]:80", ""),
        (".shop", ""),
        ("a.b.shop-2", "shop-2"),
        ("10.shop", "shop"),
    ],
)
def test_the_namespace_of_a_name(browser: Browser, site: str, name: str, namespace: str) -> None:
    browser.open(f"{site}console/missing.html")
    assert browser.load(f"{site}console/scripts/folding.js", f"m.namespaceOf({json.dumps(name)})") == namespace


def test_what_is_few_is_drawn_as_it_is(browser: Browser, site: str) -> None:
    names = [f"s{number}.shop" for number in range(50)]
    given = topology(names, [(number, number + 1) for number in range(49)])
    assert fold(browser, site, given, names[0]) == {**given, "said": "", "namespace": ""}


def test_namespaces_but_that_of_the_selected_service_are_one_node_each(browser: Browser, site: str) -> None:
    names = [*(f"s{number}.shop" for number in range(3)), *(f"b{number}.bank" for number in range(60))]
    ends = [(0, 1), (0, 3), (1, 3), (2, 4), (3, 4), (5, 1), (0, 0)]
    found = fold(browser, site, topology(names, ends), "s0.shop")
    assert [node["name"] for node in found["nodes"]] == ["s0.shop", "s1.shop", "s2.shop", "bank"]
    bank = found["nodes"][3]
    assert bank["members"] == [f"id-b{number}.bank" for number in range(60)]
    assert bank["opens"] == "id-b2.bank"  # the call with most bytes of theirs is its call
    drawn = {
        (call["source"], call["target"], call["rates"]["bytes_sent_per_second"], call.get("folded"))
        for call in found["calls"]
    }
    shop, space = [f"id-s{number}.shop" for number in range(3)], "namespace bank"
    assert drawn == {
        (shop[0], shop[1], 1, None),
        (shop[0], shop[0], 64, None),
        (shop[0], space, 2, 1),
        (shop[1], space, 4, 1),
        (shop[2], space, 8, 1),
        (space, shop[1], 32, 1),
    }
    assert (found["said"], found["namespace"]) == (
        "One namespace is open; a click on another opens it. 6 of 7 relations, those with most bytes",
        "shop",
    )


def test_around_a_service_those_that_it_talks_with_most(browser: Browser, site: str) -> None:
    names = [f"s{number}" for number in range(40)]
    found = fold(browser, site, topology(names, [(0, number) for number in range(1, 40)]), "s0", around=True)
    assert {node["name"] for node in found["nodes"]} == {"s0", *names[20:]}
    assert len(found["calls"]) == 20
    assert found["said"] == "20 of 39 services, those with most bytes"


@settings(max_examples=25, deadline=None, suppress_health_check=SUPPRESSED)
@given(data=st.data(), number=st.integers(51, 120), around=st.booleans())
def test_any_topology_is_readable_and_true(
    browser: Browser,
    site: str,
    data: st.DataObject,
    number: int,
    around: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    names = [f"s{index}{data.draw(st.sampled_from(SPACES))}" for index in range(number)]
    index = st.integers(0, number - 1)
    ends = data.draw(st.lists(st.tuples(index, index), max_size=50, unique=True))
    given = topology(names, ends)
    selected = names[data.draw(index)]
    found = fold(browser, site, given, selected, around=around)
    ids = [node["id"] for node in found["nodes"]]
    assert len(set(ids)) == len(ids) <= 34
    assert len(found["calls"]) <= 90
    stands = {member: node["id"] for node in found["nodes"] for member in node.get("members", [node["id"]])}
    called = [(call["source"], call["target"]) for call in found["calls"]]
    assert len(set(called)) == len(called)
    # Each bit of the sum of bytes is one call, between what it is drawn between.
    for call in found["calls"]:
        bits = int(call["rates"]["bytes_sent_per_second"])
        of = [each for place, each in enumerate(given["calls"]) if bits >> place & 1]
        assert {(stands[each["source"]], stands[each["target"]]) for each in of} == {(call["source"], call["target"])}
        assert len(of) == call.get("folded", 1)
    if not around:
        assert set(stands) >= {end for each in given["calls"] for end in (each["source"], each["target"])}
        assert f"id-{selected}" in ids


def test_a_large_cluster_is_walked_by_its_namespaces(browser: Browser) -> None:
    storage = MemoryStorage()
    large_world.fill(storage, world.NOW, services=70, relations=160, minutes=1)
    with browser.visiting(storage) as address:
        browser.open(address)
        browser.until("the map", lambda: browser.all(".graph a.node"))
        assert len(browser.all(".graph .node")) <= 34
        note = browser.text("#graph-note")
        assert note.startswith("One namespace is open; a click on another opens it. ")
        assert note.endswith(" of 160 relations, those with most bytes")
        team = ".graph a.node[aria-label^='team-03, ']"
        browser.one(team)
        press = "document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click', {bubbles: true}))"
        browser.run(press, team)
        browser.until("its busiest service", lambda: browser.text("#detail-title").endswith(".team-03"))
        busiest = browser.text("#detail-title")
        assert (browser.attribute(".graph .selected", "aria-label") or "").startswith(f"{busiest}, ")
        browser.click("#around-label")
        browser.until("its neighbours", lambda: not browser.all(".graph .behind"))
        assert len(browser.all(".graph .node")) <= 21
