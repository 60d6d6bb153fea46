"""Labels of arrows: none hides another, none hides a node, and those with most bytes are seen."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import SUPPRESSED, Browser
from tests.backend.query import large_world, world

pytestmark = pytest.mark.browser
Rectangle = dict[str, float]
NUMBERS = st.integers(0, 300)
SPOTS = st.fixed_dictionaries({"x": NUMBERS, "y": NUMBERS, "beside": st.booleans()})
LABELS = st.fixed_dictionaries(
    {
        "spots": st.lists(SPOTS, min_size=1, max_size=3),
        "lines": st.lists(st.text("abc", max_size=20), min_size=2, max_size=2),
        "weight": st.integers(0, 5),
    }
)
BOXES = st.builds(
    lambda left, top: {"left": left, "right": left + 140, "top": top, "bottom": top + 44}, NUMBERS, NUMBERS
)


def overlap(one: Rectangle, other: Rectangle) -> bool:
    """Written another way than in the page: the larger beginning lies before the smaller end, on both axes."""
    return all(
        max(one[low], other[low]) < min(one[high], other[high]) for low, high in (("left", "right"), ("top", "bottom"))
    )


@settings(max_examples=60, suppress_health_check=SUPPRESSED, deadline=None)
@given(labels=st.lists(LABELS, max_size=8), boxes=st.lists(BOXES, max_size=3))
def test_labels_that_are_shown_hide_nothing(
    browser: Browser, site: str, labels: list[dict[str, Any]], boxes: list[Rectangle]
) -> None:
    if not browser.driver.current_url.startswith(f"{site}console/missing"):
        browser.open(f"{site}console/missing.html")
    told = json.dumps(labels)
    expression = (
        f"m.arrangeLabels({told}, {json.dumps(boxes)}).map(({{ spot, free }}, index) =>"
        f" ({{ spot, free, rectangle: m.rectangle(spot, {told}[index].lines) }}))"
    )
    arranged = browser.load(f"{site}console/scripts/labels.js", expression)
    rectangles = [each["rectangle"] for each in arranged if each["free"]]
    assert not any(overlap(*pair) for pair in itertools.combinations(rectangles, 2))
    assert not any(overlap(label, box) for label in rectangles for box in boxes)
    for label, each in zip(labels, arranged, strict=True):
        assert each["spot"] in label["spots"]
        if not each["free"]:
            assert each["spot"] == label["spots"][0]
    if labels and not boxes:
        heaviest = max(range(len(labels)), key=lambda index: (labels[index]["weight"], -index))
        assert arranged[heaviest]["free"]
        assert arranged[heaviest]["spot"] == labels[heaviest]["spots"][0]


def test_on_a_map_of_many_services_no_label_is_drawn_over_another(browser: Browser) -> None:
    storage = MemoryStorage()
    large_world.fill(storage, world.NOW, services=12, relations=40, minutes=2)
    with browser.visiting(storage) as address:
        browser.open(address)
        browser.until("the map", lambda: browser.all(".graph .label.near"))
        measured: list[Rectangle] = browser.run(
            "return [...document.querySelectorAll('.graph .label.near:not(.crowded)')].map((label) => {"
            " const { left, right, top, bottom } = label.getBoundingClientRect();"
            " return { left, right, top, bottom } })"
        )
        assert len(measured) >= 3
        # What the browser measures of a text has room above and below its letters.
        drawn = [{**each, "top": each["top"] + 2, "bottom": each["bottom"] - 2} for each in measured]
        assert [pair for pair in itertools.combinations(drawn, 2) if overlap(*pair)] == []
        # One that finds no room is there for the keyboard, and shown while it has the focus.
        link = browser.one(".graph a:has(.label.near)")
        browser.run("arguments[0].querySelector('.label').classList.add('crowded')", link)
        shown = "return getComputedStyle(arguments[0].querySelector('.label')).opacity"
        assert browser.run(shown, link) == "0"
        browser.run("arguments[0].focus({ focusVisible: true })", link)
        assert browser.run(shown, link) == "1"
