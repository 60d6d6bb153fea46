"""How long the console takes to show its first page and the map of a large cluster, in headless Chromium.

    python -m bench.console [--services 1000] [--relations 10000] [--minutes 15] [--rounds 5] [--picture FILE]

Metrics are in DuckDB; the server runs in this process, on the same processors as the browser.
Each round loads the page in a browser with an empty cache. Told are medians, in milliseconds since the load began: the
first paint (as the browser counts it), when the topology was answered, and when the map stood; beside it how long the
browser was busy drawing the map, and how many nodes and arrows it has.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from backend.storage.duckdb import DuckdbStorage
from tests.backend.console.conftest import CHROMIUM, DRIVER, FLAGS
from tests.backend.console.served import serving
from tests.backend.query import large_world

SEEN = """
    const map = document.querySelector('#graph svg');
    const [drawing] = performance.getEntriesByName('graph');
    const topology = performance.getEntriesByType('resource').find(({ name }) => name.includes('/api/topology'));
    return map && drawing && {
        paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
        began: topology.responseStart,
        answered: topology.responseEnd,
        bytes: topology.decodedBodySize,
        map: drawing.startTime + drawing.duration,
        drawing: drawing.duration,
        nodes: map.querySelectorAll('.node').length,
        calls: map.querySelectorAll('path.call').length,
    };
"""
PATIENCE = 240
"""Seconds that a page may take."""


@contextmanager
def browsing(folder: str) -> Iterator[webdriver.Chrome]:
    """A browser that has seen nothing yet."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=large_world.SERVICES)
    parser.add_argument("--relations", type=int, default=large_world.RELATIONS)
    parser.add_argument("--minutes", type=int, default=15, help="how many of them have data (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, help="where a screenshot goes")
    parser.add_argument("--view", default="", help="what stands after # in the address")
    asked = parser.parse_args(arguments)
    now = time.time() // 60 * 60 + 30
    found = []
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckdbStorage(Path(folder) / "metrics.duckdb")
        large_world.fill(storage, now, services=asked.services, relations=asked.relations, minutes=asked.minutes)
        with serving(storage, clock=lambda: now) as address:
            for number in range(asked.rounds):
                with browsing(f"{folder}/browser-{number}") as driver:
                    driver.get(f"http://{address}/#{asked.view}")
                    found.append(WebDriverWait(driver, PATIENCE, 0.1).until(lambda one: one.execute_script(SEEN)))
                    if asked.picture and number == asked.rounds - 1:
                        driver.save_screenshot(str(asked.picture))
        storage.close()
    print(f"{asked.services:,} services, {asked.relations:,} relations, medians of {asked.rounds} rounds:")
    for told, value in (
        ("first paint", lambda one: one["paint"]),
        ("answer of /api/topology began", lambda one: one["began"]),
        ("answer of /api/topology was there", lambda one: one["answered"]),
        ("the map stood", lambda one: one["map"]),
        ("drawing it took", lambda one: one["drawing"]),
    ):
        print(f"  {told}: {statistics.median(map(value, found)):,.0f} ms")
    last = found[-1]
    print(f"  {last['nodes']:,} nodes, {last['calls']:,} arrows, {last['bytes']:,} bytes of JSON")


if __name__ == "__main__":
    main()
