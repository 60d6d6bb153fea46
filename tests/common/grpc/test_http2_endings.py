"""How connections end, and what that costs requests."""

import select
import threading

import pytest
from h2.errors import ErrorCodes
from h2.events import PingAckReceived, StreamReset
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame, PingFrame

from common.grpc.client import GrpcClient
from common.grpc.status import Status
from tests.common.grpc.calling import BODY, SHORT, call, client
from tests.common.grpc.passing_time import pass_time_only_while
from tests.common.grpc.peer import Peer, Peers, greeted
from tests.waiting import PATIENCE

LARGE = bytes(range(256)) * 4_000  # some times the window that there is at the beginning


def goaway(last: int, code: int = 0, said: bytes = b"") -> bytes:
    return GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=said).serialize()


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
        idle.wait(PATIENCE)
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
        idle.wait(PATIENCE)
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


def test_a_server_that_never_answers_ends_the_attempt_at_the_deadline_and_not_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pass_time_only_while(monkeypatch, "to answer")

    def wait(peer: Peer) -> None:
        peer.until(lambda _: any(isinstance(event, StreamReset) for event in peer.events))

    peers = Peers(greeted(wait), greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        answer = call(opened, timeout=SHORT)
        assert answer.status is Status.DEADLINE_EXCEEDED
        assert answer.message == f"{SHORT:g} s are over while waiting for 127.0.0.1:{port} to answer"
        assert call(opened).status is Status.OK
    assert [len(peer.requests) for peer in peers.connections] == [1, 1]


def test_when_there_are_no_numbers_for_streams_any_more_another_connection_is_made() -> None:
    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        assert call(opened).status is Status.OK
        connection = opened._connection
        assert connection is not None
        connection._h2.highest_outbound_stream_id = 2**31 - 1
        assert call(opened).status is Status.OK
    assert len(peers.connections) == 2


def _await_readable(opened: GrpcClient) -> None:
    """Wait until the server has said something to an idle connection."""
    connection = opened._connection
    assert connection is not None
    poll = select.poll()
    poll.register(connection._channel.fileno(), select.POLLIN)
    assert poll.poll(PATIENCE * 1000)
