"""The tables of metric and measure rows in a DuckDB file, and the statements that move rows between them.

There are two kinds of rows, and four tables of each:

* `..._fresh` has what flushes wrote, one row per metric, label, entity, minute and writer, so that a flush that
  is written again replaces what it wrote before;
* `..._minutes` has what is left when a minute is closed: its rows, merged for all writers;
* `..._hours` and `..._days` have the rows of closed minutes merged once more, when the hour or the day is closed.

`rolled` says how far that has come: every row in `..._minutes` before its minute for hours is in `..._hours` too, and
every row in `..._hours` before its minute for days is in `..._days`. What comes late for such a bucket is put into
all of them at once, as a further row: reading always adds up. So each row counts once at each precision, at any moment.
"""

# ruff: noqa: S608 - names of tables and columns are those of this module; values are parameters

from dataclasses import dataclass

from backend.storage.interface import MeasureSchema, MetricSchema, Precision

_KEY = "minute, metric, label, entity"


@dataclass(frozen=True, slots=True)
class RowTables:
    """The tables of one kind of rows."""

    name: str
    columns: tuple[tuple[str, str, str], ...]
    """Name, type and merging function of each value."""

    @property
    def _values(self) -> str:
        return ", ".join(f'"{name}"' for name, _, _ in self.columns)

    @property
    def _merged(self) -> str:
        return ", ".join(f'{merge}("{name}") AS "{name}"' for name, _, merge in self.columns)

    def schema(self) -> str:
        """Creates the tables."""
        keys = ", ".join(f"{name} INTEGER NOT NULL" for name in _KEY.split(", "))
        values = ", ".join(f'"{name}" {kind} NOT NULL' for name, kind, _ in self.columns)
        merged = (f"CREATE TABLE {self.name}_{table} ({keys}, {values});" for table in ("minutes", "hours", "days"))
        return "\n".join((f"CREATE TABLE {self.name}_fresh ({keys}, writer INTEGER NOT NULL, {values});", *merged))

    def insert(self) -> str:
        """Writes `staged`."""
        return f"INSERT INTO {self.name}_fresh SELECT {_KEY}, writer, {self._values} FROM staged"

    def replace(self) -> str:
        """Takes back what $writer wrote for the keys in `staged`."""
        return f"""
            DELETE FROM {self.name}_fresh AS f USING staged
            WHERE f.writer = $writer AND f.minute = staged.minute AND f.metric = staged.metric
              AND f.label = staged.label AND f.entity = staged.entity
        """

    def insert_again(self) -> str:
        """Writes `staged`, but for minutes in which rows of $writer have been merged."""
        return f"{self.insert()} WHERE minute NOT IN (SELECT minute FROM merged_writers WHERE writer = $writer)"

    def writers(self) -> str:
        """Writers and the minutes before $closed for which they have fresh rows."""
        return f"SELECT writer, minute FROM {self.name}_fresh WHERE minute < $closed"

    def merge(self, precision: Precision) -> str:
        """Merges fresh rows of minutes before $before into the table of a precision."""
        return self._copy("fresh", _table(precision), precision, "minute < $before")

    def roll_up(self, precision: Precision) -> str:
        """Merges rows of the next finer table, from $first and before $before, into the table of a precision."""
        finer = Precision.MINUTE if precision is Precision.HOUR else Precision.HOUR
        return self._copy(_table(finer), _table(precision), precision, "minute >= $first AND minute < $before")

    def clear(self) -> str:
        """Deletes fresh rows that have been merged."""
        return f"DELETE FROM {self.name}_fresh WHERE minute < $closed"

    def forget(self, precision: Precision) -> str:
        """Deletes buckets before $oldest."""
        return f"DELETE FROM {self.name}_{_table(precision)} WHERE minute < $oldest"

    def read(self, precision: Precision, condition: str, hours: int, days: int) -> str:
        """Rows that fulfil a condition, by bucket.

        Args:
            precision: length of the buckets.
            condition: of minute, metric, label and entity.
            hours: from which minute on hours are not made yet, of coarser buckets than a minute.
            days: the same of days.
        """
        sources = [f"{self.name}_fresh", f"{self.name}_{_table(precision)}"]
        if precision is Precision.DAY:
            sources.append(f"{self.name}_hours WHERE minute >= {days}")
        if precision is not Precision.MINUTE:
            sources.append(f"{self.name}_minutes WHERE minute >= {hours}")
        union = " UNION ALL ".join(f"SELECT {_KEY}, {self._values} FROM {source}" for source in sources)
        bucket = f"minute - minute % {int(precision)}"
        return f"""
            SELECT {bucket} AS minute, metric, label, entity, {self._merged} FROM ({union}) WHERE {condition}
            GROUP BY {bucket}, metric, label, entity
        """

    def read_apart(self, condition: str) -> str:
        """Rows by the minute that fulfil a condition, several for one key where flushes wrote several."""
        sources = (f"{self.name}_{table}" for table in ("fresh", _table(Precision.MINUTE)))
        return " UNION ALL ".join(f"SELECT {_KEY}, {self._values} FROM {name} WHERE {condition}" for name in sources)

    def names(self) -> str:
        """Every number of a name that rows have."""
        return " UNION ".join(
            f"SELECT {column} FROM {self.name}_{table}"
            for table in ("fresh", "minutes", "hours", "days")
            for column in ("metric", "label", "entity")
        )

    def _copy(self, source: str, target: str, precision: Precision, condition: str) -> str:
        bucket = f"minute - minute % {int(precision)}"
        # Rows that are asked for together lie together.
        return f"""
            INSERT INTO {self.name}_{target}
            SELECT {bucket} AS bucket, metric, label, entity, {self._merged} FROM {self.name}_{source} WHERE {condition}
            GROUP BY {bucket}, metric, label, entity ORDER BY metric, bucket, entity, label
        """


def _table(precision: Precision) -> str:
    return {Precision.MINUTE: "minutes", Precision.HOUR: "hours", Precision.DAY: "days"}[precision]


METRICS = RowTables("metrics", (("summation", "BIGINT", "total"), ("count", "BIGINT", "total")))
MEASURES = RowTables(
    "measures",
    (
        ("total", "DOUBLE", "sum"),
        ("count", "BIGINT", "total"),
        ("least", "DOUBLE", "min"),
        ("greatest", "DOUBLE", "max"),
    ),
)
SCHEMAS = {METRICS.name: MetricSchema, MEASURES.name: MeasureSchema}
