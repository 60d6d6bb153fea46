"""A client that writes HTTP/2 frames itself, for gRPC calls: the least a sender can cost, and full control of frames.

Loopback only: it does not do TLS, retries or header compression beyond hpack's encoder. Source: RFC 9113.
"""

import select
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

from hpack import Decoder, Encoder

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW = 4
HEAD = 9
WINDOW = 65_535
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_BURST = 65_536
_PATIENCE = 300.0


class Broken(Exception):  # noqa: N818 - what the connection is
    """The server ended the connection, or did not answer."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def framed(message: bytes) -> bytes:
    """A message as gRPC puts it in a body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def coalesced(body: bytes, size: int = 16_384) -> Iterator[bytes]:
    """A body cut into payloads of equal size, regardless of its messages."""
    return (body[start : start + size] for start in range(0, len(body), size))


@dataclass
class Stream:
    """One call."""

    number: int
    window: int
    headers: dict[str, str] = field(default_factory=dict)
    """Response headers and trailers."""
    body: bytes = b""
    done: bool = False
    reset: int | None = None
    """Error code, when the server reset it."""


class Connection:
    """One connection with any number of calls. Use it in a `with` block."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encoder, self._decoder = Encoder(), Decoder()
        self._window = self._initial_window = WINDOW
        self._received = b""
        self._streams: dict[int, Stream] = {}
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
        self.pump(wait=True)

    def open(self, path: str, *headers: tuple[str, str]) -> Stream:
        """Begin a call."""
        stream = Stream(1 + 2 * len(self._streams), self._initial_window)
        self._streams[stream.number] = stream
        head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        block = self._encoder.encode([*head, ("te", "trailers"), ("content-type", "application/grpc"), *headers])
        self._socket.sendall(frame(HEADERS, END_HEADERS, stream.number, block))
        return stream

    def send(self, stream: Stream, payloads: Iterable[bytes]) -> None:
        """Send each payload as one DATA frame, as the server's windows allow."""
        burst: list[bytes] = []
        size = 0
        for payload in payloads:
            while len(payload) > min(self._window, stream.window) and not stream.done:
                self._flush(burst)
                size = 0
                self.pump(wait=True)
            if stream.done:
                return
            burst.append(frame(DATA, 0, stream.number, payload))
            self._window -= len(payload)
            stream.window -= len(payload)
            size += len(payload)
            if size >= _BURST:
                self._flush(burst)
                size = 0
                self.pump(wait=False)
        self._flush(burst)

    def ready(self, stream: Stream, size: int, patience: float = 1.0) -> bool:
        """Whether the windows let a payload of this size pass; waits for them until the server has been silent."""
        while size > min(self._window, stream.window) and not stream.done:
            if not self._readable(patience):
                return False
            self.pump(wait=True)
        return not stream.done

    def end(self, stream: Stream) -> None:
        """End the body; the answer may come."""
        self._socket.sendall(frame(DATA, END_STREAM, stream.number, b""))

    def answer(self, stream: Stream) -> Stream:
        """Wait until a call has been answered."""
        while not stream.done:
            self.pump(wait=True)
        return stream

    def pump(self, *, wait: bool) -> None:
        """Handle what the server has sent; with `wait`, at least one frame."""
        while self._readable(_PATIENCE if wait else 0):
            received = self._socket.recv(1 << 20)
            if not received:
                raise Broken("the server closed the connection")
            self._received += received
            for kind, flags, number, payload in self._frames():
                wait = False
                self._handle(kind, flags, number, payload)
        if wait:
            raise Broken(f"no answer in {_PATIENCE} s")

    def _readable(self, seconds: float) -> bool:
        waiting = select.poll()  # unlike select, for descriptors above 1,023 too
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1_000))

    def _flush(self, burst: list[bytes]) -> None:
        if burst:
            self._socket.sendall(b"".join(burst))
            burst.clear()

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self._received) >= HEAD:
            length = int.from_bytes(self._received[:3], "big")
            if len(self._received) < HEAD + length:
                return
            head, payload = self._received[:HEAD], self._received[HEAD : HEAD + length]
            self._received = self._received[HEAD + length :]
            yield head[3], head[4], int.from_bytes(head[5:HEAD], "big"), payload

    def _handle(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING and not flags & ACK:
            self._socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and number == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            raise Broken(f"the server gave up: {payload!r}")
        elif number in self._streams:
            self._handle_stream(self._streams[number], kind, flags, payload)

    def _handle_stream(self, stream: Stream, kind: int, flags: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            stream.window += int.from_bytes(payload, "big")
        elif kind == HEADERS:
            stream.headers.update(self._decoder.decode(payload))  # type: ignore[arg-type] # pairs of text
            stream.done = bool(flags & END_STREAM)
        elif kind == DATA:
            stream.body += payload
            stream.done = stream.done or bool(flags & END_STREAM)
        elif kind == RST_STREAM:
            stream.reset, stream.done = int.from_bytes(payload, "big"), True

    def _settings(self, payload: bytes) -> None:
        for start in range(0, len(payload), 6):
            if int.from_bytes(payload[start : start + 2], "big") == INITIAL_WINDOW:
                value = int.from_bytes(payload[start + 2 : start + 6], "big")
                for stream in self._streams.values():
                    stream.window += value - self._initial_window
                self._initial_window = value
        self._socket.sendall(frame(SETTINGS, ACK, 0, b""))

    def close(self) -> None:
        """Close the connection, whatever is open."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
