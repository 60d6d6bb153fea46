"""A visitor who looks for what is slow, on a live backend that took a recorded stream."""

from collections.abc import Iterator

import pytest

from tests.backend.console.browser import Browser
from tests.backend.console.recorded import READ, WRITE, live_backend

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_backend(tmp_path_factory.mktemp("live")) as address:
        yield address


def stages(browser: Browser, widget: str) -> dict[str, tuple[str, float, float]]:
    """What is written of each stage, and where its bar begins and how long it is."""
    script = """
        return [...document.querySelectorAll(`[data-widget='${arguments[0]}'] [data-stage]`)].map((stage) => {
            const bar = stage.querySelector('.stage-bar');
            const [begin, length] = ['x', 'width'].map((name) => Number(bar.getAttribute(name)));
            return [stage.dataset.stage, stage.querySelector('.stage-value').textContent, begin, length];
        })"""
    return {name: (text, begin, length) for name, text, begin, length in browser.run(script, widget)}


def test_from_the_map_to_the_stages_of_a_slow_service(browser: Browser, live: str) -> None:
    browser.open(live)
    details = "return [...document.querySelectorAll('.graph a.node')].map((node) => node.getAttribute('aria-label'))"
    browser.until("the map", lambda: len(browser.run(details)) == 4)
    told = {label.partition(",")[0]: label for label in browser.run(details)}
    assert told == {
        f"{name}.default": f"{name}.default, 1 instance, 3 HTTP calls a minute, {time} ms each, 100 % succeed"
        for name, time in (("details", 5), ("productpage", 40), ("ratings", 2), ("reviews", 20))
    }
    states = "return [...document.querySelectorAll('.graph a.node')].map(({ dataset }) => dataset.state)"
    assert set(browser.run(states)) == {"good"}
    start, end = "Calls from productpage.default to reviews.default: http ", ", 3 calls/min · 20 ms"
    browser.one(f".graph a[aria-label^='{start}'][aria-label$='{end}']")

    # The slowest waits for whom it calls, which is at the end of the slowest arrow.
    browser.click(".graph a[aria-label^='reviews.default']")
    browser.shows("#detail-title", "reviews.default")
    # The labels of its own calls find room, before those of others that would be in the same place.
    seen = """return [...document.querySelectorAll('.graph a:has(.label.near:not(.crowded))')].map(
        (label) => label.getAttribute('aria-label').split(':')[0])"""
    own = {
        f"Calls from {one}.default to {two}.default"
        for one, two in (("productpage", "reviews"), ("reviews", "ratings"))
    }
    browser.until("the labels of its calls", lambda: set(browser.run(seen)) == own)
    browser.click("#detail-links a:nth-child(2)")
    browser.shows("#entity-title", "reviews.default")
    browser.until("the write", lambda: stages(browser, "Where the time of a write goes"))
    write = stages(browser, "Where the time of a write goes")
    assert {name: text for name, (text, _, _) in write.items()} == {
        "System call": "30 µs",
        "L4: transport (TCP)": "20 µs",
        "L3: network (IP)": "9 µs",
        "L3: local output": "600 ns",
        "L3: output": "900 ns",
        "L2: device": "4 µs",
        "L2: waiting in the queue": "1.5 µs",
        "L2: the driver sends": "2.1 µs",
    }
    whole = write["System call"][2]
    for name, key in (("L4: transport (TCP)", "l4"), ("L3: network (IP)", "l3"), ("L2: device", "l2")):
        assert write[name][2] == pytest.approx(whole * WRITE[key] / WRITE["call"], abs=0.1)
    # What lies within a stage follows each other there.
    device, queue, driver = (write[f"L2: {name}"] for name in ("device", "waiting in the queue", "the driver sends"))
    assert queue[1] == device[1]
    assert driver[1] == pytest.approx(queue[1] + queue[2], abs=0.2)
    assert driver[1] + driver[2] <= device[1] + device[2]
    read = stages(browser, "Where the time of a read goes")
    assert read["From the socket's queue to the reader"][0] == "15 µs"
    assert read["System call"][2] == pytest.approx(read["L4: transport (TCP)"][2] * READ["call"] / READ["l4"], rel=0.01)

    browser.click("#range input[value='1h'] + span")
    browser.until("the range in the address", lambda: "range=1h" in browser.driver.current_url)
    browser.click("#entity-tabs a:nth-child(1)")
    calls = "[data-widget='Time of an HTTP call'] .legend"
    browser.until("the same time", lambda: browser.text(calls).replace("\n", " ") == "Mean 20 ms")
    axis = """return [...document.querySelectorAll("[data-widget='Apdex'] .plot text")]
        .map(({ textContent }) => textContent).filter((text) => !text.includes(":"))"""
    browser.until("the axis of Apdex", lambda: browser.run(axis) == ["0", "0.25", "0.50", "0.75", "1"])


def test_a_dashboard_is_made_and_kept(browser: Browser, live: str) -> None:
    browser.open(f"{live}#page=dashboards")
    browser.type("#editor-name", "Retransmissions")
    browser.type("[name='title']", "Slowest endpoints")
    browser.click("[name='kind'] option[value='table']")
    browser.click("[name='unit'] option[value='ms']")
    browser.type("[name='expressions']", "top_n(kubernetes_service_endpoint_http_call_time, 3, des)")
    browser.click("#editor-scope option[value='global']")
    browser.click("#editor button[type='submit']")
    browser.shows("#entity-title", "What stands out")
    rows = "[data-widget='Slowest endpoints'] tbody"
    expected = [
        ["productpage.default - GET:/productpage", "", "40 ms"],
        ["reviews.default - GET:/reviews/0", "", "20 ms"],
        ["details.default - GET:/details/0", "", "5 ms"],
    ]
    browser.until("the list", lambda: browser.rows(rows) == expected)
    address = browser.driver.current_url
    browser.open(address)
    browser.until("the list again", lambda: browser.rows(rows) == expected)
