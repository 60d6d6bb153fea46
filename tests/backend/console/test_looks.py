"""What every page promises to the eye: texts stand out from their ground, and none is cut off, however long it is."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.backend.console.browser import Browser
from tests.backend.console.long_names import (
    ENDPOINT,
    INSTANCE,
    NAME,
    SERVICE,
    WORD,
    agents_of_long_names,
    alarm,
    kept,
    storage_of_long_names,
)
from tests.backend.console.looked import contrasts, cut_off
from tests.backend.console.served import serving
from tests.backend.query.world import API

pytestmark = pytest.mark.browser
LEAST = 4.5
"""Contrast of texts of usual size, by WCAG 2.2 at level AA."""
PAGES = {
    "first": f"#service={quote(SERVICE)}",
    "global": "#page=global",
    "instance": f"#page=entity&service={quote(SERVICE)}&instance={INSTANCE}&tab=Connections",
    "endpoint": f"#page=entity&service={quote(SERVICE)}&endpoint={quote(ENDPOINT)}",
    "relation": f"#page=entity&service={quote(SERVICE)}&to={quote(API)}",
    "alarms": "#page=alarms",
    "agents": "#page=agents",
    "dashboards": "#page=dashboards",
}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a console where everything has a long name, some of which wraps nowhere."""
    alarms = (
        alarm("Service", API, "api", ago=5),
        alarm("Service", SERVICE, NAME, ago=6, lasted=2, message=f"{NAME} fails"),
        alarm("ServiceRelation", SERVICE, f"{NAME} to api", ago=7),
    )
    storage, agents = storage_of_long_names(), agents_of_long_names()
    with (
        kept(tmp_path_factory.mktemp("alarms"), *alarms) as records,
        serving(storage, alarms=records, agents=agents) as address,
    ):
        yield f"http://{address}/"


def look(browser: Browser, address: str, page: str) -> None:
    browser.open(f"{address}{PAGES[page]}")
    browser.until("the page", lambda: browser.attribute("#main", "aria-busy") == "false")
    if page == "agents":
        for summary in browser.all("#nodes-body summary"):
            summary.click()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_texts_stand_out_from_their_ground(browser: Browser, long: str, page: str, theme: str) -> None:
    browser.emulate(dark=theme == "dark")
    look(browser, long, page)
    written = contrasts(browser)
    assert len(written) >= 10
    assert [each for each in written if each.contrast < LEAST] == []
    # A backend that is away makes nothing harder to read.
    browser.run("document.body.classList.add('stale'); document.querySelector('#away').hidden = false")
    browser.run("document.querySelector('#away').textContent = 'No answer.'")
    browser.run("document.getAnimations().forEach((each) => each.finish())")
    assert [each for each in contrasts(browser) if each.contrast < LEAST] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_so_do_those_of_the_page_that_asks_for_a_token(browser: Browser, long: str, theme: str) -> None:
    browser.emulate(dark=theme == "dark")
    browser.open(f"{long}console/login.html?refused")
    browser.until("what is wrong", lambda: browser.text("#said"))
    written = contrasts(browser)
    assert "The backend does not accept the token of this tab any more. It may have a new one." in [
        each.text for each in written
    ]
    assert [each for each in written if each.contrast < LEAST] == []


@pytest.mark.parametrize("width", [320, 720, 768, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut_off_or_wider_than_the_screen(browser: Browser, long: str, page: str, width: int) -> None:
    browser.emulate(width=width)
    look(browser, long, page)
    assert cut_off(browser) == []
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]


def test_a_text_that_is_cut_off_or_faint_is_found(browser: Browser, long: str) -> None:
    """The looking itself: what it would say of a page that is not right."""
    look(browser, long, "first")
    browser.run(
        """
        const card = document.querySelector('#services');
        const wrong = document.createElement('p');
        wrong.textContent = arguments[0];
        wrong.style = 'width: 50px; overflow: hidden; white-space: nowrap; color: rgb(128 128 128); background: #fff';
        card.prepend(wrong);""",
        WORD,
    )
    assert cut_off(browser) == [WORD]
    (faint,) = [each for each in contrasts(browser) if each.text == WORD]
    assert faint.contrast == pytest.approx(3.95, abs=0.01)
