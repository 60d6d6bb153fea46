"""The console for those who have a keyboard alone: what has the focus is seen, and Escape closes what is open."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.backend.console.browser import Browser
from tests.backend.console.long_names import agents_of_long_names, alarm, kept, storage_of_long_names
from tests.backend.console.served import serving
from tests.backend.query.world import API

pytestmark = pytest.mark.browser
PAGES = {
    "first": ("", 30),
    "service": (f"#page=entity&service={quote(API)}", 13),
    "alarms": ("#page=alarms", 9),
    "agents": ("#page=agents", 14),
    "dashboards": ("#page=dashboards", 20),
}
"""What stands after # in the address, and how many places have the focus one after the other, at least."""
FOCUS = """
    const at = document.activeElement;
    if (at === document.body) return null;
    const outlined = ({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
    const boxed = ({ strokeWidth }) => parseFloat(strokeWidth) >= 3;
    const underlined = ({ textDecorationLine, opacity }) => textDecorationLine === 'underline' && opacity === '1';
    const box = at.querySelector('rect:not(.behind)'), label = at.querySelector('.label');
    let seen;
    if (at.matches('.node')) seen = boxed(getComputedStyle(box));
    else if (at instanceof SVGElement) seen = underlined(getComputedStyle(label));
    else seen = outlined(getComputedStyle(at.matches('[type=radio]') ? at.nextElementSibling : at));
    const bar = document.querySelector('.bar');
    const covered = !bar.contains(at) && at.id !== 'skip' && getComputedStyle(bar).position === 'sticky'
        ? at.getBoundingClientRect().top < bar.getBoundingClientRect().bottom - 1 : false;
    return [at.getAttribute('aria-label') || at.textContent.trim() || at.id, seen, covered];
"""
"""What has the focus, whether that is seen, and whether the bar lies over it; null when nothing has."""


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a console with something of everything."""
    storage, agents = storage_of_long_names(), agents_of_long_names()
    with (
        kept(tmp_path_factory.mktemp("alarms"), alarm("Service", API, "api", ago=5)) as records,
        serving(storage, alarms=records, agents=agents) as address,
    ):
        yield f"http://{address}/"


def press(browser: Browser, *keys: str) -> None:
    ActionChains(browser.driver).send_keys(*keys).perform()


def ready(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.until("the page", lambda: browser.attribute("#main", "aria-busy") == "false")


@pytest.mark.parametrize("page", PAGES)
def test_what_has_the_focus_is_seen_forward_and_backward(browser: Browser, rich: str, page: str) -> None:
    place, least = PAGES[page]
    browser.emulate(width=1280)
    ready(browser, f"{rich}{place}")
    reached: list[tuple[str, bool, bool]] = []
    while len(reached) < 100:
        press(browser, Keys.TAB)
        found = browser.run(FOCUS)
        if found is None:
            break
        reached.append(found)
    assert least <= len(reached) < 100
    assert [each for each in reached if not each[1] or each[2]] == []
    # Back again: what is reached from below is not left under the bar.
    back = []
    for _ in reached:
        ActionChains(browser.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        back.append(browser.run(FOCUS))
    assert [each for each in back if each is not None and (not each[1] or each[2])] == []


def test_the_skip_link_leads_past_the_bar(browser: Browser, rich: str) -> None:
    ready(browser, rich)
    press(browser, Keys.TAB)
    assert browser.run("return document.activeElement.getBoundingClientRect().top") >= 0  # it is seen now
    press(browser, Keys.ENTER, Keys.TAB)
    assert browser.run("return document.activeElement.id") == "search"


def test_escape_closes_details_and_leaves_the_focus_at_them(browser: Browser, rich: str) -> None:
    ready(browser, f"{rich}#page=agents")
    summary = browser.one("#nodes-body summary")
    summary.send_keys(Keys.ENTER)
    assert browser.run("return document.querySelectorAll('details[open]').length") == 1
    press(browser, Keys.ESCAPE)
    assert browser.run("return document.querySelectorAll('details[open]').length") == 0
    assert browser.driver.switch_to.active_element == summary


def test_escape_takes_away_what_a_chart_tells(browser: Browser, rich: str) -> None:
    ready(browser, rich)
    plot = browser.one("[data-chart='Bytes'] .plot")
    browser.run("arguments[0].scrollIntoView({ block: 'center' })", plot)
    told = """
        const how = { visibilityProperty: true, opacityProperty: true };
        return [...document.querySelectorAll('.tip')].filter((tip) => tip.checkVisibility(how)).length;"""
    ActionChains(browser.driver).move_to_element(plot).move_by_offset(1, 1).perform()
    browser.until("what it tells", lambda: browser.run(told))
    press(browser, Keys.ESCAPE)
    browser.until("nothing", lambda: browser.run(told) == 0)


def test_escape_ends_a_search(browser: Browser, rich: str) -> None:
    ready(browser, rich)
    press(browser, "/", "api")
    browser.until("the one", lambda: len(browser.rows("#services-body")) == 1)
    press(browser, Keys.ESCAPE)
    browser.until("all", lambda: len(browser.rows("#services-body")) == 4)


def test_a_low_window_is_not_taken_by_the_bar(browser: Browser, rich: str) -> None:
    """As one of 1,280 by 800 that is magnified four times."""
    browser.emulate(width=320)
    size = {"width": 320, "height": 200, "deviceScaleFactor": 4, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    ready(browser, rich)
    browser.run("scrollTo(0, 400)")
    assert browser.run("return document.querySelector('.bar').getBoundingClientRect().bottom") < 0
