"""Floods of HTTP/2: each frame is cheap to send, and must not be dear to get."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hpack import Encoder

from backend.server.access_logs import PATH
from bench.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
)
from tests.hostile.attacked import Attacked

WINDOW_UPDATE, CONTINUATION, PRIORITY, UNKNOWN = 8, 9, 2, 0xFA
FRAMES = 10_000


def head(path: str = PATH, method: str = "POST", *more: tuple[str, str]) -> bytes:
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a"), *more]
    return Encoder().encode([*fields, ("content-type", "application/grpc")] if method == "POST" else fields)


def settings() -> Iterator[bytes]:
    for number in range(FRAMES):
        yield frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + number.to_bytes(4, "big"))


def pings() -> Iterator[bytes]:
    for number in range(FRAMES):
        yield frame(PING, 0, 0, number.to_bytes(8, "big"))


def rapid_resets() -> Iterator[bytes]:
    """CVE-2023-44487: streams that are begun and reset at once."""
    block = head()
    for number in range(FRAMES):
        stream = 1 + 2 * number
        yield frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))


def provoked_resets() -> Iterator[bytes]:
    """CVE-2025-8671: streams that the server itself is made to reset."""
    block = head()
    for number in range(FRAMES):
        stream = 1 + 2 * number
        yield frame(HEADERS, END_HEADERS, stream, block) + frame(WINDOW_UPDATE, 0, stream, bytes(4))


def streams() -> Iterator[bytes]:
    """More calls at once than there may be."""
    block = head()
    for number in range(5_000):
        yield frame(HEADERS, END_HEADERS, 1 + 2 * number, block) + frame(DATA, 0, 1 + 2 * number, b"\0" * 3)


def continuations() -> Iterator[bytes]:
    """CVE-2024-27316: a header block without an end."""
    yield frame(HEADERS, 0, 1, head())
    for _ in range(FRAMES):
        yield frame(CONTINUATION, 0, 1, b"\x00\x01a\x40" + b"x" * 64)


def empty_continuations() -> Iterator[bytes]:
    yield frame(HEADERS, 0, 1, head())
    for _ in range(FRAMES):
        yield frame(CONTINUATION, 0, 1, b"")


def large_headers() -> Iterator[bytes]:
    """One long field in the table of HPACK, named again and again: small as it is sent."""
    encoder = Encoder()
    block = encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", "y" * 3_900)])
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, block)
    for number in range(1, 200):
        again = encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/")]) + b"\xbe" * 16_000
        yield frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * number, again)


def empty_data() -> Iterator[bytes]:
    yield frame(HEADERS, END_HEADERS, 1, head())
    for _ in range(FRAMES):
        yield frame(DATA, 0, 1, b"")


def padding() -> Iterator[bytes]:
    """Frames of nothing but padding."""
    yield frame(HEADERS, END_HEADERS, 1, head())
    for _ in range(200):
        yield frame(DATA, 8, 1, b"\xff" + bytes(255))


def priorities() -> Iterator[bytes]:
    for number in range(FRAMES):
        yield frame(PRIORITY, 0, 1 + 2 * number, bytes(4) + b"\x10")


def unknown_frames() -> Iterator[bytes]:
    for _ in range(FRAMES):
        yield frame(UNKNOWN, 0xFF, 0, b"x" * 32)


def windows() -> Iterator[bytes]:
    """Windows that grow beyond what there is."""
    yield frame(HEADERS, END_HEADERS, 1, head())
    for _ in range(100):
        yield frame(WINDOW_UPDATE, 0, 0, (0x7FFFFFFF).to_bytes(4, "big"))


def closed_windows() -> Iterator[bytes]:
    """Answers that are asked for and never taken."""
    yield frame(SETTINGS, 0, 0, INITIAL_WINDOW.to_bytes(2, "big") + bytes(4))
    for number in range(1_000):
        yield frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * number, head("/metrics", "GET"))


def huge_frame() -> Iterator[bytes]:
    yield frame(DATA, 0, 1, b"")[:0] + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(100_000)


FLOODS: tuple[Callable[[], Iterator[bytes]], ...] = (
    settings,
    pings,
    rapid_resets,
    provoked_resets,
    streams,
    continuations,
    empty_continuations,
    large_headers,
    empty_data,
    padding,
    priorities,
    unknown_frames,
    windows,
    closed_windows,
    huge_frame,
)


def flood(connection: socket.socket, frames: Iterator[bytes]) -> None:
    """Send as much as the backend takes without being read from; it may end the connection."""
    connection.settimeout(2.0)
    burst: list[bytes] = []
    with suppress(OSError):
        for one in frames:
            burst.append(one)
            if len(burst) == 256:
                connection.sendall(b"".join(burst))
                burst.clear()
        connection.sendall(b"".join(burst))


@pytest.mark.parametrize(
    ("attack", "port"),
    [
        pytest.param(attack, "http" if number % 2 else "grpc", id=attack.__name__)
        for number, attack in enumerate(FLOODS)
    ],
)
def test_others_are_served_in_a_flood(victim: Attacked, attack: Callable[[], Iterator[bytes]], port: str) -> None:
    """Both ports have the same server in front; each kind of flood goes to one of them."""
    with victim.connections(port, 2, PREFACE + frame(SETTINGS, 0, 0, b"")) as opened:
        for connection in opened:
            flood(connection, attack())
            victim.is_bounded()
        victim.serves()
