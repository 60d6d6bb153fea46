"""Time to turn logs into metrics: resolve connections, evaluate all scripts, describe who was seen.

.venv/bin/python bench/oal.py
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np

from backend.entities.resolution import Resolver
from backend.ingest.batch import START, Address, Connection, DetectPoint, LogBatch, LogKind, Node
from backend.metrics.analysis import analyse
from backend.oal.compiler import Program
from backend.oal.definitions import Definition
from backend.oal.loader import STANDARD, load
from backend.oal.logs import DURATION

MINUTE = 30_000_000
PATHS = 40
HTTP = ("request.method", "request.methodName", "request.host", "response.grpcStatus", "slice", "isContinued")
"""Columns of HTTP logs that are 0 here."""


def make_batch(logs: int, connections: int, services: int, columns: Sequence[str], seed: int = 1) -> LogBatch:
    """Logs of one minute: 35 % reads, 35 % writes, 15 % HTTP calls, the rest connects, accepts and closes."""
    random = np.random.default_rng(seed)
    node = Node("node", "", 0, {})

    def process(number: int) -> Address:
        return Address(f"service-{number}.default", f"service-{number}-7d4b9c6f5-x2x{number % 3}", "app", "", 8080)

    ends = random.integers(0, services, (connections, 2))
    roles = random.integers(0, 2, connections)
    return LogBatch(
        [
            Connection(node, process(local), process(remote), DetectPoint(int(role)), tls=False, protocol=1)
            for (local, remote), role in zip(ends.tolist(), roles, strict=True)
        ],
        random.integers(0, connections, logs).astype(np.int32),
        random.choice([int(kind) for kind in LogKind], logs, p=[0.05, 0.05, 0.05, 0.35, 0.35, 0.15]).astype(np.int8),
        np.full(logs, MINUTE, np.int32),
        random.integers(1_000, 1_000_000, logs),
        {
            **{column: random.integers(0, 5_000, logs) for column in columns if column != DURATION},
            **dict.fromkeys((f"http.{name}" for name in HTTP), np.zeros(logs, np.int64)),
            "http.request.path": random.integers(1, PATHS + 1, logs),
            "http.response.statusCode": random.choice([200, 204, 404, 500], logs, p=[0.9, 0.05, 0.04, 0.01]),
            START: np.zeros(logs, np.int64),
        },
        ("", *(f"/api/resource/{path}" for path in range(PATHS))),
    )


def measure(definitions: Sequence[Definition], batch: LogBatch, runs: int) -> tuple[float, int]:
    """Median seconds of a flush, and the rows it makes."""
    program, resolver = Program(definitions), Resolver()
    seconds = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        flush = analyse([batch], resolver, program, "writer").flush
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), len(flush.rows)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="runs of each measurement (the median is shown)")
    runs = parser.parse_args().runs
    every = load(STANDARD / "ebpf.oal").definitions
    columns = sorted({column for wanted in Program(every).columns.values() for column in wanted})
    services_only = [definition for definition in every if definition.scope == "K8SService"]
    print(f"{'logs':>8} {'connections':>11} {'services':>8} {'metrics':>7} {'rows':>7} {'ms':>7} {'us per log':>10}")
    for logs, connections, services in (
        (200_000, 2_000, 10),
        (200_000, 20_000, 50),
        (20_000, 500, 10),
        (2_000, 100, 5),
    ):
        batch = make_batch(logs, connections, services, columns)
        for definitions in (services_only, every):
            seconds, rows = measure(definitions, batch, runs)
            print(
                f"{logs:>8} {connections:>11} {services:>8} {len(definitions):>7} {rows:>7}"
                f" {seconds * 1e3:>7.1f} {seconds / logs * 1e6:>10.2f}"
            )


if __name__ == "__main__":
    main()
