import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols.exchange import Half
from agent.protocols.http1_losses import Loss
from agent.protocols.message_body import Body, ChunkedBody, CountedBody, EndlessBody


class Reading:
    """A body and what was counted of it. Each part is a call: bytes, or how many were not captured."""

    def __init__(self, body: Body | None = None, *, announces_trailers: bool = False) -> None:
        self.losses: Counter[str] = Counter()
        self.body = body or ChunkedBody(self.losses, announces_trailers=announces_trailers)
        self.half = Half()
        self.rest: int | None = None
        """Bytes of the last part that are not the body's."""

    def read(self, *parts: bytes | int) -> "Reading":
        for part in parts:
            assert not self.body.is_complete
            if isinstance(part, int):
                self.rest = part - self.body.skip(part, self.half)
            else:
                self.rest = len(part) - self.body.read(part, 0, self.half, begins_call=True)
        return self

    @property
    def sizes(self) -> tuple[int, int]:
        return self.half.header_bytes, self.half.body_bytes

    @property
    def is_exact(self) -> bool:
        """Complete, with its exact size."""
        return self.body.is_complete and not self.body.is_estimated and not self.losses


def test_a_counted_body_leaves_what_is_behind_it() -> None:
    reading = Reading(CountedBody(10)).read(b"1234", 3, b"567rest")
    assert (reading.sizes, reading.rest, reading.body.is_complete) == ((0, 10), 4, True)
    gap = Reading(CountedBody(10)).read(15)
    assert (gap.sizes, gap.rest, gap.body.is_complete) == ((0, 10), 5, True)


def test_an_endless_body_is_never_complete() -> None:
    reading = Reading(EndlessBody()).read(b"1234", 1_000)
    assert (reading.sizes, reading.rest, reading.body.is_complete) == ((0, 1_004), 0, False)


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        (b"0\r\n\r\n", (0, 0)),
        (b"5\r\nhello\r\n0\r\n\r\n", (0, 5)),
        (b"5\nhello\n0\n\n", (0, 5)),
        (b'0005;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n', (0, 5)),
        (b"5 \r\nhello\r\n000\r\n\r\n", (0, 5)),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nDigest: x\r\nB: c\r\n\r\n", (17, 20)),
        (b"6\r\n0\r\n\r\n\n\r\n0\r\n\r\n", (0, 6)),
    ],
)
def test_chunks(data: bytes, sizes: tuple[int, int]) -> None:
    whole = Reading().read(data + b"next")
    assert (whole.sizes, whole.rest) == (sizes, 4)
    assert whole.is_exact
    for cut in range(1, len(data)):
        parts = Reading().read(data[:cut], data[cut:])
        assert (parts.sizes, parts.rest) == (sizes, 0)
        assert parts.is_exact
    assert Reading().read(*[data[at : at + 1] for at in range(len(data))]).sizes == sizes


@pytest.mark.parametrize(
    "parts",
    [
        (b"10\r\n0123", 12, b"\r\n0\r\n\r\n"),
        (b"10\r\n0123", 4, 4, 4, b"\r\n0\r\n\r\n"),
        (b"10\r\n0123", 13, b"\n0\r\n\r\n"),
        (b"10\r\n0123", 14, b"0\r\n\r\n"),
        (b"10\r\n0123", 13, 1, b"0\r\n\r\n"),
        (b"10\r\n0123456789012345", 2, b"0\r\n\r\n"),
        (b"8\r\n", 10, b"8\r\n", 10, b"0\r\n\r\n"),
    ],
)
def test_a_gap_in_a_chunk_is_harmless(parts: tuple[bytes | int, ...]) -> None:
    reading = Reading().read(*parts)
    assert reading.sizes == (0, 16)
    assert reading.is_exact


@pytest.mark.parametrize(
    ("parts", "about"),
    [
        ((b"5\r\nhel", 100, b"lo\r\n0\r\n\r\n"), 105),  # the last chunk at the end of a call
        ((100, b"0\r\n\r\n"), 100),  # alone in a call
        ((b"5\r\nhel", 100, b"lo\r\n0\r\nDigest: x\r\n\r\n"), 105),
        ((100, b"5\r\nhello\r\n", b"0\r\n\r\n"), 105),  # a chunk line at the beginning of one
        ((100, b"\r\n5\r\nhello\r\n0\r\n\r\n"), 105),
        ((100, b"5\r\nhel", 2, b"\r\n0\r\n\r\n"), 105),
        ((b"5\r\nhello\r\n0\r", 100, b"\r\n0\r\n\r\n"), 107),
    ],
)
def test_a_gap_over_chunk_lines_makes_an_estimate(parts: tuple[bytes | int, ...], about: int) -> None:
    reading = Reading().read(*parts)
    assert reading.body.is_complete
    assert reading.losses == {Loss.CHUNKED_BODY_ESTIMATED: 1}
    assert reading.half.body_bytes == about


def test_while_it_is_estimated_another_message_may_begin() -> None:
    reading = Reading()
    may_be_over = []
    for part in (b"5\r\nhello\r\n", 100, b"5\r\nhello\r\n"):
        reading.read(part)
        may_be_over.append(reading.body.may_be_over)
    assert may_be_over == [False, True, True]


def test_a_line_that_is_no_chunk_line_makes_an_estimate() -> None:
    for data in (b"hello", b"5\r\nhello!\r\n", b"5\r\nhello5\r\n", b"-5\r\n", b"\r\n5\r\nhello", b"5;" + b"x" * 9_000):
        reading = Reading().read(data)
        assert reading.losses == {Loss.CHUNKED_BODY_ESTIMATED: 1}, data
        assert not reading.body.is_complete


def test_trailers_cut_by_a_gap_end_the_body_where_some_are_announced() -> None:
    parts = (100, b"0f2a3c5d\r\n\r\n")
    assert Reading(announces_trailers=True).read(*parts).body.is_complete
    assert not Reading().read(*parts).body.is_complete


def test_what_looks_like_a_chunk_line_and_cannot_be_one_is_passed() -> None:
    reading = Reading().read(100, b"3\r\nhello world", b"fffffff\r\nx", b"0\r\nabc", b"2\r\nab\r\n", b"0\r\n\r\n")
    assert reading.sizes == (0, 100 + 14 + 10 + 6 + 2)


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=30), max_size=6),
    trailers=st.lists(st.sampled_from([b"A: b\r\n", b"Digest: 0\r\n"]), max_size=2),
    extension=st.sampled_from([b"", b";a", b' ; a="b"']),
    cuts=st.sets(st.integers(1, 250), max_size=12),
)
def test_any_cuts_give_the_same_sizes(
    chunks: list[bytes], trailers: list[bytes], extension: bytes, cuts: set[int]
) -> None:
    data = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    data += b"0" + extension + b"\r\n" + b"".join(trailers) + b"\r\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    reading = Reading().read(*[data[begin:end] for begin, end in itertools.pairwise(edges)])
    assert reading.sizes == (sum(map(len, trailers)), sum(map(len, chunks)))
    assert reading.is_exact


@given(
    sizes=st.lists(st.integers(1, 5_000), min_size=1, max_size=20),
    call=st.integers(1, 8_000),
    first=st.integers(0, 3_000),
)
def test_an_estimated_size_is_too_large_by_lines_that_were_not_seen(sizes: list[int], call: int, first: int) -> None:
    """As the kernel captures: the beginning of a message, then both edges of each call."""
    edge = 32
    lines = [b"%x\r\n" % size for size in sizes]
    wire = b"".join(line + b"-" * size + b"\r\n" for line, size in zip(lines, sizes, strict=True)) + b"0\r\n\r\n"
    content = sum(sizes)
    reading = Reading()
    for at in range(0, len(wire), call):
        data = wire[at : at + call]
        seen = min(len(data), max(first - at, edge))
        tail = data[max(seen, len(data) - edge) :]
        for part in (data[:seen], len(data) - seen - len(tail), tail):
            if part and not reading.body.is_complete:
                if isinstance(part, int):
                    reading.body.skip(part, reading.half)
                else:
                    reading.body.read(part, 0, reading.half, begins_call=part is not tail)
    framing = sum(map(len, lines)) + 2 * len(sizes)
    assert content <= reading.half.body_bytes <= content + framing + len(b"0\r\n\r\n")
    if not reading.body.is_estimated:
        assert (reading.half.body_bytes, reading.body.is_complete) == (content, True)
