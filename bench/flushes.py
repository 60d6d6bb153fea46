"""Flushes as large as those of 20,000 logs of 500 processes, all metrics on, for the benchmarks of stores."""

from dataclasses import replace

import polars as pl

from backend.entities.resolution import Resolver
from backend.metrics.analysis import analyse
from backend.oal.compiler import Program
from backend.oal.loader import load
from backend.storage.interface import Flush
from bench.oal import make_batch

METRIC = "kubernetes_service_write_package_size"
"""One that each of them has."""
_DIFFERENT = 6


def make_flushes() -> list[Flush]:
    """Some different ones, with rows of metrics alone: no entities and no relations."""
    program = Program(load().definitions)
    columns = sorted({column for wanted in program.columns.values() for column in wanted})
    batches = [make_batch(20_000, 500, 10, columns, seed) for seed in range(_DIFFERENT)]
    flushes = [analyse([batch], Resolver(), program, "").flush for batch in batches]
    return [Flush("", flush.metrics, blocks=flush.blocks) for flush in flushes]


def at_minute(flush: Flush, writer: str, minute: int) -> Flush:
    """The same of another writer, with all rows in one minute."""
    of_minute = pl.lit(minute, pl.Int32).alias("minute")
    return Flush(
        writer,
        flush.metrics.with_columns(of_minute),
        blocks=[replace(block, sums=block.sums.with_columns(of_minute)) for block in flush.blocks],
    )


def only_rows(flush: Flush) -> Flush:
    """The same with nothing side by side."""
    return Flush(flush.writer, flush.rows)
