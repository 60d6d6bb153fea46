"""A real browser, and real servers for it to look at."""

import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from backend.console.pages import LIBRARY, ROOT
from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import Browser
from tests.backend.console.served import serving
from tests.backend.query import world
from tests.waiting import PATIENCE

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but this machine has an address, so nothing else can be reached even by mistake.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--lang=en-GB",
    "--window-size=1440,1000",
)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    for program in (CHROMIUM, DRIVER):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: apt-get install chromium chromium-driver")
    if not (ROOT / LIBRARY.removeprefix("/console/")).exists():
        pytest.skip("the chart library was not fetched: .venv/bin/python scripts/fetch_console_assets.py")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(PATIENCE)
    driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "UTC"})
    # Beyond the last place of a page the tab key leads into the browser's own bar, and no page has the focus then.
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[Browser]:
    """The browser on an empty page; at the end nothing may have been complained of, and nobody else asked."""
    browser = Browser(chromium)
    browser.open("about:blank")
    browser.forget()
    yield browser
    complaints = [entry["message"] for entry in chromium.get_log("browser") if not browser.expected(entry["message"])]
    foreign = [url for url in browser.requests() if not url.startswith(("http://127.0.0.1:", "data:"))]
    browser.reset()
    assert complaints == []
    assert foreign == []


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Address of a console that shows the little world."""
    storage = MemoryStorage()
    world.fill(storage)
    with serving(storage) as address:
        yield f"http://{address}/"
