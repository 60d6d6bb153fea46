"""What the backend needs of a store. DuckDB serves it embedded; a cluster store serves the same.

Metric rows are partial aggregates: any number of rows may exist for one (metric, entity, minute), told apart by
`writer`, and they add up. Writing the same (metric, entity, minute, writer) again replaces it, so that a retried
flush never counts twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

MetricSchema = {
    "metric": pl.String,  # OAL metric name
    "entity": pl.String,  # entity id (backend/entities/ids.py)
    "minute": pl.Int32,  # minutes since 1970-01-01 UTC
    "summation": pl.Int64,  # what the metric's function adds up (a total, a sum, a match count)
    "count": pl.Int64,  # how many it was added up from; 0 for functions that do not need it
}
"""Columns of Flush.metrics."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service seen in `first_minute`..`last_minute` (minutes since 1970-01-01 UTC, both inclusive)."""

    id: str
    name: str
    layer: str
    first_minute: int
    last_minute: int


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a service."""

    id: str
    service_id: str
    name: str
    first_minute: int
    last_minute: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of a service: a method and a path that were called."""

    id: str
    service_id: str
    name: str
    first_minute: int
    last_minute: int


@dataclass(frozen=True, slots=True)
class Relation:
    """One minute in which calls went from `source_id` to `destination_id`, as seen by one side of them."""

    id: str
    source_id: str
    destination_id: str
    side: str
    """"client" or "server": who reported it."""
    component: int
    """Component id of the protocol (49 http, 129 https, 110 tcp, 130 tls); 0 for instance relations."""
    minute: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything one flush writes, atomically."""

    writer: str
    """Unique per flush; the same flush retried carries the same writer."""
    metrics: pl.DataFrame
    services: Sequence[Service] = field(default_factory=list)
    instances: Sequence[Instance] = field(default_factory=list)
    service_relations: Sequence[Relation] = field(default_factory=list)
    instance_relations: Sequence[Relation] = field(default_factory=list)
    endpoints: Sequence[Endpoint] = field(default_factory=list)


class Storage(Protocol):
    """A store of entities and metrics. Methods block; call them from a worker thread. Safe for several threads."""

    def write(self, flush: Flush) -> None:
        """Write a flush durably: when this returns, the data survives a crash. Raises StorageError."""
        ...

    def services(self) -> list[Service]:
        """Every known service, by name."""
        ...

    def instances(self, service_id: str, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service that were seen within the minutes given, both inclusive, by name."""
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

    def metrics(
        self, names: Sequence[str], entities: Sequence[str], first_minute: int, last_minute: int
    ) -> pl.DataFrame:
        """Merged values: columns of MetricSchema, one row per (metric, entity, minute) that has data.

        An empty `entities` means every entity.
        """
        ...

    def maintain(self, closed_minute: int, oldest_minute: int) -> None:
        """Tidy up; what is asked of the store gives the same answers before and after, but for what is forgotten.

        Args:
            closed_minute: minutes before this one are closed, so that their rows may be merged. Later rows for them
                still count.
            oldest_minute: what is older than this minute may be forgotten.

        Raises:
            StorageError: the store could not be tidied up; try again later.
        """
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class StorageError(Exception):
    """The store could not do what was asked; the message says what to do."""
