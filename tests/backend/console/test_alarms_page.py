"""The page of alarms, in a real browser: what lasts, what ended, of what, and how many there are."""

from pathlib import Path

import pytest

from backend.entities.ids import endpoint_id, instance_id
from backend.storage.memory import MemoryStorage
from tests.backend.console.browser import Browser
from tests.backend.console.long_names import alarm, kept
from tests.backend.query.world import API, DB, FRONTEND

pytestmark = pytest.mark.browser
DAY = 24 * 60


def test_what_lasts_is_shown_whenever_it_began(browser: Browser, tmp_path: Path) -> None:
    alarms = (
        alarm("Service", API, "api", ago=5, lasted=2),
        alarm("Service", DB, "db", ago=2 * DAY),
        alarm("Service", FRONTEND, "frontend", ago=3 * DAY, lasted=60),
        alarm("Service", FRONTEND, "frontend", ago=8, message="calls fail"),
    )
    with kept(tmp_path, *alarms) as records, browser.visiting(MemoryStorage(), alarms=records) as address:
        browser.open(f"{address}#page=alarms")
        browser.shows("#alarms-note", "2 last · 2 began in this time")
        assert [[row[0], *row[1].split("\n"), row[3]] for row in browser.rows("#alarms-body")] == [
            ["frontend", "calls fail", "level: WARNING", "lasts"],
            ["db", "db is slow", "level: WARNING", "lasts"],
            ["api", "api is slow", "level: WARNING", "ended after 2 min"],
        ]
        browser.click("#range input[value='7d'] + span")
        browser.shows("#alarms-note", "2 last · 4 began in this time")
        assert [row[0] for row in browser.rows("#alarms-body")] == ["frontend", "db", "api", "frontend"]
        assert browser.texts("#alarms-body .bad") == ["lasts", "lasts"]


def test_each_leads_to_what_it_is_of(browser: Browser, tmp_path: Path) -> None:
    alarms = (
        alarm("Service", API, "api", ago=1),
        alarm("ServiceInstance", instance_id(API, "äpi-1"), "äpi-1 of api", ago=2),
        alarm("Endpoint", endpoint_id(API, "GET:/orders"), "GET:/orders in api", ago=3),
        alarm("ServiceRelation", FRONTEND, "frontend to api", ago=4),
    )
    with kept(tmp_path, *alarms) as records, browser.visiting(MemoryStorage(), alarms=records) as address:
        for place, (title, path) in enumerate(
            [("api", "A service"), ("äpi-1", "An instance\napi"), ("GET:/orders", "An endpoint\napi")], start=1
        ):
            browser.open(f"{address}#page=alarms")
            browser.until("the alarms", lambda: len(browser.rows("#alarms-body")) == 4)
            assert browser.all("#alarms-body tr:nth-child(4) a") == []  # of whom it is called is not told
            browser.click(f"#alarms-body tr:nth-child({place}) a")
            browser.shows("#entity-title", title)
            browser.shows("#entity-path", f"{path}\nShow on the map")


def test_of_many_the_latest_and_all_that_last_are_shown(browser: Browser, tmp_path: Path) -> None:
    ended = [alarm("Service", API, "api", ago=1, lasted=1, message=f"{number}") for number in range(120)]
    lasting = [alarm("Service", DB, "db", ago=10 + number, message=f"{number} lasts") for number in range(3)]
    with kept(tmp_path, *ended, *lasting) as records, browser.visiting(MemoryStorage(), alarms=records) as address:
        browser.open(f"{address}#page=alarms")
        browser.shows("#alarms-note", "3 last · 123 began in this time, the latest 100 are shown")
        rows = browser.rows("#alarms-body")
        assert len(rows) == 103
        assert [row[0] for row in rows] == ["db"] * 3 + ["api"] * 100
