"""What a minute of alarm rules costs: the standard rules over services, each with HTTP calls and connections.

    python -m bench.alarms [--services 2000 10000] [--alarms 0]

Metrics are in DuckDB, alarms in their file. CPU is that of this process in one check of all rules: user plus system
time, the threads of DuckDB and Polars among it. It is the least of three minutes that are checked one after the other,
after a first one, in which alarms begin.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from backend.alarms.engine import Engine
from backend.alarms.loading import load_standard
from backend.alarms.record_file import FileRecords
from backend.entities.ids import service_id
from backend.oal.loader import load
from backend.query.catalog import Catalog
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, MetricSchema, Storage

METRICS = [
    f"kubernetes_service_{name}"
    for name in (
        "http_call_cpm",
        "http_call_time",
        "http_call_successful_rate",
        "connect_cpm",
        "connect_success_cpm",
        "write_package_cpm",
        "write_retrains_package_cpm",
    )
]
TIME, PERCENTILE = "kubernetes_service_http_call_time", "kubernetes_service_percentile"
BUCKETS = ["5", "40"]
"""Of milliseconds, which calls of each service are in."""
SLOW = 100 * 5_000_000_000
"""Nanoseconds that 100 calls take together where the time of calls makes an alarm."""
FIRST = 30_000_000
"""A minute since 1970-01-01 UTC."""
PERIOD = 10
"""Minutes that the longest rule is about."""
CHECKS = 3


def fill(storage: Storage, services: int, alarms: int) -> None:
    """The same numbers for each service and minute. No rule holds, but one for the first `alarms` services."""
    entities = pl.DataFrame({"entity": [service_id(f"service-{number}") for number in range(services)]})
    labels = {name: [""] for name in METRICS} | {PERCENTILE: BUCKETS}
    names = pl.DataFrame({"metric": list(labels), "label": list(labels.values())}).explode("label")
    slow = pl.col("entity").is_in(entities["entity"][:alarms].to_list()) & (pl.col("metric") == TIME)
    for minute in range(FIRST, FIRST + PERIOD + CHECKS + 1):
        rows = names.join(entities, how="cross").select(
            "metric",
            "label",
            "entity",
            pl.lit(minute, pl.Int32).alias("minute"),
            pl.when(slow).then(SLOW).when(pl.col("metric") == METRICS[-1]).then(0).otherwise(100).alias("summation"),
            pl.lit(100, pl.Int64).alias("count"),
        )
        storage.write(Flush(f"bench-{minute}", rows.cast(MetricSchema)))  # type: ignore[arg-type] # a dict of types


def measure(services: int, alarms: int, catalog: Catalog) -> tuple[int, float]:
    """How many checks a minute has, and CPU seconds of all of them."""
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckdbStorage(Path(folder) / "metrics.duckdb")
        records = FileRecords(Path(folder) / "alarms.sqlite")
        fill(storage, services, alarms)
        engine = Engine(storage, lambda: catalog, records, load_standard(catalog).rules)
        engine.check(FIRST + PERIOD)
        if engine.begun != alarms:
            raise AssertionError(f"{engine.begun:,} alarms began, not {alarms:,}")
        taken = []
        for minute in range(FIRST + PERIOD + 1, FIRST + PERIOD + CHECKS + 1):
            begin = time.process_time()
            engine.check(minute)
            taken.append(time.process_time() - begin)
        records.close()
        storage.close()
        return engine.checked // (CHECKS + 1), min(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a line for each number of services."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--alarms", type=int, default=0, help="services with an alarm that is not over")
    catalog = Catalog(load(skip_unsupported=True).definitions)
    asked = parser.parse_args(arguments)
    for services in asked.services:
        checks, seconds = measure(services, min(asked.alarms, services), catalog)
        print(f"{services:,} services: {checks:,} checks, {seconds:.2f} s of CPU, {seconds / checks * 1e6:.0f} us each")


if __name__ == "__main__":
    main()
