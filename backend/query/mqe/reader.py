"""Where the evaluator gets metrics from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.query.mqe.duration import Duration
from backend.query.mqe.results import Owner, Values
from backend.query.mqe.syntax import AttributeCondition, LabelCondition, Labels, Order


@dataclass(frozen=True, slots=True)
class Entity:
    """Names of what is asked about. Which of them count is said by the metric: each is of one kind of entity.

    A relation goes from service, instance and endpoint to their `destination_...`.
    """

    service: str | None = None
    normal: bool = True
    instance: str | None = None
    endpoint: str | None = None
    destination_service: str | None = None
    destination_normal: bool = True
    destination_instance: str | None = None
    destination_endpoint: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelledValues:
    """Numbers of a metric, one per bucket of the duration asked for, NaN without data."""

    labels: Labels
    values: Values


@dataclass(frozen=True, slots=True)
class Top:
    """What top_n() asks."""

    metric: str
    labels: tuple[LabelCondition, ...]
    limit: int
    order: Order
    conditions: tuple[AttributeCondition, ...]


class ReadingError(Exception):
    """A metric cannot be read as it was asked; the message says what to do."""


class UnknownMetricReadingError(ReadingError):
    """There is no such metric; the message names near ones."""


class MetricReader(Protocol):
    """Metrics of an entity, or of all. Methods may block; each may raise ReadingError."""

    def check(self, metric: str) -> None:
        """Raise UnknownMetricReadingError when there is no such metric."""
        ...

    def read(self, metrics: Sequence[str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        """Metrics of the entity asked about, by name.

        A metric without labels has one series without labels, also when there is no data. A metric with labels has
        those that have data, in the order of their labels; those that are always there (ranks of percentiles) also
        without data.
        """
        ...

    def top(self, asked: Top, duration: Duration) -> Sequence[tuple[Owner, float]]:
        """The entities with the smallest or largest means of a metric over the buckets that have data, in order.

        Entities are those of the service asked about, or all. Those with the same mean are ordered by id.
        """
        ...
