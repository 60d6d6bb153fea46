"""A connection beside peers that behave and misbehave."""

import os
import random
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, PingAckReceived, StreamReset
from h2.settings import SettingCodes
from hpack import HeaderTuple
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.grpc.client import GrpcClient
from common.grpc.http2 import BURST, ConnectionLost, Http2Connection
from common.grpc.patience import Expired, Interrupter, Patience
from common.grpc.status import Status
from tests.common.grpc.calling import BODY, call, client
from tests.common.grpc.peer import Peer, Peers, greeted

LARGE = bytes(range(256)) * 4_000  # some times the window that there is at the beginning
DEFAULT_WINDOW = 65_535
HEADERS = [HeaderTuple(f":{name}", "/") for name in ("method", "scheme", "path", "authority")]


def goaway(last: int, code: int = 0, said: bytes = b"") -> bytes:
    return GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=said).serialize()


@pytest.mark.parametrize("body", [(), (b"",), (BODY,), (BODY, b"", LARGE)], ids=["nothing", "empty", "small", "large"])
def test_a_body_arrives_as_it_is_and_the_connection_is_kept(body: tuple[bytes, ...]) -> None:
    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        assert [call(opened, body).status for _ in range(3)] == [Status.OK] * 3
    (peer,) = peers.connections
    assert [bytes(request.body) for request in peer.requests.values()] == [b"".join(body)] * 3
    assert all(request.ended for request in peer.requests.values())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60_000), max_size=5),
    window=st.integers(1, 100_000),
    later=st.integers(0, 100_000),
    frame=st.integers(16_384, 200_000),
    grants=st.lists(st.tuples(st.integers(500, 60_000), st.integers(500, 60_000)), min_size=1, max_size=8),
)
def test_whatever_the_windows_are_the_server_gets_the_bytes_that_were_sent(
    sizes: list[int], window: int, later: int, frame: int, grants: list[tuple[int, int]]
) -> None:
    def play(peer: Peer) -> None:
        peer.grant = False
        stream = peer.request(whole=False)
        # In the middle of the body the window of streams changes, by which that of this one can become negative.
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: later})
        turn = 0
        while not peer.requests[stream].ended:
            for_stream, for_connection = grants[turn % len(grants)]
            turn += 1
            peer.h2.increment_flow_control_window(for_stream, stream)
            peer.h2.increment_flow_control_window(for_connection)
            peer.write()
            if select.select([peer.socket], [], [], 0.001)[0]:  # else there is no room yet
                peer.read()
        peer.answer(stream)
        peer.until(lambda _: False)

    pieces = [random.Random(size).randbytes(size) for size in sizes]
    offered = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_FRAME_SIZE: frame}
    peers = Peers(greeted(play), settings=offered)
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, pieces)
        assert answer.status is Status.OK, (answer, peers.failures)
    (peer,) = peers.connections
    assert bytes(peer.requests[1].body) == b"".join(pieces)


def test_a_server_that_gives_no_room_holds_the_sending_and_nothing_piles_up() -> None:
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(16_384)

    def play(peer: Peer) -> None:
        peer.grant = False
        peer.until(lambda _: any(isinstance(event, StreamReset) for event in peer.events))

    peers = Peers(greeted(play))
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, body(), timeout=0.3)
    assert answer.status is Status.DEADLINE_EXCEEDED
    assert answer.message == f"0.3 s are over while waiting for 127.0.0.1:{port} to take the whole request"
    (peer,) = peers.connections
    assert len(peer.requests[1].body) == DEFAULT_WINDOW
    assert taken == DEFAULT_WINDOW // 16_384 + 1  # the last one in part
    (reset,) = (event for event in peer.events if isinstance(event, StreamReset))
    assert reset.error_code == ErrorCodes.CANCEL


def test_a_server_that_does_not_read_holds_the_sending_and_nothing_piles_up() -> None:
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(BURST)

    over = threading.Event()

    def play(peer: Peer) -> None:
        peer.request(whole=False)
        peer.h2.increment_flow_control_window(2**31 - 1 - peer.h2.inbound_flow_control_window)
        peer.h2.increment_flow_control_window(2**30, 1)
        peer.write()
        over.wait(30)

    with Peers(greeted(play)).listen() as port, client(port) as opened:
        assert call(opened, body(), timeout=0.5).status is Status.DEADLINE_EXCEEDED
        over.set()
    # What the kernel takes for a connection, and a burst.
    sizes = [int(Path(f"/proc/sys/net/ipv4/tcp_{name}").read_text().split()[2]) for name in ("wmem", "rmem")]
    assert taken <= sum(sizes) / BURST + 2


def test_a_refusal_ends_the_sending() -> None:
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(16_384)

    def play(peer: Peer) -> None:
        stream = peer.request(whole=False)
        peer.grant = False
        peer.answer(stream, 3, grpc_message="too%20much")
        peer.until(lambda _: any(isinstance(event, StreamReset) for event in peer.events))
        peer.grant = True
        peer.h2.increment_flow_control_window(DEFAULT_WINDOW)
        peer.write()
        peer.answer(peer.request())

    peers = Peers(greeted(play))
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, body())
        assert (answer.status, answer.message) == (Status.INVALID_ARGUMENT, "too much")
        assert taken <= DEFAULT_WINDOW // 16_384 * 2
        assert call(opened).status is Status.OK
    (peer,) = peers.connections
    assert bytes(peer.requests[3].body) == BODY


def test_a_refusal_with_a_reset_behind_it_is_the_answer() -> None:
    def play(peer: Peer) -> None:
        stream = peer.request(whole=False)
        peer.h2.send_headers(stream, [(":status", "200"), ("grpc-status", "7")], end_stream=True)
        peer.h2.reset_stream(stream, ErrorCodes.NO_ERROR)
        peer.write()
        peer.until(lambda _: False)

    with Peers(greeted(play)).listen() as port, client(port) as opened:
        assert call(opened, (LARGE,)).status is Status.PERMISSION_DENIED


def test_an_answer_is_heard_although_the_server_then_breaks_the_connection() -> None:
    def play(peer: Peer) -> None:
        stream = peer.request(whole=False)
        peer.h2.send_headers(stream, [(":status", "200"), ("grpc-status", "7")], end_stream=True)
        peer.write()
        # close(2) sends RST: writing fails from then on.
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    peers = Peers(greeted(play))
    with peers.listen() as port, client(port) as opened:
        assert call(opened, (LARGE,)).status is Status.PERMISSION_DENIED


@pytest.mark.parametrize("pieces", [1, 2], ids=["at once", "later"])
def test_goaway_lets_the_request_end_that_the_server_has_taken_on(pieces: int) -> None:
    def leave(peer: Peer) -> None:
        stream = peer.request(whole=False)
        ping = PingFrame(0, b"12345678").serialize()
        peer.write(goaway(2**31 - 1) + ping)
        peer.until(lambda _: any(isinstance(event, PingAckReceived) for event in peer.events))
        last = goaway(stream)
        if pieces > 1:
            peer.write(last)
            last = b""
        peer.until(lambda _: peer.requests[stream].ended)
        peer.socket.sendall(last)
        peer.answer(stream)
        peer.until(lambda _: False)

    peers = Peers(greeted(leave), greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        assert call(opened, (LARGE,)).status is Status.OK
        assert call(opened).status is Status.OK
    first, second = peers.connections
    assert bytes(first.requests[1].body) == LARGE
    assert bytes(second.requests[1].body) == BODY


def test_goaway_for_a_request_that_the_server_has_not_taken_on_ends_it() -> None:
    def leave(peer: Peer) -> None:
        peer.request(whole=False)
        peer.write(goaway(0, ErrorCodes.ENHANCE_YOUR_CALM, b"too many pings"))
        peer.until(lambda _: False)

    peers = Peers(greeted(leave), greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, (LARGE,))
        assert answer.status is Status.UNAVAILABLE
        assert answer.message == (
            f"127.0.0.1:{port}: it takes no more requests on this connection"
            " (GOAWAY ENHANCE_YOUR_CALM: b'too many pings')"
        )
        assert call(opened).status is Status.OK


def test_goaway_with_an_error_says_why_the_connection_closed() -> None:
    def leave(peer: Peer) -> None:
        stream = peer.request()
        peer.write(goaway(stream, ErrorCodes.INTERNAL_ERROR))

    with Peers(greeted(leave)).listen() as port, client(port) as opened:
        answer = call(opened)
    assert answer.status is Status.UNAVAILABLE
    assert answer.message == f"127.0.0.1:{port}: it closed the connection (GOAWAY INTERNAL_ERROR)"


@pytest.mark.parametrize(
    "farewell", [b"", goaway(1), b"garbage that is no frame at all"], ids=["none", "goaway", "rot"]
)
def test_a_connection_that_was_closed_while_idle_costs_no_attempt(farewell: bytes) -> None:
    idle = threading.Event()

    def leave(peer: Peer) -> None:
        peer.answer(peer.request())
        idle.wait(30)
        peer.write(farewell)

    peers = Peers(greeted(leave), greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        assert call(opened).status is Status.OK
        idle.set()
        _await_readable(opened)
        assert call(opened).status is Status.OK
    assert len(peers.connections) == 2


def test_an_answer_counts_whatever_comes_behind_it() -> None:
    def play(peer: Peer) -> None:
        stream = peer.request()
        peer.h2.send_headers(stream, [(":status", "200"), ("grpc-status", "0")], end_stream=True)
        peer.write(b"garbage that is no frame at all")
        peer.until(lambda _: False)

    peers = Peers(greeted(play))
    with peers.listen() as port, client(port) as opened:
        assert [call(opened).status for _ in range(3)] == [Status.OK] * 3
    assert len(peers.connections) == 3


def test_what_came_while_idle_is_answered() -> None:
    idle = threading.Event()

    def play(peer: Peer) -> None:
        peer.answer(peer.request())
        idle.wait(30)
        peer.h2.ping(b"12345678")
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000})
        peer.write()
        peer.answer(peer.request())

    peers = Peers(greeted(play))
    with peers.listen() as port, client(port) as opened:
        assert call(opened).status is Status.OK
        idle.set()
        _await_readable(opened)
        assert call(opened, (LARGE,)).status is Status.OK
    (peer,) = peers.connections
    assert any(isinstance(event, PingAckReceived) for event in peer.events)


def test_a_closed_connection_ends_the_attempt_and_not_the_next_one() -> None:
    def leave(peer: Peer) -> None:
        peer.request(whole=False)

    peers = Peers(greeted(leave), greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, (LARGE,))
        assert answer.status is Status.UNAVAILABLE
        assert answer.message.startswith(f"127.0.0.1:{port}: ")
        assert call(opened, (LARGE,)).status is Status.OK


def test_a_server_that_never_answers_ends_the_attempt_at_the_deadline_and_not_the_next_one() -> None:
    def wait(peer: Peer) -> None:
        peer.until(lambda _: any(isinstance(event, StreamReset) for event in peer.events))

    peers = Peers(greeted(wait), greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, timeout=0.2)
        assert answer.status is Status.DEADLINE_EXCEEDED
        assert answer.message == f"0.2 s are over while waiting for 127.0.0.1:{port} to answer"
        assert call(opened).status is Status.OK
    assert [len(peer.requests) for peer in peers.connections] == [1, 1]


def test_a_server_that_takes_one_request_at_a_time_is_waited_for() -> None:
    def play(peer: Peer) -> None:
        peer.until(lambda _: peer.events)
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        peer.write()
        peer.serve()

    peers = Peers(greeted(play), settings={SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    with peers.listen() as port, client(port) as opened:
        assert [call(opened).status for _ in range(2)] == [Status.OK] * 2


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


def test_when_there_are_no_numbers_for_streams_any_more_another_connection_is_made() -> None:
    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        assert call(opened).status is Status.OK
        connection = opened._connection
        assert connection is not None
        connection._h2.highest_outbound_stream_id = 2**31 - 1
        assert call(opened).status is Status.OK
    assert len(peers.connections) == 2


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


def _await_readable(opened: GrpcClient) -> None:
    """Wait until the server has said something to an idle connection."""
    connection = opened._connection
    assert connection is not None
    poll = select.poll()
    poll.register(connection._channel.fileno(), select.POLLIN)
    assert poll.poll(30_000)
