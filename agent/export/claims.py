"""Which reads and writes an exchange was made of: their kernel logs travel with it."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import Logs
from agent.events.distinct import distinct
from agent.events.layout import EventKind
from agent.export.exchange_rows import Exchanges

UNCLAIMED: Final = -1

_BITS: Final = 63

_Place = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
"""One number for each connection and time."""

_READ, _WRITE = int(EventKind.READ), int(EventKind.WRITE)


def claim_logs(logs: Logs, exchanges: Exchanges) -> NDArray[np.int64]:
    """For each log the index of the exchange that it travels with, or UNCLAIMED.

    A read or write belongs to an exchange when it began between the beginning of the call that moved the first byte of
    its half of the exchange, and the end of the call that moved the last one. In TLS these are calls of its library,
    with the system calls within or beside them. Where several may claim it, as on a connection with many streams, the
    one told first does: no log travels twice.
    """
    claims = np.full(len(logs), UNCLAIMED, dtype=np.int64)
    if not len(exchanges) or not len(logs):
        return claims
    for kind in (_READ, _WRITE):
        rows = np.flatnonzero(logs["kind"] == kind)
        if len(rows):
            claims[rows] = _claim(logs["view"][rows], logs["start_ns"][rows].view(np.int64), kind, exchanges)
    return claims


def _claim(views: NDArray[np.int64], starts: NDArray[np.int64], kind: int, exchanges: Exchanges) -> NDArray[np.int64]:
    """The claims on the logs of one kind."""
    asks = exchanges["requests"] == kind  # whether calls of the kind moved the request

    def half(name: str) -> NDArray[np.int64]:
        return np.where(asks, exchanges["request"][name], exchanges["response"][name]).view(np.int64)

    owners = exchanges["view"]
    place = _places(views, starts)
    keys = place(views, starts)
    order = np.argsort(keys, kind="stable")
    ordered, sorted_views = keys[order], views[order]
    begins = np.searchsorted(ordered, place(owners, half("first_call_ns")), side="left")
    ends = np.searchsorted(ordered, place(owners, half("last_ns")), side="right")
    tls = exchanges["is_tls"]
    if tls.any():
        # A library that is given bytes instead of a socket: they were read before its first call, or are written after
        # its last one.
        if kind == _READ:
            before = np.maximum(begins - 1, 0)
            edges = np.searchsorted(ordered, place(owners, half("first_ns")), side="right")
            begins -= tls & (edges == begins) & (begins > 0) & (sorted_views[before] == owners)
        else:
            behind = np.minimum(ends, len(views) - 1)
            edges = np.searchsorted(ordered, place(owners, half("last_call_ns")), side="left")
            ends += tls & (edges == ends) & (ends < len(views)) & (sorted_views[behind] == owners)
    claiming = np.flatnonzero((half("first_ns") != 0) & (begins < ends))
    claims = np.empty(len(views), dtype=np.int64)
    claims[order] = _painted(claiming, begins[claiming], ends[claiming], len(views))
    return claims


def _places(views: NDArray[np.int64], starts: NDArray[np.int64]) -> _Place:
    """What orders connections and times as those of some logs are: by connection, then by time."""
    first_view, first_ns = int(views.min()) - 1, int(starts.min()) - 1
    behind_views, behind_ns = int(views.max()) + 1, int(starts.max()) + 1
    span = behind_ns - first_ns + 1
    if span * (behind_views - first_view + 1) < 1 << _BITS:
        # What none of the logs is of, or none is near, may as well stand right before or behind all of them.
        return lambda of, at: (
            (of.clip(first_view, behind_views) - first_view) * span + (at.clip(first_ns, behind_ns) - first_ns)
        )
    distinct_views, distinct_starts = distinct(views), distinct(starts)
    span = 2 * len(distinct_starts) + 1
    return lambda of, at: _ranks(distinct_views, of) * span + _ranks(distinct_starts, at)


def _ranks(ordered: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where values stand among some others, in ascending order: an odd number at one of them, an even one between."""
    places = np.searchsorted(ordered, values)
    ranks: NDArray[np.int64] = 2 * places + (ordered[np.minimum(places, len(ordered) - 1)] == values)
    return ranks


def _painted(
    indexes: NDArray[np.intp], begins: NDArray[np.intp], ends: NDArray[np.intp], count: int
) -> NDArray[np.int64]:
    """Of so many places those from `begins` to `ends` with an index, the least where there are several."""
    painted = np.full(count, UNCLAIMED, dtype=np.int64)
    order = np.argsort(begins)
    if (begins[order][1:] >= ends[order][:-1]).all():
        # No two share a place, as where a call moves one exchange. At once, in a tenth of the time.
        lengths = ends - begins
        behind = lengths.cumsum()
        places = np.arange(behind[-1] if len(behind) else 0) + np.repeat(begins - (behind - lengths), lengths)
        painted[places] = np.repeat(indexes, lengths)
        return painted
    for index, begin, end in zip(*(column[::-1].tolist() for column in (indexes, begins, ends)), strict=True):
        painted[begin:end] = index  # the least index is painted last
    return painted
