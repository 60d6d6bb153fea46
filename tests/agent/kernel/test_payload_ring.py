"""agent/kernel/payload_ring.py against a writer that lays out records as the kernel does, on plain memory."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.fragments import FRAGMENT, Fragment, FragmentError, pack_fragments, unpack_fragments
from agent.kernel.payload_ring import PayloadRing
from agent.kernel.ring import BUSY, DISCARDED, LONGEST_RECORD, RingError
from tests.agent.kernel.ring_memory import PayloadMemory
from tests.agent.protocols.payload import READ, fragment

ROOM = (128, 1024)
"""Bytes behind a head, as records of the kernel have them."""


@given(
    start=st.sampled_from([0, 8 * 1000]),
    steps=st.lists(st.tuples(st.integers(0, 128), st.sampled_from(ROOM), st.sampled_from([0, 0, DISCARDED]))),
)
def test_every_fragment_comes_out_once_and_in_order(start: int, steps: list[tuple[int, int, int]]) -> None:
    memory = PayloadMemory(4096, start)
    wanted, gotten = [], []
    for number, (length, room, flags) in enumerate(steps):
        one = fragment(READ, bytes([number % 256]) * length, at=number)
        while memory.write(one, room, flags) is None:
            gotten += memory.ring.take()
        if not flags:
            wanted.append(one)
    gotten += memory.ring.take()
    assert gotten == wanted
    assert memory.ring.take() == []
    assert memory.consumed[0] == memory.produced[0]


def test_a_record_that_is_being_written_is_waited_for() -> None:
    memory = PayloadMemory(4096, 0)
    one, two = fragment(READ, b"one"), fragment(READ, b"two")
    at = memory.write(one, 128, BUSY)
    memory.write(two, 128)
    assert memory.ring.take() == []
    assert at == 0
    memory.mark(0, FRAGMENT.itemsize + 128, 0)
    assert memory.ring.take() == [one, two]


def test_what_is_no_fragment_is_refused() -> None:
    memory = PayloadMemory(4096, 0)
    memory.write(fragment(READ, b"x" * 200), 128)
    with pytest.raises(RingError, match="another program"):
        memory.ring.take()


def test_a_record_that_is_longer_than_any_is_refused() -> None:
    memory = PayloadMemory(1 << 16, (1 << 16) - 8)
    memory.data[:] = 0
    memory.mark((1 << 16) - 8, LONGEST_RECORD, 0)
    memory.produced[0] += LONGEST_RECORD + 8
    assert [one.length for one in memory.ring.take()] == [0]  # it ends where what is mapped does
    memory = PayloadMemory(1 << 16, (1 << 16) - 8)
    memory.mark((1 << 16) - 8, LONGEST_RECORD + 1, 0)
    memory.produced[0] += LONGEST_RECORD + 8
    with pytest.raises(RingError, match=f"a record of {LONGEST_RECORD + 1} bytes"):
        memory.ring.take()


def test_a_size_that_no_ring_has() -> None:
    with pytest.raises(ValueError, match="power of two"):
        PayloadRing(np.zeros(1, np.uint64), np.zeros(1, np.uint64), np.zeros(2 * 3000, np.uint8), 3000)


FRAGMENTS = st.lists(
    st.builds(lambda data, at: fragment(READ, data, at=at), st.binary(max_size=50), st.integers(0, 99))
)


@given(FRAGMENTS)
def test_fragments_of_a_recording_come_back(fragments: list[Fragment]) -> None:
    assert list(unpack_fragments(pack_fragments(fragments))) == fragments


@given(FRAGMENTS.filter(bool), st.integers(1, 79))
def test_fragments_that_were_cut_off_are_refused(fragments: list[Fragment], cut: int) -> None:
    packed = pack_fragments(fragments)
    with pytest.raises(FragmentError):
        list(unpack_fragments(packed[:-cut]))


@given(st.binary(max_size=300))
def test_any_bytes_are_fragments_or_refused(data: bytes) -> None:
    with contextlib.suppress(FragmentError):
        assert pack_fragments(unpack_fragments(data)) == data
