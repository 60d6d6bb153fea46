"""What a visitor does and sees, in few words."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.ui import WebDriverWait

from backend.storage.interface import Storage
from tests.backend.console.served import serving
from tests.waiting import PATIENCE

Seen = TypeVar("Seen")
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
"""Examples may share a browser, and take as long as they take."""

_STILL = """
    const later = window.setTimeout;
    window.setTimeout = (act, wait, ...given) => (wait >= 3_000 ? 0 : later(act, wait, ...given));
"""
"""What a page runs before all else, by which it never asks by itself: the shortest period is 3 s (scripts/main.js)."""


class Browser:
    """A page in Chromium.

    A page asks anew every few seconds, and draws anew what it hears. When that is in the midst of what a test does
    depends on how fast the machine is, so it waits until the test says so: `refresh_now`, or `let_it_ask` before it is
    opened.
    """

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self._expected: list[str] = []
        self._requests: list[str] = []
        told = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _STILL})
        self._still: str | None = told["identifier"]

    def let_it_ask(self) -> None:
        """Let the pages that are opened from now on ask every few seconds, as they do."""
        if self._still is not None:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": self._still})
            self._still = None

    @contextmanager
    def visiting(self, storage: Storage, **options: Any) -> Iterator[str]:  # noqa: ANN401 - those of `serving`
        """Serve a store while the block runs; gives the address of its console, and leaves it before nobody answers."""
        with serving(storage, **options) as address:
            yield f"http://{address}/"
            self.driver.get("about:blank")

    def open(self, address: str) -> None:
        """Load a page anew, also when only the part after # differs."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def until(self, what: str, seen: Callable[[], Seen | None]) -> Seen:
        """Wait until `seen` gives something, and return it."""
        ignored = (StaleElementReferenceException,)
        waiting = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05, ignored_exceptions=ignored)
        return cast("Seen", waiting.until(lambda _: seen(), f"never seen: {what}"))

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The visible element of a selector, as soon as there is one.

        The page may draw anew at any time, and what was found is stale then: to do one thing with it, use those below.
        """
        return self._with(selector, lambda element: element)

    def click(self, selector: str) -> None:
        self._with(selector, lambda element: element.click())

    def type(self, selector: str, keys: str) -> None:
        self._with(selector, lambda element: element.send_keys(keys))

    def text(self, selector: str) -> str:
        return self._with(selector, lambda element: element.text)

    def attribute(self, selector: str, name: str) -> str | None:
        return self._with(selector, lambda element: element.get_attribute(name))

    def accept(self) -> None:
        """Agree to what a page asks in a window of its own, as soon as it does."""
        self.until("a question", lambda: alert_is_present()(self.driver) or None).accept()

    def texts(self, selector: str) -> list[str]:
        """What is written in each element of a selector, all of one moment."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText.trim())", selector
        )
        return found

    def attributes(self, selector: str, *names: str) -> list[list[str | None]]:
        """These attributes of each element of a selector, all of one moment."""
        each = "[...document.querySelectorAll(arguments[0])]"
        found: list[list[str | None]] = self.run(
            f"return {each}.map((each) => arguments[1].map((name) => each.getAttribute(name)))", selector, list(names)
        )
        return found

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element has exactly this text."""
        self.until(f"{text!r} in {selector}", lambda: self.text(selector) == text)

    def _with(self, selector: str, act: Callable[[WebElement], Seen]) -> Seen:
        """Do something with the visible element of a selector, once more if it was drawn anew before it was done."""

        def attempt() -> tuple[Seen] | None:
            found = next((each for each in self.all(selector) if each.is_displayed()), None)
            return None if found is None else (act(found),)

        [done] = self.until(selector, attempt)
        return done

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the script gives
        return self.driver.execute_script(script, *arguments)

    def load(self, module: str, expression: str) -> Any:  # noqa: ANN401 - whatever the expression gives
        """The value of an expression over a module of the page, there called `m`."""
        script = f"const [done] = arguments; import({module!r}).then((m) => done({expression}));"
        return self.driver.execute_async_script(script)

    def refresh_now(self) -> None:
        """Let the page ask again, as it does when its tab is shown again."""
        self.run("document.dispatchEvent(new Event('visibilitychange'))")

    def emulate(self, *, dark: bool = False, width: int | None = None) -> None:
        """A visitor who prefers dark colours, or has a narrow screen."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        if width:
            size = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def rows(self, body: str) -> list[list[str]]:
        """Texts of a table's cells."""
        rows = "[...document.querySelectorAll(`${arguments[0]} tr`)]"
        cells = "[...row.cells].map((cell) => cell.innerText.trim())"
        found: list[list[str]] = self.run(f"return {rows}.map((row) => {cells})", body)
        return found

    def expect_complaint(self, words: str) -> None:
        """The browser may complain in these words."""
        self._expected.append(words)

    def expected(self, complaint: str) -> bool:
        return any(words in complaint for words in self._expected)

    def requests(self) -> list[str]:
        """Every address that was asked since the test began."""
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                self._requests.append(event["params"]["request"]["url"])
        return self._requests

    def forget(self) -> None:
        """Drop what was logged so far."""
        self.driver.get_log("browser")
        self.driver.get_log("performance")

    def reset(self) -> None:
        """Leave nothing to the next test."""
        self.let_it_ask()
        self.run("try { localStorage.clear() } catch {}")
        self.emulate()
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.get("about:blank")
