"""What a connection sends, and when it stops."""

import random
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset
from h2.settings import SettingCodes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.grpc.http2 import BURST
from common.grpc.status import Status
from tests.common.grpc.calling import BODY, SHORT, call, client
from tests.common.grpc.passing_time import pass_time_only_while
from tests.common.grpc.peer import Peer, Peers, greeted
from tests.waiting import PATIENCE

LARGE = bytes(range(256)) * 4_000  # some times the window that there is at the beginning
DEFAULT_WINDOW = 65_535


class Endless:
    """A body without an end, in pieces of so many bytes; counts those that were taken of it."""

    def __init__(self, size: int) -> None:
        self.taken = 0
        self._piece = bytes(size)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 1
            yield self._piece


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


def test_a_server_that_gives_no_room_holds_the_sending_and_nothing_piles_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pass_time_only_while(monkeypatch, "to take the whole request")
    body = Endless(16_384)

    def play(peer: Peer) -> None:
        peer.grant = False
        peer.until(lambda _: any(isinstance(event, StreamReset) for event in peer.events))

    peers = Peers(greeted(play))
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, body, timeout=SHORT)
    assert answer.status is Status.DEADLINE_EXCEEDED
    assert answer.message == f"{SHORT:g} s are over while waiting for 127.0.0.1:{port} to take the whole request"
    (peer,) = peers.connections
    assert len(peer.requests[1].body) == DEFAULT_WINDOW
    assert body.taken == DEFAULT_WINDOW // 16_384 + 1  # the last one in part
    (reset,) = (event for event in peer.events if isinstance(event, StreamReset))
    assert reset.error_code == ErrorCodes.CANCEL


def test_a_server_that_does_not_read_holds_the_sending_and_nothing_piles_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pass_time_only_while(monkeypatch, "to take the whole request")
    body = Endless(BURST)

    over = threading.Event()

    def play(peer: Peer) -> None:
        peer.request(whole=False)
        peer.h2.increment_flow_control_window(2**31 - 1 - peer.h2.inbound_flow_control_window)
        peer.h2.increment_flow_control_window(2**30, 1)
        peer.write()
        over.wait(PATIENCE)

    with Peers(greeted(play)).listen() as port, client(port) as opened:
        assert call(opened, body, timeout=SHORT).status is Status.DEADLINE_EXCEEDED
        over.set()
    # What the kernel takes for a connection, and a burst.
    sizes = [int(Path(f"/proc/sys/net/ipv4/tcp_{name}").read_text().split()[2]) for name in ("wmem", "rmem")]
    assert body.taken <= sum(sizes) / BURST + 2


def test_a_refusal_ends_the_sending() -> None:
    body = Endless(16_384)

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
        answer = call(opened, body)
        assert (answer.status, answer.message) == (Status.INVALID_ARGUMENT, "too much")
        assert body.taken <= DEFAULT_WINDOW // 16_384 * 2
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


def test_a_server_that_takes_one_request_at_a_time_is_waited_for() -> None:
    def play(peer: Peer) -> None:
        peer.until(lambda _: peer.events)
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        peer.write()
        peer.serve()

    peers = Peers(greeted(play), settings={SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    with peers.listen() as port, client(port) as opened:
        assert [call(opened).status for _ in range(2)] == [Status.OK] * 2
