"""How the logs of a flush are divided into messages: for each connection its plain logs, then each of its exchanges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agent.export.claims import UNCLAIMED
from agent.protocols.conversations import Told


@dataclass(frozen=True, slots=True)
class Part:
    """What goes into one message: rows of logs, and what stands behind them."""

    first: int
    last: int
    """Behind the last row."""
    suffix: bytes
    """Serialised fields of the message: the quality of the connection, or the exchange that the logs are of."""
    exchanges: int
    """0 or 1."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """One connection with its parts, of which there is at least one."""

    view: int
    """View.number."""
    parts: Sequence[Part]


def arrange(
    views: NDArray[np.int64],
    claims: NDArray[np.int64],
    told: Sequence[Told],
    protocol_logs: Sequence[bytes],
    quality: Mapping[int, bytes],
) -> list[Arranged]:
    """Divide logs into parts.

    Args:
        views: Per log the number of its view, ascending.
        claims: Per log the index of its exchange or UNCLAIMED, ascending within a view.
        told: The exchanges.
        protocol_logs: The same, serialised.
        quality: By number of a view, the serialised `quality` of a message.

    Returns:
        The connections in ascending order; of each its plain logs with its quality, when it has any of them, then its
        exchanges in the order in which they were told.
    """
    plain, claimed = _runs(views, claims)
    exchanges: dict[int, list[int]] = {}
    for index, item in enumerate(told):
        exchanges.setdefault(item.view.number, []).append(index)
    arranged = []
    for view in sorted({*plain, *quality, *exchanges}):
        parts = []
        if view in plain or view in quality:
            parts.append(Part(*plain.get(view, (0, 0)), quality.get(view, b""), 0))
        parts += [Part(*claimed.get(index, (0, 0)), protocol_logs[index], 1) for index in exchanges.get(view, ())]
        arranged.append(Arranged(view, parts))
    return arranged


def _runs(
    views: NDArray[np.int64], claims: NDArray[np.int64]
) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    """Rows of plain logs by view, and of claimed ones by exchange: (first, behind the last)."""
    plain: dict[int, tuple[int, int]] = {}
    claimed: dict[int, tuple[int, int]] = {}
    if len(views):
        changes = np.flatnonzero((np.diff(views) != 0) | (np.diff(claims) != 0)) + 1
        bounds = [0, *changes.tolist(), len(views)]
        for first, last in pairwise(bounds):
            claim = int(claims[first])
            if claim == UNCLAIMED:
                plain[int(views[first])] = first, last
            else:
                claimed[claim] = first, last
    return plain, claimed
