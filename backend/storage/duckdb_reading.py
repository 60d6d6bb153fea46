"""Answers questions for rows of metrics and measures in a DuckDB file.

Most of what a small question takes is planning: DuckDB plans a statement with numbers in it in half the time of one
with lists as parameters, and answers it without a second thread. So numbers of names, which are the file's own, are
written into the statement as long as there are few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.duckdb_blocks import NO_LABEL, Columns, InBlocks, read_blocks
from backend.storage.duckdb_layouts import layout_of
from backend.storage.duckdb_merging import rolled_to
from backend.storage.duckdb_read_names import NamesView
from backend.storage.duckdb_rows import METRICS, SCHEMAS, RowTables
from backend.storage.duckdb_statements import Statement
from backend.storage.duckdb_writing import NAMED
from backend.storage.interface import Precision
from backend.storage.merging import KEY

WRITTEN_OUT = 100
"""Most numbers that are written into a statement; a longer list is a parameter, which is looked through faster."""
LEAST, GREATEST = -(2**63), 2**63 - 1
"""Of what is stored: sums beyond it become these."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows are asked for.

    Args:
        names: Of metrics.
        entities: Ids; none means all.
        first: Buckets that begin before this minute are left out.
        last: Buckets that begin after this minute are left out.
        precision: Length of the buckets.
    """

    names: Sequence[str]
    entities: Sequence[str]
    first: int
    last: int
    precision: Precision

    @property
    def minutes(self) -> tuple[int, int]:
        """The first and the last minute of its buckets. Those are asked for as a whole."""
        return -(-self.first // self.precision) * self.precision, (self.precision.start(self.last) + self.precision - 1)


def read_rows(
    cursor: duckdb.DuckDBPyConnection, tables: RowTables, question: Question, names: NamesView
) -> pl.DataFrame:
    """Merged rows, as Storage.metrics and Storage.measures say.

    Args:
        cursor: in a transaction that has seen nothing of the file yet.
        tables: of metrics or of measures.
        question: what is asked.
        names: as they were kept before the transaction.
    """
    # The first statement fixes what the transaction sees, and what is kept of names is for after it.
    in_blocks = tables is METRICS
    layouts = _layouts(cursor, question) if in_blocks else []
    rolled = rolled_to(cursor) if not in_blocks or question.precision is not Precision.MINUTE else (0, 0)
    metrics = names.numbers(cursor, question.names)
    entities = names.numbers(cursor, question.entities) if question.entities else None
    if not metrics or (entities is not None and not entities):
        return pl.DataFrame(schema=SCHEMAS[tables.name])
    condition, parameters = _condition(question, metrics, entities)
    statement = tables.read(question.precision, condition, *rolled)
    found: list[Columns] = [cursor.execute(statement, parameters).fetchnumpy()]
    if layouts:
        label = names.numbers(cursor, [NO_LABEL])[NO_LABEL]
        known = {number: layout_of(text) for number, text in names.texts(cursor, layouts).items()}
        chosen = None if entities is None else list(entities.values())
        more = read_blocks(cursor, InBlocks(known, metrics, label, chosen, *question.minutes))
        minute = np.asarray(more["minute"], np.int32)
        found.append({**more, "minute": minute - minute % np.int32(question.precision)})
    columns = {name: np.concatenate([part[name] for part in found]) for name in SCHEMAS[tables.name]}
    used = np.unique(np.concatenate([columns["label"], *([] if entities else [columns["entity"]])])).tolist()
    texts = names.texts(cursor, used) | {number: text for text, number in (metrics | (entities or {})).items()}
    return _told(columns, texts, may_repeat=len(found) > 1)


def _layouts(cursor: duckdb.DuckDBPyConnection, question: Question) -> list[int]:
    """The layouts of blocks of the minutes asked for."""
    first, last = question.minutes
    return [layout for (layout,) in cursor.execute(Statement.LAYOUTS_OF, {"first": first, "last": last}).fetchall()]


def _condition(
    question: Question, metrics: Mapping[str, int], entities: Mapping[str, int] | None
) -> tuple[str, dict[str, list[int]]]:
    """Which rows are asked for, and the parameters of that."""
    first, last = question.minutes
    conditions = [f"minute BETWEEN {first} AND {last}"]
    parameters: dict[str, list[int]] = {}
    for column, numbers in (("metric", metrics), ("entity", entities)):
        if numbers is None:
            continue
        listed = list(numbers.values())
        if len(listed) <= WRITTEN_OUT:
            conditions.append(f"{column} IN ({', '.join(map(str, listed))})")
        else:
            conditions.append(f"{column} IN (SELECT unnest(${column}::INTEGER[]))")
            parameters[column] = listed
    return " AND ".join(conditions), parameters


def _told(columns: Columns, texts: Mapping[int, str], *, may_repeat: bool) -> pl.DataFrame:
    """Rows with texts in place of their numbers, by these and then by the minute.

    Args:
        columns: the columns.
        texts: by number, all that there are in the columns.
        may_repeat: whether several rows may have the same key: then they are of metrics, and are added up.
    """
    # Many rows have few texts: these are put into order once, and rows are sorted by their places in it.
    ordered = sorted(texts, key=texts.__getitem__)
    place = np.empty(max(ordered, default=0) + 1, np.int32)
    place[ordered] = np.arange(len(ordered), dtype=np.int32)
    keys = [*(place[columns[name]] for name in NAMED), columns["minute"]]
    order = np.lexsort(keys[::-1])
    keys = [key[order] for key in keys]
    values = {name: column[order] for name, column in columns.items() if name not in KEY}
    if may_repeat and len(order):
        begins = np.flatnonzero(np.concatenate([[True], np.logical_or.reduce([key[1:] != key[:-1] for key in keys])]))
        if len(begins) < len(order):
            keys = [key[begins] for key in keys]
            values = {name: _totals(column, begins) for name, column in values.items()}
    found = pl.lit(pl.Series([texts[number] for number in ordered], dtype=pl.String))
    rows = pl.DataFrame({**dict(zip((*NAMED, "minute"), keys, strict=True)), **values})
    return rows.with_columns(found.gather(pl.col(name)).alias(name) for name in NAMED)


def _totals(values: NDArray[np.generic], begins: NDArray[np.int64]) -> NDArray[np.generic]:
    """Sums of whole numbers from each beginning to the next; too large a one becomes the largest that there is."""
    sums: NDArray[np.generic] = np.add.reduceat(values, begins)
    if np.abs(np.add.reduceat(values.astype(np.float64), begins)).max() < -LEAST // 2:
        return sums
    return np.clip(np.add.reduceat(values.astype(object), begins), LEAST, GREATEST).astype(np.int64)
