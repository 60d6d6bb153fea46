"""What the store has of metrics: sums and counts of most, and values as they were measured of others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from backend.oal.functions import EXTREMES
from backend.query.catalog import Metric
from backend.storage.interface import MeasureSchema, MetricSchema, Precision, Storage


@dataclass(frozen=True, slots=True)
class Rows:
    """What is stored."""

    points: pl.DataFrame
    """Columns of MetricSchema."""
    measures: pl.DataFrame
    """Columns of MeasureSchema."""

    def __len__(self) -> int:
        return len(self.points) + len(self.measures)


def read_stored(
    storage: Storage, metrics: Iterable[Metric], entities: Sequence[str], span: tuple[int, int, Precision]
) -> Rows:
    """Rows of metrics, of entities or with none of all. Blocks.

    Args:
        storage: what is asked; once for each kind of row that the metrics have.
        metrics: which.
        entities: ids; an empty sequence means every entity.
        span: first and last minute since 1970-01-01 UTC, both inclusive, and the precision of the rows.

    Raises:
        StorageError: the store cannot be asked.
    """
    added: list[str] = []
    measured: list[str] = []
    for metric in metrics:
        (measured if metric.function in EXTREMES else added).append(metric.name)
    return Rows(
        storage.metrics(added, entities, *span) if added else pl.DataFrame(schema=MetricSchema),
        storage.measures(measured, entities, *span) if measured else pl.DataFrame(schema=MeasureSchema),
    )
