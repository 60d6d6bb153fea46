"""Distinct views of a batch of events, found with whole-column operations.

Python then handles each distinct view of a batch once, however many events it has.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.events.kinds import kind_table
from agent.events.layout import ADDRESS_BYTES, EventKind, Events

UDP = 17
_DATAGRAM_KEY = np.dtype(
    [
        ("inode", np.uint64),
        ("process", np.uint32),
        ("remote_port", np.uint16),
        ("remote_address", np.uint8, (ADDRESS_BYTES,)),
    ]
)
_SOCKET_KINDS = kind_table(
    (EventKind.CONNECT, EventKind.ACCEPT, EventKind.CLOSE, EventKind.READ, EventKind.WRITE),
)


def socket_key(process: int, inode: int) -> int:
    """The key of a process's socket. Socket inode numbers have 32 bits (get_next_ino in the kernel's fs/inode.c)."""
    return process << 32 | inode


@dataclass(frozen=True, slots=True)
class Groups:
    """The views of one batch. A view is a process's socket; for UDP a process's socket and its remote end."""

    group: NDArray[np.intp]
    """Per event, an index into the columns below; -1 for an event that is about a process instead of a socket."""
    first: NDArray[np.intp]
    """Per group, the row of its first event."""
    keys: list[int]
    """Per group, its socket_key."""
    datagram: list[bool]
    """Per group, whether its remote end belongs to its identity."""


def group_events(events: Events) -> Groups:
    """Group the events of a batch by view, groups in the order of their first event."""
    count = len(events)
    rows = np.flatnonzero(_SOCKET_KINDS[events["kind"]])
    group = np.full(count, -1, dtype=np.intp)
    if not len(rows):
        return Groups(group, np.empty(0, dtype=np.intp), [], [])
    process, inode = events["process"][rows].astype(np.uint64), events["inode"][rows]
    keys = process << np.uint64(32) | inode
    # A close is about the socket whatever its remote end was.
    by_remote = (events["protocol"][rows] == UDP) & (events["kind"][rows] != EventKind.CLOSE)
    first, inverse = _distinct(keys[~by_remote])
    firsts = [rows[~by_remote][first]]
    group[rows[~by_remote]] = inverse
    if by_remote.any():
        datagrams = events[rows[by_remote]]
        packed = np.zeros(len(datagrams), dtype=_DATAGRAM_KEY)
        for name in _DATAGRAM_KEY.names or ():
            packed[name] = datagrams[name]
        first_datagram, inverse_datagram = _distinct(packed.view(f"V{_DATAGRAM_KEY.itemsize}"))
        firsts.append(rows[by_remote][first_datagram])
        group[rows[by_remote]] = inverse_datagram + len(first)
    all_first = np.concatenate(firsts)
    order = np.argsort(all_first, kind="stable")
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    group[rows] = rank[group[rows]]
    all_first = all_first[order]
    row_keys = events["process"][all_first].astype(np.uint64) << np.uint64(32) | events["inode"][all_first]
    return Groups(group, all_first, row_keys.tolist(), (order >= len(first)).tolist())


def _distinct(keys: NDArray[np.generic]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(index of the first row of each distinct key, per row the index of its key)."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse
