"""Columns of logs by name, as parts of tables that are not taken apart before they are needed.

A table has a row for each column that some kind of log has, so that most of what is in it means nothing for most logs.
Who needs the logs of a kind takes these out, with the columns that they have, and the rest is never copied.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from backend.ingest.compiled import compiled


class PlacedColumns(Mapping[str, NDArray[np.int64]]):
    """The columns of a table. Several names may be of one column, which is the same array then.

    Args:
        table: [column, log].
        places: Which column a name is of.
    """

    __slots__ = ("_columns", "places", "table")

    def __init__(self, table: NDArray[np.int64], places: Mapping[str, int]) -> None:
        self.table = table
        self.places = places
        self._columns: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        place = self.places[name]
        if place not in self._columns:
            self._columns[place] = self.table[place]
        return self._columns[place]


class JoinedColumns(Mapping[str, NDArray[np.int64]]):
    """The columns of several tables that have the same ones, the logs of one table after those of the other.

    Args:
        parts: At least one.
    """

    __slots__ = ("_columns", "_ends", "_parts", "_places")

    def __init__(self, parts: Sequence[PlacedColumns]) -> None:
        self._places = parts[0].places
        self._parts = [np.ascontiguousarray(part.table) for part in parts]
        self._ends = np.cumsum([part.shape[1] for part in self._parts])
        self._columns: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        place = self._places[name]
        if place not in self._columns:
            self._columns[place] = np.concatenate([part[place] for part in self._parts])
        return self._columns[place]

    def at(self, names: Iterable[str], logs: NDArray[np.intp]) -> dict[str, NDArray[np.int64]]:
        """Some columns of some logs, whose numbers are sorted."""
        placed = {name: self._places[name] for name in names}
        places = np.array(list(dict.fromkeys(placed.values())), np.int64)
        taken = np.empty((len(places), len(logs)), np.int64)
        first, begin = 0, 0
        for part, end in zip(self._parts, np.searchsorted(logs, self._ends).tolist(), strict=True):
            _take(part, places, logs[begin:end], first, taken[:, begin:end])
            first, begin = first + part.shape[1], end
        columns = dict(zip(places.tolist(), taken, strict=True))
        return {name: columns[place] for name, place in placed.items()}


@runtime_checkable
class _TakenTogether(Protocol):
    """Columns that are taken faster together than one by one."""

    def at(self, names: Iterable[str], logs: NDArray[np.intp]) -> dict[str, NDArray[np.int64]]:
        """As columns_at(); each name is there."""
        ...


def columns_at(
    columns: Mapping[str, NDArray[np.int64]], names: Iterable[str], logs: NDArray[np.intp]
) -> dict[str, NDArray[np.int64]]:
    """Some columns of some logs, whose numbers are sorted; names that no column has are left out."""
    found = [name for name in names if name in columns]
    if isinstance(columns, _TakenTogether):
        return columns.at(found, logs)
    return {name: columns[name][logs] for name in found}


def bytes_of(columns: Mapping[str, NDArray[np.int64]]) -> int:
    """Bytes that columns take; one that has several names counts once."""
    if isinstance(columns, PlacedColumns):
        return columns.table.nbytes
    return sum({id(column): column.nbytes for column in columns.values()}.values())


@compiled
def _take(
    table: NDArray[np.int64], places: NDArray[np.int64], logs: NDArray[np.intp], first: int, taken: NDArray[np.int64]
) -> None:
    """Fill `taken`, [place, log], for some logs; these are numbered from `first` in the table."""
    for column in range(min(len(places), len(taken))):
        place = places[column]
        for row in range(min(len(logs), taken.shape[1])):
            at = logs[row] - first
            taken[column, row] = 0
            if 0 <= place < len(table) and 0 <= at < table.shape[1]:
                taken[column, row] = table[place, at]
