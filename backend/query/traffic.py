"""Sums over a span of time, from the per-minute rows of the store.

The names of metrics are SkyWalking's, with one suffix for every scope: `kubernetes_service_read_cpm` and
`kubernetes_service_instance_read_cpm` count the same thing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from backend.query.observed import COUNTS, observed, slices
from backend.query.shapes import CallRates, CallTotals, Means, Rates, Totals, Traffic
from backend.query.times import Window
from backend.storage.interface import Precision, Service, Storage

INSTANCE = "kubernetes_service_instance_"
SERVICE_RELATION = "kubernetes_service_relation_"
ENDPOINT = "kubernetes_service_endpoint_"
INSTANCE_RELATION = "kubernetes_service_instance_relation_"

MINIMUM_HOURS = 3
"""Whole hours of a span from which on they are read as such: each question to the store takes its time."""

TOTALS = (*COUNTS, "connect_success_cpm", "read_package_size", "write_package_size")
TIMES = ("read_time", "write_time", "connect_time")
SIDED = ("read_cpm", "write_cpm", "read_package_size", "write_package_size")
RELATION_SUFFIXES = (
    "connect_cpm",
    "connect_success_cpm",
    "accept_cpm",
    "close_cpm",
    *(f"{side}_{suffix}" for side in ("client", "server") for suffix in SIDED),
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of metrics over a span, for any number of entities."""

    prefix: str
    minutes: float
    """How long was observed; what rates are divided by."""
    values: dict[str, dict[str, tuple[int, int]]]
    """By entity, then metric without its prefix: (summation, count)."""

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows of the store."""
        summed = rows.group_by("entity", "metric").agg(pl.col("summation").sum(), pl.col("count").sum())
        for entity, metric, summation, count in summed.iter_rows():
            values = self.values.setdefault(entity, {})
            suffix = metric.removeprefix(self.prefix)
            before = values.get(suffix, (0, 0))
            values[suffix] = (before[0] + summation, before[1] + count)

    def total(self, entity: str, suffix: str) -> int | None:
        """The sum of a metric, or None when the entity has no data for it."""
        found = self.values.get(entity, {}).get(suffix)
        return None if found is None else found[0]

    def mean(self, entity: str, suffix: str) -> int | None:
        """The mean of an averaged metric, rounded down as SkyWalking does; None without data."""
        summation, count = self.values.get(entity, {}).get(suffix, (0, 0))
        return summation // count if count else None

    def per_minute(self, total: int | None) -> float | None:
        """A total as a rate; None when there is no total or nothing was observed."""
        return None if total is None or not self.minutes else total / self.minutes

    def per_second(self, total: int | None) -> float | None:
        """A total as a rate; None when there is no total or nothing was observed."""
        rate = self.per_minute(total)
        return None if rate is None else rate / 60

    def connects_failed(self, entity: str) -> int | None:
        """Connects that did not succeed; None when there were no connects."""
        connects = self.total(entity, "connect_cpm")
        return None if connects is None else connects - (self.total(entity, "connect_success_cpm") or 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """How much of a window has any data."""

    length: float
    """Minutes; what rates are divided by."""
    first: int | None
    """The first such minute."""


def sum_metrics(
    storage: Storage, prefix: str, suffixes: Sequence[str], window: Window, *, entities: Sequence[str], seen: Seen
) -> Sums:
    """Sums of `prefix + suffix` over a window. An empty `entities` means every entity. Blocks."""
    sums = Sums(prefix, seen.length, {})
    names = [prefix + suffix for suffix in suffixes]
    for first, last, precision in parts(window.first, window.last, seen.first):
        if precision is Precision.MINUTE:
            for rows in slices(storage, names, entities, first, last):
                sums.add(rows)
        else:
            sums.add(storage.metrics(names, entities, first, last, precision))
    return sums


def look(storage: Storage, window: Window, services: Iterable[Service]) -> Seen:
    """How much of a window has any data. `services` are all of the store. Blocks."""
    minutes = sorted(observed(storage, window, services))
    return Seen(window.observed(minutes), minutes[0] if minutes else None)


def parts(first: int, last: int, seen: int | None) -> list[tuple[int, int, Precision]]:
    """A span in parts that give the same sums as its minutes: whole days, whole hours, and minutes at its ends.

    Values by the hour are kept longer than those by the minute, and sums are of what is kept by the minute. Minutes are
    forgotten from the oldest on, so that all hours are whole that begin at the first minute that is there, or later.

    Args:
        first: minutes since 1970-01-01 UTC, as the others.
        last: it belongs to the span.
        seen: the first minute that anything is stored of; None for none.
    """
    hours = (_up(first if seen is None else max(first, seen), Precision.HOUR), Precision.HOUR.start(last + 1))
    if seen is None or hours[1] - hours[0] < MINIMUM_HOURS * Precision.HOUR:
        return [(first, last, Precision.MINUTE)]
    days = (_up(hours[0], Precision.DAY), Precision.DAY.start(hours[1]))
    if days[1] <= days[0]:
        days = (hours[1], hours[1])
    cut = [
        (first, hours[0], Precision.MINUTE),
        (hours[0], days[0], Precision.HOUR),
        (days[0], days[1], Precision.DAY),
        (days[1], hours[1], Precision.HOUR),
        (hours[1], last + 1, Precision.MINUTE),
    ]
    return [(begin, end - 1, precision) for begin, end, precision in cut if begin < end]


def _up(minute: int, precision: Precision) -> int:
    """The first bucket that begins at a minute or after it."""
    return -(-minute // precision) * precision


def traffic(sums: Sums, entity: str) -> Traffic:
    """What a service or an instance did."""
    totals = Totals(
        reads=sums.total(entity, "read_cpm"),
        writes=sums.total(entity, "write_cpm"),
        bytes_read=sums.total(entity, "read_package_size"),
        bytes_written=sums.total(entity, "write_package_size"),
        connects=sums.total(entity, "connect_cpm"),
        connects_failed=sums.connects_failed(entity),
        accepts=sums.total(entity, "accept_cpm"),
        closes=sums.total(entity, "close_cpm"),
    )
    return Traffic(
        totals=totals,
        means=Means(**{name: sums.mean(entity, name) for name in TIMES}),
        rates=Rates(
            reads_per_minute=sums.per_minute(totals.reads),
            writes_per_minute=sums.per_minute(totals.writes),
            bytes_read_per_second=sums.per_second(totals.bytes_read),
            bytes_written_per_second=sums.per_second(totals.bytes_written),
            connects_per_minute=sums.per_minute(totals.connects),
            connects_failed_per_minute=sums.per_minute(totals.connects_failed),
            accepts_per_minute=sums.per_minute(totals.accepts),
            closes_per_minute=sums.per_minute(totals.closes),
        ),
    )


def call_totals(sums: Sums, relation: str, side: str) -> CallTotals:
    """What went over a relation as one side reported it, turned to the source's view."""
    reads, writes, bytes_read, bytes_written = (sums.total(relation, f"{side}_{suffix}") for suffix in SIDED)
    if side == "client":
        return CallTotals(writes=writes, reads=reads, bytes_sent=bytes_written, bytes_received=bytes_read)
    return CallTotals(writes=reads, reads=writes, bytes_sent=bytes_read, bytes_received=bytes_written)


def call_rates(sums: Sums, relation: str, reports: Iterable[CallTotals]) -> CallRates:
    """Rates of the first report that has any data."""
    chosen = next((report for report in reports if report != CallTotals()), CallTotals())
    return CallRates(
        writes_per_minute=sums.per_minute(chosen.writes),
        reads_per_minute=sums.per_minute(chosen.reads),
        bytes_sent_per_second=sums.per_second(chosen.bytes_sent),
        bytes_received_per_second=sums.per_second(chosen.bytes_received),
        connects_per_minute=sums.per_minute(sums.total(relation, "connect_cpm")),
    )
