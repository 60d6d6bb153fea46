"""Blocks of metrics in a DuckDB file.

A flush writes one row for each block and minute: the sums of all its entities as one value
(backend/storage/duckdb_layouts.py). That is some dozen rows for a flush, where single values would be hundreds of
thousands. When a minute is closed, its blocks are added up and become rows of single values, which are merged like all
others. Before that, many blocks of a minute are added up to one (`fold_blocks`), so that neither a question nor closing
has to read as many as there were flushes.

Where the values of a block are (its layout) is a name like any other.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.blocks import Block, expand
from backend.storage.duckdb_block_sums import Stored, added, added_minutes
from backend.storage.duckdb_layouts import (
    ENTITY,
    LABEL,
    MINUTE,
    Layout,
    decoded,
    encoded,
    layout_of,
    text_of,
    values_of,
)
from backend.storage.duckdb_names import Names, find_names
from backend.storage.duckdb_rows import METRICS
from backend.storage.duckdb_statements import Statement

MERGED_WRITER = 0
"""Number of the writer of rows and blocks that are sums of several writers' blocks; no writer has it."""
FULL_WRITER = -1
"""The same of blocks that nothing can be added to, as sums may become too large."""
FOLDED_AT = 16
"""Flushes whose blocks of a minute become one."""
REPLACEABLE = 8
"""Latest flushes whose blocks stay as they are, so that they can be written again with other rows."""
NO_LABEL = ""
"""The label of all values in blocks without labels."""
Columns = dict[str, NDArray[np.generic]]

_FETCHED_AT_ONCE = 16
_FOLDED = f"minute = $minute AND writer BETWEEN {MERGED_WRITER} AND $last"
_UNPACKED_AT_ONCE = 4
"""Minutes whose blocks are in memory at the same time."""


def write_blocks(cursor: duckdb.DuckDBPyConnection, blocks: Sequence[Block], writer: int, names: Names) -> None:
    """Write blocks of a writer that has written none before."""
    made: list[tuple[int, int, int, pl.DataFrame]] = []
    for block in blocks:
        # Questions look for the number of a metric, so that it has one from now on.
        layout, *_ = names.number(
            cursor,
            [
                text_of(Layout(block.places, block.is_labelled)),
                NO_LABEL,
                *(place.metric for place in block.places),
            ],
        )
        keys = {ENTITY: names.number_entities(cursor, block.entities, block.sums["entity"].to_numpy())}
        if block.is_labelled:
            keys[LABEL] = _label_numbers(cursor, block.sums["label"].to_numpy(), names)
        sums = block.sums[block.columns]
        sums.columns = [f"{index}" for index in range(sums.width)]
        for place, (name, numbers) in enumerate(keys.items()):
            sums.insert_column(place, pl.Series(name, numbers))
        minute = block.sums["minute"]
        minutes = minute.unique().to_list()
        for each in minutes:
            of_minute = sums if len(minutes) == 1 else sums.filter(minute == each)
            made.append((int(each), int(layout), writer, of_minute))
    _insert(cursor, made)


def fold_blocks(cursor: duckdb.DuckDBPyConnection) -> None:
    """Add up the blocks of each minute that has many, but for those of the latest flushes.

    Which writers they were of is remembered as of rows that are merged: written again, they change nothing.
    """
    for minute, last in cursor.execute(
        Statement.FOLDABLE, {"replaceable": REPLACEABLE, "folded_at": FOLDED_AT}
    ).fetchall():
        given = {"minute": minute, "last": last}
        sums_of_minute = list(added(_stored(cursor, _FOLDED, given)))
        # Of several sums of a layout, all but the last have no room for more.
        following = [layout for layout, _, _ in sums_of_minute[1:]]
        made = [
            (minute, layout, FULL_WRITER if layout == then else MERGED_WRITER, sums)
            for (layout, _, sums), then in zip(sums_of_minute, [*following, None], strict=True)
        ]
        cursor.execute(Statement.REMEMBER_FOLDED, given)
        cursor.execute(Statement.DELETE_BLOCKS.format(condition=_FOLDED), given)
        _insert(cursor, made)


def unpack_closed(cursor: duckdb.DuckDBPyConnection, closed: int, names: Names) -> None:
    """Turn the blocks of minutes before `closed` into rows, added up for all writers."""
    _unpack(cursor, "minute < $closed", {"closed": closed}, MERGED_WRITER, names)


def unpack_writer(cursor: duckdb.DuckDBPyConnection, writer: int, names: Names) -> None:
    """Turn the blocks of a writer into rows of the same writer, so that they can be replaced one by one."""
    _unpack(cursor, "writer = $writer", {"writer": writer}, writer, names)


@dataclass(frozen=True, slots=True)
class InBlocks:
    """Which values of blocks are asked for."""

    layouts: Mapping[int, Layout]
    """By number, those that blocks of these minutes have."""
    metrics: Mapping[str, int]
    """Numbers by name."""
    label: int
    """Number of NO_LABEL."""
    entities: Collection[int] | None
    """Numbers; None for all."""
    first: int
    """Minute."""
    last: int
    """Minute; it belongs to them."""


def read_blocks(cursor: duckdb.DuckDBPyConnection, asked: InBlocks) -> Columns:
    """The values of metrics that are in blocks: minute, metric, label, entity, summation and count.

    Rows of the same key add up.
    """
    found = {
        number: (layout, [place for place in layout.places if place.metric in asked.metrics])
        for number, layout in asked.layouts.items()
    }
    wanted = {number: layout.only(places) for number, (layout, places) in found.items() if places}
    if not wanted:
        return _joined([])
    chosen = None if asked.entities is None else np.array(sorted(asked.entities), np.int32)
    listed = ", ".join(map(str, wanted))
    stored = _stored(cursor, f"minute BETWEEN {asked.first} AND {asked.last} AND layout IN ({listed})", {})
    columns = {number: names for number, (_, names) in wanted.items()}
    return _joined(
        [
            _rows(sums, wanted[layout][0], asked.metrics, asked.label)
            for layout, sums in added_minutes(stored, columns, chosen)
        ]
    )


def names_in_blocks(cursor: duckdb.DuckDBPyConnection) -> list[int]:
    """The numbers of all names that blocks need."""
    layouts = _layouts(cursor, "true", {})
    if not layouts:
        return []
    texts = {NO_LABEL, *(place.metric for layout in layouts.values() for place in layout.places)}
    held = {*layouts, *find_names(cursor, list(texts)).values()}
    for number, _, stored in _stored(cursor, "true", {}):
        keys = decoded(stored, layouts[number].keys)
        held.update(*(keys[name].unique().to_list() for name in keys.columns))
    return list(held)


def _unpack(
    cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, int], writer: int, names: Names
) -> None:
    minutes = cursor.execute(Statement.BLOCK_MINUTES.format(condition=condition), given).fetchall()
    layouts = _layouts(cursor, condition, given)
    metrics = [place.metric for layout in layouts.values() for place in layout.places]
    numbers = dict(zip([NO_LABEL, *metrics], names.number(cursor, [NO_LABEL, *metrics]).tolist(), strict=True))
    for first in range(0, len(minutes), _UNPACKED_AT_ONCE):
        (begin,), *_, (end,) = (minutes[first], *minutes[first : first + _UNPACKED_AT_ONCE])
        asked = f"{condition} AND minute BETWEEN $begin AND $end"
        # A result has to be fetched to its end before the cursor can be used again.
        stored = list(_stored(cursor, asked, {**given, "begin": begin, "end": end}))
        for layout, minute, sums in added(stored):
            sums.insert_column(0, pl.Series(MINUTE, np.full(len(sums), minute, np.int32)))
            part = _rows(sums, layouts[layout], numbers, numbers[NO_LABEL])
            cursor.register("staged", {**part, "writer": np.full(len(part["minute"]), writer, np.int32)})
            cursor.execute(METRICS.insert())
            cursor.unregister("staged")
    cursor.execute(Statement.DELETE_BLOCKS.format(condition=condition), given)


def _insert(cursor: duckdb.DuckDBPyConnection, blocks: Sequence[tuple[int, int, int, pl.DataFrame]]) -> None:
    """Insert blocks: minute, layout, writer and sums of each."""
    if not blocks:
        return
    minutes, layouts, writers, sums = zip(*blocks, strict=True)
    staged = {
        "minute": np.array(minutes, np.int32),
        "layout": np.array(layouts, np.int32),
        "writer": np.array(writers, np.int32),
        "sums": np.array([encoded(of_block) for of_block in sums], object),
    }
    cursor.register("staged", staged)
    cursor.execute(Statement.INSERT_BLOCKS)
    cursor.unregister("staged")


def _layouts(cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, int]) -> dict[int, Layout]:
    """The layouts of blocks, by number."""
    found = cursor.execute(Statement.LAYOUTS.format(condition=condition), given).fetchall()
    return {number: layout_of(text) for number, text in found}


def _stored(cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, object]) -> Iterator[Stored]:
    """Blocks by layout and minute. One statement for all: each looks at the sums of every layout."""
    cursor.execute(Statement.BLOCKS.format(condition=condition), given)
    while rows := cursor.fetchmany(_FETCHED_AT_ONCE):
        yield from rows


def _label_numbers(cursor: duckdb.DuckDBPyConnection, labels: NDArray[np.int64], names: Names) -> NDArray[np.int32]:
    """The numbers of the texts of labels."""
    distinct, place = np.unique(labels, return_inverse=True)
    return names.number(cursor, [f"{label}" for label in distinct.tolist()])[place]


def _rows(sums: pl.DataFrame, layout: Layout, metrics: Mapping[str, int], label: int) -> Columns:
    """Sums by minute as rows of single values."""
    found = expand(layout.places, [sums[name].to_numpy() for name in values_of(sums)])
    numbers = np.array([metrics[place.metric] for place in layout.places], np.int32)
    labels = sums[LABEL].to_numpy()[found.row] if layout.is_labelled else np.full(len(found.row), label, np.int32)
    return {
        "minute": sums[MINUTE].to_numpy()[found.row],
        "metric": numbers[found.place],
        "label": labels,
        "entity": sums[ENTITY].to_numpy()[found.row],
        "summation": found.summation,
        "count": found.count,
    }


def _joined(parts: Sequence[Columns]) -> Columns:
    kinds = {"minute": np.int32, "metric": np.int32, "label": np.int32, "entity": np.int32}
    return {
        name: np.concatenate([np.empty(0, kinds.get(name, np.int64)), *(part[name] for part in parts)])
        for name in (*kinds, "summation", "count")
    }
