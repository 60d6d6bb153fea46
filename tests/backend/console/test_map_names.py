"""What stands in the nodes of the map: as much of a name as tells services apart and fits."""

import pytest

from tests.backend.console.browser import Browser
from tests.backend.console.called import storage_of_calls

pytestmark = pytest.mark.browser
NAMES = {
    "api.shop": "api.shop",  # fits
    "checkout.production-eu": "checkout",  # fits without its namespace
    "cart.warehouse-north": "cart.warehouse…",  # another cart is elsewhere
    "cart.warehouse-south": "cart.warehouse…",
    "a-very-long-name-of-a-service.shop": "a-very-long-na…",
    "203.0.113.200:65535": "203.0.113.200:…",  # an address has no namespace
}


def test_names_are_shortened_where_that_confuses_nobody(browser: Browser) -> None:
    first, *others = NAMES
    storage = storage_of_calls([(first, other) for other in others])
    with browser.visiting(storage) as address:
        browser.open(address)
        browser.until("the map", lambda: len(browser.all(".graph .node")) == len(NAMES))
        shown: dict[str, str] = browser.run(
            "return Object.fromEntries([...document.querySelectorAll('.graph .node')].map((node) =>"
            " [node.getAttribute('aria-label').split(',')[0], node.querySelector('.name').textContent]))"
        )
    assert shown == NAMES
