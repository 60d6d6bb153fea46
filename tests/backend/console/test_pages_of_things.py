"""The pages besides the first one, in a real browser, showing the little world."""

from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter
from selenium.webdriver.common.keys import Keys

from backend.query.graphql.alarms import Alarm, AlarmQuery, Found, NoAlarms
from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import Browser
from tests.backend.console.served import serving
from tests.backend.query import world
from tests.backend.query.world import API, DB, FRONTEND

pytestmark = pytest.mark.browser
PAGES = {
    "first": "",
    "global": "#page=global",
    "service": f"#page=entity&service={quote(API)}",
    "layers": f"#page=entity&service={quote(API)}&tab=Layers",
    "relation": f"#page=entity&service={quote(FRONTEND)}&to={quote(API)}",
    "alarms": "#page=alarms",
    "agents": "#page=agents",
    "dashboards": "#page=dashboards",
}
BEGAN = int(world.NOW - 300) * 1_000


class Alarms(NoAlarms):
    """Two alarms, of which one lasts."""

    def __init__(self) -> None:
        self.asked: list[AlarmQuery] = []

    def find(self, asked: AlarmQuery) -> Found:
        self.asked.append(asked)
        slow = Alarm(DB, "", "Service", "db", "slow_rule", "K8S_SERVICE", "db answers slowly", BEGAN, BEGAN + 180_000)
        failing = Alarm(API, "", "Service", "api", "failing_rule", "K8S_SERVICE", "calls of api fail", BEGAN + 60_000)
        return Found([failing, slow], 2)


def widgets(browser: Browser) -> Sequence[str]:
    found: Sequence[str] = browser.run(
        "return [...document.querySelectorAll('#entity-widgets .widget')].map(({ dataset }) => dataset.widget)"
    )
    return found


def legend(browser: Browser, widget: str) -> str:
    return browser.text(f"[data-widget='{widget}'] .legend").replace("\n", " ")


@pytest.fixture(scope="module")
def alarmed() -> Iterator[str]:
    storage = MemoryStorage()
    world.fill(storage)
    with serving(storage, alarms=Alarms()) as address:
        yield f"http://{address}/"


def test_a_service_has_its_dashboard_with_exact_numbers(browser: Browser, site: str) -> None:
    browser.open(f"{site}#page=entity&service={quote(API)}&tab=Connections")
    browser.shows("#entity-title", "api")
    browser.until("its numbers", lambda: legend(browser, "Connections made") == "Connects 10/min Succeeded 10/min")
    assert legend(browser, "Bytes") == "Read 10 KiB/s Written 5 KiB/s"
    assert legend(browser, "Reads and writes") == "Reads 300/min Writes 300/min"
    assert legend(browser, "Time of a read and a write") == "Read 2.5 ms Write 80 µs"
    assert browser.text("[data-widget='Packages'] .body") == "No data in this time."
    assert browser.text("#entity-tabs [aria-current]") == "Connections"
    assert browser.driver.title == "api · pyrover"
    assert browser.attribute("[data-widget='Bytes'] .plot", "aria-label") == "Bytes: Read 10 KiB/s, Written 5 KiB/s"
    browser.click("#range input[value='24h'] + span")
    # Hours have the same rates, for the totals of buckets are divided by their length.
    step = "[data-widget='Bytes'][data-step='HOUR']"
    browser.until("hours", lambda: browser.all(step))
    assert set(parse_qs(urlsplit(browser.driver.current_url).fragment)) == {"page", "service", "tab", "range"}


def test_ways_lead_to_the_pages_of_instances_endpoints_and_calls(browser: Browser, site: str) -> None:
    browser.open(f"{site}#service={quote(API)}")
    browser.until("the instances", lambda: browser.rows("#instances-body"))
    browser.click("#instances-body a")
    browser.shows("#entity-title", "api-1")
    browser.shows("#entity-path", "An instance\napi\nShow on the map")
    browser.until("its tabs", lambda: browser.all("#entity-tabs a"))
    browser.click("#entity-tabs a:nth-child(2)")
    browser.until("its numbers", lambda: legend(browser, "Reads and writes") == "Reads 300/min Writes 300/min")
    browser.driver.back()
    browser.driver.back()
    browser.shows("#detail-title", "api")
    browser.click("#endpoints-body a")
    browser.shows("#entity-title", "GET:/orders")
    browser.until("its numbers", lambda: legend(browser, "HTTP calls") == "Calls 200/min")
    assert (
        legend(browser, "Time of an HTTP call") == "Mean 12 ms"
    )  # SkyWalking's metrics of HTTP are whole milliseconds
    assert legend(browser, "HTTP calls that succeed") == "Success 99.50 %"
    browser.driver.back()
    browser.shows("#detail-title", "api")
    browser.click(".graph a[aria-label^='Calls from frontend to api']")
    browser.shows("#entity-title", "frontend → api")
    browser.until("its tabs", lambda: browser.all("#entity-tabs a"))
    browser.click("#entity-tabs a:nth-child(2)")
    sent = "Reads and writes, seen by the caller"
    browser.until("its numbers", lambda: legend(browser, sent) == "Reads 300/min Writes 300/min")
    assert legend(browser, "Bytes, seen by the called") == "Read 1 KiB/s Written 5 KiB/s"
    browser.click("#entity-path a:nth-of-type(2)")
    browser.shows("#entity-title", "api")


def test_what_stands_out_is_listed_with_links(browser: Browser, site: str) -> None:
    browser.open(f"{site}#page=global&tab=Endpoints%20and%20instances")
    expected = [
        ["frontend - GET:/", "", "85 ms"],
        ["api - GET:/orders", "", "12 ms"],
        ["api - POST:/orders", "", "0 ms"],
    ]
    browser.until("the slowest", lambda: browser.rows("[data-widget='Slowest endpoints'] tbody") == expected)
    browser.click("[data-widget='Slowest endpoints'] tr:nth-child(2) a")
    browser.shows("#entity-title", "GET:/orders")
    browser.shows("#entity-path", "An endpoint\napi\nShow on the map")


def test_services_are_searched(browser: Browser, site: str) -> None:
    def names() -> list[str]:
        return [row[0] for row in browser.rows("#services-body")]

    browser.open(site)
    browser.until("the services", lambda: names() == ["db", "api", "frontend"])
    browser.run("document.activeElement.blur()")
    browser.type("body", "/")
    search = browser.driver.switch_to.active_element
    assert search.get_attribute("id") == "search"
    search.send_keys("AP")
    browser.until("the one", lambda: names() == ["api"])
    browser.shows("#services-note", "1 of 3")
    search.send_keys("x")
    browser.until("none", lambda: names() == ['No service has "apx" in its name.'])
    search.send_keys(Keys.BACKSPACE * 3)
    browser.until("all", lambda: names() == ["db", "api", "frontend"])


def test_keys_lead_to_pages_and_through_ranges(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.shows("#detail-title", "frontend")
    body = browser.one("body")
    for key, section in (("3", "alarms"), ("4", "agents"), ("5", "dashboards"), ("2", "entity"), ("1", "overview")):
        body.send_keys(key)
        browser.one(f"#page-{section}")

    def chosen() -> object:
        return browser.run("return document.querySelector('#range input:checked').value")

    body.send_keys("r")
    browser.until("the next range", lambda: chosen() == "1h")
    body.send_keys("R")
    body.send_keys("R")
    browser.until("the last range", lambda: chosen() == "7d")


def test_alarms_are_listed(browser: Browser, alarmed: str) -> None:
    browser.open(f"{alarmed}#page=alarms")
    browser.shows("#alarms-note", "1 last · 2 began in this time")
    rows = browser.rows("#alarms-body")
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("api", "calls of api fail", "lasts"),
        ("db", "db answers slowly", "ended after 3 min"),
    ]
    browser.click("#alarms-body a")
    browser.shows("#entity-title", "api")


def test_without_alarms_that_is_said(browser: Browser, site: str) -> None:
    browser.open(f"{site}#page=alarms")
    browser.shows("#alarms-empty h3", "No alarm began in this time, and none lasts")


def test_what_was_received_and_lost_is_shown(browser: Browser) -> None:
    registry = CollectorRegistry()
    Counter("pyrover_backend_logs_received", "x", registry=registry).inc(1_000)
    Counter("pyrover_backend_logs_stored", "x", registry=registry).inc(990)
    Counter("pyrover_backend_logs_dropped", "x", ["cause"], registry=registry).labels("time_expired").inc(10)
    storage = MemoryStorage()
    world.fill(storage)
    with browser.visiting(storage, registry=registry) as address:
        browser.open(f"{address}#page=agents")
        browser.one("#agents-losses-body tr")
        assert browser.rows("#agents-losses-body") == [["time expired", "Logs that were no good", "10"]]
        numbers = browser.text("#agents-numbers").split("\n")
        assert numbers[2:] == ["Messages received", "–", "Logs received", "1,000", "Logs stored", "990"]  # noqa: RUF001 - the dash that is shown
        assert [row[:3] for row in browser.rows("#agents-body")] == [
            ["api", "K8S_SERVICE", "2"],
            ["db", "K8S_SERVICE", "1"],
            ["frontend", "K8S_SERVICE", "1"],
        ]


def test_a_dashboard_is_made_changed_and_removed(browser: Browser) -> None:
    storage = MemoryStorage()
    world.fill(storage)
    with browser.visiting(storage) as address:
        browser.open(f"{address}#page=dashboards")
        browser.until("those of files", lambda: len(browser.rows("#dashboards-body")) == 7)
        browser.click("#editor button[type='submit']")
        browser.shows("#editor-said", "Give the dashboard a name.")
        browser.type("#editor-name", "Mine")
        browser.type("[name='title']", "Read time")
        browser.click("[name='unit'] option[value='ns']")
        text = browser.one("[name='expressions']")
        text.send_keys("kubernetes_service_instance_read_time")
        browser.click("#editor-check")
        expected = "this is a metric of an instance (serviceInstanceName), which the entity asked about does not name"
        browser.until("why not", lambda: expected in browser.text("#editor-said"))
        text.clear()
        text.send_keys("kubernetes_service_read_tim")
        browser.click("#editor-check")
        browser.until("why not", lambda: "did you mean kubernetes_service_read_time" in browser.text("#editor-said"))
        text.send_keys("e")
        browser.click("#editor button[type='submit']")
        browser.shows("#entity-title", "api")
        browser.until("its numbers", lambda: legend(browser, "Read time") == "Read time 2.5 ms")
        assert widgets(browser) == ["Read time"]
        assert browser.texts("#entity-choice a") == ["Service", "Mine"]

        browser.click("#menu [data-page='dashboards']")
        browser.click("button[aria-label='Change Mine']")
        browser.shows("#editor-title", "Change Mine")
        name = browser.one("#editor-name")
        name.clear()
        name.send_keys("Ours")
        browser.click("#editor button[type='submit']")
        browser.until("its new name", lambda: browser.texts("#entity-choice a")[1:] == ["Ours"])

        browser.click("#menu [data-page='dashboards']")
        browser.click("button[aria-label='Remove Ours']")
        browser.accept()
        browser.until("those of files", lambda: len(browser.rows("#dashboards-body")) == 7)
        browser.shows("#editor-said", "Ours is removed.")


@pytest.mark.parametrize("page", PAGES)
def test_every_control_has_a_name(browser: Browser, site: str, page: str) -> None:
    browser.open(f"{site}{PAGES[page]}")
    browser.until("the page", lambda: browser.attribute("#main", "aria-busy") == "false")

    def names() -> list[tuple[str, str | None]]:
        controls = browser.all("a[href], button, input, select, textarea, [role=img]")
        seen = [one for one in controls if one.is_displayed() and one.get_attribute("aria-hidden") != "true"]
        return [(one.accessible_name.strip(), one.get_attribute("outerHTML")) for one in seen]

    told = browser.until("the controls", names)
    assert len(told) >= 6
    assert [html for name, html in told if not name] == []


def test_pictures_are_as_wide_as_their_cards(browser: Browser, site: str) -> None:
    browser.emulate(width=1280)
    browser.open(f"{site}{PAGES['service']}&tab=Connections")
    width = """return [...document.querySelectorAll('.widget .plot')].map(
        (plot) => plot.offsetWidth / plot.closest('.card').clientWidth)"""
    browser.until("the pictures", lambda: browser.run(width))
    assert set(browser.run(width)) == {1}


@pytest.mark.parametrize("width", [320, 768])
@pytest.mark.parametrize("page", [page for page in PAGES if page != "first"])
def test_nothing_is_wider_than_the_screen(browser: Browser, site: str, page: str, width: int) -> None:
    browser.emulate(width=width)
    browser.open(f"{site}{PAGES[page]}")
    browser.until("the page", lambda: browser.attribute("#main", "aria-busy") == "false")
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
