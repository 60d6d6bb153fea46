"""The ClickHouse store: time of a flush, of making an hour, and of questions; rows and bytes kept.

Beside it the processor time of flushes and of questions, here and in the servers, which other programs disturb less.

    python -m bench.clickhouse [--minutes 60] [--flushes 6] [--shards 1]

Starts servers of its own on loopback ports, with data in a temporary folder, and ends them.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_server import Address
from backend.storage.interface import FOREVER, Flush, Precision
from bench.flushes import METRIC, at_minute, make_flushes
from bench.oal import MINUTE
from tests.backend.storage.clickhouse_servers import CLUSTER, ClickhouseServer, running_servers

ASKED = 50


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def used(servers: Sequence[ClickhouseServer], work: Callable[[], object], times: int) -> tuple[float, float]:
    """Milliseconds of processors that one of so many turns takes: of this process, and of the servers."""
    of_servers, here = sum(server.processor_seconds for server in servers), time.process_time()
    for _ in range(times):
        work()
    here = time.process_time() - here
    of_servers = sum(server.processor_seconds for server in servers) - of_servers
    return here / times * 1e3, of_servers / times * 1e3


def write_next(store: ClickhouseStorage, flushes: Iterator[Flush], took: list[float]) -> None:
    """Write one more of some flushes, and add the milliseconds that it takes."""
    took.append(timed(functools.partial(store.write, next(flushes))))


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
        writes, maintains, processors = list[float](), list[float](), list[tuple[float, float]]()
        for number in range(arguments.minutes):
            following = iter(
                [
                    at_minute(flushes[(number + part) % len(flushes)], f"{number}/{part}", start + number)
                    for part in range(arguments.flushes)
                ]
            )
            write = functools.partial(write_next, store, following, writes)
            processors.append(used(servers, write, arguments.flushes))
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
        ask_all = functools.partial(store.metrics, [METRIC], [], start, last)
        for name, (here, there) in {
            "a flush": [statistics.median(values) for values in zip(*processors, strict=True)],
            "one metric, all entities, all minutes": used(servers, ask_all, ASKED),
        }.items():
            print(f"{'processor time, ' + name:54}{here:10.1f} ms here, {there:.1f} ms in the servers")
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
