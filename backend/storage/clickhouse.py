"""A store in ClickHouse: one server, or the shards of a cluster, for any number of backends at the same time.

Every backend writes sums of its own (backend/storage/running_sums.py), and any of them makes hours and days
(backend/storage/clickhouse_rollup.py). Nothing has to be agreed upon, and a backend that dies leaves nothing to be
cleared up. In a cluster, the entity decides on the shard; each shard is written to directly, and tables whose names
begin with `every_` ask all of them.
"""

import threading
import uuid
from collections.abc import Mapping, Sequence
from zlib import crc32

import polars as pl

from backend.storage.clickhouse_commits import Commits
from backend.storage.clickhouse_entities import EntityRows, Row, read_entities, read_relations
from backend.storage.clickhouse_ledger import ClickhouseLedger
from backend.storage.clickhouse_rollup import drop_before, forget, read_marks, roll_up
from backend.storage.clickhouse_schema import prepare
from backend.storage.clickhouse_server import Address, Asked, Server, shards_of
from backend.storage.clickhouse_tables import ENTITIES, MEASURES, METRICS, RowTables, committed_parameters
from backend.storage.interface import (
    Endpoint,
    Flush,
    Instance,
    Precision,
    Relation,
    Retention,
    Service,
    StorageError,
)
from backend.storage.merging import KEY, Seen, merge_rows
from backend.storage.row_reading import RowReading
from backend.storage.running_sums import BEFORE, RunningSums

_ASKED_AT_ONCE = 1000
_LARGEST_MINUTE = 2**31 - 1


class ClickhouseStorage(RowReading[RowTables]):
    """A store in a server or a cluster. Several processes may have it."""

    def __init__(self, address: Address, cluster: str | None = None) -> None:
        """Connect, and make the tables that are missing.

        Args:
            address: a server; of a cluster, any.
            cluster: name of the cluster, as the server's configuration (`remote_servers`) has it.

        Raises:
            StorageError: a server cannot be reached, a newer program made the tables, or the cluster is not one that
                can be used.
        """
        super().__init__(METRICS, MEASURES)
        self._server = Server(address)
        shards = shards_of(address, cluster) if cluster else [address]
        self._shards = [Server(shard) for shard in shards]
        self._asked = Asked(self._server, "every_" if cluster else "")
        self._process = uuid.uuid4().hex
        self._write_lock = threading.Lock()
        self._maintain_lock = threading.Lock()
        self._version = 0
        self._kept = dict.fromkeys(Precision, 0)
        self._kept_metadata = 0
        self._sums = [(tables, RunningSums(tables.schema, self._process)) for tables in (METRICS, MEASURES)]
        self._entities = EntityRows(self._asked, self._process)
        self._ledger = ClickhouseLedger(self._asked, self._shards, self._process)
        self._commits = Commits(self._ledger, self._process)
        try:
            for shard in self._shards:
                prepare(shard, cluster)
        except StorageError:
            self.close()
            raise

    def write(self, flush: Flush) -> None:
        """Write a flush; as Storage.write.

        It counts from one moment on, or not at all. When the answer of that moment is lost, it may count though this
        raises; its batches are known as stored then. When it is not known whether it counts, this raises until it is.
        """
        with self._write_lock:
            self._commits.settle()
            self._version += 1
            rows = (flush.rows, flush.measures)
            prepared = [
                (tables, sums, sums.prepare(flush.writer, given))
                for (tables, sums), given in zip(self._sums, rows, strict=True)
                if len(given) or sums.is_uncertain
            ]
            for tables, _, frame in prepared:
                self._insert_rows(tables, frame)
            self._entities.write(flush, self._version, self._insert)
            if prepared or flush.batches:

                def made() -> None:
                    for _, sums, _ in prepared:
                        sums.commit()

                self._commits.commit(self._version, flush.writer, flush.batches, made)

    def stored_batches(self, identifiers: Sequence[str], writer: str) -> set[str]:
        """Which of these batches are in flushes of other writers, of any process; as Storage.stored_batches."""
        with self._write_lock:
            self._commits.settle()
        return self._ledger.stored(identifiers, writer)

    def services(self) -> list[Service]:
        """Every known service, by name."""
        found = read_entities(self._asked, "services", "1", {}, f"max(last_minute) >= {self._kept_metadata}")
        return [seen.service() for seen in found]

    def instances(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service, or of all, that were seen within the minutes given, both inclusive, by name."""
        return [seen.instance() for seen in self._within("instances", service_id, first_minute, last_minute)]

    def endpoints(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Endpoint]:
        """Endpoints of a service, or of all, that were called within the minutes given, both inclusive, by name."""
        return [seen.endpoint() for seen in self._within("endpoints", service_id, first_minute, last_minute)]

    def service_relations(self, first_minute: int, last_minute: int) -> list[Relation]:
        """Service relations of the minutes given, each (id, side, component) once, with its latest minute."""
        return self._relations(0, "1", first_minute, last_minute)

    def instance_relations(
        self, source_service_id: str, destination_service_id: str, first_minute: int, last_minute: int
    ) -> list[Relation]:
        """Instance relations between two services in the minutes given, each (id, side) once."""
        condition = (
            "substring(source_id, 1, length(%(source)s)) = %(source)s"
            " AND substring(destination_id, 1, length(%(destination)s)) = %(destination)s"
        )
        ends = {"source": f"{source_service_id}_", "destination": f"{destination_service_id}_"}
        return self._relations(1, condition, first_minute, last_minute, **ends)

    def endpoint_relations(self, endpoint_id: str, first_minute: int, last_minute: int) -> list[Relation]:
        """Relations in the minutes given that an endpoint is source or destination of, each (id, side) once."""
        condition = "(source_id = %(endpoint)s OR destination_id = %(endpoint)s)"
        return self._relations(2, condition, first_minute, last_minute, endpoint=endpoint_id)

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """Make hours and days of what is closed, and drop the days that are too old; as Storage.maintain."""
        with self._write_lock:
            self._commits.settle()
            self._version += 1
            for tables, sums in self._sums:
                if sums.is_uncertain:
                    self._insert_rows(tables, sums.prepare(None, pl.DataFrame(schema=tables.schema)))
                    sums.commit()
                sums.close(closed_minute)
            self._entities.close(closed_minute)
        with self._maintain_lock:
            # What was dropped must not be made again from what comes too late for it.
            oldest = Precision.DAY.start(self._kept[Precision.MINUTE])
            committed = self._ledger.versions()
            for number, shard in enumerate(self._shards):
                for tables in (METRICS, MEASURES):
                    roll_up(shard, tables, str(number), committed, (oldest, closed_minute))
                    forget(shard, tables, now_minute, retention)
                for table in (*ENTITIES, "relations"):
                    drop_before(shard, table, retention.oldest_metadata(now_minute))
            self._ledger.forget(now_minute, retention)
            for precision, kept in self._kept.items():
                self._kept[precision] = max(kept, retention.oldest(precision, now_minute))
            self._kept_metadata = max(self._kept_metadata, retention.oldest_metadata(now_minute))

    def close(self) -> None:
        """End the connections."""
        for server in (self._server, *self._shards):
            server.close()

    def _relations(self, kind: int, condition: str, first: int, last: int, **parameters: str) -> list[Relation]:
        given = {"first": max(first, self._kept_metadata), "last": last, **parameters}
        return read_relations(self._asked, kind, condition, given)

    def _within(self, table: str, service_id: str | None, first: int, last: int) -> list[Seen]:
        condition = "1" if service_id is None else "service_id = %(service)s"
        return read_entities(
            self._asked,
            table,
            condition,
            {"service": service_id, "first": first, "last": last, "kept": self._kept_metadata},
            "min(first_minute) <= %(last)s AND max(last_minute) >= %(first)s AND max(last_minute) >= %(kept)s",
        )

    def _insert_rows(self, tables: RowTables, rows: pl.DataFrame) -> None:
        shards = _shard_of(rows["entity"], len(self._shards))
        statement = tables.insert(Precision.MINUTE)
        for number, shard in enumerate(self._shards):
            chosen = rows.filter(shards == number) if len(self._shards) > 1 else rows
            if chosen.is_empty():
                continue
            hours = (chosen["minute"] // Precision.HOUR * Precision.HOUR).unique().to_list()
            count = len(hours)
            marks: dict[str, list[object]] = {
                **{name: [0] * count for name in tables.values},
                "metric": [""] * count,
                "label": [""] * count,
                "entity": [str(number)] * count,
                "minute": hours,
                "live": [1] * count,
                "writer": [self._process] * count,
                **{f"{BEFORE}{name}": [0] * count for name in (*tables.values, "live")},
            }
            of_all = {"version": self._version, f"{BEFORE}version": self._commits.version, "staged": 1}
            # Marks come after what they are of, and in the same insert.
            columns = [
                [of_all[name]] * (len(chosen) + count) if name in of_all else [*chosen[name].to_list(), *marks[name]]
                for name in tables.columns(Precision.MINUTE)
            ]
            shard.insert(statement, columns)

    def _insert(self, table: str, columns: str, rows: Sequence[tuple[str, Row]]) -> None:
        for number, shard in enumerate(self._shards):
            chosen = [row for text, row in rows if crc32(text.encode()) % len(self._shards) == number]
            if chosen:
                shard.insert(f"INSERT INTO {table} ({columns}) VALUES", list(zip(*chosen, strict=True)))

    def _read(
        self,
        tables: RowTables,
        names: Sequence[str],
        entities: Sequence[str],
        minutes: tuple[int, int],
        precision: Precision,
    ) -> pl.DataFrame:
        first = max(-(-minutes[0] // precision) * precision, self._kept[precision])
        last = precision.start(min(minutes[1], _LARGEST_MINUTE)) + precision - 1
        empty = pl.DataFrame(schema=tables.schema)
        if not names or first > last:
            return empty
        committed = self._ledger.versions()
        frames = [empty]
        for part in range(0, max(len(entities), 1), _ASKED_AT_ONCE):
            condition = "metric IN %(metrics)s AND minute >= %(first)s AND minute <= %(last)s"
            parameters: dict[str, object] = {"metrics": tuple(names), "first": first, "last": last}
            parameters |= committed_parameters(committed)
            if entities:
                condition += " AND entity IN %(entities)s"
                parameters["entities"] = tuple(entities[part : part + _ASKED_AT_ONCE])
            frames += [
                self._fetch(tables, source, precision, f"{condition} AND {only}", {**parameters, **buckets})
                for source, only, buckets in self._sources(tables, committed, (first, last), precision)
            ]
        return merge_rows(pl.concat(frames)).sort(KEY)

    def _sources(
        self, tables: RowTables, committed: Mapping[str, int], minutes: tuple[int, int], precision: Precision
    ) -> list[tuple[Precision, str, dict[str, object]]]:
        """Which rows of which tables make up the buckets of a span: precision, condition and its parameters."""
        if precision is Precision.MINUTE:
            return [(Precision.MINUTE, "1", {})]
        day = Precision.DAY.start
        marks = read_marks(self._asked, tables, committed, day(minutes[0]), day(minutes[1]) + Precision.DAY - 1)
        oldest = day(self._kept[Precision.MINUTE])
        hours = tuple({hour for _, hour in marks.stale_hours(oldest)})
        days = tuple({start for _, start in marks.stale_days(oldest)})
        hour_of = f"intDiv(minute, {int(Precision.HOUR)}) * {int(Precision.HOUR)}"
        day_of = f"intDiv(minute, {int(Precision.DAY)}) * {int(Precision.DAY)}"
        made = "minute NOT IN %(hours)s" if hours else "1"
        sources: list[tuple[Precision, str, dict[str, object]]] = []
        if precision is Precision.HOUR:
            sources.append((Precision.HOUR, made, {"hours": hours}))
        else:
            sources.append((Precision.DAY, "minute NOT IN %(days)s" if days else "1", {"days": days}))
            if days:
                sources.append((Precision.HOUR, f"{day_of} IN %(days)s AND {made}", {"days": days, "hours": hours}))
        if hours:
            sources.append((Precision.MINUTE, f"{hour_of} IN %(hours)s", {"hours": hours}))
        return sources

    def _fetch(
        self, tables: RowTables, source: Precision, precision: Precision, condition: str, parameters: dict[str, object]
    ) -> pl.DataFrame:
        statement = tables.read(source, precision, self._asked.prefix, f"metric != '' AND {condition}")
        columns = self._server.columns(statement, parameters)
        if not columns:
            return pl.DataFrame(schema=tables.schema)
        return pl.DataFrame(dict(zip(tables.schema, columns, strict=True)), schema=tables.schema)


def _shard_of(entities: pl.Series, shards: int) -> pl.Series:
    """The number of the shard that each entity is kept in."""
    distinct = entities.unique()
    numbers = pl.Series([crc32(entity.encode()) % shards for entity in distinct], dtype=pl.Int64)
    return entities.replace_strict(distinct, numbers, return_dtype=pl.Int64)
