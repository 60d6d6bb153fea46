"""A little world in a store: frontend calls api, api calls db, and "Unknown" calls frontend.

Everything is derived from the few numbers below, so that a test can say what to expect. Minute `m` of MINUTES is
`NOW_MINUTE - MINUTES + 1 + m`; the last of them is the minute that is not over.
"""

from dataclasses import dataclass

import polars as pl

from backend.entities.ids import endpoint_id, instance_id, instance_relation_id, service_id, service_relation_id
from backend.storage.interface import Endpoint, Flush, Instance, MetricSchema, Relation, Service, Storage

NOW = 1_800_000_030.0  # 2027-01-15T08:00:30Z: half of a minute has passed
NOW_MINUTE = int(NOW) // 60
MINUTES = 10
LAYER = "K8S_SERVICE"

FRONTEND, API, DB, UNKNOWN = (service_id(name) for name in ("frontend", "api", "db", "Unknown"))
INSTANCES = {
    FRONTEND: ["frontend-1"],
    API: ["api-1", "api-2"],
    DB: ["db-1"],
}


@dataclass(frozen=True)
class Traffic:
    """What a service does in every minute."""

    reads: int
    writes: int
    bytes_read: int
    bytes_written: int
    connects: int = 0
    connects_failed: int = 0
    accepts: int = 0
    read_time_ns: int = 1_000_000
    write_time_ns: int = 50_000


PER_MINUTE = {
    FRONTEND: Traffic(600, 1200, 1_228_800, 61_440, connects=30, connects_failed=3, accepts=60),
    API: Traffic(300, 300, 614_400, 307_200, connects=10, accepts=27, read_time_ns=2_500_000, write_time_ns=80_000),
    DB: Traffic(100, 50, 6_000, 600_000, accepts=10, read_time_ns=400_000),
}


@dataclass(frozen=True)
class Calls:
    """How an endpoint is called in every minute."""

    name: str
    calls: int
    failed: int
    statuses: dict[int, int]
    """By first digit."""
    time_ns: int
    sizes: tuple[int, int, int, int]
    """Bytes of each call: header and body of the request, header and body of the response."""


ENDPOINTS = {
    FRONTEND: [Calls("GET:/", 60, 0, {2: 55, 3: 5}, 85_000_000, (200, 0, 150, 4_096))],
    API: [
        Calls("POST:/orders", 40, 0, {2: 40}, 400_000, (400, 512, 120, 64)),
        Calls("GET:/orders", 200, 1, {2: 190, 4: 8, 5: 1}, 12_500_000, (300, 0, 150, 2_048)),
    ],
}

# source, destination, components, sides that report, then what the source sends and receives per minute
CALLS = [
    (UNKNOWN, FRONTEND, [129], ["server"], (0, 60, 60, 6_000, 120_000)),
    (FRONTEND, API, [49], ["client", "server"], (30, 300, 300, 61_440, 307_200)),
    (API, DB, [110], ["client", "server"], (10, 100, 50, 6_000, 600_000)),
]


def fill(storage: Storage, now: float = NOW) -> None:
    """Write the world, one flush per minute, so that the last is the minute of `now`."""
    last = int(now) // 60
    first = last - MINUTES + 1
    for minute in range(first, last + 1):
        storage.write(
            Flush(
                writer=f"world-{minute}",
                metrics=frame([(*row[:2], minute, *row[2:]) for row in _rows()]),
                services=[Service(entity, name(entity), LAYER, first, minute) for entity in PER_MINUTE],
                instances=[
                    Instance(instance_id(service, instance), service, instance, first, minute)
                    for service, instances in INSTANCES.items()
                    for instance in instances
                ],
                endpoints=[
                    Endpoint(endpoint_id(service, calls.name), service, calls.name, first, minute)
                    for service, endpoints in ENDPOINTS.items()
                    for calls in endpoints
                ],
                service_relations=[
                    Relation(service_relation_id(source, destination), source, destination, side, component, minute)
                    for source, destination, components, sides, _ in CALLS
                    for side in sides
                    for component in components
                ],
                instance_relations=[
                    Relation(instance_relation_id(source, destination), source, destination, side, 0, minute)
                    for source, destination, sides in instance_calls()
                    for side in sides
                ],
            )
        )


def frame(rows: list[tuple[str, str, int, int, int]]) -> pl.DataFrame:
    """Rows of metric, entity, minute, summation and count, as the store takes them; without a label."""
    return pl.DataFrame([(metric, "", *rest) for metric, *rest in rows], schema=MetricSchema, orient="row")


def name(service: str) -> str:
    """Name of one of the services."""
    return {FRONTEND: "frontend", API: "api", DB: "db", UNKNOWN: "Unknown"}[service]


def instance_calls() -> list[tuple[str, str, list[str]]]:
    """Calls between instances: frontend-1 calls both api instances, only api-1 calls db-1."""
    frontend, api_1, api_2, db = (
        instance_id(service, instance) for service, instances in INSTANCES.items() for instance in instances
    )
    both = ["client", "server"]
    return [(frontend, api_1, both), (frontend, api_2, both), (api_1, db, both)]


def _traffic_rows(prefix: str, entity: str, traffic: Traffic) -> list[tuple[str, str, int, int]]:
    rows = [
        ("read_cpm", traffic.reads, 0),
        ("write_cpm", traffic.writes, 0),
        ("read_package_size", traffic.bytes_read, 0),
        ("write_package_size", traffic.bytes_written, 0),
        ("read_time", traffic.reads * traffic.read_time_ns, traffic.reads),
        ("write_time", traffic.writes * traffic.write_time_ns, traffic.writes),
    ]
    if traffic.connects:
        rows += [
            ("connect_cpm", traffic.connects, 0),
            ("connect_success_cpm", traffic.connects - traffic.connects_failed, 0),
            ("connect_time", traffic.connects * 300_000, traffic.connects),
        ]
    if traffic.accepts:
        rows += [("accept_cpm", traffic.accepts, 0)]
    return [(prefix + suffix, entity, summation, count) for suffix, summation, count in rows]


def _rows() -> list[tuple[str, str, int, int]]:
    return [*_service_rows(), *_relation_rows(), *_endpoint_rows()]


def _endpoint_rows() -> list[tuple[str, str, int, int]]:
    rows: list[tuple[str, str, int, int]] = []
    for service, endpoints in ENDPOINTS.items():
        for calls in endpoints:
            entity, number = endpoint_id(service, calls.name), calls.calls
            rows += [
                ("call_cpm", entity, number, 0),
                ("call_successful_rate", entity, number - calls.failed, number),
                ("call_time", entity, number * calls.time_ns, number),
                *((f"http_status_{digit}xx_cpm", entity, count, 0) for digit, count in calls.statuses.items()),
            ]
            parts = [f"{way}_{part}" for way in ("req", "resp") for part in ("header", "body")]
            for part, size in zip(parts, calls.sizes, strict=True):
                rows.append((f"http_avg_{part}_size", entity, number * size, number))
    rows += [(f"http_{row[0]}", *row[1:]) for row in rows if row[0].startswith("call_")]
    return [("kubernetes_service_endpoint_" + row[0], *row[1:]) for row in rows]


def _service_rows() -> list[tuple[str, str, int, int]]:
    rows = []
    for service, traffic in PER_MINUTE.items():
        rows += _traffic_rows("kubernetes_service_", service, traffic)
        # All of a service's traffic is that of its first instance.
        instance = instance_id(service, INSTANCES[service][0])
        rows += _traffic_rows("kubernetes_service_instance_", instance, traffic)
    return rows


def _relation_rows() -> list[tuple[str, str, int, int]]:
    rows = []
    for source, destination, _, sides, (connects, writes, reads, sent, received) in CALLS:
        relation = service_relation_id(source, destination)
        if connects:
            rows += [("connect_cpm", relation, connects, 0), ("connect_success_cpm", relation, connects, 0)]
        if "client" in sides:
            rows += [
                ("client_write_cpm", relation, writes, 0),
                ("client_read_cpm", relation, reads, 0),
                ("client_write_package_size", relation, sent, 0),
                ("client_read_package_size", relation, received, 0),
            ]
        if "server" in sides:
            # The other side reads what the source writes, here in half as many calls.
            rows += [
                ("server_read_cpm", relation, writes // 2, 0),
                ("server_write_cpm", relation, reads // 2, 0),
                ("server_read_package_size", relation, sent, 0),
                ("server_write_package_size", relation, received, 0),
            ]
    return [("kubernetes_service_relation_" + row[0], *row[1:]) for row in rows]
