"""Metrics of all entities at once: a rule asks the store as often as it has spans of time, whatever the entities."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.alarms.known_entities import KnownEntities, Numbers
from backend.metrics.reading import LABEL_NAMES, value_of
from backend.oal.functions import EXTREMES
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration
from backend.query.mqe.reader import UnknownMetricReadingError
from backend.query.mqe.results import Values
from backend.query.mqe.syntax import Labels
from backend.storage.interface import MeasureSchema, MetricSchema, Storage

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

    @property
    def entities(self) -> Numbers:
        """The entities that have any value, ascending."""
        return np.unique(self.keys % _STRIDE)

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
        if metrics:
            found = self._values(metrics, duration)
            for metric in metrics:
                own = found.filter(pl.col("metric") == metric.name) if len(metrics) > 1 else found
                self._read[metric.name, duration] = _readout(metric, own, duration)

    def entities(self, names: Sequence[str], duration: Duration) -> Numbers:
        """The entities that have a value of any of these metrics, ascending."""
        self.load(names, duration)
        return np.unique(np.concatenate([self._read[name, duration].entities for name in names]))

    def of(self, name: str, duration: Duration) -> Readout:
        """A metric of every entity."""
        self.load([name], duration)
        return self._read[name, duration]

    def _values(self, metrics: Sequence[Metric], duration: Duration) -> pl.DataFrame:
        """Columns of ReadingSchema, but that entities are numbers."""
        first = duration.first // 60
        span = (first, first + duration.points - 1)
        measured = [metric.name for metric in metrics if metric.function in EXTREMES]
        added = [metric.name for metric in metrics if metric.function not in EXTREMES]
        return value_of(
            {metric.name: metric.rule for metric in metrics},
            self._numbered(self._storage.metrics(added, [], *span) if added else pl.DataFrame(schema=MetricSchema)),
            self._numbered(
                self._storage.measures(measured, [], *span) if measured else pl.DataFrame(schema=MeasureSchema)
            ),
            compatibility=self._catalog.compatibility,
        )

    def _numbered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the numbers of their entities in place of the ids."""
        texts = rows["entity"].unique()
        places = rows["entity"].cast(pl.Enum(texts)).to_physical().to_numpy()
        numbers = self._known.numbers(texts.to_list())
        return rows.with_columns(pl.Series("entity", numbers[places], pl.Int64))


_STRIDE = 1 << 32
"""More than there are numbers of entities."""


def _key(label: NDArray[np.int64], entity: Numbers) -> NDArray[np.int64]:
    """A number that puts labels in order, and entities within them."""
    return label * _STRIDE + entity


def _readout(metric: Metric, found: pl.DataFrame, duration: Duration) -> Readout:
    """The series of every entity.

    Args:
        metric: what it is.
        found: columns of ReadingSchema, of this metric and in order; entities are numbers.
        duration: the minutes that the series have.
    """
    label_name = LABEL_NAMES.get(metric.function)
    if label_name is None:
        labels: tuple[Labels, ...] = ((),)
        places = np.zeros(len(found), np.int64)
    else:
        texts = found["label"].unique().sort()
        labels = tuple(((label_name, text),) for text in texts)
        places = found["label"].cast(pl.Enum(texts)).to_physical().to_numpy().astype(np.int64)
    keys = _key(places, found["entity"].to_numpy())
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = keys[1:] != keys[:-1]
    rows = np.cumsum(begins) - 1
    values = np.full((int(begins.sum()) + 1, duration.points), math.nan)
    values[rows, found["minute"].to_numpy() - duration.first // 60] = found["value"].to_numpy()
    return Readout(labels, label_name is not None, keys[begins], values)
