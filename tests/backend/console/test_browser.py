"""The console as a visitor meets it, in a real browser, showing the little world."""

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from backend.entities.ids import endpoint_id, service_id
from backend.storage.interface import Endpoint, Flush, Service
from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import Browser
from tests.backend.console.served import serving
from tests.backend.query import world
from tests.backend.query.world import API, DB, FRONTEND, NOW_MINUTE, UNKNOWN
from tests.ports import free_ports

pytestmark = pytest.mark.browser

SERVICES = [
    ["db", "1", "105", "52.6", "105 B/s", "10.3 KiB/s", "–", "–"],  # noqa: RUF001 - the dash that is shown
    ["api", "2", "316", "316", "10.5 KiB/s", "5.3 KiB/s", "10.5", "0"],
    ["frontend", "1", "632", "1,263", "21.1 KiB/s", "1.1 KiB/s", "31.6", "30"],
]


def legend(browser: Browser, chart: str) -> str:
    return browser.text(f"[data-chart='{chart}'] .legend").replace("\n", " ")


def fragment(browser: Browser) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.driver.current_url).fragment, keep_blank_values=True)


def chosen_range(browser: Browser) -> str:
    value: str = browser.run("return document.querySelector('#range input:checked').value")
    return value


def edges(browser: Browser) -> set[tuple[str, str, str]]:
    script = "return [...document.querySelectorAll('path.call')].map(({ dataset }) => ({ ...dataset }))"
    return {(edge["source"], edge["target"], edge["protocol"]) for edge in browser.run(script)}


def test_services_are_listed_with_exact_numbers(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.until("the services", lambda: browser.rows("#services-body") == SERVICES)
    browser.shows("#services-note", "3 seen")
    assert browser.attribute("#main", "aria-busy") == "false"
    assert browser.attribute("#services-body tr:nth-child(3) td:last-child", "class") == "number bad"


def test_headings_sort_and_say_so(browser: Browser, site: str) -> None:
    browser.open(site)

    def names() -> list[str]:
        return [row[0] for row in browser.rows("#services-body")]

    browser.until("by bytes out", lambda: names() == ["db", "api", "frontend"])
    heading = browser.one("[data-column='failures'] button")
    heading.click()
    # No data comes last in both directions.
    assert names() == ["frontend", "api", "db"]
    heading.click()
    assert names() == ["api", "frontend", "db"]
    assert browser.attribute("[data-column='failures']", "aria-sort") == "ascending"
    browser.click("[data-column='name'] button")
    assert names() == ["api", "db", "frontend"]


def test_a_click_on_a_service_changes_address_and_charts(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.shows("#detail-title", "frontend")  # the busiest
    browser.until("its numbers", lambda: legend(browser, "Connections") == "Connects 30 Accepts 60 Failed 3")
    browser.click("#services-body tr[data-key^='YXBp'] a")
    browser.shows("#detail-title", "api")
    assert fragment(browser) == {"service": [API]}
    assert browser.driver.title == "api · pyrover"
    assert legend(browser, "Connections") == "Connects 10 Accepts 27 Failed 0"
    assert legend(browser, "Bytes") == "In 10 KiB/s Out 5 KiB/s"
    assert legend(browser, "Reads and writes") == "Reads 300 Writes 300"
    assert legend(browser, "Duration") == "Read 2.5 ms Write 80 µs"
    assert browser.text("#services-body [aria-current]") == "api"
    assert browser.attribute(".graph [aria-current]", "data-key") == API
    browser.driver.back()
    browser.shows("#detail-title", "frontend")


def test_charts_draw_a_line_for_every_series(browser: Browser, site: str) -> None:
    browser.open(f"{site}#service={quote(DB)}")
    browser.shows("#detail-title", "db")
    script = """
        return Object.fromEntries([...document.querySelectorAll('.chart')].map((card) => [card.dataset.chart,
            [...card.querySelectorAll('svg path[fill="none"][stroke-width="2"]:not([d=""])')].length]))"""
    # db makes no connections: it has accepts alone.
    browser.until(
        "the lines",
        lambda: browser.run(script) == {"Connections": 1, "Bytes": 2, "Reads and writes": 2, "Duration": 2},
    )
    assert browser.attribute("[data-chart='Bytes'] .plot", "aria-label") == "Bytes: In 100 B/s, Out 9.8 KiB/s"


def test_relations_are_those_of_the_data(browser: Browser, site: str) -> None:
    browser.open(site)
    expected = {(UNKNOWN, FRONTEND, "https"), (FRONTEND, API, "http"), (API, DB, "tcp")}
    browser.until("the calls", lambda: edges(browser) == expected)
    labels = {label for [label] in browser.attributes(".graph a[data-key^='call']", "aria-label")}
    assert labels == {
        "Calls from Unknown to frontend: https 2.2 KiB/s, 31.6 writes/min",
        "Calls from frontend to api: http 6.3 KiB/s, 316 writes/min",
        "Calls from api to db: tcp 10.4 KiB/s, 105 writes/min",
    }
    nodes = {row[0]: row[1] for row in browser.attributes(".graph .node", "data-key", "aria-label")}
    assert nodes == {
        UNKNOWN: "Unknown, not observed",
        FRONTEND: "frontend, 1 instance, 30 connects failed",
        API: "api, 2 instances",
        DB: "db, 1 instance",
    }


def test_calls_and_instances_of_the_selected_service(browser: Browser, site: str) -> None:
    browser.open(f"{site}#service={quote(API)}")
    expected = [
        ["→ calls db", "tcp", "105 B/s", "10.3 KiB/s", "10.5/min"],
        ["← is called by frontend", "http", "5.3 KiB/s", "1.1 KiB/s", "31.6/min"],
    ]

    def flat() -> list[list[str]]:
        rows = [[cell.replace("\n", " ") for cell in row] for row in browser.rows("#calls-body")]
        return [[" ".join(row[0].split()), *row[1:]] for row in rows]

    browser.until("the calls", lambda: flat() == expected)
    nothing = "–"  # noqa: RUF001 - the dash that is shown
    assert browser.rows("#instances-body") == [
        ["api-1", "316/min", "316/min", "10.5 KiB/s", "5.3 KiB/s"],
        ["api-2", *[nothing] * 4],
    ]


def test_endpoints_of_the_selected_service(browser: Browser, site: str) -> None:
    browser.open(f"{site}#service={quote(API)}")
    expected = [
        ["GET:/orders", "211", "99.50 %", "12.5 ms", "0 B", "2 KiB", "2xx 1,900 4xx 80 5xx 10"],
        ["POST:/orders", "42.1", "100 %", "400 µs", "512 B", "64 B", "2xx 400"],
    ]

    def flat() -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in browser.rows("#endpoints-body")]

    browser.until("the endpoints", lambda: flat() == expected)
    browser.shows("#endpoints-note", "2 called")
    assert browser.texts("#endpoints-body .bad") == ["99.50 %", "5xx 10"]
    assert browser.attribute("#endpoints-body .bad", "title") == "10 of 2,000 calls failed"
    browser.click("#services-body tr[data-key^='ZGI'] a")
    browser.until("none", lambda: flat() == [["No HTTP call was answered in this time."]])
    browser.shows("#endpoints-note", "0 called")


def test_only_the_endpoints_with_most_calls_are_shown_and_that_is_said(browser: Browser) -> None:
    storage = MemoryStorage()
    world.fill(storage)
    names = [f"GET:/{number}" for number in range(60)]
    storage.write(
        Flush(
            "many",
            world.frame(
                [
                    ("kubernetes_service_endpoint_call_cpm", endpoint_id(DB, name), NOW_MINUTE, 100 + number, 0)
                    for number, name in enumerate(names)
                ]
            ),
            endpoints=[Endpoint(endpoint_id(DB, name), DB, name, NOW_MINUTE, NOW_MINUTE) for name in names],
        )
    )
    with browser.visiting(storage) as address:
        browser.open(f"{address}#service={quote(DB)}")
        browser.shows("#endpoints-note", "60 called, the 50 with most calls are shown")
        assert [row[0] for row in browser.rows("#endpoints-body")] == names[:9:-1]


def test_only_around_the_selected_service(browser: Browser, site: str) -> None:
    browser.open(f"{site}#service={quote(DB)}&around=")
    browser.until("its calls alone", lambda: edges(browser) == {(API, DB, "tcp")})
    browser.click("#around")
    browser.until("every call", lambda: len(edges(browser)) == 3)
    assert fragment(browser) == {"service": [DB]}


def test_the_range_is_asked_for_and_kept_in_the_address(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.shows("#detail-title", "frontend")
    browser.click("#range input[value='24h'] + span")
    browser.until("hours", lambda: browser.attribute("[data-chart='Bytes']", "data-step") == "hour")
    assert fragment(browser) == {"range": ["24h"]}
    spans = {parse_qs(urlsplit(url).query)["start"][0] for url in browser.requests() if "/api/services?" in url}
    assert spans == {"-15m", "-24h"}
    browser.open(f"{site}#range=6h")
    browser.until("the range of the address", lambda: chosen_range(browser) == "6h")


def test_an_address_that_names_nothing_shows_the_busiest(browser: Browser, site: str) -> None:
    browser.open(f"{site}#service=nothing&range=soon")
    browser.shows("#detail-title", "frontend")
    assert browser.text("#detail-note").startswith("The service in the address was not seen in this time")
    assert chosen_range(browser) == "15m"


def test_the_empty_state_says_what_to_do_and_ends_by_itself(browser: Browser) -> None:
    storage = MemoryStorage()
    browser.let_it_ask()
    with browser.visiting(storage) as address:
        browser.open(address)
        browser.shows("#empty-title", "No access logs yet")
        assert browser.text("#empty-agent") == "pyrover-agent run --backend 127.0.0.1:11800"
        assert not browser.driver.find_element(By.ID, "content").is_displayed()
        world.fill(storage)
        browser.shows("#detail-title", "frontend")
        assert not browser.driver.find_element(By.ID, "empty").is_displayed()


def test_data_that_is_older_than_the_range_is_told_from_none(browser: Browser) -> None:
    storage = MemoryStorage()
    world.fill(storage, world.NOW - 7200)
    with browser.visiting(storage) as address:
        browser.open(address)
        browser.shows("#empty-title", "Nothing in this time")
        browser.click("#range input[value='6h'] + span")
        browser.shows("#detail-title", "frontend")


def test_a_backend_that_goes_away_and_comes_back(browser: Browser) -> None:
    storage = MemoryStorage()
    world.fill(storage)
    browser.expect_complaint("net::ERR_")  # it may be asked while it goes, too
    browser.let_it_ask()
    (port,) = free_ports(1)
    with serving(storage, port=port) as address:
        browser.open(f"http://{address}/")
        browser.shows("#detail-title", "frontend")
        browser.until("alive", lambda: browser.attribute("#health", "data-state") == "live")
    browser.refresh_now()
    assert f'Is "pyrover-backend serve" running on {address}?' in browser.text("#away")
    browser.shows("#health-text", "No answer")
    assert browser.text("#detail-title") == "frontend"  # what was known stays
    # But not as if it were something else; who comes back sees it again.
    seen = (
        "return [...document.querySelectorAll('main > *')].filter((page) => page.checkVisibility()).map(({ id }) => id)"
    )
    browser.click("#menu [data-page='alarms']")
    browser.until("nothing", lambda: browser.run(seen) == [])
    browser.click("#menu [data-page='overview']")
    browser.until("what was known", lambda: browser.run(seen) == ["page-overview"])
    gone = "return !document.querySelector('#away').checkVisibility()"
    with browser.visiting(storage, port=port):
        browser.until("the end of the notice, without any help", lambda: browser.run(gone))
        browser.shows("#health-text", "Live")


def test_colours_follow_the_system_until_the_visitor_chooses(browser: Browser, site: str) -> None:
    def ground() -> object:
        return browser.run("return getComputedStyle(document.body).backgroundColor")

    light, dark = "rgb(244, 246, 249)", "rgb(13, 17, 23)"
    browser.emulate(dark=False)
    browser.open(site)
    browser.shows("#detail-title", "frontend")
    assert ground() == light
    browser.emulate(dark=True)
    browser.until("dark", lambda: ground() == dark)

    def axis() -> object:
        return browser.run("return document.querySelector('.plot text').getAttribute('fill')")

    browser.until("the charts too", lambda: axis() == "rgb(147, 160, 177)")
    button = browser.one("#theme")
    assert button.get_attribute("aria-label") == "Use the light theme"
    button.click()
    assert ground() == light
    browser.until("the charts too", lambda: axis() == "rgb(90, 102, 119)")
    browser.open(site)
    assert ground() == light  # the choice is kept
    assert browser.attribute("#theme", "aria-label") == "Use the dark theme"


def test_everything_is_reached_by_keyboard(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.until("the calls", lambda: browser.rows("#calls-body"))
    reached = []
    for _ in range(40):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        label = browser.run(
            "const e = document.activeElement; return e === document.body ? 'END' :"
            " e.getAttribute('aria-label') ?? (e.value || e.textContent)"
        )
        reached.append(label)
        if label == "END":
            break
    assert reached == [
        "Skip to the page",
        *["Services", "Stands out", "Alarms", "Agents", "Dashboards"],
        "15m",
        "Use the dark theme",
        "Search services",
        *["Service", "Instances", "Reads/min", "Writes/min", "In", "Out", "Connects/min", "Failures"],
        *["db", "api", "frontend"],
        *["api, 2 instances", "db, 1 instance", "frontend, 1 instance, 30 connects failed"],
        "Calls from Unknown to frontend: https 2.2 KiB/s, 31.6 writes/min",
        "Calls from api to db: tcp 10.4 KiB/s, 105 writes/min",
        "Calls from frontend to api: http 6.3 KiB/s, 316 writes/min",
        *["All its numbers", "Where the time of a read and a write goes"],
        *["api", "Calls to api: http", "Calls from Unknown: https"],
        *["frontend-1", "GET:/"],
        "END",
    ]


def test_the_keyboard_chooses_a_service_and_keeps_its_place(browser: Browser, site: str) -> None:
    browser.open(site)
    link = browser.one("#services-body tr:first-child a")
    link.send_keys(Keys.ENTER)
    browser.shows("#detail-title", "db")
    assert browser.driver.switch_to.active_element == link
    browser.type(f".graph [data-key='{API}']", Keys.ENTER)
    browser.shows("#detail-title", "api")
    assert browser.run("return document.activeElement.dataset.key") == API  # drawn anew, still in focus


@pytest.mark.parametrize("width", [320, 390, 768, 1024])
def test_nothing_is_wider_than_the_screen(browser: Browser, site: str, width: int) -> None:
    browser.emulate(width=width)
    browser.open(site)
    browser.until("the calls", lambda: browser.rows("#calls-body"))
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]


def test_names_from_outside_are_text(browser: Browser) -> None:
    name = "<img src=x onerror=document.title='broken'>"
    identity = service_id(name)
    storage = MemoryStorage()
    storage.write(
        Flush(
            "one",
            world.frame([("kubernetes_service_read_cpm", identity, NOW_MINUTE, 5, 0)]),
            services=[Service(identity, name, "K8S_SERVICE", NOW_MINUTE, NOW_MINUTE)],
        )
    )
    with browser.visiting(storage) as address:
        browser.open(address)
        browser.shows("#detail-title", name)
        assert browser.text(".row-link") == name
        assert browser.all("img[src='x']") == []


def test_the_policy_is_in_force(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.shows("#detail-title", "frontend")
    browser.expect_complaint("violates the following Content Security Policy directive")
    # Outside of the driver's own evaluation, which is allowed everything.
    outcome = browser.driver.execute_async_script(
        """
        const [done] = arguments;
        setTimeout(() => {
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
          let evaluated = true;
          try { new Function("return 1")() } catch { evaluated = false }
          done([window.injected ?? false, evaluated]);
        })"""
    )
    assert outcome == [False, False]
