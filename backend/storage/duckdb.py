"""A store in one DuckDB file.

Names (of metrics) and ids (of entities) are long and come again and again, so they are kept once, in `names`, and
rows point at them. Where rows of metrics and measures are, and how they move, is in backend/storage/duckdb_rows.py.

`merged_writers` remembers for an hour whose rows of which minute were merged, because a flush that is written again
after that must not count twice.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from backend.storage.duckdb_blocks import FOLDED_AT, fold_blocks, unpack_writer, write_blocks
from backend.storage.duckdb_merging import forget, merge
from backend.storage.duckdb_migration import from_version_1
from backend.storage.duckdb_names import Names, number_of
from backend.storage.duckdb_read_names import ReadNames
from backend.storage.duckdb_reading import Question, read_rows
from backend.storage.duckdb_rows import MEASURES, METRICS, RowTables
from backend.storage.duckdb_sightings import Sightings
from backend.storage.duckdb_statements import BATCHES, BLOCKS, SCHEMA, SCHEMA_VERSION, Statement
from backend.storage.duckdb_writing import (
    write_batches,
    write_entities,
    write_relations,
    write_rows,
    writer_of,
)
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
from backend.storage.merging import properties_of
from backend.storage.numbered import NumberedRows
from backend.storage.row_reading import RowReading

_logger = logging.getLogger(__name__)

_REMEMBERED = 60  # minutes for which a merged writer is remembered; a flush is tried again within seconds
_FORGET_EVERY = 60  # minutes; deleting an hour at a time leaves few half-empty row groups
_SETTINGS = {
    # Nothing is fetched from the network, and no file but the store's own is opened.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


class DuckdbStorage(RowReading[RowTables]):
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
        super().__init__(METRICS, MEASURES)
        self._path = path
        self._settings: dict[str, str | bool | int | float | list[str]] = {**_SETTINGS, "memory_limit": memory_limit}
        self._write_lock = threading.Lock()
        self._names = Names()
        self._read_names = ReadNames()
        self._sightings = Sightings()
        self._open_lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        self._forgotten: int | None = None
        self._unfolded = 0
        with self._transaction() as cursor:
            self._prepare(cursor)

    def write(self, flush: Flush) -> None:
        """Write a flush durably; as Storage.write."""
        with self._write_lock:
            again = True
            try:
                with self._transaction() as cursor:
                    writer, again = writer_of(cursor, flush)
                    if again:
                        # What a writer replaces has to be in rows.
                        unpack_writer(cursor, writer, self._names)
                    else:
                        write_blocks(cursor, flush.blocks, writer, self._names)
                    metrics = flush.rows if again else flush.metrics
                    for tables, rows in ((METRICS, metrics), (MEASURES, flush.measures)):
                        if len(rows):
                            write_rows(cursor, tables, rows, writer, self._names, again=again)
                    seen = self._sightings.unknown(flush)
                    write_relations(cursor, seen, self._names)
                    write_entities(cursor, seen)
                    write_batches(cursor, flush, again=again)
            except StorageError as error:
                self._forget()
                # DuckDB can fail after it has committed, when it tidies up its file.
                if again or not self.has_written(flush.writer):
                    raise
                _logger.warning("a flush is durable, but: %s", error)
            except BaseException:
                self._forget()
                raise
            else:
                self._names.keep()
                self._sightings.keep()
            self._fold(flush)

    def stored_batches(self, identifiers: Sequence[str], writer: str) -> set[str]:
        """Which of these batches are in flushes of other writers; as Storage.stored_batches."""
        with self._transaction() as cursor:
            given = {"ids": list(identifiers), "writer": writer}
            return {name for (name,) in cursor.execute(Statement.FIND_BATCHES, given).fetchall()}

    def services(self) -> list[Service]:
        """Every known service, by name."""
        with self._transaction() as cursor:
            return [
                Service(identity, name, layer, first, last, normal, tuple(more))
                for identity, name, layers, first, last, normal in cursor.execute(Statement.SERVICES).fetchall()
                for layer, *more in [layers.split("\n")]
            ]

    def instances(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Instance]:
        """Instances of a service, or of all, that were seen within the minutes given, both inclusive, by name."""
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

    def numbered_metrics(self, names: Sequence[str], first_minute: int, last_minute: int) -> NumberedRows:
        """Merged values of every entity by the minute; as Storage.numbered_metrics."""
        return self._read_numbered(METRICS, Question(names, (), first_minute, last_minute, Precision.MINUTE))

    def maintain(self, closed_minute: int, now_minute: int, retention: Retention) -> None:
        """Merge the rows of closed minutes, hours and days, and forget what is too old, an hour at a time."""
        is_due = self._forgotten is None or now_minute >= self._forgotten + _FORGET_EVERY
        with self._write_lock:
            is_as_remembered = False
            try:
                with self._transaction() as cursor:
                    rolled = merge(cursor, closed_minute, self._names)
                    for statement in (Statement.FORGET_MERGED_WRITERS, Statement.FORGET_WRITERS):
                        cursor.execute(statement, {"before": closed_minute - _REMEMBERED})
                    if is_due:
                        forget(cursor, now_minute, retention, rolled)
                is_as_remembered = not is_due
            finally:
                if is_as_remembered:
                    self._names.keep()
                else:
                    self._forget()
                if is_due:
                    # Nobody writes until this is done.
                    self._read_names.forget()
        if is_due:
            self._forgotten = now_minute

    def close(self) -> None:
        """Write everything into the file itself, and release it."""
        with self._write_lock, self._open_lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _fold(self, flush: Flush) -> None:
        """After so many flushes with blocks, add up those of the same minutes."""
        self._unfolded += bool(flush.blocks)
        if self._unfolded < FOLDED_AT:
            return
        self._unfolded = 0
        try:
            with self._transaction() as cursor:
                fold_blocks(cursor)
        except StorageError as error:
            # The flush is durable, and is asked for as it is.
            _logger.warning("sums of an open minute stay apart until later: %s", error)

    def _forget(self) -> None:
        """What is remembered of the file may not hold any more."""
        self._names.forget()
        self._sightings.forget()

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
        return self._read_numbered(tables, Question(names, entities, *minutes, precision)).told()

    def _read_numbered(self, tables: RowTables, question: Question) -> NumberedRows:
        names_kept = self._read_names.view()
        with self._transaction() as cursor:
            return read_rows(cursor, tables, question, names_kept)

    def has_written(self, writer: str) -> bool:
        """Whether a flush of this writer is durable; for an hour after its minutes were merged. Raises StorageError."""
        with self._transaction() as cursor:
            return number_of(cursor, Statement.FIND_WRITER, text=writer) is not None

    def _prepare(self, cursor: duckdb.DuckDBPyConnection) -> None:
        tables = {name for (name,) in cursor.execute(Statement.TABLES).fetchall()}
        if not tables:
            cursor.execute(SCHEMA)
            cursor.execute(BATCHES)
            cursor.execute(Statement.SET_VERSION, {"version": SCHEMA_VERSION})
            return
        if "schema_version" not in tables:
            raise StorageError(f"{self._path} is a DuckDB file, but not one of pyrover: name another file")
        version = number_of(cursor, Statement.VERSION) or 0
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"{self._path} was written by a newer pyrover (schema {version}, this one knows {SCHEMA_VERSION}):"
                " upgrade, or name another file"
            )
        if version < 1:
            raise StorageError(f"{self._path} has schema {version}, which no pyrover wrote: name another file")
        if version < SCHEMA_VERSION:
            _logger.info("%s has schema %d and is brought to %d", self._path, version, SCHEMA_VERSION)
            if version == 1:
                from_version_1(cursor)
            cursor.execute(BLOCKS)
            cursor.execute(Statement.SET_VERSION, {"version": SCHEMA_VERSION})
        cursor.execute(BATCHES)

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
