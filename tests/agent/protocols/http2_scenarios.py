"""Random connections of HTTP/2 with what is true of them, for properties and fuzzing."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from hpack import NeverIndexedHeaderTuple
from msgspec.structs import replace

from agent.protocols.exchange import Exchange, Flow, Piece, TraceContext, TraceProvider, Version
from agent.protocols.http2_frames import PREFACE, FrameFlag, FrameKind, Setting
from tests.agent.protocols.http2_wire import End, frame, ping, reset, settings, window_update

METHODS = ("GET", "POST", "PUT", "DELETE", "PROPFIND")
PATHS = ("/", "/index.html", "/shop.Cart/Add", "/items/7", "/a/b/c", "*")
STATUSES = ("200", "201", "204", "302", "404", "418", "500", "503")
TABLE_SIZES = (0, 60, 200, 4_096, 10_000, 65_536)


@dataclass
class Span:
    """Where a half of an exchange is in its flow."""

    first: int
    """Of its first byte."""
    last: int
    """Of its last one."""


@dataclass
class Truth:
    """What is true of a stream."""

    exchange: Exchange
    spans: dict[Flow, Span] = field(default_factory=dict)
    is_reset: bool = False
    has_interim: bool = False


@dataclass
class Scenario:
    """A connection from its beginning."""

    streams: dict[int, Truth]
    bytes_of: dict[Flow, bytes]
    order: list[tuple[Flow, int]]
    """Writes in their order: whose, and where in its flow each ends."""

    def expected(self, pieces: Mapping[Flow, Sequence[Piece]]) -> dict[int, Exchange]:
        """What a reader tells that sees these pieces of the flows."""
        ends = {flow: _ends(of_flow) for flow, of_flow in pieces.items()}
        told = {}
        for number, truth in self.streams.items():
            halves = {}
            for flow, name in ((Flow.REQUESTS, "request"), (Flow.RESPONSES, "response")):
                half = replace(getattr(truth.exchange, name))
                span = truth.spans.get(flow)
                if span is not None:
                    half.note(pieces[flow][_piece_at(ends[flow], span.first)])
                    half.note(pieces[flow][_piece_at(ends[flow], span.last)])
                halves[name] = half
            told[number] = replace(truth.exchange, **halves)
        return told


def _ends(pieces: Sequence[Piece]) -> list[int]:
    end = 0
    return [end := end + piece.size for piece in pieces]


def _piece_at(ends: list[int], position: int) -> int:
    return next(number for number, end in enumerate(ends) if position < end)


class Generator:
    """Makes one scenario out of a source of randomness."""

    def __init__(
        self, source: random.Random, *, streams: int, interim: bool = True, padding: bool = True, resets: bool = False
    ) -> None:
        self._source = source
        self._count = streams
        self._interim = interim
        self._padding = padding
        self._resets = resets
        self._ends = {Flow.REQUESTS: End(), Flow.RESPONSES: End()}
        self._bytes = {Flow.REQUESTS: bytearray(PREFACE + settings({})), Flow.RESPONSES: bytearray(settings({}))}
        self._order: list[tuple[Flow, int]] = [(flow, len(sent)) for flow, sent in self._bytes.items()]
        self._streams: dict[int, Truth] = {}

    def make(self) -> Scenario:
        source = self._source
        running: dict[int, Iterator[None]] = {}
        following = 1
        while running or following <= 2 * self._count:
            if following <= 2 * self._count and (not running or source.random() < 0.4):
                running[following] = self._stream(following)
                next(running[following])  # a client begins its streams in the order of their numbers
                following += 2
            number = source.choice(list(running))
            if next(running[number], running) is running:  # it has ended
                del running[number]
            if source.random() < 0.15:
                self._other(source.choice(list(Flow)))
        return Scenario(self._streams, {flow: bytes(sent) for flow, sent in self._bytes.items()}, self._order)

    def _stream(self, number: int) -> Iterator[None]:
        """Send the frames of a stream, one with each step."""
        source = self._source
        truth = self._streams[number] = Truth(Exchange(Version.HTTP2))
        ends_at_once = self._request_head(number, truth)
        yield
        left = {Flow.REQUESTS: self._body(number, truth, Flow.REQUESTS), Flow.RESPONSES: self._response(number, truth)}
        if ends_at_once:
            del left[Flow.REQUESTS]
        while left:
            if self._resets and source.random() < 0.03:
                flow = source.choice(list(Flow))
                self._send(flow, reset(number))
                truth.is_reset = True
                return
            flow = source.choice(list(left))
            if next(left[flow], left) is left:
                del left[flow]
            else:
                yield

    def _request_head(self, number: int, truth: Truth) -> bool:
        """Send it; whether it ends the request."""
        source, exchange = self._source, truth.exchange
        exchange.method = source.choice(METHODS)
        exchange.path = source.choice(PATHS)
        exchange.host = f"host-{source.randrange(3)}:80"
        query = source.choice(["", "?a=1", "?b=/c?d"])
        fields = [
            (":method", exchange.method),
            (":scheme", "http"),
            (":path", exchange.path + query),
            (":authority", exchange.host),
            *self._some_fields(),
        ]
        if source.random() < 0.3:
            trace, span = f"{source.getrandbits(128) | 1:032x}", f"{source.getrandbits(64) | 1:016x}"
            exchange.trace = TraceContext(TraceProvider.ZIPKIN, trace, "", span)
            fields.append(cast("tuple[str, str]", NeverIndexedHeaderTuple("b3", f"{trace}-{span}")))
        ends = source.random() < 0.5
        self._headers(number, truth, Flow.REQUESTS, fields, ends=ends)
        return ends

    def _response(self, number: int, truth: Truth) -> Iterator[None]:
        source = self._source
        while self._interim and source.random() < 0.1:
            truth.has_interim = True
            self._headers(number, truth, Flow.RESPONSES, [(":status", source.choice(["100", "103"]))], ends=False)
            yield
        status = source.choice(STATUSES)
        truth.exchange.status = int(status)
        fields = [(":status", status), *self._some_fields()]
        ends = source.random() < 0.2
        if ends and source.random() < 0.3:
            fields.append(("grpc-status", "12"))
            truth.exchange.grpc_status = 12
        self._headers(number, truth, Flow.RESPONSES, fields, ends=ends)
        if not ends:
            yield
            yield from self._body(number, truth, Flow.RESPONSES)

    def _body(self, number: int, truth: Truth, flow: Flow) -> Iterator[None]:
        source = self._source
        with_trailers = source.random() < 0.3
        left = source.randint(0, 4)
        while left or not with_trailers:
            left -= 1
            body = source.randbytes(source.choice([0, 1, 5, 40, 600, 3_000]))
            ends = left < 0
            padding = source.choice([0, 1, 200]) if self._padding and source.random() < 0.1 else None
            half = truth.exchange.request if flow is Flow.REQUESTS else truth.exchange.response
            half.body_bytes += len(body)
            self._send(flow, self._ends[flow].data(number, body, ends=ends, padding=padding), truth)
            if ends:
                return
            yield
        fields = self._some_fields() or [("checksum", "1")]
        if flow is Flow.RESPONSES and source.random() < 0.5:
            code = source.randrange(17)
            fields.append(("grpc-status", str(code)))
            truth.exchange.grpc_status = code
        self._headers(number, truth, flow, fields, ends=True)

    def _headers(self, number: int, truth: Truth, flow: Flow, fields: list[tuple[str, str]], *, ends: bool) -> None:
        source, end = self._source, self._ends[flow]
        before = end.header_bytes[number]
        sent = end.headers(
            number,
            fields,
            ends=ends,
            cuts=[source.randrange(40) for _ in range(source.choice([0, 0, 0, 1, 3]))],
            padding=source.choice([None, None, None, 0, 9]),
            priority=source.random() < 0.2,
            huffman=source.random() < 0.7,
        )
        half = truth.exchange.request if flow is Flow.REQUESTS else truth.exchange.response
        half.header_bytes += end.header_bytes[number] - before
        self._send(flow, sent, truth)

    def _some_fields(self) -> list[tuple[str, str]]:
        source = self._source
        names = source.sample(["accept", "user-agent", "cookie", "x-a", "x-long", "date", "etag"], source.randint(0, 4))
        return [(name, source.choice(["", "v", "value", "\u00e9", "w" * 70, str(source.random())])) for name in names]

    def _other(self, flow: Flow) -> None:
        """Send something that belongs to no exchange."""
        source = self._source
        choice = source.randrange(6)
        if choice == 0:
            size = source.choice(TABLE_SIZES)
            other = Flow.RESPONSES if flow is Flow.REQUESTS else Flow.REQUESTS
            self._send(flow, settings({Setting.HEADER_TABLE_SIZE: size, 3: 100}))
            self._send(other, settings(ack=True))
            self._ends[other].encoder.header_table_size = size
        elif choice == 1:
            self._send(flow, ping())
        elif choice == 2:
            self._send(flow, window_update(source.choice([0, 1])))
        elif choice == 3:
            self._send(flow, frame(FrameKind.PRIORITY, 0, 2 * source.randrange(50) + 1, bytes(5)))
        elif choice == 4:
            self._send(flow, frame(0x20, 0xFF, source.randrange(4), source.randbytes(source.randrange(30))))
        else:
            self._send(flow, frame(FrameKind.PING, FrameFlag.ACK, 0, bytes(8)))

    def _send(self, flow: Flow, sent: bytes, truth: Truth | None = None) -> None:
        begin = len(self._bytes[flow])
        self._bytes[flow] += sent
        end = len(self._bytes[flow])
        self._order.append((flow, end))
        if truth is not None:
            span = truth.spans.setdefault(flow, Span(begin, end - 1))
            span.last = end - 1


def cut_pieces(
    source: random.Random, scenario: Scenario, cuts: int
) -> tuple[dict[Flow, list[Piece]], list[tuple[Flow, int]]]:
    """Cut both flows into pieces anywhere.

    Returns:
        By flow its pieces, and in which order they pass: each when its last byte had been written.
    """
    pieces: dict[Flow, list[Piece]] = {}
    passing = []
    for flow, sent in scenario.bytes_of.items():
        writes = [(end, moment) for moment, (of, end) in enumerate(scenario.order) if of is flow]
        places = sorted({source.randrange(1, len(sent)) for _ in range(cuts)} | {len(sent)})
        begin = 0
        pieces[flow] = []
        for end in places:
            first, last = (next(at for to, at in writes if to > byte) for byte in (begin, end - 1))
            number = len(pieces[flow])
            call_ns = 1_000 + 1_000 * first + number  # no two calls begin at the same time
            pieces[flow].append(
                Piece(call_ns + 1, 1_000 + 1_000 * last + number + 2, call_ns, end - begin, sent[begin:end])
            )
            passing.append((last, end, flow, number))
            begin = end
    passing.sort(key=lambda item: item[:2])
    return pieces, [(flow, number) for _, _, flow, number in passing]


def identity(exchange: Exchange) -> tuple[object, ...]:
    """What must never be told wrong."""
    return exchange.method, exchange.path, exchange.status, exchange.request, exchange.response


def counted(exchanges: Sequence[Exchange]) -> Counter[str]:
    """Exchanges in a form that can be compared whatever their order."""
    return Counter(map(repr, exchanges))
