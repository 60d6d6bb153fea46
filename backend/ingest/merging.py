"""Several batches of logs as one, so that what follows costs per flush and not per batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import LogBatch, LogKind
from backend.ingest.columns import JoinedColumns, PlacedColumns, columns_at
from backend.ingest.decode import SCHEMA

T = TypeVar("T")

_PREFIXES = {kind: f"{kind.name.lower()}." for kind in LogKind}
_TEXTS = {
    name: kind
    for kind in LogKind
    for name, place in SCHEMA.columns.items()
    if name.startswith(_PREFIXES[kind]) and place in SCHEMA.texts.get(kind, ())
}
"""Columns whose values are numbers of texts, and the logs of which they are."""


def merged(batches: Sequence[LogBatch]) -> LogBatch:
    """The logs of some batches, in their order.

    Each connection and each text comes once. What was the same array for several columns is that again.
    """
    if len(batches) == 1:
        return batches[0]
    if not batches:
        nothing = np.empty(0, np.int32)
        return LogBatch([], nothing, np.empty(0, np.int8), nothing, np.empty(0, np.int64), {})
    # Both are numbered by what works on all at once: a loop would turn once for nearly each message.
    named = list(chain.from_iterable(batch.connections for batch in batches))
    said = list(chain.from_iterable(batch.texts for batch in batches))
    connections, texts = _numbers(named), _numbers(["", *said])
    lengths = [len(batch) for batch in batches]
    kind = np.concatenate([batch.kind for batch in batches])
    columns = _columns(batches)
    if len(texts) > 1:
        first = _first([len(batch.texts) for batch in batches], lengths)
        columns = RenumberedTexts(columns, kind, _numbered(texts, said), first)
    return LogBatch(
        connections=list(connections),
        connection=_numbered(connections, named)[
            _first([len(batch.connections) for batch in batches], lengths)
            + np.concatenate([batch.connection for batch in batches])
        ].astype(np.int32),
        kind=kind,
        minute=np.concatenate([batch.minute for batch in batches]),
        duration_ns=np.concatenate([batch.duration_ns for batch in batches]),
        columns=columns,
        texts=list(texts),
    )


def _numbers(things: Iterable[T]) -> dict[T, int]:
    """A number for each, in the order in which they first come."""
    distinct = dict.fromkeys(things)
    return dict(zip(distinct, range(len(distinct)), strict=True))


def _numbered(numbers: Mapping[T, int], things: Sequence[T]) -> NDArray[np.int64]:
    return np.fromiter(map(numbers.__getitem__, things), np.int64, len(things))


def _first(numbers: Sequence[int], lengths: Sequence[int]) -> NDArray[np.int64]:
    """Per log, how many things there are in the batches before its own, given the numbers of things and of logs."""
    return np.repeat(np.cumsum([0, *numbers[:-1]]), lengths)


def _columns(batches: Sequence[LogBatch]) -> Mapping[str, NDArray[np.int64]]:
    parts = [batch.columns for batch in batches if isinstance(batch.columns, PlacedColumns)]
    if len(parts) == len(batches) and all(part.places is parts[0].places for part in parts):
        return JoinedColumns(parts)
    columns: dict[str, NDArray[np.int64]] = {}
    made: dict[tuple[int, ...], NDArray[np.int64]] = {}
    absent = {len(batch): np.zeros(len(batch), np.int64) for batch in batches}
    for name in dict.fromkeys(name for batch in batches for name in batch.columns):
        of_name = [batch.columns.get(name, absent[len(batch)]) for batch in batches]
        key = tuple(map(id, of_name))
        if key not in made:
            made[key] = np.concatenate(of_name)
        columns[name] = made[key]
    return columns


class RenumberedTexts(Mapping[str, NDArray[np.int64]]):
    """Columns with numbers of the texts of all in the place of numbers of the texts of a batch.

    Args:
        columns: Of all.
        kind: Per log.
        numbers: Of the texts of all, for the texts of one batch after the other.
        first: Per log, where those of its batch begin.
    """

    __slots__ = ("_columns", "_first", "_kind", "_made", "_numbers")

    def __init__(
        self,
        columns: Mapping[str, NDArray[np.int64]],
        kind: NDArray[np.int8],
        numbers: NDArray[np.int64],
        first: NDArray[np.int64],
    ) -> None:
        self._columns = columns
        self._kind = kind
        self._numbers = numbers
        self._first = first
        self._made: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        if name not in _TEXTS:
            return self._columns[name]
        if name not in self._made:
            # A copy: other columns may be the same array.
            self._made[name] = self._renumbered(name, self._columns[name].copy(), self._kind, self._first)
        return self._made[name]

    def at(self, names: Iterable[str], logs: NDArray[np.intp]) -> dict[str, NDArray[np.int64]]:
        """Some columns of some logs, whose numbers are sorted."""
        found = columns_at(self._columns, names, logs)
        kind, first = self._kind[logs], self._first[logs]
        return {
            name: self._renumbered(name, column.copy(), kind, first) if name in _TEXTS else column
            for name, column in found.items()
        }

    def _renumbered(
        self, name: str, column: NDArray[np.int64], kind: NDArray[np.int8], first: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        rows = np.flatnonzero(kind == _TEXTS[name])
        column[rows] = self._numbers[first[rows] + column[rows]]
        return column


def rows_of(batch: LogBatch, logs: NDArray[np.intp], names: Iterable[str]) -> LogBatch:
    """Some logs of a batch, whose numbers are sorted, with some columns; those that there are not are left out."""
    return LogBatch(
        connections=batch.connections,
        connection=batch.connection[logs],
        kind=batch.kind[logs],
        minute=batch.minute[logs],
        duration_ns=batch.duration_ns[logs],
        columns=columns_at(batch.columns, names, logs),
        texts=batch.texts,
    )
