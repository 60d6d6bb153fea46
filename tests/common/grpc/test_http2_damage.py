"""Peers that speak something else, or too much."""

import os
import select
import socket
from contextlib import suppress

import pytest
from h2.events import ConnectionTerminated
from h2.settings import SettingCodes
from hpack import HeaderTuple
from hyperframe.frame import PingFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from common.grpc.http2 import BURST, ConnectionLost, Http2Connection
from common.grpc.patience import Expired, Interrupter, Patience
from common.grpc.status import Status
from tests.common.grpc.calling import call, client
from tests.common.grpc.peer import Peer, Peers, greeted

LARGE = bytes(range(256)) * 4_000  # some times the window that there is at the beginning
HEADERS = [HeaderTuple(f":{name}", "/") for name in ("method", "scheme", "path", "authority")]


def test_huge_settings_take_no_memory() -> None:
    entries = b"".join(number.to_bytes(2, "big") + b"\xff" * 4 for number in range(100, 2_800))
    unknown = len(entries).to_bytes(3, "big") + bytes([4, 0, 0, 0, 0, 0]) + entries

    def play(peer: Peer) -> None:
        peer.greet()
        peer.write(unknown)
        peer.serve()

    largest = {
        SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1,
        SettingCodes.MAX_CONCURRENT_STREAMS: 2**32 - 1,
        SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1,
        SettingCodes.MAX_FRAME_SIZE: 2**24 - 1,
        SettingCodes.MAX_HEADER_LIST_SIZE: 2**32 - 1,
    }
    peers = Peers(play, settings=largest)
    with peers.listen() as port, client(port) as opened:
        for number in range(50):
            metadata = (("authentication", "secret"), ("id", str(number)))
            assert opened.call("/path", metadata, (LARGE,), 30 + number).status is Status.OK
        connection = opened._connection
        assert connection is not None
        names = {name for name, _ in connection._h2.encoder.header_table.dynamic_entries}
    assert names == {b":path", b":authority", b"te", b"content-type", b"user-agent"}
    (peer,) = peers.connections
    assert all(request.body == LARGE for request in peer.requests.values())
    assert [request.headers["id"] for request in peer.requests.values()] == list(map(str, range(50)))


@pytest.mark.parametrize("size", [1, 5, 1_000])
def test_an_answer_in_http_1_is_named(size: int) -> None:
    said = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def play(peer: Peer) -> None:
        for start in range(0, len(said), size):
            peer.socket.sendall(said[start : start + size])
        peer.until(lambda _: False)

    with Peers(play).listen() as port, client(port) as opened:
        answer = call(opened)
    assert answer.status is Status.UNAVAILABLE
    assert answer.message.startswith(f"127.0.0.1:{port}: it answers in HTTP/1 instead of HTTP/2: 'HTTP/")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"220 mail.example ESMTP\r\n", "it does not speak HTTP/2; it begins with b'220 mail.example ESMTP\\r\\n'"),
        (b"\x15\x03\x03\x00\x02\x02\x46garbage", "it does not speak HTTP/2; it begins with b'\\x15\\x03"),
        (b"", "it closed the connection"),
        (b"\0\0", "it closed the connection"),
        (SettingsFrame(0).serialize() + b"\xff" * 20, "it breaks the rules of HTTP/2: "),
        (SettingsFrame(0, {4: 2**31}).serialize(), "it breaks the rules of HTTP/2: "),
    ],
)
def test_what_does_not_speak_http_2_is_named(said: bytes, expected: str) -> None:
    def play(peer: Peer) -> None:
        peer.socket.sendall(said)
        peer.socket.shutdown(socket.SHUT_WR)
        while peer.socket.recv(65_536):
            pass

    with Peers(play).listen() as port, client(port) as opened:
        answer = call(opened)
    assert answer.status is Status.UNAVAILABLE
    assert answer.message.startswith(f"127.0.0.1:{port}: {expected}")


@settings(max_examples=200, deadline=None)
@given(
    greets=st.booleans(), frames=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 255), st.binary(max_size=40)))
)
def test_no_bytes_make_a_call_raise(frames: list[tuple[int, int, bytes]], *, greets: bool) -> None:
    said = b"".join(
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + (index % 3).to_bytes(4, "big") + body
        for index, (kind, flags, body) in enumerate(frames)
    )
    channel = ScriptedChannel((SettingsFrame(0).serialize() if greets else b"") + said)
    with Interrupter() as interrupter:
        connection = Http2Connection(channel, "peer")
        with suppress(ConnectionLost):
            connection.start(Patience(30, interrupter))
            connection.request(HEADERS, (), Patience(30, interrupter))
        connection.close()
    interrupter.close()
    channel.close()


def test_a_flood_of_pings_to_a_client_that_cannot_answer_is_bounded() -> None:
    ping = PingFrame(0, b"12345678").serialize()
    channel = ScriptedChannel(SettingsFrame(0).serialize(), again=ping * 1_000, takes=0)
    with Interrupter() as interrupter:
        connection = Http2Connection(channel, "peer")
        connection.start(Patience(30, interrupter))
        patience = Patience(0.3, interrupter)
        with pytest.raises(Expired):
            connection.request(HEADERS, (), patience)
        assert len(connection._out) <= 2 * BURST + len(ping) * 1_000
        assert not channel.closed
        while connection.is_usable() and len(connection._out) < BURST:
            pass
        assert len(connection._out) <= 2 * BURST + 2 * len(ping) * 1_000
    interrupter.close()
    channel.close()


def test_the_servers_words_are_bounded() -> None:
    def play(peer: Peer) -> None:
        stream = peer.request()
        fields = [(":status", "200"), ("grpc-status", "13"), ("grpc-message", "x" * 40_000)]
        peer.h2.send_headers(stream, fields, end_stream=True)
        peer.write()
        peer.until(lambda _: any(isinstance(event, ConnectionTerminated) for event in peer.events))

    with Peers(greeted(play)).listen() as port, client(port) as opened:
        answer = call(opened)
    assert answer.status is Status.UNAVAILABLE
    assert "Oversized header block" in answer.message


class ScriptedChannel:
    """Says what it is told to, then something again and again, or ends; always ready."""

    read_on = select.POLLIN
    write_on = select.POLLIN

    def __init__(self, said: bytes, again: bytes = b"", takes: int = 65_536) -> None:
        self._said = said
        self._again = again
        self._takes = takes
        self._event = os.eventfd(1)
        self.closed = False

    def fileno(self) -> int:
        return self._event

    def receive(self) -> bytes | None:
        said, self._said = self._said, b""
        return said or self._again

    def send(self, data: memoryview) -> int:
        return min(len(data), self._takes)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._event)
