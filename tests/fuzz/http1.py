"""Fuzz target: exchanges of HTTP/1, damaged, cut, partly missed and in any order of the streams.

python -m tests.fuzz http1 --seconds 20
"""

import random
from collections import Counter
from typing import Any

from agent.protocols.exchange import Exchange, Flow
from agent.protocols.http1 import Http1Parser
from agent.protocols.http1_limits import Limits
from agent.protocols.http1_messages import MessageReader
from agent.protocols.slicing import SLICE_NS
from tests.agent.protocols.http1_early import check_same, with_head
from tests.fuzz.mutations import cut, interleaved, mutated, pieces, with_gaps

LIMITS = Limits(head_bytes=300, waiting_requests=5, held_bytes=400, held_pieces=6, failures=8, failed_calls=50)
_LONGEST_LINE = 4_096

_REQUESTS = (
    b"GET /a?b HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"HEAD / HTTP/1.0\n\n",
    b"POST /b HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\nsome body",
    b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n4;a=b\r\nbody\r\n0\r\nA: b\r\n\r\n",
    b"CONNECT shop:443 HTTP/1.1\r\n\r\n",
    b"GET /d HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nsw8: 1-QQ==-QQ==-3-QQ==-QQ==-QQ==-QQ==\r\nX: " + b"y" * 250 + b"\r\n\r\n",
    b"GET http://shop/e HTTP/1.1\r\n b: c\r\nContent-Length: 0, 0\r\n\r\n",
)
_RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\x00\x00\x00\x04",
    b"HTTP/1.1 404\n\n",
)


def target(source: random.Random) -> None:
    """Feed one connection; what is kept of it is bounded, and what is told makes sense."""
    streams = []
    whole = source.random() < 0.4  # calls end where messages do
    for messages in (_REQUESTS, _RESPONSES):
        chosen = source.choices(messages, k=source.randint(0, 12))
        if whole:
            calls = [b"".join(part) for part in parts_of(source, chosen)]
            gaps = with_gaps(source, calls, source.choice((0.0, 0.0, 0.1)))
            streams.append(pieces(gaps, source.choice((990, 1_000, 1_010)), source.choice((8, 10, 15))))
            continue
        data = b"".join(chosen)
        if source.random() < 0.7:
            data = mutated(source, data)
        if source.random() < 0.1:
            data += source.randbytes(source.randint(1, 2_000))
        parts = cut(source, data, source.choice((2, 8, 60)))
        streams.append(pieces(with_gaps(source, parts, source.choice((0.0, 0.0, 0.2)))))
    losses: Counter[str] = Counter()
    joined = source.random() < 0.3
    parser = Http1Parser(losses, joined=joined, limits=LIMITS)
    early = Http1Parser(Counter(), joined=joined, limits=LIMITS)
    sent = {flow: sum(piece.size for piece in stream) for flow, stream in zip(Flow, streams, strict=True)}
    told: list[Exchange] = []
    for number, (flow, piece) in enumerate(interleaved(source, *streams)):
        now = parser.feed(flow, piece)
        assert early.feed(flow, with_head(piece)) == now
        if number % 7 == 0:
            slices = parser.slices(number * SLICE_NS)
            assert early.slices(number * SLICE_NS) == slices
            now += slices
        check_same(early, parser)
        check_kept(parser)
        told += now
    ended = parser.end()
    assert early.end() == ended
    check_same(early, parser)
    told += ended
    check_kept(parser)
    assert not parser.is_busy
    assert all(count > 0 for count in losses.values()), losses
    check_told(told, sent)


def parts_of(source: random.Random, messages: list[bytes]) -> list[list[bytes]]:
    """One message after the other, or seldom several at a time."""
    left, found = list(messages), []
    while left:
        count = source.choice((1, 1, 1, 1, 2, 3))
        found.append(left[:count])
        del left[:count]
    return found


def check_kept(parser: Http1Parser) -> None:
    """What is kept of a connection has bounds."""
    calls = parser._calls
    assert len(calls.waiting) <= LIMITS.waiting_requests
    assert not calls.told
    for reader in (parser._requests, parser._responses):
        check_reader_kept(reader)
    if parser.ended is not None:
        assert not parser.is_busy


def check_reader_kept(reader: MessageReader[Any]) -> None:
    assert len(reader._head) <= LIMITS.head_bytes
    assert len(reader.held) <= LIMITS.held_pieces
    assert sum(len(piece.data or b"") for piece, _ in reader.held) <= LIMITS.held_bytes
    assert len(getattr(reader._body, "_kept", b"")) <= _LONGEST_LINE


def check_told(told: list[Exchange], sent: dict[Flow, int]) -> None:
    """No byte is counted twice, and each exchange is told once, with all its slices in order."""
    assert sum(one.request.header_bytes + one.request.body_bytes for one in told) <= sent[Flow.REQUESTS]
    assert sum(one.response.header_bytes + one.response.body_bytes for one in told) <= sent[Flow.RESPONSES]
    last = [one for one in told if one.is_last]
    assert len({id(one) for one in last}) == len(last)
    for one in told:
        assert one.method
        assert one.status == 0 or 100 <= one.status <= 999
        assert (one.slice > 0) or one.is_last
        for half in (one.request, one.response):
            assert half.first_ns <= half.last_ns
            assert bool(half.first_ns) or not half.header_bytes + half.body_bytes
