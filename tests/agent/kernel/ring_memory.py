"""Rings in plain memory, written as the kernel writes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.events.fragments import FRAGMENT, Fragment, pack_fragments
from agent.events.layout import COMMAND_BYTES, EVENT, EventKind
from agent.kernel.payload_ring import PayloadRing
from agent.kernel.ring import LONGEST_RECORD, RECORD, Ring

READ = EventKind.READ
BUSY, DISCARDED = 1 << 31, 1 << 30


class RingMemory:
    """A ring in plain memory, written as the kernel writes: reserve, then submit or discard, in any order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.consumed = np.zeros(1, np.uint64)
        self.produced = np.zeros(1, np.uint64)
        self.data = np.zeros(size + min(size, RECORD.itemsize), np.uint8)
        self.ring = Ring(self.consumed, self.produced, self.data, size)
        self.lost = 0

    def store(self, at: int, raw: bytes) -> None:
        _store(self.data, self.size, at, raw)

    def reserve(self) -> int | None:
        at = int(self.produced[0])
        if at + RECORD.itemsize - int(self.consumed[0]) > self.size:
            self.lost += 1
            return None
        self.store(at, np.array([EVENT.itemsize | BUSY, 0], np.uint32).tobytes())
        self.produced[0] = at + RECORD.itemsize
        return at

    def submit(self, at: int, number: int, *, kind: EventKind = READ, process: int = 1, command: bytes = b"") -> None:
        event = np.zeros(1, EVENT)
        event["bytes"], event["inode"] = number, ~np.uint64(number)
        event["kind"], event["process"] = kind, process
        event["command"] = np.frombuffer(command.ljust(COMMAND_BYTES, b"\0"), np.uint8)
        self.store(at + 8, event.tobytes())
        self.store(at, np.uint32(EVENT.itemsize).tobytes())

    def discard(self, at: int) -> None:
        self.store(at, np.uint32(EVENT.itemsize | DISCARDED).tobytes())

    def write(self, number: int, **fields: Any) -> bool:  # noqa: ANN401 - those of submit
        """Whether there was room for an event."""
        at = self.reserve()
        if at is not None:
            self.submit(at, number, **fields)
        return at is not None


class PayloadMemory:
    """A ring of fragments in plain memory."""

    def __init__(self, size: int, start: int) -> None:
        self.size = size
        self.consumed = np.full(1, start, np.uint64)
        self.produced = np.full(1, start, np.uint64)
        self.data = np.full(size + min(size, LONGEST_RECORD), 0xEE, np.uint8)
        self.ring = PayloadRing(self.consumed, self.produced, self.data, size)

    def store(self, at: int, raw: bytes) -> None:
        _store(self.data, self.size, at, raw)

    def write(self, one: Fragment, room: int, flags: int = 0) -> int | None:
        length = FRAGMENT.itemsize + room
        at = int(self.produced[0])
        if at + 8 + length - int(self.consumed[0]) > self.size:
            return None
        self.store(at + 8, pack_fragments([one]))
        self.mark(at, length, flags)
        self.produced[0] = at + 8 + (length + 7 & ~7)
        return at

    def mark(self, at: int, length: int, flags: int) -> None:
        self.store(at, np.array([length | flags, 0], np.uint32).tobytes())


def _store(data: NDArray[np.uint8], size: int, at: int, raw: bytes) -> None:
    """Write bytes at a position into a data area whose beginning is there once more behind it."""
    offsets = (at + np.arange(len(raw))) % size
    data[offsets] = np.frombuffer(raw, np.uint8)
    data[size:] = data[: len(data) - size]
