"""The console of a backend that asks for a token."""

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import Browser
from tests.backend.console.served import serving
from tests.backend.query import world

pytestmark = pytest.mark.browser
TOKEN = "open sesame"  # noqa: S105 - it opens nothing
REFUSED = "401"


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    storage = MemoryStorage()
    world.fill(storage)
    with serving(storage, token=TOKEN) as address:
        yield f"http://{address}/"


def test_a_visitor_gives_the_token_once_and_comes_back_to_the_same_place(browser: Browser, closed: str) -> None:
    browser.expect_complaint(REFUSED)
    browser.open(f"{closed}#range=6h")
    browser.shows("h1", "This backend asks for a token")
    assert browser.texts("#said") == [""]  # nothing was wrong yet
    field = browser.one("#token")
    assert field.get_attribute("type") == "password"
    field.send_keys(TOKEN[:-1], Keys.ENTER)
    browser.shows("#said", "This is not the token of this backend.")
    assert browser.run("return sessionStorage.length") == 0
    field.send_keys(TOKEN, Keys.ENTER)  # what was wrong is selected, and replaced
    browser.until("the services", lambda: len(browser.rows("#services-body")) == 3)
    assert browser.driver.current_url == f"{closed}#range=6h"
    browser.driver.refresh()
    browser.until("the services again", lambda: len(browser.rows("#services-body")) == 3)
    assert browser.run("return [localStorage.getItem('pyrover-token'), document.cookie]") == [None, ""]
    # The backend has another token now.
    browser.run("sessionStorage.setItem('pyrover-token', 'old')")
    browser.refresh_now()
    browser.shows("h1", "This backend asks for a token")
    browser.shows("#said", "The backend does not accept the token of this tab any more. It may have a new one.")
    assert browser.driver.current_url == f"{closed}console/login.html?refused#range=6h"
    browser.type("#token", TOKEN + Keys.ENTER)
    browser.until("the services once more", lambda: len(browser.rows("#services-body")) == 3)
    assert browser.driver.current_url == f"{closed}#range=6h"
    browser.run("sessionStorage.clear()")
