"""The order of bytes: whatever order calls come in, and whatever of them is missing."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.fragments import Fragment, FragmentFlag
from agent.protocols.exchange import Piece
from agent.protocols.streams import EARLY_CALLS, PARTIAL_CALLS, Stream
from tests.agent.protocols.payload import CALL_NS, READ, WRITE, calls, fragment

BASE = (1 << 32) - 70


def fed(stream: Stream, fragments: list[Fragment], look: int = 1) -> list[Piece]:
    return [piece for one in fragments for _, piece in stream.add(one, look)]


def text(pieces: list[Piece]) -> bytes:
    """Captured bytes as they are, a point for each one that was not captured."""
    return b"".join(piece.data if piece.data is not None else b"." * piece.size for piece in pieces)


def test_calls_in_order_are_passed_on_at_once_with_their_times() -> None:
    losses: Counter[str] = Counter()
    stream = Stream(losses, is_session=False)
    pieces = fed(stream, calls(READ, [b"one", b"two"], at=100))
    assert pieces == [
        Piece(100 + CALL_NS, 100 + CALL_NS, 100, 3, b"one"),
        Piece(120 + CALL_NS, 120 + CALL_NS, 120, 3, b"two"),
    ]
    assert fed(Stream(losses, is_session=False), calls(WRITE, [b"x"], at=100)) == [
        Piece(100, 100 + CALL_NS, 100, 1, b"x")
    ]
    assert not losses


def test_what_is_not_captured_of_a_call_is_counted() -> None:
    stream = Stream(Counter(), is_session=False)
    parts = [
        fragment(READ, b"head", size=30, last=False),
        fragment(READ, b"middle", size=30, offset=10, last=False),
        fragment(READ, b"tail", size=30, offset=20),
    ]
    assert text(fed(stream, parts)) == b"head......middle....tail......"
    assert text(fed(stream, [fragment(READ, b"", size=5, position=30)])) == b"....."


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    base=st.sampled_from([0, BASE, 1 << 31]),
    seed=st.integers(0, 1000),
)
def test_calls_in_any_order_give_the_stream(sizes: list[int], base: int, seed: int) -> None:
    rng = random.Random(seed)
    losses: Counter[str] = Counter()
    parts = [rng.randbytes(size) for size in sizes]
    made = calls(WRITE, parts, position=base)
    first, rest = made[0], made[1:]
    rng.shuffle(rest)
    stream = Stream(losses, is_session=False)
    assert text(fed(stream, [first, *rest])) == b"".join(parts)
    assert not stream.early
    assert not losses


@given(
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=30),
    lost=st.sets(st.integers(1, 29), min_size=1),
    base=st.sampled_from([0, BASE]),
    seed=st.integers(0, 1000),
)
def test_lost_calls_are_bytes_that_were_not_captured(sizes: list[int], lost: set[int], base: int, seed: int) -> None:
    rng = random.Random(seed)
    parts = [bytes(rng.choices(b"abcdef", k=size)) for size in sizes]
    kept = [one for index, one in enumerate(calls(WRITE, parts, position=base)) if index not in lost]
    expected = b"".join(b"." * len(part) if index in lost else part for index, part in enumerate(parts))
    while expected.endswith(b"."):  # behind the last call that came, nothing is known
        expected = expected[:-1]
    losses: Counter[str] = Counter()
    stream = Stream(losses, is_session=False)
    early = fed(stream, kept, look=1)
    assert expected.startswith(text(early))
    settled = [piece for _, piece in stream.settle(2)]
    assert text(early) + text(settled) == expected
    assert (losses["calls_missing"] > 0) == (b"." in expected)


def test_a_call_that_comes_with_the_next_look_is_not_missing() -> None:
    losses: Counter[str] = Counter()
    stream = Stream(losses, is_session=False)
    one, two, three = calls(WRITE, [b"one", b"two", b"three"])
    assert text(fed(stream, [one, three], look=1)) == b"one"
    assert stream.early
    assert text(fed(stream, [two], look=2)) == b"twothree"
    assert stream.settle(2) == []
    assert not losses


def test_calls_that_overlap_are_counted_and_their_bytes_told_once() -> None:
    losses: Counter[str] = Counter()
    stream = Stream(losses, is_session=False)
    one = fragment(WRITE, b"abcdef")
    again = fragment(WRITE, b"cde", position=2, at=2000)
    more = fragment(WRITE, b"efgh", position=4, at=3000)
    assert text(fed(stream, [one, again, more])) == b"abcdefgh"
    assert losses == {"calls_overlapping": 1}


def test_calls_that_wait_are_bounded() -> None:
    losses: Counter[str] = Counter()
    stream = Stream(losses, is_session=False)
    first, _, *rest = calls(WRITE, [b"x"] * (EARLY_CALLS + 3))
    assert text(fed(stream, [first, *rest])) == b"x." + b"x" * (EARLY_CALLS + 1)
    assert losses == {"calls_missing": 1}


def test_calls_without_an_end_are_bounded_and_told_with_what_there_is() -> None:
    losses: Counter[str] = Counter()
    stream = Stream(losses, is_session=False)
    open_ended = [fragment(WRITE, b"ab", size=4, last=False, at=at, position=4 * at) for at in range(PARTIAL_CALLS + 1)]
    assert text(fed(stream, open_ended)) == b"ab.."
    assert not losses


@pytest.mark.parametrize("flag", [FragmentFlag.LAST, 0])
def test_fragments_of_calls_of_two_threads_are_told_apart(flag: int) -> None:
    stream = Stream(Counter(), is_session=False)
    one = [fragment(WRITE, b"ab", size=4, last=False), fragment(WRITE, b"cd", size=4, offset=2)]
    other = [
        fragment(WRITE, b"ef", size=4, position=4, thread=7, last=False),
        fragment(WRITE, b"gh", size=4, position=4, thread=7, offset=2),
    ]
    order = [one[0], other[0], one[1], other[1]] if flag else [one[0], other[0], other[1], one[1]]
    pieces = fed(stream, order)
    if flag:
        assert text(pieces) == b"abcdefgh"
    else:  # the first one to be complete is where the stream begins for us
        assert text(pieces) == b"efgh"
