"""A store in memory: nothing survives the process. For tests, and for looking at a recording."""

import threading
from collections.abc import Sequence

import polars as pl

from backend.storage.interface import Endpoint, Flush, Instance, MetricSchema, Relation, Service

_KEY = ["metric", "entity", "minute"]


class MemoryStorage:
    """Keeps everything in data frames and dictionaries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._points: dict[str, pl.DataFrame] = {}  # by writer
        self._services: dict[str, Service] = {}
        self._instances: dict[str, Instance] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._service_relations: dict[tuple[str, str, int, int], Relation] = {}
        self._instance_relations: dict[tuple[str, str, int, int], Relation] = {}

    def write(self, flush: Flush) -> None:
        """Keep a flush."""
        points = flush.metrics.select(pl.col(name).cast(kind) for name, kind in MetricSchema.items())
        with self._lock:
            before = self._points.get(flush.writer)
            if before is not None:
                points = pl.concat([before.join(points, on=_KEY, how="anti"), points])
            self._points[flush.writer] = points
            for service in flush.services:
                known = self._services.get(service.id, service)
                self._services[service.id] = Service(
                    service.id,
                    service.name,
                    service.layer,
                    min(known.first_minute, service.first_minute),
                    max(known.last_minute, service.last_minute),
                )
            for instance in flush.instances:
                seen = self._instances.get(instance.id, instance)
                self._instances[instance.id] = Instance(
                    instance.id,
                    instance.service_id,
                    instance.name,
                    min(seen.first_minute, instance.first_minute),
                    max(seen.last_minute, instance.last_minute),
                )
            for endpoint in flush.endpoints:
                called = self._endpoints.get(endpoint.id, endpoint)
                self._endpoints[endpoint.id] = Endpoint(
                    endpoint.id,
                    endpoint.service_id,
                    endpoint.name,
                    min(called.first_minute, endpoint.first_minute),
                    max(called.last_minute, endpoint.last_minute),
                )
            for table, relations in (
                (self._service_relations, flush.service_relations),
                (self._instance_relations, flush.instance_relations),
            ):
                for relation in relations:
                    table[relation.id, relation.side, relation.component, relation.minute] = relation

    def services(self) -> list[Service]:
        """Every known service, by name."""
        with self._lock:
            return sorted(self._services.values(), key=lambda service: (service.name, service.id))

    def instances(self, service_id: str, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service that were seen within the minutes given, both inclusive, by name."""
        with self._lock:
            found = [
                instance
                for instance in self._instances.values()
                if instance.service_id == service_id
                and instance.first_minute <= last_minute
                and instance.last_minute >= first_minute
            ]
        return sorted(found, key=lambda instance: (instance.name, instance.id))

    def endpoints(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Endpoint]:
        """Endpoints of a service, or of all, that were called within the minutes given, both inclusive, by name."""
        with self._lock:
            found = [
                endpoint
                for endpoint in self._endpoints.values()
                if service_id in {None, endpoint.service_id}
                and endpoint.first_minute <= last_minute
                and endpoint.last_minute >= first_minute
            ]
        return sorted(found, key=lambda endpoint: (endpoint.name, endpoint.id))

    def service_relations(self, first_minute: int, last_minute: int) -> list[Relation]:
        """Service relations of the minutes given, each (id, side, component) once, with its latest minute."""
        with self._lock:
            found = [
                relation
                for relation in self._service_relations.values()
                if first_minute <= relation.minute <= last_minute
            ]
        return _latest(found)

    def instance_relations(
        self, source_service_id: str, destination_service_id: str, first_minute: int, last_minute: int
    ) -> list[Relation]:
        """Instance relations between two services in the minutes given, each (id, side) once."""
        with self._lock:
            found = [
                relation
                for relation in self._instance_relations.values()
                if first_minute <= relation.minute <= last_minute
                and service_of(relation.source_id) == source_service_id
                and service_of(relation.destination_id) == destination_service_id
            ]
        return _latest(found)

    def metrics(
        self, names: Sequence[str], entities: Sequence[str], first_minute: int, last_minute: int
    ) -> pl.DataFrame:
        """Merged values: columns of MetricSchema, one row per (metric, entity, minute) that has data."""
        with self._lock:
            frames = list(self._points.values())
        wanted = pl.col("minute").is_between(first_minute, last_minute) & pl.col("metric").is_in(list(names))
        if entities:
            wanted &= pl.col("entity").is_in(list(entities))
        points = pl.concat([pl.DataFrame(schema=MetricSchema), *(frame.filter(wanted) for frame in frames)])
        return points.group_by(_KEY).agg(pl.col("summation").sum(), pl.col("count").sum()).sort(_KEY)

    def maintain(self, closed_minute: int, oldest_minute: int) -> None:
        """Forget what is older than `oldest_minute`; nothing here needs merging."""
        del closed_minute
        with self._lock:
            for writer, points in list(self._points.items()):
                kept = points.filter(pl.col("minute") >= oldest_minute)
                if kept.is_empty():
                    del self._points[writer]
                else:
                    self._points[writer] = kept
            for entities in (self._services, self._instances, self._endpoints):
                for key in [key for key, entity in entities.items() if entity.last_minute < oldest_minute]:
                    del entities[key]
            for table in (self._service_relations, self._instance_relations):
                for relation in [key for key in table if key[3] < oldest_minute]:
                    del table[relation]

    def close(self) -> None:
        """Nothing to release."""


def service_of(instance: str) -> str:
    """The service id in an instance id."""
    return instance.partition("_")[0]


def _latest(relations: list[Relation]) -> list[Relation]:
    latest: dict[tuple[str, str, int], Relation] = {}
    for relation in sorted(relations, key=lambda relation: relation.minute):
        latest[relation.id, relation.side, relation.component] = relation
    return [latest[key] for key in sorted(latest)]
