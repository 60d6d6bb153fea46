"""Exchanges of HTTP/1 made up at random, and the bytes they are sent as."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from msgspec.structs import replace

from agent.protocols.exchange import Flow, Half, Piece


@dataclass
class Message:
    """A request or a response as it is sent."""

    head: bytes
    interim: tuple[bytes, ...] = ()
    framed: list[tuple[bytes, bool]] = field(default_factory=list)
    """The body and its framing as parts in order, and of each whether it is safe to miss: a gap in it hides nothing."""
    body_bytes: int = 0
    trailer_bytes: int = 0

    @property
    def parts(self) -> list[tuple[bytes, bool]]:
        return [*((interim, False) for interim in self.interim), (self.head, False), *self.framed]

    @property
    def data(self) -> bytes:
        return b"".join(part for part, _ in self.parts)

    @property
    def header_bytes(self) -> int:
        return sum(map(len, self.interim)) + len(self.head) + self.trailer_bytes

    @property
    def possible_header_bytes(self) -> set[int]:
        """Where interim responses may have been missed."""
        sizes = [len(interim) for interim in self.interim]
        missed = itertools.chain.from_iterable(itertools.combinations(sizes, count) for count in range(len(sizes) + 1))
        return {self.header_bytes - sum(some) for some in missed}

    @property
    def is_chunked(self) -> bool:
        return b"chunked" in self.head.lower()


@dataclass
class Made:
    """An exchange as it was made up."""

    method: str
    path: str
    host: str
    status: int
    request: Message
    response: Message


@dataclass(frozen=True)
class Turn:
    """Messages of one stream in a row; the other stream has its turn next."""

    flow: Flow
    messages: tuple[Message, ...]


_HEAD_BYTES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$&'()*+,;=:@%/"
_BODIES = st.one_of(st.binary(max_size=60), st.integers(100, 1_500).map(lambda size: b"z" * size))
_FIELDS = st.lists(
    st.sampled_from(
        [
            b"Accept: */*",
            b"X-Empty:",
            b"x-long: " + b"v" * 300,
            b"Cookie: a=b; c=d",
            b"X-Content-Length: 7",
            b"Via: 1.1 a\r\n , 1.1 b",
            b"b3: 0",
        ]
    ),
    max_size=4,
)
_INTERIM = st.lists(
    st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]), max_size=2
).map(tuple)


def _head(line: bytes, fields: Iterable[bytes], line_end: bytes) -> bytes:
    return line_end.join([line, *fields, b"", b""])


def _counted(draw: st.DrawFn, body: bytes) -> tuple[list[bytes], list[tuple[bytes, bool]]]:
    name = draw(st.sampled_from([b"Content-Length", b"content-length", b"CONTENT-LENGTH"]))
    return [b"%b: %d" % (name, len(body))], [(body, True)]


def _chunked(draw: st.DrawFn, body: bytes) -> tuple[list[bytes], list[tuple[bytes, bool]], int]:
    framed: list[tuple[bytes, bool]] = []
    extension = draw(st.sampled_from([b"", b";a=b", b' ;a="b"']))
    size = draw(st.integers(20, 1_000))
    for begin in range(0, len(body), size):
        chunk = body[begin : begin + size]
        framed += [(b"%x%b\r\n" % (len(chunk), extension), False), (chunk, True), (b"\r\n", False)]
    trailers = b"".join(draw(st.lists(st.sampled_from([b"Digest: x\r\n", b"Server-Timing: a;dur=1\r\n"]), max_size=2)))
    framed.append((b"0\r\n" + trailers + b"\r\n", False))
    return (
        [draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding: gzip, chunked"]))],
        framed,
        len(trailers),
    )


@st.composite
def _message(draw: st.DrawFn, line: bytes, host: str, *, may_have_body: bool, is_response: bool) -> Message:
    fields = draw(_FIELDS)
    line_end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))
    if host:
        fields.insert(draw(st.integers(0, len(fields))), b"hOST: " + host.encode())
    interim = draw(_INTERIM) if is_response else ()
    if not may_have_body:
        length = draw(st.sampled_from([[], [b"Content-Length: 1234"]])) if is_response else []
        return Message(_head(line, [*fields, *length], line_end), interim)
    body = draw(_BODIES)
    if draw(st.booleans()):
        added, framed = _counted(draw, body)
        return Message(_head(line, [*fields, *added], line_end), interim, framed, len(body))
    added, framed, trailer_bytes = _chunked(draw, body)
    return Message(_head(line, [*fields, *added], line_end), interim, framed, len(body), trailer_bytes)


@st.composite
def exchange(draw: st.DrawFn, number: int) -> Made:
    """An exchange whose path and status are no other's."""
    method = draw(st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "M-SEARCH", "x!#$%&'*+-.^_`|~9"]))
    path = f"/{number}/" + draw(st.text(_HEAD_BYTES, max_size=20))
    query = draw(st.sampled_from(["", "?", "?a=/b?c"]))
    host = draw(st.sampled_from(["shop", "shop.example:8080", "[::1]:80"]))
    status = 210 + number if number % 5 else draw(st.sampled_from([204, 304]))
    has_body = method in {"POST", "PUT"} or draw(st.integers(0, 9)) == 0
    request = draw(
        _message(f"{method} {path}{query} HTTP/1.1".encode(), host, may_have_body=has_body, is_response=False)
    )
    has_body = method != "HEAD" and status not in {204, 304}
    response = draw(_message(f"HTTP/1.1 {status} OK".encode(), "", may_have_body=has_body, is_response=True))
    return Made(method, path, host, status, request, response)


@st.composite
def connection(draw: st.DrawFn, *, most: int = 4) -> tuple[list[Made], list[Turn]]:
    """Exchanges, of which some are pipelined: all requests of a turn before all their responses."""
    groups = draw(st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=1, max_size=most))
    made = [draw(exchange(number)) for number in range(sum(groups))]
    turns, rest = [], iter(made)
    for size in groups:
        group = tuple(itertools.islice(rest, size))
        turns.append(Turn(Flow.REQUESTS, tuple(one.request for one in group)))
        turns.append(Turn(Flow.RESPONSES, tuple(one.response for one in group)))
    return made, turns


@dataclass
class Sent:
    """A connection's bytes in pieces, and the pieces of each message's first and last byte."""

    pieces: list[tuple[Flow, Piece]] = field(default_factory=list)
    safe: list[int] = field(default_factory=list)
    """Numbers of the pieces that may be missed without harm."""
    ends: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By id of a message, the numbers of those pieces."""

    def half(self, message: Message) -> Half:
        """What is told of a message."""
        first, last = (self.pieces[number][1] for number in self.ends[id(message)])
        return Half(first.first_ns, last.last_ns, first.call_ns, last.call_ns, message.header_bytes, message.body_bytes)

    def miss(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            flow, piece = self.pieces[number]
            self.pieces[number] = flow, replace(piece, data=None)


def sent(turns: Sequence[Turn], cuts: Iterable[int], *, along_parts: bool = False) -> Sent:
    """Send messages in calls of one piece or more.

    Args:
        turns: What is sent.
        cuts: Where pieces end, as distances; used again and again. One that is odd ends the call, too.
        along_parts: Cut between the parts of messages, too.
    """
    result, distances, now = Sent(), itertools.cycle(cuts), 0
    for turn in turns:
        parts = [part for message in turn.messages for part in message.parts if part[0]]
        data = b"".join(part for part, _ in parts)
        edges = list(itertools.accumulate(len(part) for part, _ in parts))
        ends_call = {0: True, **(dict.fromkeys(edges, False) if along_parts else {})}
        at = 0
        while (at := at + (distance := next(distances))) < len(data):
            ends_call[at] = bool(distance % 2)
        ends_call[len(data)] = True
        places = sorted(ends_call)
        number_at = len(result.pieces)
        for begin, end in itertools.pairwise(places):
            now += 100 * ends_call[begin]
            part = bisect_right(edges, begin)
            if parts[part][1] and end <= edges[part]:
                result.safe.append(len(result.pieces))
            result.pieces.append((turn.flow, Piece(now, now + 20, now - 10, end - begin, data[begin:end])))
        at = 0
        for message in turn.messages:
            end = at + len(message.data)
            result.ends[id(message)] = (
                number_at + bisect_right(places, at) - 1,
                number_at + bisect_left(places, end) - 1,
            )
            at = end
    return result
