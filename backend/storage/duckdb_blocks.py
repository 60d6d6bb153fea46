"""Blocks of metrics in a DuckDB file.

A flush writes one row for each block and minute: the sums of all its entities as one value, columns of an Arrow stream
(IPC) that is compressed. That is some dozen rows for a flush, where single values would be hundreds of thousands. When
a minute is closed, its blocks are added up and become rows of single values, which are merged like all others.

Where the values of a block are (its layout) is a name like any other: the places of its metrics, as JSON.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from io import BytesIO

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.blocks import KEYS, NO_COUNT, Block, Place, expand
from backend.storage.duckdb_names import Names, find_names
from backend.storage.duckdb_rows import METRICS
from backend.storage.duckdb_statements import Statement

MERGED_WRITER = 0
"""Number of the writer of rows that are sums of several writers' blocks; no writer has it."""
ADDED_AT_ONCE = 262_144
"""Rows of blocks that are kept in memory until they are added up."""
LARGEST = 2**63 - 1

_FETCHED_AT_ONCE = 16
_ENTITY = "entity"
_NO_LABEL = ""
_Columns = dict[str, NDArray[np.generic]]


def write_blocks(cursor: duckdb.DuckDBPyConnection, blocks: Sequence[Block], writer: int, names: Names) -> None:
    """Write blocks of a writer that has written none before."""
    numbers: dict[int, NDArray[np.int32]] = {}
    layouts, minutes, sums = list[int](), list[int](), list[bytes]()
    for block in blocks:
        # Questions look for the number of a metric, so that it has one from now on.
        layout, *_ = names.number(cursor, [_text(block.places), _NO_LABEL, *(place.metric for place in block.places)])
        if id(block.entities) not in numbers:
            numbers[id(block.entities)] = names.number(cursor, block.entities.to_list())
        values = {f"{index}": block.sums[name] for index, name in enumerate(block.sums.columns[len(KEYS) :])}
        columns = {"minute": block.sums["minute"], _ENTITY: numbers[id(block.entities)][block.sums[_ENTITY].to_numpy()]}
        for (minute,), of_minute in pl.DataFrame(columns | values).partition_by("minute", as_dict=True).items():
            layouts.append(int(layout))
            minutes.append(int(minute))
            sums.append(_encoded(of_minute.drop("minute")))
    if layouts:
        cursor.register(
            "staged",
            {
                "layout": np.array(layouts, np.int32),
                "minute": np.array(minutes, np.int32),
                "sums": np.array(sums, object),
            },
        )
        cursor.execute(Statement.INSERT_BLOCKS, {"writer": writer})
        cursor.unregister("staged")


def unpack_closed(cursor: duckdb.DuckDBPyConnection, closed: int, names: Names) -> None:
    """Turn the blocks of minutes before `closed` into rows, added up for all writers."""
    _unpack(cursor, "minute < $closed", {"closed": closed}, MERGED_WRITER, names)


def unpack_writer(cursor: duckdb.DuckDBPyConnection, writer: int, names: Names) -> None:
    """Turn the blocks of a writer into rows of the same writer, so that they can be replaced one by one."""
    _unpack(cursor, "writer = $writer", {"writer": writer}, writer, names)


def read_blocks(
    cursor: duckdb.DuckDBPyConnection,
    metrics: Mapping[str, int],
    entities: Collection[int] | None,
    minutes: tuple[int, int],
) -> _Columns:
    """The values of metrics that are in blocks.

    Args:
        cursor: of the file.
        metrics: the numbers of their names.
        entities: numbers of those that are asked for; None for all.
        minutes: the first and the last.

    Returns:
        minute, metric, label, entity, summation and count; rows of the same key add up.
    """
    asked, given = "minute BETWEEN $first AND $last", {"first": minutes[0], "last": minutes[1]}
    found = _layouts(cursor, asked, given)
    chosen = None if entities is None else pl.Series(list(entities), dtype=pl.Int32)
    label = find_names(cursor, [_NO_LABEL])
    parts = []
    for layout, text in found:
        wanted = [place for place in _places(text) if place.metric in metrics]
        if not wanted:
            continue
        places, columns = _only(wanted)
        rows = _stored(cursor, layout, asked, given)
        parts += [
            _rows(sums, places, minute, metrics, label[_NO_LABEL]) for minute, sums in _added(rows, columns, chosen)
        ]
    return _joined(parts)


def names_in_blocks(cursor: duckdb.DuckDBPyConnection) -> list[int]:
    """The numbers of all names that blocks need."""
    layouts = _layouts(cursor, "true", {})
    if not layouts:
        return []
    texts = {_NO_LABEL, *(place.metric for _, text in layouts for place in _places(text))}
    held = {layout for layout, _ in layouts} | set(find_names(cursor, list(texts)).values())
    for layout, _ in layouts:
        for _, sums in _stored(cursor, layout, "true", {}):
            held.update(_decoded(sums, [_ENTITY])[_ENTITY].to_list())
    return list(held)


def _unpack(
    cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, int], writer: int, names: Names
) -> None:
    for layout, text in _layouts(cursor, condition, given):
        places = _places(text)
        numbers = names.number(cursor, [_NO_LABEL, *(place.metric for place in places)]).tolist()
        metrics = dict(zip((place.metric for place in places), numbers[1:], strict=True))
        # A result has to be fetched to its end before the cursor can be used again.
        stored = _added(_stored(cursor, layout, condition, given))
        parts = [_rows(sums, places, minute, metrics, numbers[0]) for minute, sums in stored]
        for part in parts:
            cursor.register("staged", {**part, "writer": np.full(len(part["minute"]), writer, np.int32)})
            cursor.execute(METRICS.insert())
            cursor.unregister("staged")
    cursor.execute(Statement.DELETE_BLOCKS.format(condition=condition), given)


def _layouts(cursor: duckdb.DuckDBPyConnection, condition: str, given: Mapping[str, int]) -> list[tuple[int, str]]:
    return cursor.execute(Statement.LAYOUTS.format(condition=condition), given).fetchall()


def _stored(
    cursor: duckdb.DuckDBPyConnection, layout: int, condition: str, given: Mapping[str, int]
) -> Iterator[tuple[int, bytes]]:
    """Minutes and sums of the blocks of a layout, by minute."""
    cursor.execute(Statement.BLOCKS.format(condition=condition), {**given, "layout": layout})
    while rows := cursor.fetchmany(_FETCHED_AT_ONCE):
        yield from rows


def _added(
    blocks: Iterable[tuple[int, bytes]], columns: Sequence[str] | None = None, entities: pl.Series | None = None
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Sums by entity of blocks of one layout, a minute after the other; more than one of a minute if need be.

    Args:
        blocks: minutes and what is stored, by minute.
        columns: names of the columns of values; None for all.
        entities: which ones; None for all.
    """
    sums, of_minute = _Sums(), None
    for minute, stored in blocks:
        block = _decoded(stored, None if columns is None else [_ENTITY, *columns])
        if entities is not None:
            block = block.filter(pl.col(_ENTITY).is_in(entities))
        largest = _largest(block)
        if of_minute is not None and (minute != of_minute or not sums.has_room(largest)):
            yield of_minute, sums.take()
        of_minute = minute
        sums.add(block, largest)
    if of_minute is not None:
        yield of_minute, sums.take()


class _Sums:
    """Adds up blocks of one layout by entity. Whoever adds asks for room first: sums must not exceed 64 bits."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self._largest = 0

    def has_room(self, largest: int) -> bool:
        """Whether no sum can become too large by a block with this largest value."""
        return self._largest + largest <= LARGEST

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


def _rows(sums: pl.DataFrame, places: Sequence[Place], minute: int, metrics: Mapping[str, int], label: int) -> _Columns:
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


def _joined(parts: Sequence[_Columns]) -> _Columns:
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


def _text(places: Sequence[Place]) -> str:
    return json.dumps(places, ensure_ascii=False, separators=(",", ":"))


@lru_cache(256)
def _places(text: str) -> tuple[Place, ...]:
    return tuple(Place(*place) for place in json.loads(text))


def _encoded(sums: pl.DataFrame) -> bytes:
    written = BytesIO()
    sums.write_ipc_stream(written, compression="zstd")
    return written.getvalue()


def _decoded(stored: bytes, columns: Sequence[str] | None) -> pl.DataFrame:
    return pl.read_ipc_stream(BytesIO(stored), columns=None if columns is None else list(columns))
