"""The ClickHouse store: time of a flush, of making an hour, and of questions; rows and bytes kept.

    python -m bench.clickhouse [--minutes 60] [--flushes 6] [--shards 1]

Starts servers of its own on loopback ports, with data in a temporary folder, and ends them.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_server import Address
from backend.storage.interface import FOREVER, Precision
from bench.flushes import METRIC, at_minute, make_flushes
from bench.oal import MINUTE
from tests.backend.storage.clickhouse_servers import CLUSTER, running_servers


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, default=60, help="minutes of data")
    parser.add_argument("--flushes", type=int, default=6, help="flushes per minute")
    parser.add_argument("--shards", type=int, default=1, help="servers")
    arguments = parser.parse_args()
    flushes = make_flushes()
    rows = flushes[0].rows
    start = Precision.HOUR.start(MINUTE)
    print(f"{arguments.minutes * arguments.flushes} flushes of {len(rows)} rows, {arguments.shards} shards")
    with running_servers(arguments.shards, Path(tempfile.gettempdir())) as servers:
        store = ClickhouseStorage(
            Address("127.0.0.1", servers[0].port, "bench"), CLUSTER if arguments.shards > 1 else None
        )
        writes, maintains = [], []
        for number in range(arguments.minutes):
            for part in range(arguments.flushes):
                flush = at_minute(flushes[(number + part) % len(flushes)], f"{number}/{part}", start + number)
                writes.append(timed(functools.partial(store.write, flush)))
            maintains.append(timed(functools.partial(store.maintain, start + number - 2, start + number, FOREVER)))
        last = start + arguments.minutes
        ask_open = functools.partial(store.metrics, [METRIC], [], start, last, Precision.HOUR)
        before = timed(ask_open)
        made = timed(functools.partial(store.maintain, start + 60, start + 60, FOREVER))
        entity = rows.filter(pl.col("metric") == METRIC)["entity"][0]
        figures = {
            "flush, median": statistics.median(writes),
            "flush, 95th percentile": sorted(writes)[len(writes) * 95 // 100],
            "maintaining, nothing to make": statistics.median(maintains),
            "making an hour": made,
            "one metric, one entity, 30 minutes": timed(
                functools.partial(store.metrics, [METRIC], [entity], last - 30, last)
            ),
            "one metric, all entities, all minutes": timed(functools.partial(store.metrics, [METRIC], [], start, last)),
            "the same by the hour, not made yet": before,
            "the same by the hour, made": timed(ask_open),
        }
        for name, figure in figures.items():
            print(f"{name:42}{figure:10.1f} ms")
        for server in servers:
            server.query("OPTIMIZE TABLE bench.metrics_minutes FINAL")
            ((kept, size),) = server.query(
                "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts"
                " WHERE active AND database = 'bench' AND table = 'metrics_minutes'"
            )
            print(
                f"{'kept in minutes, on one server':42}{kept:10} rows, {int(str(size)) / int(str(kept)):.1f} bytes each"
            )
        store.close()


if __name__ == "__main__":
    main()
