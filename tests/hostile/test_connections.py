"""Connections that take their time, say nothing, or are too many: others are served meanwhile."""

import socket
import struct

import pytest
from hpack import Encoder

from backend.server.access_logs import PATH
from bench.http2 import DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, frame
from tests.hostile.attacked import Attacked, closed
from tests.waiting import until

PORTS = ("grpc", "http")
OPEN = PREFACE + frame(SETTINGS, 0, 0, b"")
BEGINNINGS = {
    "nothing": b"",
    "half a head of HTTP/1": b"GET /api/status HTTP/1.1\r\nHost: a\r\nX-",
    "half a body of HTTP/1": b"POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nq",
    "half a preface": PREFACE[:10],
    "half a frame": OPEN + frame(HEADERS, END_HEADERS, 1, b"x" * 100)[:20],
    "half a header block": OPEN + frame(HEADERS, 0, 1, Encoder().encode([(":method", "POST")])),
}


def call() -> bytes:
    """A call that begins and goes on for ever."""
    head = [(":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", "a")]
    block = Encoder().encode([*head, ("te", "trailers"), ("content-type", "application/grpc")])
    return OPEN + frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 0, 1, b"\0\0\0")


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("begin", [*BEGINNINGS, "half a message"])
def test_slow_ones(victim: Attacked, port: str, begin: str) -> None:
    with victim.connections(
        port, 300, BEGINNINGS.get(begin) or (call() if begin == "half a message" else b"")
    ) as opened:
        victim.serves()
        for connection in opened:
            try:
                connection.sendall(b"x")
            except OSError:
                continue  # it has been ended
        victim.serves()


@pytest.mark.parametrize("port", PORTS)
def test_those_that_never_say_what_they_want_are_ended(victim: Attacked, port: str) -> None:
    with victim.connections(port, 20, b"") as opened:
        until(lambda: all(map(closed, opened)), "all ended")
    with victim.connections(port, 20, BEGINNINGS["half a head of HTTP/1"]) as opened:
        until(lambda: all(map(closed, opened)), "all ended")


@pytest.mark.parametrize("port", PORTS)
def test_those_that_break_off(victim: Attacked, port: str) -> None:
    for begin in (b"", call(), BEGINNINGS["half a head of HTTP/1"]):
        with victim.connections(port, 200, begin) as opened:
            for connection in opened:  # a reset instead of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        victim.serves()


@pytest.mark.parametrize("port", PORTS)
def test_ten_thousand_connections_keep_nobody_out(victim: Attacked, port: str) -> None:
    name = 'pyrover_backend_connections_ended_total{cause="crowding"}'
    before = victim.metric(name)
    with victim.connections(port, 10_000, OPEN):
        victim.serves()
        assert victim.metric(name) > before
    victim.serves()
