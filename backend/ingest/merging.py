"""Several batches of logs as one, so that what follows costs per flush and not per batch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.ingest.batch import Connection, LogBatch, LogKind
from backend.ingest.decode import SCHEMA

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
    connections, texts = dict[Connection, int](), {"": 0}
    own_connections = [
        np.array([connections.setdefault(each, len(connections)) for each in batch.connections], np.int32)
        for batch in batches
    ]
    own_texts = [np.array([texts.setdefault(text, len(texts)) for text in batch.texts], np.int64) for batch in batches]
    kind = np.concatenate([batch.kind for batch in batches])
    columns = _columns(batches)
    if len(texts) > 1:
        first = np.cumsum([0, *(len(own) for own in own_texts[:-1])])
        _number_texts(columns, kind, np.concatenate(own_texts), np.repeat(first, [len(batch) for batch in batches]))
    return LogBatch(
        connections=list(connections),
        connection=np.concatenate([own[batch.connection] for own, batch in zip(own_connections, batches, strict=True)]),
        kind=kind,
        minute=np.concatenate([batch.minute for batch in batches]),
        duration_ns=np.concatenate([batch.duration_ns for batch in batches]),
        columns=columns,
        texts=list(texts),
    )


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
