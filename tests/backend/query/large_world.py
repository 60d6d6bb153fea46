"""A cluster in a store: many services in namespaces of very different sizes, and calls mostly within them.

Calls lead from services with lower numbers to those with higher ones, but for one in twenty, so that the picture of
them has a direction, as that of most clusters has. The same arguments always make the same world.
"""

import random
from collections.abc import Iterator

import polars as pl

from backend.entities.ids import service_id, service_relation_id
from backend.storage.interface import Flush, MetricSchema, Relation, Service, Storage

NAMESPACES = 20
SERVICES, RELATIONS = 1_000, 10_000
WITHIN = 0.7
"""Share of the calls that stay in a namespace."""
BACK = 0.05
"""Share of the calls that lead back."""
PROTOCOLS = (49, 49, 49, 110, 129, 130)
LAYER = "K8S_SERVICE"


def names(services: int = SERVICES) -> list[str]:
    """Names of services; the first namespaces have most of them."""
    drawn = random.Random(1)
    weights = [1 / (number + 1) for number in range(NAMESPACES)]
    spaces = drawn.choices(range(NAMESPACES), weights, k=services)
    return [f"service-{number:04}.team-{space:02}" for number, space in enumerate(spaces)]


def calls(services: int = SERVICES, relations: int = RELATIONS) -> list[tuple[int, int]]:
    """Numbers of the two ends of each relation."""
    drawn = random.Random(2)
    named = names(services)
    mates: dict[str, list[int]] = {}
    for number, name in enumerate(named):
        mates.setdefault(name.partition(".")[2], []).append(number)
    found: dict[tuple[int, int], None] = {}
    while len(found) < relations:
        source = drawn.randrange(services)
        own = mates[named[source].partition(".")[2]]
        target = drawn.choice(own) if drawn.random() < WITHIN else drawn.randrange(services)
        low, high = min(source, target), max(source, target)
        if low != high:
            found[(high, low) if drawn.random() < BACK else (low, high)] = None
    return list(found)


def fill(
    storage: Storage, now: float, *, services: int = SERVICES, relations: int = RELATIONS, minutes: int = 15
) -> None:
    """Write the world, the same in each of the minutes up to that of `now`."""
    last = int(now) // 60
    first = last - minutes + 1
    ids = [service_id(name) for name in names(services)]
    ends = [(ids[source], ids[target]) for source, target in calls(services, relations)]
    rows = [*_service_rows(ids), *_relation_rows(ends)]
    metrics = pl.DataFrame(rows, ["metric", "entity", "summation", "count"], orient="row")
    known = [Service(identity, name, LAYER, first, last) for identity, name in zip(ids, names(services), strict=True)]
    protocols = random.Random(3).choices(PROTOCOLS, k=len(ends))
    for minute in range(first, last + 1):
        of_minute = metrics.with_columns(pl.lit("").alias("label"), pl.lit(minute).alias("minute"))
        storage.write(
            Flush(
                writer=f"large-world-{minute}",
                metrics=of_minute.select(list(MetricSchema)).cast(MetricSchema),  # type: ignore[arg-type] # a dict of types
                services=known if minute == last else [],
                service_relations=[
                    Relation(service_relation_id(source, target), source, target, "client", component, minute)
                    for (source, target), component in zip(ends, protocols, strict=True)
                ],
            )
        )


def _service_rows(ids: list[str]) -> Iterator[tuple[str, str, int, int]]:
    drawn = random.Random(4)
    for identity in ids:
        calls_, time = 1 + int(drawn.lognormvariate(4, 1.5)), 1_000_000 * (1 + int(drawn.lognormvariate(3, 1)))
        yield from (
            (f"kubernetes_service_{metric}", identity, summation, count)
            for metric, summation, count in (
                ("read_cpm", calls_, 0),
                ("write_cpm", calls_, 0),
                ("read_package_size", calls_ * 600, 0),
                ("write_package_size", calls_ * 2_000, 0),
                ("read_time", calls_ * 50_000, calls_),
                ("write_time", calls_ * 30_000, calls_),
                ("http_call_cpm", calls_, 0),
                ("http_call_time", calls_ * time, calls_),
                ("http_call_successful_rate", calls_ - calls_ // 50, calls_),
            )
        )


def _relation_rows(ends: list[tuple[str, str]]) -> Iterator[tuple[str, str, int, int]]:
    drawn = random.Random(5)
    for source, target in ends:
        identity, calls_ = service_relation_id(source, target), 1 + int(drawn.lognormvariate(2, 1.5))
        yield from (
            (f"kubernetes_service_relation_{metric}", identity, summation, 0)
            for metric, summation in (
                ("client_write_cpm", calls_),
                ("client_read_cpm", calls_),
                ("client_write_package_size", calls_ * 500),
                ("client_read_package_size", calls_ * 2_000),
                ("connect_cpm", 1),
                ("connect_success_cpm", 1),
            )
        )
