"""Moves rows of a DuckDB file to minutes, hours and days, and forgets what is too old."""

from collections.abc import Mapping

import duckdb

from backend.storage.duckdb_blocks import names_in_blocks, unpack_closed
from backend.storage.duckdb_names import Names
from backend.storage.duckdb_rows import MEASURES, METRICS
from backend.storage.duckdb_statements import Statement
from backend.storage.interface import Precision, Retention


def merge(cursor: duckdb.DuckDBPyConnection, closed: int, names: Names) -> dict[Precision, int]:
    """Merge the rows of closed minutes; how far hours and days are made then."""
    hours, days = rolled_to(cursor)
    before = {Precision.MINUTE: closed, Precision.HOUR: min(hours, closed), Precision.DAY: min(days, closed)}
    now = {
        Precision.HOUR: max(hours, Precision.HOUR.start(closed)),
        Precision.DAY: max(days, Precision.DAY.start(closed)),
    }
    for statement in (Statement.REMEMBER_WRITERS, Statement.CLOSE_FOLDED):
        cursor.execute(statement, {"closed": closed})
    unpack_closed(cursor, closed, names)
    for tables in (METRICS, MEASURES):
        for precision, minute in before.items():
            cursor.execute(tables.merge(precision), {"before": minute})
        cursor.execute(tables.clear(), {"closed": closed})
        for precision, first in ((Precision.HOUR, hours), (Precision.DAY, days)):
            if first < now[precision]:
                cursor.execute(tables.roll_up(precision), {"first": first, "before": now[precision]})
    cursor.execute(Statement.SET_ROLLED, {"hours": now[Precision.HOUR], "days": now[Precision.DAY]})
    return now


def forget(cursor: duckdb.DuckDBPyConnection, now: int, retention: Retention, rolled: Mapping[Precision, int]) -> None:
    """Delete what is too old, given how far hours and days are made."""
    # What the next coarser table has not got yet is kept.
    coarser = {Precision.MINUTE: rolled[Precision.HOUR], Precision.HOUR: rolled[Precision.DAY]}
    for precision in Precision:
        oldest = retention.oldest(precision, now)
        for tables in (METRICS, MEASURES):
            cursor.execute(tables.forget(precision), {"oldest": min(oldest, coarser.get(precision, oldest))})
    for statement in Statement.FORGET_METADATA:
        cursor.execute(statement, {"oldest": retention.oldest_metadata(now)})
    cursor.execute(Statement.FORGET_NAMES, {"held": names_in_blocks(cursor)})


def rolled_to(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Before which minute hours and days are made."""
    rows: list[tuple[int, int]] = cursor.execute(Statement.ROLLED).fetchall()
    return rows[0]
