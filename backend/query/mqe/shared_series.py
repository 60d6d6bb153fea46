"""Series that several expressions need, each question to the store for as many of them as it can be for.

A question to the store takes a hundred times as long as finding its answer among others. A map of a hundred services
asks for three numbers of each, a page of one service for thirty metrics, and a hundred people for one metric of one
service each; here the first expression that reads anything reads what the others need of the same span too.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backend.metrics.reading import LABEL_NAMES
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration
from backend.query.mqe.entities import entity_id
from backend.query.mqe.needs import needs
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import Entity, LabelledValues, ReadingError
from backend.query.mqe.stored_series import SeriesByName, read_series
from backend.query.mqe.syntax import MqeError
from backend.storage.interface import Storage

MAXIMUM_SHARED = 2_000_000
"""Most values that are kept for others; what is needed beyond them is read when it is asked for."""
MAXIMUM_TOGETHER = 250_000
"""Most values of one question to the store."""
SMALL = 25_000
"""Values below which a question to the store takes as long as one for nothing: so many may be read in vain."""
ROWS_OF_LABELS = 20
"""About how many rows the store has for one value of a metric that is kept in parts, such as a percentile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression and what it is asked about."""

    expression: str
    entity: Entity
    duration: Duration


_Need = tuple[Metric, str, Duration]
"""A metric of an entity over a span."""
Wanted = dict[Metric, set[str]]
"""Ids of entities by the metric that is read of them."""


@dataclass(slots=True, eq=False)
class _Part:
    """What is read with one question."""

    duration: Duration
    wanted: Wanted
    lock: threading.Lock = field(default_factory=threading.Lock)
    series: SeriesByName | None = None

    def values(self) -> int:
        """How many are wanted."""
        return sum(_values(metric, self.duration) * len(entities) for metric, entities in self.wanted.items())

    def size(self) -> int:
        """How many are read: every metric is, of the entities of all."""
        entities = {entity for of_metric in self.wanted.values() for entity in of_metric}
        return sum(_values(metric, self.duration) for metric in self.wanted) * len(entities)

    def taking(self, wanted: Wanted) -> "_Part | None":
        """This and more in one; None when that would read too much."""
        together = {metric: set(entities) for metric, entities in self.wanted.items()}
        for metric, entities in wanted.items():
            together.setdefault(metric, set()).update(entities)
        both = _Part(self.duration, together)
        return both if both.size() <= min(max(SMALL, 2 * both.values()), MAXIMUM_TOGETHER) else None


class SharedSeries:
    """Reads series of expressions that are answered at the same time. Safe for several threads.

    Args:
        storage: What is asked.
        catalog: The metrics.
        asked: The expressions, when the first of them is answered; what is wrong with one is left to itself.
    """

    def __init__(self, storage: Storage, catalog: Catalog, asked: Callable[[], Iterable[Asked]] = lambda: ()) -> None:
        self._storage = storage
        self._catalog = catalog
        self._asked = asked
        self._lock = threading.Lock()
        self._planned: dict[_Need, _Part] | None = None

    def read(self, asked: Mapping[Metric, str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        """Series by the names of metrics, each of one entity; as MetricReader.read. Blocks.

        Raises:
            ReadingError: metrics are not kept by the step.
            StorageError: the store cannot be asked.
        """
        parts = self._parts()
        found: dict[str, Sequence[LabelledValues]] = {}
        alone: dict[Metric, list[str]] = {}
        for metric, entity in asked.items():
            part = parts.get((metric, entity, duration))
            if part is None:
                alone[metric] = [entity]
            else:
                found[metric.name] = self._series(part)[metric.name, entity]
        if alone:
            read = read_series(self._storage, self._catalog, alone, duration)
            found |= {name: series for (name, _), series in read.items()}
        return found

    def _series(self, part: _Part) -> SeriesByName:
        with part.lock:
            if part.series is None:
                part.series = read_series(self._storage, self._catalog, part.wanted, part.duration)
            return part.series

    def _parts(self) -> dict[_Need, _Part]:
        with self._lock:
            if self._planned is None:
                self._planned = _plan(self._wanted())
            return self._planned

    def _wanted(self) -> Iterator[_Need]:
        for asked in self._asked():
            try:
                read = dict.fromkeys(needs(parse(asked.expression), asked.duration))
            except MqeError:
                continue
            for name, duration in read:
                try:
                    metric = self._catalog.metric(name)
                    yield metric, entity_id(metric.scope, asked.entity), duration
                except (QueryError, ReadingError):
                    continue


def _plan(wanted: Iterable[_Need]) -> dict[_Need, _Part]:
    """Which needs are met by which question to the store; those beyond MAXIMUM_SHARED by none."""
    by_span: dict[Duration, dict[str, list[Metric]]] = {}
    left = MAXIMUM_SHARED
    for metric, entity, duration in dict.fromkeys(wanted):
        left -= _values(metric, duration)
        if left >= 0:
            by_span.setdefault(duration, {}).setdefault(entity, []).append(metric)
    return {
        (metric, entity, duration): part
        for duration, by_entity in by_span.items()
        for part in _parts(duration, by_entity)
        for metric, entities in part.wanted.items()
        for entity in entities
    }


def _parts(duration: Duration, by_entity: Mapping[str, Sequence[Metric]]) -> Iterator[_Part]:
    """Needs of one span as parts that read little more than is needed."""
    alike: dict[frozenset[Metric], list[str]] = {}
    for entity, metrics in by_entity.items():
        alike.setdefault(frozenset(metrics), []).append(entity)
    part: _Part | None = None
    for together, entities in alike.items():
        at_once = max(1, MAXIMUM_TOGETHER // sum(_values(metric, duration) for metric in together))
        for first in range(0, len(entities), at_once):
            wanted = {metric: set(entities[first : first + at_once]) for metric in together}
            both = None if part is None else part.taking(wanted)
            if part is not None and both is None:
                yield part
            part = both or _Part(duration, wanted)
    if part is not None:
        yield part


def _values(metric: Metric, duration: Duration) -> int:
    """How many are read of one entity, at the unit that they are kept by."""
    points = duration.points * duration.step.value // max(duration.unit.value, 60)
    return max(1, points) * (ROWS_OF_LABELS if metric.function in LABEL_NAMES else 1)
