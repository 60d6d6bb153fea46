"""agent/kernel/ring.py against a writer and a reader that go record by record, on plain memory."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.kinds import kind_table
from agent.events.layout import COMMAND_BYTES, EVENT, EventKind, Events
from agent.kernel.ring import RECORD, Ring, RingError
from tests.agent.kernel.ring_memory import RingMemory


def numbers(events: Events) -> list[int]:
    assert events.dtype == EVENT
    assert np.array_equal(~events["bytes"], events["inode"])
    return [int(number) for number in events["bytes"]]


def seen(memory: RingMemory, *kinds: EventKind) -> set[tuple[int, bytes]]:
    """Whose events of some kinds a glance shows; of all when none are given."""
    found = memory.ring.glance(kind_table(kinds or EventKind))
    assert {len(command) for _, command in found} <= {COMMAND_BYTES}
    return {(process, command.rstrip(b"\0")) for process, command in found}


@given(
    size=st.sampled_from([256, 512, 1024, 4096]),
    start=st.sampled_from([0, 1, 1 << 20]),
    steps=st.lists(st.tuples(st.sampled_from(["reserve", "submit", "discard", "take"]), st.integers(0, 30))),
)
def test_the_same_as_record_by_record(size: int, start: int, steps: list[tuple[str, int]]) -> None:
    memory = RingMemory(size)
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
    memory = RingMemory(256)
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
    memory = RingMemory(512)
    at = memory.reserve()
    assert at is not None
    memory.store(at, np.uint32(24).tobytes())
    with pytest.raises(RingError, match="not an event"):
        memory.ring.take()


@pytest.mark.parametrize("size", [64, 200, 96 * 1024])
def test_a_size_that_no_ring_has(size: int) -> None:
    position = np.zeros(1, np.uint64)
    with pytest.raises(ValueError, match=f"{size} bytes"):
        Ring(position, position, np.zeros(2 * size, np.uint8), size)


def test_a_glance_takes_nothing_and_shows_each_event_once() -> None:
    memory = RingMemory(2048)
    memory.write(1, kind=EventKind.READ, process=7, command=b"curl")
    memory.write(2, kind=EventKind.WRITE, process=7, command=b"curl")
    memory.write(3, kind=EventKind.CLOSE, process=8, command=b"sixteen letters!")
    assert seen(memory) == {(7, b"curl"), (8, b"sixteen letters!")}
    assert seen(memory) == set()
    memory.write(4, kind=EventKind.READ, process=9, command=b"wget")
    memory.write(5, kind=EventKind.CLOSE, process=10)
    assert seen(memory, EventKind.READ, EventKind.WRITE) == {(9, b"wget")}
    assert numbers(memory.ring.take()) == [1, 2, 3, 4, 5]
    assert seen(memory) == set()


def test_a_glance_ends_before_what_is_being_written_and_passes_over_what_was_given_up() -> None:
    memory = RingMemory(2048)
    memory.write(1, process=1)
    given_up, busy = memory.reserve(), memory.reserve()
    assert given_up is not None
    assert busy is not None
    memory.discard(given_up)
    memory.write(2, process=2)
    assert seen(memory) == {(1, b"")}
    memory.submit(busy, 3, process=3)
    assert seen(memory) == {(2, b""), (3, b"")}


def test_a_glance_goes_on_behind_what_was_taken() -> None:
    memory = RingMemory(512)  # two records
    for number in range(9):
        memory.write(number, process=number)
        if number % 3:
            assert seen(memory) == {(number, b"")}
        assert numbers(memory.ring.take()) == [number]


@given(st.lists(st.integers(1, 8), max_size=20))
def test_a_glance_shows_what_lies_at_both_ends_of_the_ring(groups: list[int]) -> None:
    memory = RingMemory(2048)  # eight records, and a part of one more
    number = 0
    for events in groups:
        wanted = range(number, number + events)
        for each in wanted:
            assert memory.write(each, process=each)
        number += events
        assert seen(memory) == {(each, b"") for each in wanted}
        assert numbers(memory.ring.take()) == list(wanted)
