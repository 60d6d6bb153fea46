"""Which reads and writes an exchange was made of: their kernel logs travel with it."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import Logs
from agent.events.layout import EventKind
from agent.protocols.conversations import Told
from agent.protocols.exchange import Half

UNCLAIMED: Final = -1

_OTHER: Final = {EventKind.READ: EventKind.WRITE, EventKind.WRITE: EventKind.READ}


def claim_logs(logs: Logs, told: Sequence[Told]) -> NDArray[np.int64]:
    """For each log the index of the exchange that it travels with, or UNCLAIMED.

    A read or write belongs to an exchange when it began between the beginning of the call that moved the first byte of
    its half of the exchange, and the end of the call that moved the last one. In TLS these are calls of its library,
    with the system calls within or beside them. Where several may claim it, as on a connection with many streams, the
    one told first does: no log travels twice.
    """
    claims = np.full(len(logs), UNCLAIMED, dtype=np.int64)
    if not told or not len(logs):
        return claims
    for kind in (EventKind.READ, EventKind.WRITE):
        rows = np.flatnonzero(logs["kind"] == kind)
        if len(rows):
            claims[rows] = _claim(logs["view"][rows], logs["start_ns"][rows], kind, told)
    return claims


def _claim(
    views: NDArray[np.int64], starts: NDArray[np.uint64], kind: EventKind, told: Sequence[Told]
) -> NDArray[np.int64]:
    """The claims on the logs of one kind."""
    halves = [_half(item, kind) for item in told]
    owners = np.array([item.view.number for item in told], dtype=np.int64)
    first = np.array([half.first_call_ns for half in halves], dtype=np.uint64)
    last = np.array([half.last_ns for half in halves], dtype=np.uint64)
    edge = np.array([half.first_ns if kind is EventKind.READ else half.last_call_ns for half in halves], np.uint64)
    # One number per log that orders them by connection, then by time: both as ranks, so that it fits 64 bits.
    distinct_views = np.unique(np.concatenate([views, owners]))
    distinct_times = np.unique(np.concatenate([starts, first, last, edge]))
    count = len(distinct_times)

    def ranks(of: NDArray[np.int64], at: NDArray[np.uint64]) -> NDArray[np.int64]:
        return np.searchsorted(distinct_views, of) * count + np.searchsorted(distinct_times, at)

    keys = ranks(views, starts)
    order = np.argsort(keys, kind="stable")
    ordered, sorted_views = keys[order], views[order].tolist()
    begins = np.searchsorted(ordered, ranks(owners, first), side="left").tolist()
    ends = np.searchsorted(ordered, ranks(owners, last), side="right").tolist()
    side: Literal["left", "right"] = "right" if kind is EventKind.READ else "left"
    edges = np.searchsorted(ordered, ranks(owners, edge), side=side).tolist()
    claimed = np.full(len(views), UNCLAIMED, dtype=np.int64)
    for index in range(len(told) - 1, -1, -1):  # the one told first is painted last
        if not halves[index].first_ns:
            continue
        begin, end, owner = begins[index], ends[index], owners[index]
        if told[index].is_tls:
            # A library that is given bytes instead of a socket: they were read before its first call, or are written
            # after its last one.
            if kind is EventKind.READ and edges[index] == begin and begin and sorted_views[begin - 1] == owner:
                begin -= 1
            if kind is EventKind.WRITE and edges[index] == end and end < len(views) and sorted_views[end] == owner:
                end += 1
        claimed[begin:end] = index
    claims = np.empty(len(views), dtype=np.int64)
    claims[order] = claimed
    return claims


def _half(told: Told, kind: EventKind) -> Half:
    """The half of an exchange that calls of a kind moved."""
    return told.exchange.request if told.requests is kind else told.exchange.response
