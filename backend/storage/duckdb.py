"""A store in one DuckDB file.

Names (of metrics) and ids (of entities) are long and come again and again, so they are kept once, in `names`, and
rows point at them. Metric rows are in two tables:

* `fresh` has what flushes wrote, one row per metric, entity, minute and writer, so that a flush that is written again
  replaces what it wrote before;
* `merged` has what is left when a minute is closed: one row per metric, entity and minute for all writers. What comes
  late goes to `fresh` and is merged in turn, as a further row: reading always adds up both tables.

`merged_writers` remembers for an hour whose rows of which minute were merged, because a flush that is written again
after that must not count twice.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.duckdb_statements import ENDPOINTS, SCHEMA, SCHEMA_VERSION, Statement
from backend.storage.interface import Endpoint, Flush, Instance, MetricSchema, Relation, Service, StorageError

_logger = logging.getLogger(__name__)

_REMEMBERED = 60  # minutes for which a merged writer is remembered; a flush is tried again within seconds
_FORGET_EVERY = 60  # minutes; deleting an hour at a time leaves few half-empty row groups
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
                    if len(flush.metrics):
                        _write_metrics(cursor, flush, writer, again=again)
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
            return [Service(*row) for row in cursor.execute(Statement.SERVICES).fetchall()]

    def instances(self, service_id: str, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service that were seen within the minutes given, both inclusive, by name."""
        parameters = {"service": service_id, "first": first_minute, "last": last_minute}
        with self._transaction() as cursor:
            return [Instance(*row) for row in cursor.execute(Statement.INSTANCES, parameters).fetchall()]

    def endpoints(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Endpoint]:
        """Endpoints of a service, or of all, that were called within the minutes given, both inclusive, by name."""
        parameters = {"service": service_id, "first": first_minute, "last": last_minute}
        with self._transaction() as cursor:
            return [Endpoint(*row) for row in cursor.execute(Statement.ENDPOINTS, parameters).fetchall()]

    def service_relations(self, first_minute: int, last_minute: int) -> list[Relation]:
        """Service relations of the minutes given, each (id, side, component) once, with its latest minute."""
        parameters = {"first": first_minute, "last": last_minute}
        with self._transaction() as cursor:
            return [Relation(*row) for row in cursor.execute(Statement.SERVICE_RELATIONS, parameters).fetchall()]

    def instance_relations(
        self, source_service_id: str, destination_service_id: str, first_minute: int, last_minute: int
    ) -> list[Relation]:
        """Instance relations between two services in the minutes given, each (id, side) once."""
        parameters = {
            "first": first_minute,
            "last": last_minute,
            "source": f"{source_service_id}_",
            "destination": f"{destination_service_id}_",
        }
        with self._transaction() as cursor:
            return [Relation(*row) for row in cursor.execute(Statement.INSTANCE_RELATIONS, parameters).fetchall()]

    def metrics(
        self, names: Sequence[str], entities: Sequence[str], first_minute: int, last_minute: int
    ) -> pl.DataFrame:
        """Merged values; as Storage.metrics, by metric, entity and minute."""
        with self._transaction() as cursor:
            metric_ids = _find(cursor, names)
            entity_ids = _find(cursor, entities)
            parameters = {
                "first": first_minute,
                "last": last_minute,
                "metrics": list(metric_ids.values()),
                "every": not entities,
                "entities": list(entity_ids.values()),
            }
            rows = cursor.execute(Statement.POINTS, parameters).fetchnumpy()
            entity_names = {number: name for name, number in entity_ids.items()}
            if not entities:
                used = np.unique(rows["entity"]).tolist()
                entity_names = dict(cursor.execute(Statement.TEXTS, {"ids": used}).fetchall())
        metric_names = {number: name for name, number in metric_ids.items()}
        return pl.DataFrame(
            {
                "metric": pl.Series(rows["metric"]).replace_strict(metric_names, return_dtype=pl.String),
                "entity": pl.Series(rows["entity"]).replace_strict(entity_names, return_dtype=pl.String),
                "minute": rows["minute"],
                "summation": rows["summation"],
                "count": rows["count"],
            },
            schema=MetricSchema,
        ).sort("metric", "entity", "minute")

    def maintain(self, closed_minute: int, oldest_minute: int) -> None:
        """Merge the rows of closed minutes, and forget what is too old, an hour at a time."""
        with self._write_lock, self._transaction() as cursor:
            for statement in (Statement.REMEMBER_WRITERS, Statement.MERGE, Statement.CLEAR_MERGED):
                cursor.execute(statement, {"closed": closed_minute})
            for statement in (Statement.FORGET_MERGED_WRITERS, Statement.FORGET_WRITERS):
                cursor.execute(statement, {"before": closed_minute - _REMEMBERED})
            forget = self._forgotten is None or oldest_minute >= self._forgotten + _FORGET_EVERY
            if forget:
                for statement in Statement.FORGET:
                    cursor.execute(statement, {"oldest": oldest_minute})
                cursor.execute(Statement.FORGET_NAMES)
        if forget:
            self._forgotten = oldest_minute

    def close(self) -> None:
        """Write everything into the file itself, and release it."""
        with self._write_lock, self._open_lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

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
        if version < SCHEMA_VERSION:
            raise StorageError(f"{self._path} has schema {version}, which is no longer read: name another file")
        # A file from before there were endpoints lacks their table and nothing else.
        cursor.execute(ENDPOINTS)

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


def _write_metrics(cursor: duckdb.DuckDBPyConnection, flush: Flush, writer: int, *, again: bool) -> None:
    points = flush.metrics
    metric_texts, metric_codes = _factorize(points["metric"])
    entity_texts, entity_codes = _factorize(points["entity"])
    numbers = _number(cursor, [*metric_texts, *entity_texts])
    cursor.register(
        "staged",
        {
            "minute": points["minute"].to_numpy(),
            "metric": numbers[: len(metric_texts)][metric_codes],
            "entity": numbers[len(metric_texts) :][entity_codes],
            "writer": np.full(len(points), writer, np.int32),
            "summation": points["summation"].to_numpy(),
            "count": points["count"].to_numpy(),
        },
    )
    if again:
        cursor.execute(Statement.REPLACE_POINTS, {"writer": writer})
        cursor.execute(Statement.INSERT_POINTS_AGAIN, {"writer": writer})
    else:
        cursor.execute(Statement.INSERT_POINTS)
    cursor.unregister("staged")


def _write_relations(cursor: duckdb.DuckDBPyConnection, flush: Flush) -> None:
    relations = [*flush.service_relations, *flush.instance_relations]
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
            "instances": np.arange(len(relations)) >= len(flush.service_relations),
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
    entities: tuple[tuple[str, Sequence[Service] | Sequence[Instance] | Sequence[Endpoint]], ...] = (
        (Statement.SEE_SERVICES, flush.services),
        (Statement.SEE_INSTANCES, flush.instances),
        (Statement.SEE_ENDPOINTS, flush.endpoints),
    )
    for statement, rows in entities:
        if rows:
            columns = zip(*map(astuple, rows), strict=True)
            names = (field.name for field in fields(rows[0]))
            cursor.register("staged", {name: _column(values) for name, values in zip(names, columns, strict=True)})
            cursor.execute(statement)
            cursor.unregister("staged")


def _column(values: Sequence[str | int]) -> NDArray[np.object_] | NDArray[np.int32]:
    return np.array(values, object if isinstance(values[0], str) else np.int32)


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
    last_minute = flush.metrics["minute"].max() if len(flush.metrics) else 0
    cursor.execute(Statement.INSERT_WRITER, {"id": number, "text": flush.writer, "minute": last_minute})
    return number, False


def _number_of(cursor: duckdb.DuckDBPyConnection, statement: str, **parameters: str) -> int | None:
    """The number that a statement gives; None when it gives none."""
    # A result has to be fetched to its end before the cursor can be used again.
    rows: list[tuple[int | None]] = cursor.execute(statement, parameters).fetchall()
    return rows[0][0] if rows else None
