"""Several batches of logs as one, so that what follows costs per flush and not per batch."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import LogBatch, LogKind
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
        _number_texts(columns, kind, _numbered(texts, said), _first([len(batch.texts) for batch in batches], lengths))
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


def _columns(batches: Sequence[LogBatch]) -> dict[str, NDArray[np.int64]]:
    columns: dict[str, NDArray[np.int64]] = {}
    made: dict[tuple[int, ...], NDArray[np.int64]] = {}
    absent = {len(batch): np.zeros(len(batch), np.int64) for batch in batches}
    for name in dict.fromkeys(name for batch in batches for name in batch.columns):
        parts = [batch.columns.get(name, absent[len(batch)]) for batch in batches]
        key = tuple(map(id, parts))
        if key not in made:
            made[key] = np.concatenate(parts)
        columns[name] = made[key]
    return columns


def _number_texts(
    columns: dict[str, NDArray[np.int64]], kind: NDArray[np.int8], numbers: NDArray[np.int64], first: NDArray[np.int64]
) -> None:
    """Put numbers of the texts of all in the place of numbers of the texts of a batch.

    Args:
        columns: of all.
        kind: per log.
        numbers: of the texts of all, for the texts of one batch after the other.
        first: per log, where those of its batch begin.
    """
    for name, of in _TEXTS.items():
        if name in columns:
            rows = np.flatnonzero(kind == of)
            # A copy: other columns may be the same array.
            columns[name] = columns[name].copy()
            columns[name][rows] = numbers[first[rows] + columns[name][rows]]
