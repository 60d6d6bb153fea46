"""Metrics of all entities at once: a rule asks the store as often as it has spans of time, whatever the entities."""

import math
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
import polars as pl

from backend.metrics.reading import LABEL_NAMES, value_of
from backend.oal.functions import EXTREMES
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration
from backend.query.mqe.reader import LabelledValues, Top, UnknownMetricReadingError
from backend.query.mqe.syntax import Labels
from backend.storage.interface import MeasureSchema, MetricSchema, Storage

_ByEntity = Mapping[str, Sequence[LabelledValues]]


class Readings:
    """Metrics by the minute, of every entity. What was read once is not read again. For one thread.

    Besides UnknownMetricReadingError its methods raise StorageError.
    """

    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage = storage
        self._catalog = catalog
        self._read: dict[tuple[str, Duration], _ByEntity] = {}

    def metric(self, name: str) -> Metric:
        """A metric. Raises UnknownMetricReadingError."""
        try:
            return self._catalog.metric(name)
        except QueryError as unknown:
            raise UnknownMetricReadingError(f"{unknown.error}: {unknown.hint}") from None

    def load(self, names: Sequence[str], duration: Duration) -> None:
        """Read metrics of every entity."""
        metrics = [self.metric(name) for name in dict.fromkeys(names) if (name, duration) not in self._read]
        if metrics:
            found = self._values(metrics, duration)
            for metric in metrics:
                own = found.filter(pl.col("metric") == metric.name)
                self._read[metric.name, duration] = _by_entity(metric, own, duration)

    def entities(self, names: Sequence[str], duration: Duration) -> set[str]:
        """Ids of the entities that have a value of any of these metrics."""
        self.load(names, duration)
        return {entity for name in names for entity in self._read[name, duration]}

    def of(self, name: str, entity: str, duration: Duration) -> Sequence[LabelledValues]:
        """A metric of an entity, as MetricReader.read()."""
        self.load([name], duration)
        found = self._read[name, duration].get(entity)
        if found is not None:
            return found
        labelled = self.metric(name).function in LABEL_NAMES
        return () if labelled else (LabelledValues((), np.full(duration.points, math.nan)),)

    def _values(self, metrics: Sequence[Metric], duration: Duration) -> pl.DataFrame:
        """Columns of ReadingSchema."""
        first = duration.first // 60
        span = (first, first + duration.points - 1)
        measured = [metric.name for metric in metrics if metric.function in EXTREMES]
        added = [metric.name for metric in metrics if metric.function not in EXTREMES]
        return value_of(
            {metric.name: metric.rule for metric in metrics},
            self._storage.metrics(added, [], *span) if added else pl.DataFrame(schema=MetricSchema),
            self._storage.measures(measured, [], *span) if measured else pl.DataFrame(schema=MeasureSchema),
            compatibility=self._catalog.compatibility,
        )


class EntityReader:
    """A MetricReader of one entity. Besides ReadingError its methods raise StorageError."""

    def __init__(self, readings: Readings, entity: str) -> None:
        self._readings = readings
        self._entity = entity

    def check(self, metric: str) -> None:
        """As MetricReader says."""
        self._readings.metric(metric)

    def read(self, metrics: Sequence[str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        """As MetricReader says, but that labels without data are left out, ranks of percentiles too."""
        self._readings.load(metrics, duration)
        return {name: self._readings.of(name, self._entity, duration) for name in metrics}

    def top(self, asked: Top, _duration: Duration) -> NoReturn:
        """Expressions of rules are checked not to have top_n()."""
        raise AssertionError(asked)


def _by_entity(metric: Metric, found: pl.DataFrame, duration: Duration) -> _ByEntity:
    """The series of each entity.

    Args:
        metric: what it is.
        found: columns of ReadingSchema, of this metric.
        duration: the minutes that the series have.
    """
    keys = found.select("entity", "label").unique(maintain_order=True).with_row_index("row")
    placed = found.join(keys, on=["entity", "label"], how="left", maintain_order="left")
    values = np.full((len(keys), duration.points), math.nan)
    values[placed["row"].to_numpy(), placed["minute"].to_numpy() - duration.first // 60] = placed["value"].to_numpy()
    label_name = LABEL_NAMES.get(metric.function)
    by_entity: dict[str, list[LabelledValues]] = {}
    for (entity, label), row in zip(keys.select("entity", "label").iter_rows(), values, strict=True):
        labels: Labels = () if label_name is None else ((label_name, label),)
        by_entity.setdefault(entity, []).append(LabelledValues(labels, row))
    return by_entity
