"""In which minutes of a window anything was stored."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import polars as pl

from backend.query.times import Window
from backend.storage.interface import Service, Storage

SERVICE = "kubernetes_service_"
COUNTS = ("read_cpm", "write_cpm", "connect_cpm", "accept_cpm", "close_cpm")
"""Suffixes of the metrics of which at least one grows with every kernel log: together they tell what was observed."""
LIKELY = 8
"""Services that are looked at first: those that were seen longest have nearly every minute between them."""
SLICE = 120
"""Minutes that are asked of the store at a time to begin with."""
SLICE_ROWS = 250_000
"""About how many rows are asked of the store at a time: a long span must not be in memory as a whole."""
_GROWTH = 4


def observed(storage: Storage, window: Window, services: Iterable[Service]) -> set[int]:
    """The minutes of a window in which any service did anything. `services` are all of the store. Blocks."""
    missing = set(range(window.first, window.last + 1))
    if likely := _longest_seen(services, window):
        for rows in slices(storage, [SERVICE + COUNTS[0]], likely, window.first, window.last):
            missing.difference_update(rows["minute"].unique())
    for first, last in _stretches(missing):
        for rows in slices(storage, [SERVICE + suffix for suffix in COUNTS], (), first, last):
            missing.difference_update(rows["minute"].unique())
    return set(range(window.first, window.last + 1)) - missing


def slices(
    storage: Storage, names: Sequence[str], entities: Sequence[str], first: int, last: int
) -> Iterator[pl.DataFrame]:
    """Rows by the minute, some hours at a time: as many as make about SLICE_ROWS, by the rows before. Blocks."""
    length = SLICE
    while first <= last:
        end = min(first + length - 1, last)
        rows = storage.metrics(names, entities, first, end)
        yield rows
        length = max(1, min(length * _GROWTH, (end - first + 1) * SLICE_ROWS // max(1, len(rows))))
        first = end + 1


def _longest_seen(services: Iterable[Service], window: Window) -> list[str]:
    """Ids of the services that were seen during most of a window."""

    def minutes(service: Service) -> int:
        return min(service.last_minute, window.last) - max(service.first_minute, window.first)

    within = [service for service in services if minutes(service) >= 0]
    return [service.id for service in sorted(within, key=lambda service: (-minutes(service), service.id))[:LIKELY]]


def _stretches(minutes: Collection[int]) -> list[tuple[int, int]]:
    """First and last of minutes that lie closer together than a slice is long."""
    found: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if found and minute - found[-1][1] < SLICE:
            found[-1] = (found[-1][0], minute)
        else:
            found.append((minute, minute))
    return found
