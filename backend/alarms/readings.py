"""Metrics of all entities at once: a rule asks the store as often as it has spans of time, whatever the entities."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.alarms.known_entities import KnownEntities, Numbers
from backend.alarms.value_rows import ValueRows, read_rows, value_rows
from backend.metrics.reading import LABEL_NAMES, value_of
from backend.oal.functions import EXTREMES, Function
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration
from backend.query.mqe.reader import UnknownMetricReadingError
from backend.query.mqe.results import Values
from backend.query.mqe.syntax import Labels
from backend.storage.interface import Storage
from backend.storage.numbered import NumberedRows

NO_ROW = -1
"""In place of a row: an entity has no value of a metric with these labels. Such a place in Readout.values has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """A metric of every entity, by the minute."""

    labels: tuple[Labels, ...]
    """All that any entity has a value with, in the order of their values; () alone for a metric without labels."""
    labelled: bool
    """Whether it is a metric with labels: of these an entity has no series where it has no value."""
    keys: NDArray[np.int64]
    """Place in `labels` and number of the entity, as _key() makes one of them; ascending."""
    values: Values
    """A row for each key and one more without values, a column for each minute."""

    def rows(self, entities: Numbers) -> NDArray[np.int64]:
        """By label and entity, the row in `values`, or NO_ROW."""
        if not len(self.keys):
            return np.full((len(self.labels), len(entities)), NO_ROW)
        asked = _key(np.arange(len(self.labels))[:, np.newaxis], entities)
        places = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        return np.where(self.keys[places] == asked, places, NO_ROW)


class Readings:
    """Metrics of one scope by the minute, of every entity. What was read once is not read again. For one thread.

    Besides UnknownMetricReadingError its methods raise StorageError.
    """

    def __init__(self, storage: Storage, catalog: Catalog, known: KnownEntities) -> None:
        self._storage = storage
        self._catalog = catalog
        self._known = known
        self._read: dict[tuple[str, Duration], Readout] = {}

    def metric(self, name: str) -> Metric:
        """A metric. Raises UnknownMetricReadingError."""
        try:
            return self._catalog.metric(name)
        except QueryError as unknown:
            raise UnknownMetricReadingError(f"{unknown.error}: {unknown.hint}") from None

    def load(self, names: Sequence[str], duration: Duration) -> None:
        """Read metrics of every entity."""
        metrics = [self.metric(name) for name in dict.fromkeys(names) if (name, duration) not in self._read]
        added = [metric for metric in metrics if metric.function not in EXTREMES]
        measured = [metric for metric in metrics if metric.function in EXTREMES]
        for metric, rows in (*self._added(added, duration), *self._measured(measured, duration)):
            self._read[metric.name, duration] = _readout(metric, rows, duration)

    def entities(self, names: Sequence[str], duration: Duration) -> Numbers:
        """The entities that have a value of any of these metrics, ascending."""
        self.load(names, duration)
        seen = np.zeros(len(self._known), np.bool_)
        for name in names:
            seen[self._read[name, duration].keys % _STRIDE] = True
        return np.flatnonzero(seen)

    def of(self, name: str, duration: Duration) -> Readout:
        """A metric of every entity."""
        self.load([name], duration)
        return self._read[name, duration]

    def _added(self, metrics: Sequence[Metric], duration: Duration) -> Iterator[tuple[Metric, ValueRows]]:
        """What there is of metrics whose values add up."""
        if not metrics:
            return
        rows = self._storage.numbered_metrics([metric.name for metric in metrics], *_minutes(duration))
        numbers = self._numbers(rows)
        for metric in metrics:
            own = rows.of_metric(metric.name)
            if metric.function is Function.HISTOGRAM:
                yield metric, self._meant(metric, own.told(), None)
            else:
                yield metric, value_rows(metric, own, numbers, self._catalog.compatibility)

    def _measured(self, metrics: Sequence[Metric], duration: Duration) -> Iterator[tuple[Metric, ValueRows]]:
        """What there is of metrics that are measures."""
        if not metrics:
            return
        measures = self._storage.measures([metric.name for metric in metrics], [], *_minutes(duration))
        for metric in metrics:
            yield metric, self._meant(metric, None, measures.filter(pl.col("metric") == metric.name))

    def _meant(self, metric: Metric, points: pl.DataFrame | None, measures: pl.DataFrame | None) -> ValueRows:
        rules = {metric.name: metric.rule}
        found = value_of(rules, points, measures, compatibility=self._catalog.compatibility)
        return read_rows(found, self._known.numbers)

    def _numbers(self, rows: NumberedRows) -> Numbers:
        """The numbers of entities, by their place in the names of rows."""
        is_entity = np.zeros(len(rows.names), np.bool_)
        is_entity[rows.columns["entity"]] = True
        numbers = np.zeros(len(rows.names), np.int64)
        numbers[is_entity] = self._known.numbers(rows.names.filter(is_entity).to_list())
        return numbers


def _minutes(duration: Duration) -> tuple[int, int]:
    """The first and the last."""
    first = duration.first // 60
    return first, first + duration.points - 1


_STRIDE = 1 << 32
"""More than there are numbers of entities."""


def _key(label: NDArray[np.int64], entity: Numbers) -> NDArray[np.int64]:
    """A number that puts labels in order, and entities within them."""
    return label * _STRIDE + entity


def _readout(metric: Metric, rows: ValueRows, duration: Duration) -> Readout:
    """The series of every entity."""
    label_name = LABEL_NAMES.get(metric.function)
    labels = ((),) if label_name is None else tuple(((label_name, text),) for text in rows.labels)
    key = _key(rows.label, rows.entity)
    begins = np.ones(len(key), np.bool_)
    begins[1:] = key[1:] != key[:-1]
    keys = key[begins]
    order = np.argsort(keys)
    places = np.empty(len(keys), np.int64)
    places[order] = np.arange(len(keys))
    values = np.full((len(keys) + 1, duration.points), math.nan)
    values[places[np.cumsum(begins) - 1], rows.minute - duration.first // 60] = rows.value
    return Readout(labels, label_name is not None, keys[order], values)
