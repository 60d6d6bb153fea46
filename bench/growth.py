"""How a store grows with entities and with days: time of a flush and of merging, bytes of a point, time of questions.

    .venv/bin/python -m bench.growth [--services 100,1000,10000] [--days 1] [--minutes 3]

For each number of services there is a store of its own, in DuckDB, with all standard metrics. A service has one
instance and four connections to others, so that most entities are relations: 10,000 services are some 100,000 entities.
Each hour of `--days` has a flush with logs of all of them, and then each of `--minutes`; after each the store merges
what is over. A point is one value of one metric, entity and bucket as it is kept in the end, in minutes, hours and
days; its bytes are those of the blocks in use. Questions are asked five times, medians.
"""

import argparse
import functools
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from backend.metrics.analysis import analyse
from backend.oal.compiler import Program
from backend.oal.loader import load
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import FOREVER, Flush, Precision
from bench.flushes import METRIC
from bench.oal import MINUTE, make_batch
from bench.report import Report
from bench.storage import timed

CONNECTIONS_OF_A_SERVICE = 4
LOGS_OF_A_CONNECTION = 5
QUESTIONS = 5
TABLES = ("metrics_minutes", "metrics_hours", "metrics_days", "metrics_fresh")


def times(days: int, minutes: int) -> Iterator[int]:
    """Minutes that have a flush, in order."""
    now = MINUTE - MINUTE % Precision.DAY + days * Precision.DAY
    yield from range(now - days * Precision.DAY, now, Precision.HOUR)
    yield from range(now, now + minutes)


def at(batch: LogBatch, minute: int) -> LogBatch:
    """The same logs at another time."""
    return replace(batch, minute=np.full_like(batch.minute, minute))


def entities(flush: Flush) -> int:
    """How many a flush tells of."""
    relations = (*flush.service_relations, *flush.instance_relations, *flush.endpoint_relations)
    return len(flush.services) + len(flush.instances) + len(flush.endpoints) + len(relations)


def grow(services: int, days: int, minutes: int, path: Path, report: Report) -> None:
    """Fill one store, ask it, and report."""
    program, resolver = Program(load().definitions), Resolver()
    columns = sorted({column for wanted in program.columns.values() for column in wanted})
    connections = services * CONNECTIONS_OF_A_SERVICE
    batch = make_batch(connections * LOGS_OF_A_CONNECTION, connections, services, columns)
    store = DuckdbStorage(path)
    writes, merges, told = [], [], 0
    moments = list(times(days, minutes))
    for number, minute in enumerate(moments):
        flush = analyse([at(batch, minute)], resolver, program, f"{number:032x}-0/0").flush
        told = max(told, entities(flush))
        writes.append(timed(functools.partial(store.write, flush)))
        merges.append(timed(functools.partial(store.maintain, minute - 1, minute, FOREVER)))
    first, last = moments[0], moments[-1]
    (service,) = store.services()[:1]
    asked = {
        "ms, one entity by minutes": functools.partial(store.metrics, [METRIC], [service.id], last - 60, last),
        "ms, one by hours": functools.partial(store.metrics, [METRIC], [service.id], first, last, Precision.HOUR),
        "ms, all of a metric": functools.partial(store.metrics, [METRIC], [], last - 60, last),
    }
    questions = {name: statistics.median(timed(ask) for _ in range(QUESTIONS)) for name, ask in asked.items()}
    store.maintain(last + 1, last + 1, FOREVER)
    store.close()
    points, used = kept(path)
    figures = {"ms a flush": statistics.median(writes), "ms to merge": statistics.median(merges)}
    sizes = {"points": float(points), "MB": used / 1e6, "bytes a point": used / points}
    report.row(f"{told:,} entities, {services:,} services", {**figures, **sizes, **questions})


def kept(path: Path) -> tuple[int, int]:
    """(points, bytes of the blocks in use) of a closed store."""
    with duckdb.connect(str(path), read_only=True) as connection:
        points = sum(len(connection.table(name)) for name in TABLES)
        ((block, used),) = connection.execute("SELECT block_size, used_blocks FROM pragma_database_size()").fetchall()
    return points, block * used


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", default="100,1000,10000", help="numbers of them (default: %(default)s)")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--minutes", type=int, default=3)
    options = parser.parse_args()
    report = Report("growth", f"{options.days} days by the hour, then {options.minutes} minutes")
    for services in map(int, options.services.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            grow(services, options.days, options.minutes, Path(folder) / "store.duckdb", report)
    print(report.finish())


if __name__ == "__main__":
    main()
