"""The DuckDB store: time of a flush, of merging and of questions, bytes written and kept.

    python -m bench.storage [--minutes 60] [--flushes 6]

Beside it, in the same run, a plain table that has names and ids as text in every row and is merged in the same way:
what numbers for names, and sums side by side, are there to avoid. Only metrics are written, so that both do the same.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import duckdb
import polars as pl

from backend.oal.loader import load
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import FOREVER, Flush, Retention
from bench.flushes import METRIC, at_minute, make_flushes, only_rows
from bench.oal import MINUTE


class Store(Protocol):
    """What is compared."""

    def write(self, flush: Flush) -> None:
        """Write a flush."""

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """Merge closed minutes."""

    def metrics(
        self, names: Sequence[str], entities: Sequence[str], first_minute: int, last_minute: int
    ) -> pl.DataFrame:
        """Answer a question."""

    def close(self) -> None:
        """End."""


class TextStore:
    """Metric rows with text in them."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))
        self._connection.execute(
            "CREATE TABLE merged (minute INTEGER, metric VARCHAR, label VARCHAR, entity VARCHAR,"
            ' summation BIGINT, "count" BIGINT);'
            "CREATE TABLE fresh (minute INTEGER, metric VARCHAR, label VARCHAR, entity VARCHAR, summation BIGINT,"
            ' "count" BIGINT, writer VARCHAR)'
        )

    def write(self, flush: Flush) -> None:
        """Write a flush."""
        staged = {column: flush.metrics[column].to_numpy() for column in flush.metrics.columns}
        self._connection.begin()
        self._connection.register("staged", staged)
        self._connection.execute(
            'INSERT INTO fresh SELECT minute, metric, label, entity, summation, "count", $1 FROM staged', [flush.writer]
        )
        self._connection.commit()

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """Merge closed minutes."""
        del now_minute, retention
        self._connection.begin()
        self._connection.execute(
            'INSERT INTO merged SELECT minute, metric, label, entity, sum(summation)::BIGINT, sum("count")::BIGINT'
            " FROM fresh WHERE minute < $1"
            " GROUP BY minute, metric, label, entity ORDER BY metric, minute, entity, label",
            [closed_minute],
        )
        self._connection.execute("DELETE FROM fresh WHERE minute < $1", [closed_minute])
        self._connection.commit()

    def metrics(
        self, names: Sequence[str], entities: Sequence[str], first_minute: int, last_minute: int
    ) -> pl.DataFrame:
        """Answer a question."""
        rows = self._connection.execute(
            'SELECT metric, label, entity, minute, sum(summation)::BIGINT AS summation, sum("count")::BIGINT AS "count"'
            " FROM (FROM merged UNION ALL SELECT * EXCLUDE writer FROM fresh)"
            " WHERE minute BETWEEN $1 AND $2 AND metric IN (SELECT unnest($3::VARCHAR[]))"
            " AND ($4 OR entity IN (SELECT unnest($5::VARCHAR[]))) GROUP BY metric, label, entity, minute",
            [first_minute, last_minute, list(names), not entities, list(entities)],
        ).fetchnumpy()
        return pl.DataFrame({name: values.tolist() for name, values in rows.items()}).sort("metric", "entity", "minute")

    def close(self) -> None:
        """End."""
        self._connection.close()


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def add_timed(times: list[float], work: Callable[[], object]) -> None:
    """Add the milliseconds that it takes."""
    times.append(timed(work))


def processor_time(work: Callable[[], object]) -> float:
    """Milliseconds of the processor that it takes, which other programs disturb less."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e3


def bytes_written() -> int:
    """By this process, to disk, so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def measure(store: Store, path: Path, made: Sequence[Flush], minutes: int, flushes: int) -> dict[str, str]:
    """Figures of one store, by what they are."""
    names = [definition.name for definition in load().definitions]
    entity = made[0].rows.filter(pl.col("metric") == METRIC)["entity"][0]
    writes, merges, of_writes, of_merges = list[float](), list[float](), list[float](), list[float]()
    before = bytes_written()
    for number in range(minutes):
        for part in range(flushes):
            writer = f"0123456789abcdef0123456789abcdef-{number}/{part}"
            flush = at_minute(made[(number + part) % len(made)], writer, MINUTE + number)
            write = functools.partial(store.write, flush)
            of_writes.append(processor_time(functools.partial(add_timed, writes, write)))
        merge = functools.partial(store.maintain, MINUTE + number - 2, MINUTE + number, FOREVER)
        of_merges.append(processor_time(functools.partial(add_timed, merges, merge)))
    written = bytes_written() - before
    last = MINUTE + minutes
    figures = {
        "flush, median": f"{statistics.median(writes):.1f} ms",
        "flush, 95th percentile": f"{sorted(writes)[len(writes) * 95 // 100]:.1f} ms",
        "merging a minute": f"{statistics.median(merges):.1f} ms",
        "processor time, flush, mean": f"{statistics.mean(of_writes):.1f} ms",
        "processor time, merging a minute, most": f"{max(of_merges):.1f} ms",
        "written to disk": f"{written / 1e6:.0f} MB",
    }
    for name, asked in {
        "processor time, one metric, one entity, 30 minutes": ([METRIC], [entity], last - 30),
        "processor time, one metric, all entities, all minutes": ([METRIC], [], MINUTE),
        "processor time, all metrics, one entity, all minutes": (names, [entity], MINUTE),
        "processor time, all metrics, all entities, 10 minutes": (names, [], last - 10),
    }.items():
        ask = functools.partial(store.metrics, *asked, last)
        figures[name] = f"{statistics.median(processor_time(ask) for _ in range(5)):.1f} ms"
    store.maintain(last + 1, last + 1, FOREVER)
    store.close()
    with duckdb.connect(str(path)) as connection:
        rows = len(connection.table("merged" if isinstance(store, TextStore) else "metrics_minutes"))
        ((block, used),) = connection.execute("SELECT block_size, used_blocks FROM pragma_database_size()").fetchall()
    return {**figures, "kept": f"{used * block / rows:.1f} bytes a row", "rows kept": f"{rows}"}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, default=60, help="minutes of data")
    parser.add_argument("--flushes", type=int, default=6, help="flushes per minute")
    arguments = parser.parse_args()
    side_by_side = make_flushes()
    in_rows = [only_rows(flush) for flush in side_by_side]
    print(f"{arguments.minutes * arguments.flushes} flushes of {len(in_rows[0].metrics)} rows")
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "store.duckdb", Path(folder) / "text.duckdb"
        stores: tuple[Store, ...] = DuckdbStorage(paths[0]), TextStore(paths[1])
        ours, text = (
            measure(store, path, made, arguments.minutes, arguments.flushes)
            for store, path, made in zip(stores, paths, (side_by_side, in_rows), strict=True)
        )
    print(f"{'':56}{'pyrover':>18}{'text in rows':>18}")
    for name, figure in ours.items():
        print(f"{name:56}{figure:>18}{text[name]:>18}")


if __name__ == "__main__":
    main()
