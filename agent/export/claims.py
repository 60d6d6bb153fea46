"""Which reads and writes an exchange was made of: their kernel logs travel with it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import Logs
from agent.events.layout import EventKind
from agent.export.exchange_rows import Exchanges

UNCLAIMED: Final = -1

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
            claims[rows] = _claim(logs["view"][rows], logs["start_ns"][rows], kind, exchanges)
    return claims


def _claim(views: NDArray[np.int64], starts: NDArray[np.uint64], kind: int, exchanges: Exchanges) -> NDArray[np.int64]:
    """The claims on the logs of one kind."""
    asks = exchanges["requests"] == kind  # whether calls of the kind moved the request

    def half(name: str) -> NDArray[np.uint64]:
        return np.where(asks, exchanges["request"][name], exchanges["response"][name])

    owners, first, last = exchanges["view"], half("first_call_ns"), half("last_ns")
    # One number per log that orders them by connection, then by time: both as ranks, so that it fits 64 bits.
    distinct_views = np.unique(np.concatenate([views, owners]))
    distinct_times = np.unique(np.concatenate([starts, first, last, half("first_ns"), half("last_call_ns")]))
    count = len(distinct_times)

    def ranks(of: NDArray[np.int64], at: NDArray[np.uint64]) -> NDArray[np.int64]:
        return np.searchsorted(distinct_views, of) * count + np.searchsorted(distinct_times, at)

    keys = ranks(views, starts)
    order = np.argsort(keys, kind="stable")
    ordered, sorted_views = keys[order], views[order]
    begins = np.searchsorted(ordered, ranks(owners, first), side="left")
    ends = np.searchsorted(ordered, ranks(owners, last), side="right")
    tls = exchanges["is_tls"]
    if tls.any():
        # A library that is given bytes instead of a socket: they were read before its first call, or are written after
        # its last one.
        if kind == _READ:
            before = np.maximum(begins - 1, 0)
            edges = np.searchsorted(ordered, ranks(owners, half("first_ns")), side="right")
            begins -= tls & (edges == begins) & (begins > 0) & (sorted_views[before] == owners)
        else:
            behind = np.minimum(ends, len(views) - 1)
            edges = np.searchsorted(ordered, ranks(owners, half("last_call_ns")), side="left")
            ends += tls & (edges == ends) & (ends < len(views)) & (sorted_views[behind] == owners)
    claiming = np.flatnonzero((half("first_ns") != 0) & (begins < ends))
    claims = np.empty(len(views), dtype=np.int64)
    claims[order] = _painted(claiming, begins[claiming], ends[claiming], len(views))
    return claims


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
