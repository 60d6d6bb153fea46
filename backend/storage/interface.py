"""What the backend needs of a store. DuckDB serves it embedded; a cluster store serves the same.

Rows of metrics and measures are partial aggregates: any number of rows may exist for one (metric, label, entity,
minute), told apart by `writer`, and they are merged when they are read. Writing the same (metric, label, entity,
minute, writer) again replaces it, so that a retried flush never counts twice.

What is written is by the minute; what is read is by the minute, the hour or the day (of UTC), each kept for a time of
its own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

import polars as pl

from backend.storage.blocks import Block
from backend.storage.numbered import NumberedRows

MetricSchema = {
    "metric": pl.String,  # OAL metric name
    "label": pl.String,  # which part of a metric that is kept in parts, such as a bucket of a percentile; "" for none
    "entity": pl.String,  # entity id (backend/entities/ids.py)
    "minute": pl.Int32,  # minutes since 1970-01-01 UTC
    "summation": pl.Int64,  # what the metric's function adds up (a total, a sum, a match count)
    "count": pl.Int64,  # how many it was added up from; 0 for functions that do not need it
}
"""Columns of Flush.rows."""

MeasureSchema = {
    "metric": pl.String,  # as in MetricSchema
    "label": pl.String,
    "entity": pl.String,
    "minute": pl.Int32,
    "total": pl.Float64,  # sum of the values
    "count": pl.Int64,  # how many values
    "least": pl.Float64,  # smallest value
    "greatest": pl.Float64,  # largest value
}
"""Columns of Flush.measures: partial aggregates of decimal functions and of extremes, merged by sum, sum, min, max."""


class Precision(IntEnum):
    """Length in minutes of the buckets that rows are read by. Buckets are those of UTC."""

    MINUTE = 1
    HOUR = 60
    DAY = 1440

    def start(self, minute: int) -> int:
        """The first minute of the bucket that a minute belongs to."""
        return minute - minute % self


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows are kept, in minutes, by what they are.

    A bucket may be forgotten when its last minute is older than this.
    """

    minutes: int = 7 * Precision.DAY
    hours: int = 15 * Precision.DAY
    days: int = 15 * Precision.DAY
    metadata: int = 7 * Precision.DAY
    """Services, instances, endpoints and relations: since they were last seen."""

    def oldest(self, precision: Precision, now_minute: int) -> int:
        """First minute of the oldest bucket that is kept."""
        kept = {Precision.MINUTE: self.minutes, Precision.HOUR: self.hours, Precision.DAY: self.days}[precision]
        return precision.start(now_minute - kept)

    def oldest_metadata(self, now_minute: int) -> int:
        """The oldest minute of which entities and relations are kept."""
        return now_minute - self.metadata


FOREVER = Retention(*[1 << 40] * 4)
"""Nothing is forgotten."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service seen in `first_minute`..`last_minute` (minutes since 1970-01-01 UTC, both inclusive)."""

    id: str
    name: str
    layer: str
    """The alphabetically first of its layers."""
    first_minute: int
    last_minute: int
    normal: bool = True
    """False when it was only seen as the other end of calls, and has no agent of its own."""
    more_layers: tuple[str, ...] = ()
    """Its other layers, sorted. A store keeps every layer that was ever written for a service."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a service."""

    id: str
    service_id: str
    name: str
    first_minute: int
    last_minute: int
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What it said of itself. A store keeps those of the latest `last_minute` that has any."""


class Endpoint(NamedTuple):
    """An endpoint of a service: a method and a path that were called."""

    id: str
    service_id: str
    name: str
    first_minute: int
    last_minute: int


class Relation(NamedTuple):
    """One minute in which calls went from `source_id` to `destination_id`, as seen by one side of them."""

    id: str
    source_id: str
    destination_id: str
    side: str
    """"client" or "server": who reported it."""
    component: int
    """Component id of the protocol (49 http, 129 https, 110 tcp, 130 tls); 0 for other than service relations."""
    minute: int


BATCHES_REMEMBERED = 65_536
"""Batches of which a store knows at least that it has them, the latest ones."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything one flush writes, atomically."""

    writer: str
    """Unique per flush; the same flush retried carries the same writer."""
    metrics: pl.DataFrame
    """Columns of MetricSchema: rows that are not in `blocks`."""
    services: Sequence[Service] = field(default_factory=list)
    instances: Sequence[Instance] = field(default_factory=list)
    service_relations: Sequence[Relation] = field(default_factory=list)
    instance_relations: Sequence[Relation] = field(default_factory=list)
    endpoints: Sequence[Endpoint] = field(default_factory=list)
    endpoint_relations: Sequence[Relation] = field(default_factory=list)
    measures: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MeasureSchema))
    batches: Sequence[str] = ()
    """Identifiers of the batches in it whose senders may send them again."""
    blocks: Sequence[Block] = ()
    """More rows of metrics, side by side."""

    @property
    def rows(self) -> pl.DataFrame:
        """All rows of metrics, as columns of MetricSchema. Makes those of blocks anew each time."""
        return pl.concat([self.metrics, *(block.rows() for block in self.blocks)])


class Storage(Protocol):
    """A store of entities and metrics. Methods block; call them from a worker thread. Safe for several threads."""

    def write(self, flush: Flush) -> None:
        """Write a flush durably: when this returns, the data survives a crash.

        Raises:
            StoredElsewhereError: other backends write to the store, and one of them has stored a batch of it, or is
                about to.
            StorageError: it could not be written now, or nobody knows.
        """
        ...

    def stored_batches(self, identifiers: Sequence[str], writer: str) -> set[str]:
        """Which of these batches are in flushes of other writers: they must not be written again.

        What `writer` itself has written it may write again, with all that was in it. Raises StorageError.
        """
        ...

    def services(self) -> list[Service]:
        """Every known service, by name."""
        ...

    def instances(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service, or of all, that were seen within the minutes given, both inclusive, by name."""
        ...

    def endpoints(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Endpoint]:
        """Endpoints of a service, or of all, that were called within the minutes given, both inclusive, by name."""
        ...

    def service_relations(self, first_minute: int, last_minute: int) -> list[Relation]:
        """Service relations of the minutes given, each (id, side, component) once, with its latest minute."""
        ...

    def instance_relations(
        self, source_service_id: str, destination_service_id: str, first_minute: int, last_minute: int
    ) -> list[Relation]:
        """Instance relations between two services in the minutes given, each (id, side) once."""
        ...

    def endpoint_relations(self, endpoint_id: str, first_minute: int, last_minute: int) -> list[Relation]:
        """Relations in the minutes given that an endpoint is source or destination of, each (id, side) once."""
        ...

    def metrics(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """Merged values: columns of MetricSchema, one row per (metric, label, entity, bucket) that has data.

        Args:
            names: of the metrics.
            entities: ids; none means every entity.
            first_minute: buckets that begin before this minute are left out.
            last_minute: buckets that begin after this minute are left out.
            precision: length of the buckets; `minute` is the first minute of each.

        Returns:
            Rows by metric, label, entity and minute.

        Raises:
            StorageError: the store cannot be asked.
        """
        ...

    def numbered_metrics(self, names: Sequence[str], first_minute: int, last_minute: int) -> NumberedRows:
        """What metrics() says of every entity by the minute, with numbers in place of names."""
        ...

    def measures(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """Merged values: columns of MeasureSchema; as metrics() in all else."""
        ...

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """Tidy up; what is asked of the store gives the same answers before and after, but for what is forgotten.

        Args:
            closed_minute: minutes before this one are closed, so that their rows may be merged. Later rows for them
                still count.
            now_minute: the present minute.
            retention: what is older may be forgotten.

        Raises:
            StorageError: the store could not be tidied up; try again later.
        """
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class StorageError(Exception):
    """The store could not do what was asked; the message says what to do."""


class StoredElsewhereError(StorageError):
    """Another backend has stored a batch of this flush meanwhile, or is about to: the same flush will never be taken.

    Nothing of it counts. Its batches have to be looked for again, so that those that are stored are left out; what is
    left besides those that are held can be stored at once, under another writer.

    Attributes:
        held: batches that another backend is about to store; their senders have to send them again.
    """

    def __init__(self, message: str, held: Collection[str] = ()) -> None:
        """Say which."""
        super().__init__(message)
        self.held = frozenset(held)
