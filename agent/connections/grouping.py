"""Distinct views of a batch of events, found with whole-column operations.

Python then handles each distinct view of a batch once, however many events it has.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.events.kinds import kind_table
from agent.events.layout import ADDRESS_BYTES, EventKind, Events

UDP = 17
_REMOTE_KEY = np.dtype([("group", np.int64), ("port", np.uint16), ("address", np.uint8, (ADDRESS_BYTES,))])
_BY_REMOTE = np.uint64(1 << 63)
"""In a key: of a datagram. Process ids have at most 22 bits (PID_MAX_LIMIT in the kernel's include/linux/threads.h)."""
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


def group_events(events: Events) -> Groups:
    """Group the events of a batch by view, groups in the order of their first event."""
    group = np.full(len(events), -1, dtype=np.intp)
    rows = np.flatnonzero(_SOCKET_KINDS[events["kind"]])
    if not len(rows):
        return Groups(group, np.empty(0, dtype=np.intp))
    keys = events["process"][rows].astype(np.uint64) << np.uint64(32) | events["inode"][rows]
    # A close is about the socket whatever its remote end was.
    by_remote = (events["protocol"][rows] == UDP) & (events["kind"][rows] != EventKind.CLOSE)
    first, inverse = _distinct(keys | by_remote * _BY_REMOTE)
    if by_remote.any():
        first, inverse = _part_by_remote(events, rows, first, inverse, by_remote)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    group[rows] = rank[inverse]
    return Groups(group, rows[first[order]])


def _part_by_remote(
    events: Events,
    rows: NDArray[np.intp],
    first: NDArray[np.intp],
    inverse: NDArray[np.intp],
    by_remote: NDArray[np.bool_],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Groups of sockets, in parts where datagrams of one socket have several remote ends.

    Few do, so it is looked first whether any does: to tell remote ends apart by sorting takes five times as long as the
    rest of the grouping.

    Args:
        events: Of the batch.
        rows: Those of sockets, which the other arguments are about.
        first: Per group, its first one.
        inverse: Per row, its group.
        by_remote: Per row, whether its remote end belongs to its identity.

    Returns:
        `first` and `inverse` of the parts.
    """
    ports, addresses = events["remote_port"][rows], events["remote_address"][rows].view(np.uint64)
    of_first = first[inverse]
    differs = by_remote & ((ports != ports[of_first]) | (addresses != addresses[of_first]).any(axis=1))
    if not differs.any():
        return first, inverse
    several = np.zeros(len(first), dtype=np.bool_)
    several[inverse[differs]] = True
    packed = np.zeros(len(rows), dtype=_REMOTE_KEY)
    packed["group"] = inverse
    parted = np.flatnonzero(several[inverse])
    packed["port"][parted], packed["address"][parted] = ports[parted], addresses[parted].view(np.uint8)
    return _distinct(packed.view(f"V{_REMOTE_KEY.itemsize}"))


def _distinct(keys: NDArray[np.generic]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(index of the first row of each distinct key, per row the index of its key)."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse
