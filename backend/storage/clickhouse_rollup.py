"""Hours and days in ClickHouse: which of them are made from all that was written, making them, and forgetting them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.storage.clickhouse_server import Asked, Server
from backend.storage.clickhouse_tables import RowTables, committed_parameters
from backend.storage.interface import Precision, Retention

_LARGEST_MINUTE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks of the hours and days in a span, by shard and bucket."""

    written: Mapping[tuple[str, int], int]
    """By hour, what had been written."""
    hours: Mapping[tuple[str, int], int]
    """By hour, what of it the hour was made from."""
    days: Mapping[tuple[str, int], int]
    """By day, what of its hours the day was made from."""

    def stale_hours(self, oldest: int) -> list[tuple[str, int]]:
        """Hours from `oldest` on that have to be read from minutes."""
        return sorted(key for key, mark in self.written.items() if key[1] >= oldest and self.hours.get(key) != mark)

    def made_from(self) -> dict[tuple[str, int], int]:
        """By day, the marks of its hours."""
        found: dict[tuple[str, int], int] = {}
        for (shard, hour), mark in self.hours.items():
            key = shard, Precision.DAY.start(hour)
            found[key] = found.get(key, 0) + mark
        return found

    def stale_days(self, oldest: int) -> list[tuple[str, int]]:
        """Days from `oldest` on that have to be read from hours."""
        stale = {key for key, mark in self.made_from().items() if self.days.get(key) != mark}
        stale |= {(shard, Precision.DAY.start(hour)) for shard, hour in self.stale_hours(oldest)}
        return sorted(key for key in stale if key[1] >= Precision.DAY.start(oldest))


def read_marks(
    asked: Asked, tables: RowTables, committed: Mapping[str, int], first: int = 0, last: int = _LARGEST_MINUTE
) -> Marks:
    """The marks of a span of whole days, of what is committed. Raises StorageError."""
    parameters = {"first": first, "last": min(last, _LARGEST_MINUTE), **committed_parameters(committed)}
    found: list[dict[tuple[str, int], int]] = []
    # In this order: what is read of hours is then never older than what was said to be in them.
    for precision in (Precision.DAY, Precision.HOUR, Precision.MINUTE):
        rows = asked.server.ask(tables.marks(precision, asked.prefix), parameters)
        found.append({(str(shard), int(str(minute))): int(str(mark)) for shard, minute, mark in rows})
    days, hours, written = found
    return Marks(written, hours, days)


def roll_up(
    server: Server, tables: RowTables, shard: str, committed: Mapping[str, int], minutes: tuple[int, int]
) -> None:
    """Make the closed hours and days that were not made from all that is committed.

    Any number of processes may do that, at the same time and as often as they like.

    Args:
        server: of the shard.
        tables: to make them of.
        shard: its name in marks.
        committed: by process, the version that it has committed.
        minutes: from the first one on, and before the last one.

    Raises:
        StorageError: the server cannot be asked.
    """
    oldest, closed = minutes
    marks = read_marks(Asked(server), tables, committed)
    made = {key: mark for key, mark in marks.hours.items() if key[0] == shard}
    for key in marks.stale_hours(oldest):
        if key[0] == shard and key[1] + Precision.HOUR <= closed:
            _make(server, tables, Precision.HOUR, (key, marks.written[key]), committed)
            made[key] = marks.written[key]
    now = Marks(marks.written, made, marks.days)
    for key, mark in now.made_from().items():
        if Precision.DAY.start(oldest) <= key[1] <= closed - Precision.DAY and marks.days.get(key) != mark:
            _make(server, tables, Precision.DAY, (key, mark), committed)


def forget(server: Server, tables: RowTables, now: int, retention: Retention) -> None:
    """Drop the days of which nothing has to be kept. Raises StorageError."""
    for precision in Precision:
        drop_before(server, tables.table(precision), retention.oldest(precision, now))


def drop_before(server: Server, table: str, minute: int) -> None:
    """Drop the partitions, of a day each, that end before a minute. Raises StorageError."""
    for day in days_before(server, table, minute):
        server.do(f"ALTER TABLE {table} DROP PARTITION {day}")


def days_before(server: Server, table: str, minute: int) -> list[int]:
    """The partitions, of a day each, that end before a minute. Raises StorageError."""
    rows: Sequence[Sequence[object]] = server.ask(
        "SELECT DISTINCT partition FROM system.parts"
        " WHERE database = %(database)s AND table = %(table)s AND active = 1",
        {"database": server.address.database, "table": table},
    )
    days = [int(str(partition)) for (partition,) in rows]
    return [day for day in days if (day + 1) * Precision.DAY <= minute]


def _make(
    server: Server,
    tables: RowTables,
    precision: Precision,
    made: tuple[tuple[str, int], int],
    committed: Mapping[str, int],
) -> None:
    """Make a bucket, given as its shard and first minute, and the mark of what it is made from."""
    (shard, bucket), mark = made
    span = {"first": bucket, "last": bucket + precision - 1, "shard": shard}
    server.do(tables.roll_up(precision), {**span, **committed_parameters(committed)})
    values: list[Sequence[object]] = [
        *([""], [""], [shard], [bucket]),
        *([0] for _ in tables.values),
        *([1], [mark], [shard]),
    ]
    server.insert(tables.insert(precision), values)
