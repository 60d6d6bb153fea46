"""Both ends of HTTP/2 connections as tests write them, and a parser that watches."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from hpack import Encoder, NeverIndexedHeaderTuple

from agent.protocols.exchange import Exchange, Flow, Piece
from agent.protocols.http2 import Http2Parser
from agent.protocols.http2_frames import PREFACE, FrameFlag, FrameKind

Fields = Sequence[tuple[str, str]]

GET: Fields = (
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/items?page=2"),
    (":authority", "shop:8080"),
    ("user-agent", "test"),
)
CALL: Fields = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/shop.Cart/Add"),
    (":authority", "cart:50051"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)
OK: Fields = ((":status", "200"), ("content-type", "text/plain"), ("server", "test"))
GRPC_OK: Fields = (("grpc-status", "0"), ("grpc-message", ""))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(values: dict[int, int] | None = None, *, ack: bool = False) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in (values or {}).items())
    return frame(FrameKind.SETTINGS, FrameFlag.ACK if ack else 0, 0, payload)


def reset(stream: int, code: int = 8) -> bytes:
    return frame(FrameKind.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int) -> bytes:
    return frame(FrameKind.GOAWAY, 0, 0, last.to_bytes(4, "big") + bytes(4) + b"bye")


def window_update(stream: int) -> bytes:
    return frame(FrameKind.WINDOW_UPDATE, 0, stream, (1000).to_bytes(4, "big"))


def ping() -> bytes:
    return frame(FrameKind.PING, 0, 0, b"12345678")


class End:
    """One end of a connection: the frames that it sends."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.header_bytes: Counter[int] = Counter()
        """By stream, bytes of the header blocks of its messages; those of a promise by the promised stream."""

    def block(self, fields: Iterable[tuple[str, str]], *, huffman: bool = True) -> bytes:
        return self.encoder.encode(list(fields), huffman=huffman)

    def headers(
        self,
        stream: int,
        fields: Fields,
        *,
        ends: bool = False,
        cuts: Sequence[int] = (),
        padding: int | None = None,
        priority: bool = False,
        promised: int | None = None,
        huffman: bool = True,
    ) -> bytes:
        """HEADERS, or PUSH_PROMISE, and CONTINUATION for each of the cuts."""
        block = self.block(fields, huffman=huffman)
        self.header_bytes[stream if promised is None else promised] += len(block)
        places = [0, *sorted({min(cut, len(block)) for cut in cuts}), len(block)]
        fragments = [block[begin:end] for begin, end in itertools.pairwise(places)]
        kind = FrameKind.HEADERS if promised is None else FrameKind.PUSH_PROMISE
        flags = FrameFlag.END_STREAM if ends else 0
        first = fragments[0]
        if promised is not None:
            first = promised.to_bytes(4, "big") + first
        if priority:
            flags |= FrameFlag.PRIORITY
            first = bytes(4) + b"\x10" + first
        if padding is not None:
            flags |= FrameFlag.PADDED
            first = bytes([padding]) + first + bytes(padding)
        if len(fragments) == 1:
            flags |= FrameFlag.END_HEADERS
        sent = frame(kind, flags, stream, first)
        for fragment in fragments[1:-1]:
            sent += frame(FrameKind.CONTINUATION, 0, stream, fragment)
        if len(fragments) > 1:
            sent += frame(FrameKind.CONTINUATION, FrameFlag.END_HEADERS, stream, fragments[-1])
        return sent

    def data(self, stream: int, body: bytes, *, ends: bool = False, padding: int | None = None) -> bytes:
        flags = FrameFlag.END_STREAM if ends else 0
        if padding is not None:
            return frame(FrameKind.DATA, flags | FrameFlag.PADDED, stream, bytes([padding]) + body + bytes(padding))
        return frame(FrameKind.DATA, flags, stream, body)


class World:
    """A parser, the connection that it watches, and a clock that goes on by 100 ns with each call."""

    def __init__(
        self, *, joined: bool = False, upgraded: Exchange | None = None, maximum_streams: int = 16_384
    ) -> None:
        self.losses: Counter[str] = Counter()
        self.parser = Http2Parser(self.losses, joined=joined, upgraded=upgraded, maximum_streams=maximum_streams)
        self.client, self.server = End(), End()
        self.now_ns = 1_000
        self.begun: list[Exchange] = []
        self.calls: dict[Flow, list[Piece]] = defaultdict(list)

    def begin(self) -> None:
        """The preface and settings of both ends."""
        assert self.requests(PREFACE + settings({}), settings(ack=True)) == []
        assert self.responses(settings({}) + settings(ack=True)) == []

    def requests(self, *parts: bytes | int) -> list[Exchange]:
        """One call of the client: bytes, or how many bytes were not captured."""
        return self._call(Flow.REQUESTS, parts)

    def responses(self, *parts: bytes | int) -> list[Exchange]:
        """One call of the server."""
        return self._call(Flow.RESPONSES, parts)

    def _call(self, flow: Flow, parts: Sequence[bytes | int]) -> list[Exchange]:
        self.now_ns += 100
        told = []
        for part in parts:
            size, data = (part, None) if isinstance(part, int) else (len(part), part)
            piece = Piece(self.now_ns + 1, self.now_ns + 2, self.now_ns, size, data)
            self.calls[flow].append(piece)
            told += self.parser.feed(flow, piece)
            self.begun += self.parser.begun
        return told


NEVER = NeverIndexedHeaderTuple
"""A field that is sent without being put into the table."""
