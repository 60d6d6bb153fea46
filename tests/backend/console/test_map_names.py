"""What stands in the nodes of the map: as much of a name as tells services apart and fits."""

import pytest

from backend.entities.ids import service_id, service_relation_id
from backend.storage.interface import Flush, Relation, Service
from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import Browser
from tests.backend.query import world

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
    storage, (first, *others) = MemoryStorage(), map(service_id, NAMES)
    minute = world.NOW_MINUTE
    relations = [Relation(service_relation_id(first, to), first, to, "client", 49, minute) for to in others]
    rows = [
        (f"kubernetes_service_relation_client_{name}", relation.id, minute, 60, 0)
        for relation in relations
        for name in ("write_cpm", "write_package_size")
    ]
    rows += [("kubernetes_service_write_cpm", service_id(name), minute, 60, 0) for name in NAMES]
    services = [Service(service_id(name), name, world.LAYER, minute, minute) for name in NAMES]
    storage.write(Flush("names", world.frame(rows), services, service_relations=relations))
    with browser.visiting(storage) as address:
        browser.open(address)
        browser.until("the map", lambda: len(browser.all(".graph .node")) == len(NAMES))
        shown: dict[str, str] = browser.run(
            "return Object.fromEntries([...document.querySelectorAll('.graph .node')].map((node) =>"
            " [node.getAttribute('aria-label').split(',')[0], node.querySelector('.name').textContent]))"
        )
    assert shown == NAMES
