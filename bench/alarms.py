"""What a minute of alarm rules costs: the standard rules over services, each with HTTP calls and connections.

    python -m bench.alarms [--services 200 2000]

Metrics are in DuckDB, alarms in their file. CPU is that of this process in one check of all rules: user plus system
time, the threads of DuckDB and Polars among it. It is the least of three minutes that are checked one after the other.
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
    for name in ("http_call_cpm", "http_call_time", "http_call_successful_rate", "connect_cpm", "connect_success_cpm")
]
FIRST = 30_000_000
"""A minute since 1970-01-01 UTC."""
PERIOD = 10
"""Minutes that the longest rule is about."""
CHECKS = 3


def fill(storage: Storage, services: int) -> None:
    """The same numbers for each service and minute: no rule holds."""
    entities = pl.DataFrame({"entity": [service_id(f"service-{number}") for number in range(services)]})
    names = pl.DataFrame({"metric": METRICS})
    for minute in range(FIRST, FIRST + PERIOD + CHECKS):
        rows = names.join(entities, how="cross").select(
            "metric",
            pl.lit("").alias("label"),
            "entity",
            pl.lit(minute, pl.Int32).alias("minute"),
            pl.lit(100, pl.Int64).alias("summation"),
            pl.lit(100, pl.Int64).alias("count"),
        )
        storage.write(Flush(f"bench-{minute}", rows.cast(MetricSchema)))  # type: ignore[arg-type] # a dict of types


def measure(services: int, catalog: Catalog) -> tuple[int, float]:
    """How many checks a minute has, and CPU seconds of all of them."""
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckdbStorage(Path(folder) / "metrics.duckdb")
        records = FileRecords(Path(folder) / "alarms.sqlite")
        fill(storage, services)
        engine = Engine(storage, lambda: catalog, records, load_standard(catalog).rules)
        taken = []
        for minute in range(FIRST + PERIOD, FIRST + PERIOD + CHECKS):
            begin = time.process_time()
            engine.check(minute)
            taken.append(time.process_time() - begin)
        records.close()
        storage.close()
        return engine.checked // CHECKS, min(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a line for each number of services."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, nargs="+", default=[200, 2_000])
    catalog = Catalog(load(skip_unsupported=True).definitions)
    for services in parser.parse_args(arguments).services:
        checks, seconds = measure(services, catalog)
        print(f"{services:,} services: {checks:,} checks, {seconds:.2f} s of CPU, {seconds / checks * 1e6:.0f} us each")


if __name__ == "__main__":
    main()
