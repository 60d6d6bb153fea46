"""The BPF ring buffer, read as arrays.

Source: the kernel's kernel/bpf/ringbuf.c. The reader's position is one page, the writer's another, then follow the
data pages, twice in a row so that no record ever wraps. The reader maps of the second time no more than the longest
record takes, as each page counts as resident as often as it is mapped. Positions only grow; modulo the size they are
offsets.
A record is an 8-byte header (length with two flag bits, page offset) and the payload, rounded up to 8 bytes. Every
record here is one `EVENT`, so all have the same length and any number of them is one array.
"""

import math
import mmap
import threading
from collections.abc import Iterator
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from agent.events.layout import COMMAND_BYTES, EVENT, Events
from agent.events.rows import join

_HEADER_BYTES: Final = 8
RECORD: Final = np.dtype([("length", np.uint32), ("page_offset", np.uint32), ("event", EVENT)])
"""One record with its header, 240 bytes."""

_WHO_FIELDS: Final = ("process", "command")
_WHO: Final = np.dtype(
    {
        "names": _WHO_FIELDS,
        "formats": [np.uint32, f"V{COMMAND_BYTES}"],
        "offsets": [_HEADER_BYTES + EVENT.fields[name][1] for name in _WHO_FIELDS] if EVENT.fields else [],
        "itemsize": RECORD.itemsize,
    }
)
"""Of a record only whose event it is."""

BUSY: Final = 1 << 31
"""In a record's length: its writer is not done."""
DISCARDED: Final = 1 << 30
"""In a record's length: its writer gave it up."""
_BUSY: Final = np.uint32(BUSY)
_DISCARDED: Final = np.uint32(DISCARDED)

_NOTHING: Final[Events] = np.empty(0, EVENT)
"""No event."""

LONGEST_RECORD: Final = 2 * mmap.PAGESIZE
"""More bytes than a record of any ring has here; so many of the data area's first ones stand behind it once more."""

RingMemory = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint8]]
"""How far the reader has come, how far the writers have, and the data area with its beginning once more."""


class RingError(Exception):
    """The ring holds something that is not an event."""


def map_ring(descriptor: int, size: int) -> RingMemory:
    """Map the ring buffer map behind `descriptor`, whose data area has `size` bytes.

    Raises:
        OSError: It cannot be mapped.
    """
    page = mmap.PAGESIZE
    reader = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
    length = page + size + min(size, LONGEST_RECORD)
    writer = mmap.mmap(descriptor, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
    # The arrays keep the mappings alive; they are unmapped when the ring is forgotten.
    return (
        np.frombuffer(reader, np.uint64, 1),
        np.frombuffer(writer, np.uint64, 1),
        np.frombuffer(writer, np.uint8, offset=page),
    )


class RingReader:
    """What readers of rings have in common, whatever the records are. One reader only.

    Attributes:
        size: Bytes of the data area.
    """

    def __init__(
        self, consumed: NDArray[np.uint64], produced: NDArray[np.uint64], data: NDArray[np.uint8], size: int
    ) -> None:
        """Read from memory.

        Args:
            consumed: One element: how far the reader has come. Written.
            produced: One element: how far the writers have come.
            data: The data area, then so much of its beginning again that a record which begins in it ends in it.
            size: Bytes of the data area; a power of two.
        """
        self.size = size
        if size & (size - 1):
            raise ValueError(f"a ring of {size} bytes: not a power of two")
        self._consumed = consumed
        self._produced = produced
        self._data = data
        self._barrier = threading.Lock()

    @classmethod
    def map(cls, descriptor: int, size: int) -> Self:
        """Map the ring buffer map behind `descriptor`, whose data area has `size` bytes.

        Raises:
            OSError: It cannot be mapped.
        """
        return cls(*map_ring(descriptor, size), size)

    def waiting(self) -> int:
        """Bytes between reader and writers; more than 0 when there may be something to take."""
        return int(self._produced[0]) - int(self._consumed[0])


class Ring(RingReader):
    """Reader of a ring of events."""

    def __init__(
        self, consumed: NDArray[np.uint64], produced: NDArray[np.uint64], data: NDArray[np.uint8], size: int
    ) -> None:
        """Read from memory, as RingReader; there is room for one record at least."""
        super().__init__(consumed, produced, data, size)
        if size < RECORD.itemsize:
            raise ValueError(f"a ring of {size} bytes: smaller than one record")
        self._glanced = 0

    def take(self) -> Events:
        """Every complete event, in order of arrival, as an array of its own.

        Stops before a record that a writer has reserved and not yet submitted. What is taken is free for writers.

        Raises:
            RingError: A record has another length than an event.
        """
        position = int(self._consumed[0])
        if position == int(self._produced[0]):
            return _NOTHING
        taken = []
        for records, lengths in self._complete(position):
            # A header without the busy bit says that the payload is complete. A lock's acquire keeps the processor from
            # having read the payload before the header (arm64 may).
            with self._barrier:
                discarded = (lengths & _DISCARDED) != 0
                if np.any((lengths & ~_DISCARDED)[~discarded] != EVENT.itemsize):
                    raise RingError("a record in the ring is not an event: another program writes to it")
                taken.append(_without_headers(records[~discarded] if discarded.any() else records))
            position += len(records) * RECORD.itemsize
        with self._barrier:  # and the payload is read before its place is given back
            self._consumed[0] = position
        return taken[0] if len(taken) == 1 else join(taken, EVENT)

    def glance(self, kinds: NDArray[np.bool_]) -> set[tuple[int, bytes]]:
        """Whose events have arrived since the last glance; they stay. Complete ones, up to the first that is not.

        Args:
            kinds: Which events count, see kind_table.

        Returns:
            Distinct process ids and task names (NUL padded).
        """
        position = max(self._glanced, int(self._consumed[0]))
        found: set[tuple[int, bytes]] = set()
        for records, lengths in self._complete(position):
            with self._barrier:  # see take
                counted = kinds[records["event"]["kind"]] & (lengths == EVENT.itemsize)
                found.update(records.view(_WHO)[counted].tolist())
            position += len(records) * RECORD.itemsize
        self._glanced = position
        return found

    def _complete(self, position: int) -> Iterator[tuple[NDArray[np.void], NDArray[np.uint32]]]:
        """The records from a position on that are complete, where they lie, and their lengths with DISCARDED.

        Those that begin before the end of the data area come first, then those behind its beginning.
        """
        left = (int(self._produced[0]) - position) // RECORD.itemsize
        while left:
            offset = position & (self.size - 1)
            count = min(left, math.ceil((self.size - offset) / RECORD.itemsize))
            records = self._data[offset : offset + count * RECORD.itemsize].view(RECORD)
            lengths = records["length"].copy()
            busy = np.flatnonzero(lengths & _BUSY)
            if busy.size:
                yield records[: busy[0]], lengths[: busy[0]]
                return
            yield records, lengths
            position += count * RECORD.itemsize
            left -= count


def _without_headers(records: NDArray[np.void]) -> Events:
    """A copy of the events of records, made of plain bytes: numpy copies fields one by one."""
    rows = records.view(np.uint8).reshape(len(records), RECORD.itemsize)
    events: Events = rows[:, _HEADER_BYTES:].copy().view(EVENT).reshape(len(records))
    return events
