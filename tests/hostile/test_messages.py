"""Messages and headers that are larger than they may be, or than they look."""

from contextlib import suppress

import pytest

from backend.ingest.framing import DEFAULT_MESSAGE_LIMIT
from backend.server.access_logs import PATH
from backend.server.serving import HEAD
from bench.http2 import Broken, Connection, Stream, coalesced
from tests.hostile.attacked import Attacked, bomb
from tests.waiting import until

PORTS = ("grpc", "http")


def sent(victim: Attacked, port: str, body: bytes, *headers: tuple[str, str]) -> Stream:
    with Connection(victim.ports[port]) as connection:
        stream = connection.open(PATH, *headers)
        connection.send(stream, coalesced(body))
        if not stream.done:
            with suppress(OSError):
                connection.end(stream)
        return connection.answer(stream)


@pytest.mark.parametrize("port", PORTS)
def test_a_message_that_says_it_is_too_long_is_refused_before_it_comes(victim: Attacked, port: str) -> None:
    for size in (DEFAULT_MESSAGE_LIMIT + 1, 0xFFFFFFFF):
        stream = sent(victim, port, b"\0" + size.to_bytes(4, "big") + b"x" * 100)
        assert stream.headers["grpc-status"] == "8"
    victim.serves()


def test_messages_that_unfold_to_more_than_they_may_are_refused(victim: Attacked) -> None:
    gzipped = ("grpc-encoding", "gzip")
    for size in (DEFAULT_MESSAGE_LIMIT + 1, 4 * DEFAULT_MESSAGE_LIMIT):
        assert sent(victim, "grpc", bomb(size), gzipped).headers["grpc-status"] == "8"
        victim.is_bounded()
    victim.serves()


def test_many_that_unfold_to_just_what_they_may_take_turns(victim: Attacked) -> None:
    packed = bomb(DEFAULT_MESSAGE_LIMIT - 1)
    stream = sent(victim, "grpc", packed * 6, ("grpc-encoding", "gzip"))
    assert stream.headers["grpc-status"] in {"0", "8"}  # bytes that say nothing are no error of the stream
    victim.is_bounded()
    victim.serves()


@pytest.mark.parametrize("port", PORTS)
def test_streams_without_an_end_hold_no_more_than_all_may(victim: Attacked, port: str) -> None:
    opened = []
    try:
        for _ in range(16):  # messages of which 20 MiB come, together more than all may hold
            connection = Connection(victim.ports[port])
            opened.append(connection)
            stream = connection.open(PATH)
            with suppress(Broken, OSError):
                connection.send(stream, [b"\0" + (40 << 20).to_bytes(4, "big")])
                for _ in range(20):
                    if not connection.ready(stream, 16_384, patience=0.2):
                        break
                    connection.send(stream, coalesced(bytes(1 << 20)))
            victim.is_bounded()
    finally:
        for connection in opened:
            connection.close()
    until(lambda: victim.metric("pyrover_backend_buffered_bytes") < (200 << 20), "room again")
    victim.serves()


@pytest.mark.parametrize("port", PORTS[:1])
@pytest.mark.parametrize("fields", [1, 60, 5_000])
def test_headers_that_are_too_many_or_too_long(victim: Attacked, port: str, fields: int) -> None:
    value = "x" * (2 * HEAD // fields)
    request = "GET /api/status HTTP/1.1\r\nHost: a\r\n" + f"X: {value}\r\n" * fields + "\r\n"
    with victim.connections(port, 1, request.encode()) as (connection,), suppress(ConnectionError):
        told = connection.recv(65_536)
        assert not told or told.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 413")), told[:100]
    victim.serves()


@pytest.mark.parametrize("path", ["/graphql", "/api/v1/query", "/api/reload", "/nowhere"])
def test_bodies_without_an_end_are_not_kept(victim: Attacked, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900000000\r\n\r\n"
    with victim.connections("http", 8, head.encode()) as opened:
        for connection in opened:
            connection.settimeout(1.0)
            with suppress(OSError):
                for _ in range(16):
                    connection.sendall(bytes(1 << 20))
            victim.is_bounded()
        victim.serves()
