"""A store in one DuckDB file.

Names (of metrics) and ids (of entities) are long and come again and again, so they are kept once, in `names`, and
rows point at them. Where rows of metrics and measures are, and how they move, is in backend/storage/duckdb_rows.py.

`merged_writers` remembers for an hour whose rows of which minute were merged, because a flush that is written again
after that must not count twice.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.duckdb_migration import from_version_1
from backend.storage.duckdb_rows import MEASURES, METRICS, SCHEMAS, RowTables
from backend.storage.duckdb_statements import SCHEMA, SCHEMA_VERSION, Statement
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
from backend.storage.merging import properties_of, properties_text

_logger = logging.getLogger(__name__)

_REMEMBERED = 60  # minutes for which a merged writer is remembered; a flush is tried again within seconds
_FORGET_EVERY = 60  # minutes; deleting an hour at a time leaves few half-empty row groups
_NAMED = ("metric", "label", "entity")
_SETTINGS = {
    # Nothing is fetched from the network, and no file but the store's own is opened.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


class DuckdbStorage:
    """A store in one file, for one process."""

    def __init__(self, path: Path, *, memory_limit: str = "1GB") -> None:
        """Open or create the file.

        Args:
            path: the file; its folder is created when it is missing.
            memory_limit: most memory DuckDB may use, such as "512MB".

        Raises:
            StorageError: the file cannot be used: another process has it, a newer program wrote it, or it is
                something else.
        """
        self._path = path
        self._settings: dict[str, str | bool | int | float | list[str]] = {**_SETTINGS, "memory_limit": memory_limit}
        self._write_lock = threading.Lock()
        self._open_lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        self._forgotten: int | None = None
        with self._transaction() as cursor:
            self._prepare(cursor)

    def write(self, flush: Flush) -> None:
        """Write a flush durably; as Storage.write."""
        with self._write_lock:
            again = True
            try:
                with self._transaction() as cursor:
                    writer, again = _writer(cursor, flush)
                    for tables, rows in ((METRICS, flush.metrics), (MEASURES, flush.measures)):
                        if len(rows):
                            _write_rows(cursor, tables, rows, writer, again=again)
                    _write_relations(cursor, flush)
                    _write_entities(cursor, flush)
            except StorageError as error:
                # DuckDB can fail after it has committed, when it tidies up its file.
                if again or not self._has(flush.writer):
                    raise
                _logger.warning("a flush is durable, but: %s", error)

    def services(self) -> list[Service]:
        """Every known service, by name."""
        with self._transaction() as cursor:
            return [
                Service(identity, name, layer, first, last, normal, tuple(more))
                for identity, name, layers, first, last, normal in cursor.execute(Statement.SERVICES).fetchall()
                for layer, *more in [layers.split("\n")]
            ]

    def instances(self, service_id: str, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service that were seen within the minutes given, both inclusive, by name."""
        parameters = {"service": service_id, "first": first_minute, "last": last_minute}
        with self._transaction() as cursor:
            return [
                Instance(identity, service, name, first, last, properties_of(properties))
                for identity, service, name, first, last, properties in cursor.execute(
                    Statement.INSTANCES, parameters
                ).fetchall()
            ]

    def endpoints(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Endpoint]:
        """Endpoints of a service, or of all, that were called within the minutes given, both inclusive, by name."""
        parameters = {"service": service_id, "first": first_minute, "last": last_minute}
        with self._transaction() as cursor:
            return [Endpoint(*row) for row in cursor.execute(Statement.ENDPOINTS, parameters).fetchall()]

    def service_relations(self, first_minute: int, last_minute: int) -> list[Relation]:
        """Service relations of the minutes given, each (id, side, component) once, with its latest minute."""
        return self._relations(Statement.SERVICE_RELATIONS, 0, first_minute, last_minute)

    def instance_relations(
        self, source_service_id: str, destination_service_id: str, first_minute: int, last_minute: int
    ) -> list[Relation]:
        """Instance relations between two services in the minutes given, each (id, side) once."""
        ends = {"source": f"{source_service_id}_", "destination": f"{destination_service_id}_"}
        return self._relations(Statement.INSTANCE_RELATIONS, 1, first_minute, last_minute, **ends)

    def endpoint_relations(self, endpoint_id: str, first_minute: int, last_minute: int) -> list[Relation]:
        """Relations in the minutes given that an endpoint is source or destination of, each (id, side) once."""
        return self._relations(Statement.ENDPOINT_RELATIONS, 2, first_minute, last_minute, endpoint=endpoint_id)

    def metrics(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """Merged values; as Storage.metrics."""
        return self._read(METRICS, names, entities, (first_minute, last_minute), precision)

    def measures(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """Merged values; as Storage.measures."""
        return self._read(MEASURES, names, entities, (first_minute, last_minute), precision)

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """Merge the rows of closed minutes, hours and days, and forget what is too old, an hour at a time."""
        forget = self._forgotten is None or now_minute >= self._forgotten + _FORGET_EVERY
        with self._write_lock, self._transaction() as cursor:
            rolled = _merge(cursor, closed_minute)
            for statement in (Statement.FORGET_MERGED_WRITERS, Statement.FORGET_WRITERS):
                cursor.execute(statement, {"before": closed_minute - _REMEMBERED})
            if forget:
                _forget(cursor, now_minute, retention, rolled)
        if forget:
            self._forgotten = now_minute

    def close(self) -> None:
        """Write everything into the file itself, and release it."""
        with self._write_lock, self._open_lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _relations(self, statement: str, kind: int, first: int, last: int, **parameters: str) -> list[Relation]:
        given = {"kind": kind, "first": first, "last": last, **parameters}
        with self._transaction() as cursor:
            return [Relation(*row) for row in cursor.execute(statement, given).fetchall()]

    def _read(
        self,
        tables: RowTables,
        names: Sequence[str],
        entities: Sequence[str],
        minutes: tuple[int, int],
        precision: Precision,
    ) -> pl.DataFrame:
        with self._transaction() as cursor:
            metric_ids, entity_ids = _find(cursor, names), _find(cursor, entities)
            parameters: dict[str, object] = {
                # A bucket that is asked for is asked for as a whole.
                "first": -(-minutes[0] // precision) * precision,
                "last": precision.start(minutes[1]) + precision - 1,
                "metrics": list(metric_ids.values()),
                "every": not entities,
                "entities": list(entity_ids.values()),
            }
            hours, days = _rolled(cursor)
            if precision is not Precision.MINUTE:
                parameters["hours"] = hours
            if precision is Precision.DAY:
                parameters["days"] = days
            rows = cursor.execute(tables.read(precision), parameters).fetchnumpy()
            used = np.unique(np.concatenate([rows["label"], *([] if entities else [rows["entity"]])])).tolist()
            texts = dict(cursor.execute(Statement.TEXTS, {"ids": used}).fetchall())
        texts |= {number: text for text, number in (*metric_ids.items(), *entity_ids.items())}
        return pl.DataFrame(
            {
                name: pl.Series(rows[name]).replace_strict(texts, return_dtype=pl.String)
                if name in _NAMED
                else rows[name]
                for name in SCHEMAS[tables.name]
            },
            schema=SCHEMAS[tables.name],
        ).sort("metric", "label", "entity", "minute")

    def _has(self, writer: str) -> bool:
        with self._transaction() as cursor:
            return _number_of(cursor, Statement.FIND_WRITER, text=writer) is not None

    def _prepare(self, cursor: duckdb.DuckDBPyConnection) -> None:
        tables = {name for (name,) in cursor.execute(Statement.TABLES).fetchall()}
        if not tables:
            cursor.execute(SCHEMA)
            cursor.execute(Statement.SET_VERSION, {"version": SCHEMA_VERSION})
            return
        if "schema_version" not in tables:
            raise StorageError(f"{self._path} is a DuckDB file, but not one of pyrover: name another file")
        version = _number_of(cursor, Statement.VERSION) or 0
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"{self._path} was written by a newer pyrover (schema {version}, this one knows {SCHEMA_VERSION}):"
                " upgrade, or name another file"
            )
        if version < 1:
            raise StorageError(f"{self._path} has schema {version}, which no pyrover wrote: name another file")
        if version < SCHEMA_VERSION:
            _logger.info("%s has schema %d and is brought to %d", self._path, version, SCHEMA_VERSION)
            from_version_1(cursor)
            cursor.execute(Statement.SET_VERSION, {"version": SCHEMA_VERSION})

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own, in a transaction that is committed at the end."""
        cursor = self._cursor()
        try:
            cursor.begin()
            yield cursor
            cursor.commit()
        except duckdb.Error as error:
            if isinstance(error, duckdb.FatalException | duckdb.InternalException):
                # DuckDB refuses everything from here on, until the file is opened again.
                self._reopen_later()
            raise StorageError(f"{self._path}: {error}") from error
        finally:
            # Closing a cursor takes back a transaction that was not committed.
            cursor.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._open_lock:
            if self._closed:
                raise StorageError(f"{self._path} is closed")
            try:
                if self._connection is None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._connection = duckdb.connect(str(self._path), config=self._settings)
                return self._connection.cursor()
            except (duckdb.Error, OSError) as error:
                raise self._explain(error) from error

    def _explain(self, error: Exception) -> StorageError:
        if "set lock" in str(error):
            return StorageError(
                f"{self._path} is in use by another process: stop it, or name another file. DuckDB says: {error}"
            )
        return StorageError(f"{self._path} cannot be opened: {error}")

    def _reopen_later(self) -> None:
        with self._open_lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _write_rows(
    cursor: duckdb.DuckDBPyConnection, tables: RowTables, rows: pl.DataFrame, writer: int, *, again: bool
) -> None:
    factorized = [_factorize(rows[name]) for name in _NAMED]
    numbers = _number(cursor, [text for texts, _ in factorized for text in texts])
    staged: dict[str, NDArray[np.generic]] = {"writer": np.full(len(rows), writer, np.int32)}
    for name, (texts, codes) in zip(_NAMED, factorized, strict=True):
        staged[name], numbers = numbers[: len(texts)][codes], numbers[len(texts) :]
    for name in rows.columns:
        if name not in _NAMED:
            staged[name] = rows[name].to_numpy()
    cursor.register("staged", staged)
    if again:
        cursor.execute(tables.replace(), {"writer": writer})
        cursor.execute(tables.insert_again(), {"writer": writer})
    else:
        cursor.execute(tables.insert())
    cursor.unregister("staged")


def _merge(cursor: duckdb.DuckDBPyConnection, closed: int) -> dict[Precision, int]:
    """Merge the rows of closed minutes; how far hours and days are made then."""
    hours, days = _rolled(cursor)
    before = {Precision.MINUTE: closed, Precision.HOUR: min(hours, closed), Precision.DAY: min(days, closed)}
    now = {
        Precision.HOUR: max(hours, Precision.HOUR.start(closed)),
        Precision.DAY: max(days, Precision.DAY.start(closed)),
    }
    cursor.execute(Statement.REMEMBER_WRITERS, {"closed": closed})
    for tables in (METRICS, MEASURES):
        for precision, minute in before.items():
            cursor.execute(tables.merge(precision), {"before": minute})
        cursor.execute(tables.clear(), {"closed": closed})
        for precision, first in ((Precision.HOUR, hours), (Precision.DAY, days)):
            if first < now[precision]:
                cursor.execute(tables.roll_up(precision), {"first": first, "before": now[precision]})
    cursor.execute(Statement.SET_ROLLED, {"hours": now[Precision.HOUR], "days": now[Precision.DAY]})
    return now


def _forget(cursor: duckdb.DuckDBPyConnection, now: int, retention: Retention, rolled: Mapping[Precision, int]) -> None:
    # What the next coarser table has not got yet is kept.
    coarser = {Precision.MINUTE: rolled[Precision.HOUR], Precision.HOUR: rolled[Precision.DAY]}
    for precision in Precision:
        oldest = retention.oldest(precision, now)
        for tables in (METRICS, MEASURES):
            cursor.execute(tables.forget(precision), {"oldest": min(oldest, coarser.get(precision, oldest))})
    for statement in Statement.FORGET_METADATA:
        cursor.execute(statement, {"oldest": retention.oldest_metadata(now)})
    cursor.execute(Statement.FORGET_NAMES)


def _rolled(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    rows: list[tuple[int, int]] = cursor.execute(Statement.ROLLED).fetchall()
    return rows[0]


def _write_relations(cursor: duckdb.DuckDBPyConnection, flush: Flush) -> None:
    kinds = (flush.service_relations, flush.instance_relations, flush.endpoint_relations)
    relations = [relation for of_kind in kinds for relation in of_kind]
    if not relations:
        return
    columns = [[getattr(relation, name) for relation in relations] for name in ("id", "source_id", "destination_id")]
    texts, codes = _factorize(pl.Series([*columns[0], *columns[1], *columns[2]], dtype=pl.String))
    relation, source, destination = np.split(_number(cursor, texts)[codes], 3)
    minute = np.array([relation.minute for relation in relations], np.int32)
    cursor.register(
        "staged",
        {
            "minute": minute,
            "kind": np.repeat(np.arange(len(kinds), dtype=np.int32), [len(of_kind) for of_kind in kinds]),
            "relation": relation,
            "source": source,
            "destination": destination,
            "server": np.array([relation.side == "server" for relation in relations]),
            "component": np.array([relation.component for relation in relations], np.int32),
        },
    )
    cursor.execute(Statement.INSERT_RELATIONS, {"first": int(minute.min()), "last": int(minute.max())})
    cursor.unregister("staged")


def _write_entities(cursor: duckdb.DuckDBPyConnection, flush: Flush) -> None:
    seen = ("id", "name", "first_minute", "last_minute")
    services: dict[str, list[str | int]] = {
        **{name: [getattr(service, name) for service in flush.services] for name in (*seen, "normal")},
        "layers": ["\n".join(sorted({service.layer, *service.more_layers})) for service in flush.services],
    }
    instances: dict[str, list[str | int]] = {
        **{name: [getattr(instance, name) for instance in flush.instances] for name in (*seen, "service_id")},
        "properties": [properties_text(instance.properties) for instance in flush.instances],
        "properties_minute": [instance.last_minute if instance.properties else -1 for instance in flush.instances],
    }
    endpoints: dict[str, list[str | int]] = {
        name: [getattr(endpoint, name) for endpoint in flush.endpoints] for name in (*seen, "service_id")
    }
    for statement, columns in (
        (Statement.SEE_SERVICES, services),
        (Statement.SEE_INSTANCES, instances),
        (Statement.SEE_ENDPOINTS, endpoints),
    ):
        if columns["id"]:
            cursor.register("staged", {name: _column(values) for name, values in columns.items()})
            cursor.execute(statement)
            cursor.unregister("staged")


def _column(values: Sequence[str | int]) -> NDArray[np.generic]:
    kind = type(values[0])
    return np.array(values, object if kind is str else np.bool_ if kind is bool else np.int32)


def _factorize(series: pl.Series) -> tuple[list[str], NDArray[np.uint32]]:
    """The distinct texts of a column, and per row the index of its text."""
    texts = series.unique(maintain_order=True)
    return texts.to_list(), series.cast(pl.Enum(texts)).to_physical().cast(pl.UInt32).to_numpy()


def _number(cursor: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> NDArray[np.int32]:
    """The numbers of names, in their order; new names are given one."""
    known = _find(cursor, texts)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        first = (_number_of(cursor, Statement.LAST_NAME) or 0) + 1
        known |= {text: first + index for index, text in enumerate(new)}
        cursor.execute(Statement.INSERT_NAMES, {"first": first, "texts": new})
    return np.array([known[text] for text in texts], np.int32)


def _find(cursor: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> dict[str, int]:
    if not texts:
        return {}
    return dict(cursor.execute(Statement.FIND_NAMES, {"texts": list(texts)}).fetchall())


def _writer(cursor: duckdb.DuckDBPyConnection, flush: Flush) -> tuple[int, bool]:
    """The number of a flush's writer, and whether it has written before."""
    known = _number_of(cursor, Statement.FIND_WRITER, text=flush.writer)
    if known is not None:
        return known, True
    number = (_number_of(cursor, Statement.LAST_WRITER) or 0) + 1
    minutes = pl.concat([flush.metrics["minute"], flush.measures["minute"]])
    last_minute = minutes.max() if len(minutes) else 0
    cursor.execute(Statement.INSERT_WRITER, {"id": number, "text": flush.writer, "minute": last_minute})
    return number, False


def _number_of(cursor: duckdb.DuckDBPyConnection, statement: str, **parameters: str) -> int | None:
    """The number that a statement gives; None when it gives none."""
    # A result has to be fetched to its end before the cursor can be used again.
    rows: list[tuple[int | None]] = cursor.execute(statement, parameters).fetchall()
    return rows[0][0] if rows else None
