"""agent/kernel/ring.py against a writer and a reader that go record by record, on plain memory."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.layout import EVENT, Events
from agent.kernel.ring import RECORD, Ring, RingError

BUSY, DISCARDED = 1 << 31, 1 << 30


class Memory:
    """A ring in plain memory, written as the kernel writes: reserve, then submit or discard, in any order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.consumed = np.zeros(1, np.uint64)
        self.produced = np.zeros(1, np.uint64)
        self.data = np.zeros(2 * size, np.uint8)
        self.ring = Ring(self.consumed, self.produced, self.data)
        self.lost = 0

    def _store(self, at: int, raw: bytes) -> None:
        for i, byte in enumerate(raw):
            offset = (at + i) % self.size
            self.data[offset] = self.data[offset + self.size] = byte

    def reserve(self) -> int | None:
        at = int(self.produced[0])
        if at + RECORD.itemsize - int(self.consumed[0]) > self.size:
            self.lost += 1
            return None
        self._store(at, np.array([EVENT.itemsize | BUSY, 0], np.uint32).tobytes())
        self.produced[0] = at + RECORD.itemsize
        return at

    def submit(self, at: int, number: int) -> None:
        event = np.zeros(1, EVENT)
        event["bytes"], event["inode"] = number, ~np.uint64(number)
        self._store(at + 8, event.tobytes())
        self._store(at, np.uint32(EVENT.itemsize).tobytes())

    def discard(self, at: int) -> None:
        self._store(at, np.uint32(EVENT.itemsize | DISCARDED).tobytes())


def numbers(events: Events) -> list[int]:
    assert events.dtype == EVENT
    assert np.array_equal(~events["bytes"], events["inode"])
    return [int(number) for number in events["bytes"]]


@given(
    size=st.sampled_from([256, 512, 1024, 4096]),
    start=st.sampled_from([0, 1, 1 << 20]),
    steps=st.lists(st.tuples(st.sampled_from(["reserve", "submit", "discard", "take"]), st.integers(0, 30))),
)
def test_the_same_as_record_by_record(size: int, start: int, steps: list[tuple[str, int]]) -> None:
    memory = Memory(size)
    memory.consumed[0] = memory.produced[0] = start * RECORD.itemsize
    queue: deque[list[int | str]] = deque()  # position and state of what is in the ring, oldest first
    number = reserved = taken = gone = 0
    for step, choice in steps:
        busy = [record for record in queue if record[1] == "busy"]
        if step == "reserve":
            at = memory.reserve()
            if at is not None:
                reserved += 1
                queue.append([at, "busy"])
        elif step in ("submit", "discard") and busy:
            record = busy[choice % len(busy)]
            assert isinstance(record[0], int)
            if step == "submit":
                number += 1
                memory.submit(record[0], number)
                record[1] = number
            else:
                memory.discard(record[0])
                record[1] = "discarded"
        elif step == "take":
            expected = []
            while queue and queue[0][1] != "busy":
                state = queue.popleft()[1]
                if state == "discarded":
                    gone += 1
                else:
                    expected.append(state)
            assert numbers(memory.ring.take()) == expected
            taken += len(expected)
            assert memory.ring.waiting() == len(queue) * RECORD.itemsize
    assert reserved == taken + gone + len(queue)
    assert reserved + memory.lost == sum(step == "reserve" for step, _ in steps)


def test_what_was_taken_is_a_copy() -> None:
    memory = Memory(256)
    at = memory.reserve()
    assert at is not None
    memory.submit(at, 7)
    taken = memory.ring.take()
    at = memory.reserve()
    assert at is not None
    memory.submit(at, 8)
    assert numbers(taken) == [7]
    assert numbers(memory.ring.take()) == [8]


def test_a_foreign_record_is_an_error() -> None:
    memory = Memory(512)
    at = memory.reserve()
    assert at is not None
    memory._store(at, np.uint32(24).tobytes())
    with pytest.raises(RingError, match="not an event"):
        memory.ring.take()


@pytest.mark.parametrize("size", [64, 200, 96 * 1024])
def test_a_size_that_no_ring_has(size: int) -> None:
    position = np.zeros(1, np.uint64)
    with pytest.raises(ValueError, match=f"{size} bytes"):
        Ring(position, position, np.zeros(2 * size, np.uint8))
