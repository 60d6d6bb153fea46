"""Blocks of metrics in a DuckDB file.

A flush writes one row for each block and minute: the sums of all its entities as one value, columns of an Arrow stream
(IPC) that is compressed. That is some dozen rows for a flush, where single values would be hundreds of thousands. When
a minute is closed, its blocks are added up and become rows of single values, which are merged like all others. Before
that, many blocks of a minute are added up to one (`fold_blocks`), so that neither a question nor closing has to read as
many as there were flushes.

Where the values of a block are (its layout) is a name like any other: the places of its metrics, as JSON.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import groupby
from operator import itemgetter

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.blocks import KEYS, NO_COUNT, Block, Place, expand
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
ADDED_AT_ONCE = 262_144
"""Rows of blocks that are kept in memory until they are added up."""
LARGEST = 2**63 - 1
NO_LABEL = ""
"""The label of all values in blocks."""
Columns = dict[str, NDArray[np.generic]]

_FETCHED_AT_ONCE = 16
_FOLDED = f"minute = $minute AND writer BETWEEN {MERGED_WRITER} AND $last"
_ENTITY = "entity"
_UNPACKED_AT_ONCE = 4
"""Minutes whose blocks are in memory at the same time."""
_Stored = tuple[int, int, bytes]
"""Layout, minute and sums of a block."""


def write_blocks(cursor: duckdb.DuckDBPyConnection, blocks: Sequence[Block], writer: int, names: Names) -> None:
    """Write blocks of a writer that has written none before."""
    made: list[tuple[int, int, int, pl.DataFrame]] = []
    for block in blocks:
        # Questions look for the number of a metric, so that it has one from now on.
        layout, *_ = names.number(cursor, [_text(block.places), NO_LABEL, *(place.metric for place in block.places)])
        values = {f"{index}": block.sums[name] for index, name in enumerate(block.sums.columns[len(KEYS) :])}
        entities = names.number_entities(cursor, block.entities, block.sums[_ENTITY].to_numpy())
        sums = pl.DataFrame({_ENTITY: entities} | values)
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
        added = list(_added(_stored(cursor, _FOLDED, given)))
        # Of several sums of a layout, all but the last have no room for more.
        following = [layout for layout, _, _ in added[1:]]
        made = [
            (minute, layout, FULL_WRITER if layout == then else MERGED_WRITER, sums)
            for (layout, _, sums), then in zip(added, [*following, None], strict=True)
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

    layouts: Mapping[int, Sequence[Place]]
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
        layout: [place for place in places if place.metric in asked.metrics] for layout, places in asked.layouts.items()
    }
    wanted = {layout: _only(places) for layout, places in found.items() if places}
    if not wanted:
        return _joined([])
    chosen = None if asked.entities is None else pl.Series(list(asked.entities), dtype=pl.Int32)
    listed = ", ".join(map(str, wanted))
    stored = _stored(cursor, f"minute BETWEEN {asked.first} AND {asked.last} AND layout IN ({listed})", {})
    columns = {layout: names for layout, (_, names) in wanted.items()}
    return _joined(
        [
            _rows(sums, wanted[layout][0], minute, asked.metrics, asked.label)
            for layout, minute, sums in _added(stored, columns, chosen)
        ]
    )


def names_in_blocks(cursor: duckdb.DuckDBPyConnection) -> list[int]:
    """The numbers of all names that blocks need."""
    layouts = _layouts(cursor, "true", {})
    if not layouts:
        return []
    texts = {NO_LABEL, *(place.metric for places in layouts.values() for place in places)}
    held = {*layouts, *find_names(cursor, list(texts)).values()}
    for _, _, sums in _stored(cursor, "true", {}):
        held.update(_decoded(sums, [_ENTITY])[_ENTITY].to_list())
    return list(held)


def _unpack(
    cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, int], writer: int, names: Names
) -> None:
    minutes = cursor.execute(Statement.BLOCK_MINUTES.format(condition=condition), given).fetchall()
    layouts = _layouts(cursor, condition, given)
    metrics = [place.metric for places in layouts.values() for place in places]
    numbers = dict(zip([NO_LABEL, *metrics], names.number(cursor, [NO_LABEL, *metrics]).tolist(), strict=True))
    for first in range(0, len(minutes), _UNPACKED_AT_ONCE):
        (begin,), *_, (end,) = (minutes[first], *minutes[first : first + _UNPACKED_AT_ONCE])
        asked = f"{condition} AND minute BETWEEN $begin AND $end"
        # A result has to be fetched to its end before the cursor can be used again.
        stored = list(_stored(cursor, asked, {**given, "begin": begin, "end": end}))
        for layout, minute, sums in _added(stored):
            part = _rows(sums, layouts[layout], minute, numbers, numbers[NO_LABEL])
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
        "sums": np.array([_encoded(of_block) for of_block in sums], object),
    }
    cursor.register("staged", staged)
    cursor.execute(Statement.INSERT_BLOCKS)
    cursor.unregister("staged")


def _layouts(
    cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, int]
) -> dict[int, tuple[Place, ...]]:
    """The layouts of blocks, by number."""
    found = cursor.execute(Statement.LAYOUTS.format(condition=condition), given).fetchall()
    return {layout: places_of(text) for layout, text in found}


def _stored(cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, object]) -> Iterator[_Stored]:
    """Blocks by layout and minute. One statement for all: each looks at the sums of every layout."""
    cursor.execute(Statement.BLOCKS.format(condition=condition), given)
    while rows := cursor.fetchmany(_FETCHED_AT_ONCE):
        yield from rows


def _added(
    blocks: Iterable[_Stored],
    columns: Mapping[int, Sequence[str]] | None = None,
    entities: pl.Series | None = None,
) -> Iterator[tuple[int, int, pl.DataFrame]]:
    """Sums by entity, a layout and minute after the other; more than one of a minute if need be.

    Args:
        blocks: by layout and minute.
        columns: by layout, names of the columns of values; None for all.
        entities: which ones; None for all.
    """
    sums = _Sums()
    for (layout, minute), of_minute in groupby(blocks, key=itemgetter(0, 1)):
        for *_, stored in of_minute:
            block = _decoded(stored, None if columns is None else [_ENTITY, *columns[layout]])
            if entities is not None:
                block = block.filter(pl.col(_ENTITY).is_in(entities.implode()))
            largest = _largest(block)
            if not sums.has_room(largest):
                yield layout, minute, sums.take()
            sums.add(block, largest)
        yield layout, minute, sums.take()


class _Sums:
    """Adds up blocks of one layout by entity. Whoever adds asks for room first: sums must not exceed 64 bits."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self._largest = 0

    def has_room(self, largest: int) -> bool:
        """Whether no sum can become too large by a block with this largest value."""
        return not self._parts or self._largest + largest <= LARGEST

    def add(self, block: pl.DataFrame, largest: int) -> None:
        """Take a block, and its largest value."""
        self._parts.append(block)
        self._rows += len(block)
        self._largest += largest
        if self._rows > ADDED_AT_ONCE:
            self._parts = [self._together()]
            # When most entities differ, adding up does not help: the next time is when there are as many again.
            self._rows = 0

    def take(self) -> pl.DataFrame:
        """The sums; what follows is added up anew."""
        sums = self._together()
        self._parts, self._rows, self._largest = [], 0, 0
        return sums

    def _together(self) -> pl.DataFrame:
        if len(self._parts) == 1:
            return self._parts[0]
        return pl.concat(self._parts).group_by(_ENTITY).agg(pl.all().sum())


def _largest(block: pl.DataFrame) -> int:
    """The largest value, whatever its sign."""
    columns = [block[name].to_numpy() for name in block.columns if name != _ENTITY] if len(block) else []
    return max((max(int(values.max()), -int(values.min())) for values in columns), default=0)


def _rows(sums: pl.DataFrame, places: Sequence[Place], minute: int, metrics: Mapping[str, int], label: int) -> Columns:
    values = [sums[name].to_numpy() for name in sums.columns if name != _ENTITY]
    found = expand(places, values)
    numbers = np.array([metrics[place.metric] for place in places], np.int32)
    return {
        "minute": np.full(len(found.row), minute, np.int32),
        "metric": numbers[found.place],
        "label": np.full(len(found.row), label, np.int32),
        "entity": sums[_ENTITY].to_numpy()[found.row],
        "summation": found.summation,
        "count": found.count,
    }


def _joined(parts: Sequence[Columns]) -> Columns:
    kinds = {"minute": np.int32, "metric": np.int32, "label": np.int32, "entity": np.int32}
    return {
        name: np.concatenate([np.empty(0, kinds.get(name, np.int64)), *(part[name] for part in parts)])
        for name in (*kinds, "summation", "count")
    }


def _only(wanted: Sequence[Place]) -> tuple[list[Place], list[str]]:
    """Places among the columns that some metrics need, and these."""
    used = sorted({at for place in wanted for at in place[1:] if at != NO_COUNT})
    new = {at: index for index, at in enumerate(used)} | {NO_COUNT: NO_COUNT}
    return [Place(metric, *(new[at] for at in ats)) for metric, *ats in wanted], [f"{at}" for at in used]


@lru_cache(256)
def _text(places: tuple[Place, ...]) -> str:
    return json.dumps(places, ensure_ascii=False, separators=(",", ":"))


@lru_cache(256)
def places_of(text: str) -> tuple[Place, ...]:
    """The places of a layout, by its name."""
    return tuple(Place(*place) for place in json.loads(text))


def _encoded(sums: pl.DataFrame) -> bytes:
    written = BytesIO()
    sums.write_ipc_stream(written, compression="zstd")
    return written.getvalue()


def _decoded(stored: bytes, columns: Sequence[str] | None) -> pl.DataFrame:
    return pl.read_ipc_stream(BytesIO(stored), columns=None if columns is None else list(columns))
