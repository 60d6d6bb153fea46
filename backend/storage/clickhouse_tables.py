"""The tables of ClickhouseStorage on one server.

Rows of metrics and measures are sums of one process (backend/storage/running_sums.py): of the rows with the same key
and writer, the one with the highest version counts. Rows of hours and days have the shard that they are in for a
writer: they are made from all rows of their minutes there, and their version is the sum of the versions that they were
made from. Versions only grow, so a row that was made from more always has the higher version, whoever made it and
whenever it arrives.

A flush is several inserts, of which any may be the last one that its process makes. So rows of minutes count when their
process has committed their version, in one insert that comes after all of them; until then, and for ever if it does not
come, what they say was before counts: `before_...`, and the version that was committed then. What is committed is in
`commits`, beside the batches that were in the flush: the row without a batch is of the process.

A row without a metric is a mark. In a table of minutes, it says that a process has written rows of an hour, with the
version of the latest; it is part of the same insert, after the rows. In a table of hours or days, it says which marks
had been seen when the bucket was made. A bucket whose marks differ is read from the finer table.
"""

# ruff: noqa: S608 - names of tables and columns are those of this module; values are parameters

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from backend.storage.interface import MeasureSchema, MetricSchema, Precision
from backend.storage.merging import KEY
from backend.storage.running_sums import BEFORE

SCHEMA_VERSION = 2
"""Changes when tables that were made before cannot be used as they are."""

TYPES: Mapping[type[pl.DataType], str] = {
    pl.String: "String",
    pl.Int32: "Int32",
    pl.Int64: "Int64",
    pl.Float64: "Float64",
}
_MERGES = {"summation": "sum", "count": "sum", "total": "sum", "least": "min", "greatest": "max"}
_DAY = f"intDiv(minute, {int(Precision.DAY)})"
PROCESS_LENGTH = 32
"""Of the name of a process, with which the names of its writers begin."""
_COUNTS = (
    f"(staged = 0 OR version <= transform(substring(writer, 1, {PROCESS_LENGTH}), %(processes)s, %(versions)s, 0))"
)
_VERSION = f"if({_COUNTS}, version, {BEFORE}version)"


def committed_parameters(committed: Mapping[str, int]) -> dict[str, object]:
    """What statements about rows of minutes have to be given, of the versions that processes have committed."""
    # An array of nothing has no type.
    return {"processes": ["", *committed], "versions": [0, *committed.values()]}


@dataclass(frozen=True, slots=True)
class RowTables:
    """The tables of one kind of rows: minutes, hours and days."""

    name: str
    schema: Mapping[str, type[pl.DataType]]

    @property
    def values(self) -> Sequence[str]:
        """Names of the columns that are merged."""
        return [name for name in self.schema if name not in KEY]

    def table(self, precision: Precision) -> str:
        """Name of a table."""
        return f"{self.name}_{precision.name.lower()}s"

    @property
    def added(self) -> Mapping[str, str]:
        """Columns that a table of minutes has since version 2, and their types."""
        before = {f"{BEFORE}{name}": TYPES[self.schema[name]] for name in self.values}
        return {**before, f"{BEFORE}live": "UInt8", f"{BEFORE}version": "UInt64", "staged": "UInt8"}

    def columns(self, precision: Precision) -> Sequence[str]:
        """Names of all columns of a table."""
        added = self.added if precision is Precision.MINUTE else ()
        return [*self.schema, "live", "version", "writer", *added]

    def create(self, precision: Precision) -> str:
        """Creates a table."""
        types = {name: TYPES[kind] for name, kind in self.schema.items()}
        types |= {"live": "UInt8", "version": "UInt64", "writer": "String", **self.added}
        columns = ", ".join(f"{name} {types[name]}" for name in self.columns(precision))
        return f"""
            CREATE TABLE IF NOT EXISTS {self.table(precision)} ({columns})
            ENGINE = ReplacingMergeTree(version) PARTITION BY {_DAY} ORDER BY (metric, entity, label, minute, writer)
        """

    def insert(self, precision: Precision) -> str:
        """Inserts rows that are given as columns, in the order of `columns`."""
        return f"INSERT INTO {self.table(precision)} ({', '.join(self.columns(precision))}) VALUES"

    def marks(self, precision: Precision, prefix: str) -> str:
        """Marks by shard and bucket: of minutes by the hour."""
        version = _VERSION if precision is Precision.MINUTE else "version"
        return f"""
            SELECT entity, minute, sum(latest) FROM (
                SELECT entity, minute, max({version}) AS latest FROM {prefix}{self.table(precision)}
                WHERE metric = '' AND minute >= %(first)s AND minute <= %(last)s
                GROUP BY entity, minute, writer
            ) GROUP BY entity, minute
        """

    def read(self, precision: Precision, to: Precision, prefix: str, condition: str) -> str:
        """Rows of one table, merged to buckets."""
        merged = ", ".join(f"{_MERGES[name]}(latest_{name}) AS {name}" for name in self.values)
        return f"""
            SELECT metric, label, entity, {_bucket(to)} AS bucket, {merged}
            FROM ({self._latest(precision, prefix, condition)})
            WHERE latest_live = 1 GROUP BY metric, label, entity, bucket
        """

    def roll_up(self, precision: Precision) -> str:
        """Makes a bucket of %(shard)s, from %(first)s to %(last)s, of the rows of the next finer table."""
        finer = Precision.MINUTE if precision is Precision.HOUR else Precision.HOUR
        # A key without any live row gets one that is not: it replaces one that was made when there were some.
        merged = ", ".join(f"{_MERGES[name]}If(latest_{name}, latest_live = 1)" for name in self.values)
        inner = self._latest(finer, "", "minute >= %(first)s AND minute <= %(last)s AND metric != ''")
        return f"""
            INSERT INTO {self.table(precision)} ({", ".join(self.columns(precision))})
            SELECT metric, label, entity, {_bucket(precision)} AS bucket, {merged},
                   max(latest_live), sum(latest_version), %(shard)s
            FROM ({inner}) GROUP BY metric, label, entity, bucket
        """

    def _latest(self, precision: Precision, prefix: str, condition: str) -> str:
        names = (*self.values, "live")
        if precision is Precision.MINUTE:
            shown, version = {name: f"if({_COUNTS}, {name}, {BEFORE}{name})" for name in names}, _VERSION
        else:
            shown, version = {name: name for name in names}, "version"
        latest = ", ".join(f"argMax({value}, {version}) AS latest_{name}" for name, value in shown.items())
        return f"""
            SELECT metric, label, entity, minute, {latest}, max({version}) AS latest_version
            FROM {prefix}{self.table(precision)} WHERE {condition}
            GROUP BY metric, label, entity, minute, writer
        """


def _bucket(precision: Precision) -> str:
    return f"toInt32(intDiv(minute, {int(precision)}) * {int(precision)})"


METRICS = RowTables("metrics", MetricSchema)
MEASURES = RowTables("measures", MeasureSchema)

ENTITIES = {
    "services": "id String, name String, layers String, normal UInt8",
    "instances": "id String, service_id String, name String, properties String, properties_minute Int32",
    "endpoints": "id String, service_id String, name String",
}
"""Columns by table; each has `first_minute`, `last_minute`, `writer` and `version` too."""

COMMITS = f"""
    CREATE TABLE IF NOT EXISTS commits
    (id String, writer String, version UInt64, written Int32 DEFAULT minute,
     minute Int32 DEFAULT toInt32(intDiv(toUnixTimestamp(now()), 60)))
    ENGINE = ReplacingMergeTree(version) PARTITION BY {_DAY} ORDER BY (id, writer)
"""
"""Batches that were stored, with the writer of the flush that they were in; and under no id, the latest version that a
process has committed, with the process for a writer. `written` is the minute in which it did; `minute` decides how long
the row is kept."""

CLAIMS = """
    CREATE TABLE IF NOT EXISTS claims
    (id String, process String, number UInt64, given_back UInt8, since UInt32 DEFAULT toUInt32(now()))
    ENGINE = MergeTree PARTITION BY intDiv(since, 3600) ORDER BY (since, id)
"""
"""Batches that a process is about to commit, in its claim of a number; a second row when it has given that back. Asked
for by what is younger than some seconds, on each shard by itself."""

RELATIONS = "kind UInt8, id String, source_id String, destination_id String, side String, component Int32, minute Int32"


def creations() -> Mapping[str, str]:
    """By table, what creates it."""
    rows = {
        tables.table(precision): tables.create(precision) for tables in (METRICS, MEASURES) for precision in Precision
    }
    entities = {
        name: f"""
            CREATE TABLE IF NOT EXISTS {name}
            ({columns}, first_minute Int32, last_minute Int32, writer String, version UInt64)
            ENGINE = ReplacingMergeTree(version) PARTITION BY intDiv(last_minute, {int(Precision.DAY)})
            ORDER BY (id, writer)
        """
        for name, columns in ENTITIES.items()
    }
    relations = f"""
        CREATE TABLE IF NOT EXISTS relations ({RELATIONS})
        ENGINE = ReplacingMergeTree PARTITION BY {_DAY} ORDER BY (kind, minute, id, side, component)
    """
    return {**rows, **entities, "relations": relations, "commits": COMMITS}
