"""Answers questions for rows of metrics and measures in a DuckDB file.

Most of what a small question takes is planning: DuckDB plans a statement with numbers in it in half the time of one
with lists as parameters, and answers it without a second thread. So numbers of names, which are the file's own, are
written into the statement as long as there are few.

Rows by the minute come as they are stored, and are added up and put into order here, by one number for each key: that
takes a third of what grouping them in the statement does.
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
from backend.storage.interface import Precision
from backend.storage.merging import KEY
from backend.storage.numbered import NAMED, NumberedRows

WRITTEN_OUT = 100
"""Most numbers that are written into a statement; a longer list is a parameter, which is looked through faster."""
LEAST, GREATEST = -(2**63), 2**63 - 1
"""Of what is stored: sums beyond it become these."""
_TABLE = 4
"""How many times as long as a column a table of all numbers up to its largest may be."""


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
) -> NumberedRows:
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
        return NumberedRows.of(pl.DataFrame(schema=SCHEMAS[tables.name]))
    condition, parameters = _condition(question, metrics, entities)
    is_apart = in_blocks and question.precision is Precision.MINUTE
    statement = tables.read_apart(condition) if is_apart else tables.read(question.precision, condition, *rolled)
    found: list[Columns] = [cursor.execute(statement, parameters).fetchnumpy()]
    if layouts:
        label = names.numbers(cursor, [NO_LABEL])[NO_LABEL]
        known = {number: layout_of(text) for number, text in names.texts(cursor, layouts).items()}
        chosen = None if entities is None else list(entities.values())
        more = read_blocks(cursor, InBlocks(known, metrics, label, chosen, *question.minutes))
        minute = np.asarray(more["minute"], np.int32)
        found.append({**more, "minute": minute - minute % np.int32(question.precision)})
    columns = {name: np.concatenate([part[name] for part in found]) for name in SCHEMAS[tables.name]}
    sought = ["label"] if entities else ["label", "entity"]
    used = [number for name in sought for number in _distinct(columns[name])]
    texts = names.texts(cursor, used) | {number: text for text, number in (metrics | (entities or {})).items()}
    return _merged(columns, texts)


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


def _distinct(numbers: NDArray[np.generic]) -> list[int]:
    """Each number once, none of which is negative."""
    if not len(numbers) or (largest := int(np.asarray(numbers).max())) > _TABLE * len(numbers):
        found: list[int] = np.unique(numbers).tolist()
        return found
    # Numbers of names are given one after the other: a table of them is shorter than what is asked about it.
    is_there = np.zeros(largest + 1, np.bool_)
    is_there[numbers] = True
    return np.flatnonzero(is_there).tolist()


def _merged(columns: Columns, texts: Mapping[int, str]) -> NumberedRows:
    """Rows by texts and then by the minute, each key once. Only rows of metrics may have a key several times.

    Args:
        columns: the columns.
        texts: by number, all that there are in the columns.
    """
    # Many rows have few texts: these are put into order once, and rows are sorted by their places in it.
    ordered = sorted(texts, key=texts.__getitem__)
    place = np.empty(max(ordered, default=0) + 1, np.int32)
    place[ordered] = np.arange(len(ordered), dtype=np.int32)
    numbered = {**columns, **{name: place[columns[name]] for name in NAMED}}
    key = _key([numbered[name] for name in KEY])
    order = np.argsort(key)
    key = key[order]
    begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else order
    if len(begins) == len(order):
        found = {name: column[order] for name, column in numbered.items()}
    else:
        firsts = order[begins]
        found = {
            name: column[firsts] if name in KEY else _totals(column[order], begins) for name, column in numbered.items()
        }
    return NumberedRows(pl.Series([texts[number] for number in ordered], dtype=pl.String), found)


def _key(columns: Sequence[NDArray[np.generic]]) -> NDArray[np.int64]:
    """One number for each row, in the order of the columns, none of which is wider than 32 bits."""
    key, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns if len(key) else ():
        values = column.astype(np.int64)
        least = int(values.min())
        span = int(values.max()) - least + 1
        if size * span > GREATEST:
            distinct, key = np.unique(key, return_inverse=True)
            size = len(distinct)
        key = key * span + (values - least)
        size *= span
    return key


def _totals(values: NDArray[np.generic], begins: NDArray[np.int64]) -> NDArray[np.generic]:
    """Sums of whole numbers from each beginning to the next; too large a one becomes the largest that there is."""
    sums: NDArray[np.generic] = np.add.reduceat(values, begins)
    if np.abs(np.add.reduceat(values.astype(np.float64), begins)).max() < -LEAST // 2:
        return sums
    return np.clip(np.add.reduceat(values.astype(object), begins), LEAST, GREATEST).astype(np.int64)
