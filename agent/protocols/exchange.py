"""What a parser of a protocol reads, and what it makes of it: pieces of two streams of bytes in, exchanges out."""

from collections import Counter
from enum import Enum, IntEnum, auto
from typing import Final, Protocol

from msgspec import Struct, field


class Flow(IntEnum):
    """One of the two streams of bytes of a connection."""

    REQUESTS = 0
    RESPONSES = 1


REQUESTS: Final = Flow.REQUESTS
RESPONSES: Final = Flow.RESPONSES
# What is asked of each call or exchange compares with constants of modules, as these: to look a member up in its
# enumeration takes ten times as long (Python 3.11), and an exchange would do that a dozen times.


# What every call or exchange makes some of are Structs: they are made in less than half the time that dataclasses take.
# None of them refers back to what refers to it, so the garbage collector need not look at them.


class Head(Struct, frozen=True, gc=False):
    """What the head of a message of HTTP/1 says of where the message ends."""

    size: int
    """Bytes of the head itself."""
    body: int
    """Bytes; what is less than 0 stands in agent.protocols.http1_head."""


class Piece(Struct, gc=False):
    """Bytes that one call moved, next in their stream; a call may come as several pieces. Not to be changed."""

    first_ns: int
    """CLOCK_MONOTONIC when the first of its bytes was there: a write's beginning, a read's end."""
    last_ns: int
    """CLOCK_MONOTONIC when the call had moved all of them: its end."""
    call_ns: int
    """CLOCK_MONOTONIC of the call's beginning: what its kernel log is found by."""
    size: int
    """Bytes; more than 0."""
    data: bytes | None
    """The bytes, or None when they were counted and not captured."""
    head: Head | None = None
    """Of HTTP/1: the head that the bytes begin with if one is due there, where it was read before its turn."""


class Version(IntEnum):
    """Values of the wire's AccessLogHTTPProtocolVersion."""

    HTTP1 = 0
    HTTP2 = 1


class TraceProvider(IntEnum):
    """Values of the wire's AccessLogTraceInfoProvider."""

    ZIPKIN = 0
    SKYWALKING = 1


class TraceContext(Struct, frozen=True, gc=False):
    """The trace that a request belongs to, by its headers."""

    provider: TraceProvider
    trace_id: str
    segment_id: str
    span_id: str


class Half(Struct, gc=False):
    """The request of an exchange, or its response."""

    first_ns: int = 0
    """`Piece.first_ns` of its first byte; 0 while there is none."""
    last_ns: int = 0
    """`Piece.last_ns` of its last byte so far."""
    first_call_ns: int = 0
    """`Piece.call_ns` of its first byte."""
    last_call_ns: int = 0
    """`Piece.call_ns` of its last byte so far."""
    header_bytes: int = 0
    """HTTP/1: start line and header fields with the empty line behind them, and trailers. HTTP/2: header blocks as they
    are on the wire (compressed), without frame headers and padding, trailers included."""
    body_bytes: int = 0
    """As on the wire, before any content coding is undone; without the framing of chunks, frames and padding."""

    def note(self, piece: Piece) -> None:
        """Extend to a piece that has bytes of this half."""
        if not self.first_ns:
            self.first_ns, self.first_call_ns = piece.first_ns, piece.call_ns
        self.last_ns, self.last_call_ns = piece.last_ns, piece.call_ns


class Exchange(Struct, gc=False):
    """A request with its response. Interim responses (1xx) belong to the final one's header bytes."""

    version: Version
    method: str = ""
    """As sent, such as "GET" or "PROPFIND"."""
    path: str = ""
    """The path of the target without its query; "*" and an authority (CONNECT) as they are."""
    host: str = ""
    status: int = 0
    """0 when there was none: the connection ended or the stream was reset before."""
    request: Half = field(default_factory=Half)
    response: Half = field(default_factory=Half)
    trace: TraceContext | None = None
    grpc_status: int | None = None
    slice: int = 0
    """0 for an exchange told as a whole; else which slice of a long one this is, from 1. Its sizes and times are of the
    slice."""
    is_last: bool = True
    """False for a slice that others follow."""
    caller: str = ""
    """Of a call that this process makes: the endpoint that its thread was serving at that moment, if that is known."""

    @property
    def endpoint(self) -> str:
        """What it is counted under."""
        return f"{self.method}:{self.path}"


class Ended(Enum):
    """Why a parser reads no further."""

    TUNNEL = auto()
    """The connection became something else (CONNECT, an upgrade): what follows is not HTTP."""
    UPGRADED = auto()
    """The connection goes on as HTTP/2 (h2c)."""
    NOT_UNDERSTOOD = auto()
    """It is not this protocol, or its state is lost for good."""


class Parser(Protocol):
    """Reads one connection. Never raises for any bytes; what it keeps is bounded whatever they are."""

    losses: Counter[str]
    """What could not be told, by cause. Shared by all parsers of the agent."""

    @property
    def ended(self) -> Ended | None:
        """Why it reads no further, or None."""
        ...

    @property
    def begun(self) -> list[Exchange]:
        """The requests whose heads the last `feed` completed; told later as these objects, slices of them as others."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether an exchange has begun and not ended."""
        ...

    def feed(self, flow: Flow, piece: Piece) -> list[Exchange]:
        """Read the next piece of one of the streams; the exchanges that ended with it."""
        ...

    def slices(self, now_ns: int) -> list[Exchange]:
        """Slices of exchanges that go on for long, and whatever else is due by `now_ns` (CLOCK_MONOTONIC)."""
        ...

    def end(self) -> list[Exchange]:
        """The connection has ended: bodies that end with it are complete, requests without a response have status 0."""
        ...
