"""Sums over a span of time, from the per-minute rows of the store.

The names of metrics are SkyWalking's, with one suffix for every scope: `kubernetes_service_read_cpm` and
`kubernetes_service_instance_read_cpm` count the same thing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from backend.query.shapes import CallRates, CallTotals, Means, Rates, Totals, Traffic
from backend.query.times import Window
from backend.storage.interface import Storage

SERVICE = "kubernetes_service_"
INSTANCE = "kubernetes_service_instance_"
SERVICE_RELATION = "kubernetes_service_relation_"
ENDPOINT = "kubernetes_service_endpoint_"
INSTANCE_RELATION = "kubernetes_service_instance_relation_"

SLICE = 120  # minutes that are asked of the store at a time

COUNTS = ("read_cpm", "write_cpm", "connect_cpm", "accept_cpm", "close_cpm")
"""Suffixes of the metrics of which at least one grows with every kernel log: together they tell what was observed."""

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


def sum_metrics(
    storage: Storage, prefix: str, suffixes: Sequence[str], window: Window, *, entities: Sequence[str], minutes: float
) -> Sums:
    """Sums of `prefix + suffix` over a window. An empty `entities` means every entity. Blocks."""
    sums = Sums(prefix, minutes, {})
    for rows in _slices(storage, [prefix + suffix for suffix in suffixes], entities, window):
        sums.add(rows)
    return sums


def observed_minutes(storage: Storage, window: Window) -> float:
    """How much of the window has any data, in minutes. Blocks."""
    missing = set(range(window.first, window.last + 1))
    # The first count has every minute as a rule, and is a fifth of the rows.
    for suffix in COUNTS:
        for rows in _slices(storage, [SERVICE + suffix], (), window):
            missing.difference_update(rows["minute"].unique())
        if not missing:
            break
    return window.observed(minute for minute in range(window.first, window.last + 1) if minute not in missing)


def sum_every_service(storage: Storage, window: Window) -> Sums:
    """Sums for every service; the same rows tell how long was observed. Blocks."""
    sums, minutes = Sums(SERVICE, 0, {}), 0.0
    counts = pl.col("metric").is_in([SERVICE + suffix for suffix in COUNTS])
    for rows in _slices(storage, [SERVICE + suffix for suffix in (*TOTALS, *TIMES)], (), window):
        sums.add(rows)
        minutes += window.observed(rows.filter(counts)["minute"].unique())
    return replace(sums, minutes=minutes)


def _slices(storage: Storage, names: Sequence[str], entities: Sequence[str], window: Window) -> Iterator[pl.DataFrame]:
    """The rows of a window, a few hours at a time: a long span must not be in memory as a whole."""
    for first in range(window.first, window.last + 1, SLICE):
        yield storage.metrics(names, entities, first, min(first + SLICE - 1, window.last))


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
