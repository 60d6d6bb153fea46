"""The map of a few services: all of it is seen at once, and labels lie on no arrow."""

import pytest

from backend.entities.ids import service_id
from tests.backend.console.browser import Browser
from tests.backend.console.called import storage_of_calls

pytestmark = pytest.mark.browser
CALLS = (("gateway", "page"), ("page", "details"), ("page", "reviews"), ("reviews", "ratings"))
"""Four levels, with a fork."""
SCROLLS = """
    const place = document.getElementById('graph');
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = place;
    return [scrollWidth - clientWidth, scrollHeight - clientHeight];
"""
CROSSED = """
    const crossed = [];
    const lines = [...document.querySelectorAll('.graph path.call')];
    for (const label of document.querySelectorAll('.graph .label:not(.crowded)')) {
        const box = label.getBBox();
        for (const line of lines) {
            const length = line.getTotalLength();
            for (let at = 0; at <= length; at += 1) {
                const { x, y } = line.getPointAtLength(at);
                const within = box.x < x && x < box.x + box.width && box.y < y && y < box.y + box.height;
                if (within) { crossed.push(label.textContent); break; }
            }
        }
    }
    return crossed;
"""


CUT = """
    const { width, height } = document.querySelector('.graph svg').viewBox.baseVal;
    return [...document.querySelectorAll('.graph .label:not(.crowded)')].filter((label) => {
        const box = label.getBBox();
        return box.x < 0 || box.y < 0 || box.x + box.width > width || box.y + box.height > height;
    }).map((label) => label.textContent);
"""


@pytest.mark.parametrize("width", [None, 1024, 768, 390], ids=str)
@pytest.mark.parametrize("selected", ["page", "reviews", "ratings"])
def test_four_levels_are_seen_without_scrolling(browser: Browser, width: int | None, selected: str) -> None:
    browser.emulate(width=width)
    with browser.visiting(storage_of_calls(CALLS)) as address:
        browser.open(f"{address}#service={service_id(selected)}")
        shown = ".graph .node.selected[aria-label^='" + selected + "']"
        browser.until("the map", lambda: len(browser.all(".graph .node")) == 5 and browser.all(shown))
        assert browser.run(SCROLLS) == [0, 0]
        assert browser.run(CROSSED) == []
        assert browser.run(CUT) == []
        # Nor is one left out for want of room.
        assert len(browser.all(".graph .label:not(.crowded)")) == len(CALLS)
