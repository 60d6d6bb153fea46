"""A store in memory: nothing survives the process. For tests, and for looking at a recording."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from backend.storage.interface import (
    BATCHES_REMEMBERED,
    Endpoint,
    Flush,
    Instance,
    MeasureSchema,
    MetricSchema,
    Precision,
    Relation,
    Retention,
    Service,
)
from backend.storage.merging import KEY, Seen, latest_relations, merge_rows
from backend.storage.row_reading import RowReading

_RelationKey = tuple[str, str, int, int]


class _Rows:
    """Rows of metrics or of measures, by the minute for as long as any precision needs them."""

    def __init__(self, schema: Mapping[str, type[pl.DataType]]) -> None:
        self._schema = schema
        self._by_writer: dict[str, pl.DataFrame] = {}
        self._oldest = dict.fromkeys(Precision, 0)

    def write(self, writer: str, rows: pl.DataFrame) -> None:
        rows = rows.select(pl.col(name).cast(kind) for name, kind in self._schema.items())
        before = self._by_writer.get(writer)
        if before is not None:
            rows = pl.concat([before.join(rows, on=KEY, how="anti"), rows])
        self._by_writer[writer] = rows

    def read(
        self, names: Sequence[str], entities: Sequence[str], first: int, last: int, precision: Precision
    ) -> pl.DataFrame:
        bucket = pl.col("minute") - pl.col("minute") % int(precision)
        wanted = bucket.is_between(max(first, self._oldest[precision]), last) & pl.col("metric").is_in(list(names))
        if entities:
            wanted &= pl.col("entity").is_in(list(entities))
        found = pl.concat(
            [pl.DataFrame(schema=self._schema), *(rows.filter(wanted) for rows in self._by_writer.values())]
        )
        return merge_rows(found.with_columns(bucket)).sort(KEY)

    def forget(self, oldest: Mapping[Precision, int]) -> None:
        self._oldest = {precision: max(minute, self._oldest[precision]) for precision, minute in oldest.items()}
        first = min(self._oldest.values())
        for writer, rows in list(self._by_writer.items()):
            kept = rows.filter(pl.col("minute") >= first)
            if kept.is_empty():
                del self._by_writer[writer]
            else:
                self._by_writer[writer] = kept


class MemoryStorage(RowReading[_Rows]):
    """Keeps everything in data frames and dictionaries."""

    def __init__(self) -> None:
        super().__init__(_Rows(MetricSchema), _Rows(MeasureSchema))
        self._lock = threading.Lock()
        self._batches: OrderedDict[str, str] = OrderedDict()
        self._services: dict[str, Seen] = {}
        self._instances: dict[str, Seen] = {}
        self._endpoints: dict[str, Seen] = {}
        self._service_relations: dict[_RelationKey, Relation] = {}
        self._instance_relations: dict[_RelationKey, Relation] = {}
        self._endpoint_relations: dict[_RelationKey, Relation] = {}

    def write(self, flush: Flush) -> None:
        """Keep a flush."""
        with self._lock:
            self._metrics.write(flush.writer, flush.rows)
            self._measures.write(flush.writer, flush.measures)
            for table, entities in (
                (self._services, flush.services),
                (self._instances, flush.instances),
                (self._endpoints, flush.endpoints),
            ):
                for seen in map(Seen.of, entities):
                    table[seen.id] = seen.merge(table.get(seen.id, seen))
            for relation_table, relations in (
                (self._service_relations, flush.service_relations),
                (self._instance_relations, flush.instance_relations),
                (self._endpoint_relations, flush.endpoint_relations),
            ):
                for relation in relations:
                    relation_table[relation.id, relation.side, relation.component, relation.minute] = relation
            self._batches.update(dict.fromkeys(flush.batches, flush.writer))
            while len(self._batches) > BATCHES_REMEMBERED:
                self._batches.popitem(last=False)

    def stored_batches(self, identifiers: Sequence[str], writer: str) -> set[str]:
        """Which of these batches are in flushes of other writers; as Storage.stored_batches."""
        with self._lock:
            return {name for name in identifiers if self._batches.get(name, writer) != writer}

    def services(self) -> list[Service]:
        """Every known service, by name."""
        with self._lock:
            return [seen.service() for seen in _by_name(self._services.values())]

    def instances(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service, or of all, that were seen within the minutes given, both inclusive, by name."""
        with self._lock:
            return [seen.instance() for seen in _within(self._instances, service_id, first_minute, last_minute)]

    def endpoints(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Endpoint]:
        """Endpoints of a service, or of all, that were called within the minutes given, both inclusive, by name."""
        with self._lock:
            return [seen.endpoint() for seen in _within(self._endpoints, service_id, first_minute, last_minute)]

    def service_relations(self, first_minute: int, last_minute: int) -> list[Relation]:
        """Service relations of the minutes given, each (id, side, component) once, with its latest minute."""
        return latest_relations(self._within(self._service_relations, first_minute, last_minute))

    def instance_relations(
        self, source_service_id: str, destination_service_id: str, first_minute: int, last_minute: int
    ) -> list[Relation]:
        """Instance relations between two services in the minutes given, each (id, side) once."""
        return latest_relations(
            [
                relation
                for relation in self._within(self._instance_relations, first_minute, last_minute)
                if service_of(relation.source_id) == source_service_id
                and service_of(relation.destination_id) == destination_service_id
            ]
        )

    def endpoint_relations(self, endpoint_id: str, first_minute: int, last_minute: int) -> list[Relation]:
        """Relations in the minutes given that an endpoint is source or destination of, each (id, side) once."""
        return latest_relations(
            [
                relation
                for relation in self._within(self._endpoint_relations, first_minute, last_minute)
                if endpoint_id in {relation.source_id, relation.destination_id}
            ]
        )

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """Forget what is too old; nothing here needs merging."""
        del closed_minute
        oldest = retention.oldest_metadata(now_minute)
        with self._lock:
            for rows in (self._metrics, self._measures):
                rows.forget({precision: retention.oldest(precision, now_minute) for precision in Precision})
            for entities in (self._services, self._instances, self._endpoints):
                for key in [key for key, entity in entities.items() if entity.last_minute < oldest]:
                    del entities[key]
            for table in (self._service_relations, self._instance_relations, self._endpoint_relations):
                for relation in [key for key in table if key[3] < oldest]:
                    del table[relation]

    def close(self) -> None:
        """Nothing to release."""

    def _read(
        self,
        tables: _Rows,
        names: Sequence[str],
        entities: Sequence[str],
        minutes: tuple[int, int],
        precision: Precision,
    ) -> pl.DataFrame:
        with self._lock:
            return tables.read(names, entities, *minutes, precision)

    def _within(self, table: Mapping[_RelationKey, Relation], first: int, last: int) -> list[Relation]:
        with self._lock:
            return [relation for relation in table.values() if first <= relation.minute <= last]


def _by_name(entities: Iterable[Seen]) -> list[Seen]:
    return sorted(entities, key=lambda seen: (seen.name, seen.id))


def _within(table: Mapping[str, Seen], service_id: str | None, first: int, last: int) -> list[Seen]:
    return _by_name(
        seen
        for seen in table.values()
        if service_id in {None, seen.service_id} and seen.first_minute <= last and seen.last_minute >= first
    )


def service_of(instance: str) -> str:
    """The service id in an instance id."""
    return instance.partition("_")[0]
