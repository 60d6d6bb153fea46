"""Whole calls: what is sent, where to, and how another thread ends them."""

import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, StreamReset
from h2.settings import SettingCodes

from common.grpc import client as client_module
from common.grpc.client import GrpcClient
from common.grpc.messages import frame_messages
from common.grpc.patience import Interrupted
from common.grpc.status import Status
from common.version import installed_version
from tests.common.grpc.calling import BODY, PATH, SHORT, call, client
from tests.common.grpc.names import resolve
from tests.common.grpc.passing_time import pass_time_only_while
from tests.common.grpc.peer import Peer, Peers, greeted
from tests.waiting import PATIENCE


def test_the_headers_of_a_call() -> None:
    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        metadata = (("authentication", "secret"), ("pyrover-batch-id", "1"))
        answer = opened.call(PATH, metadata, (BODY,), 99_999.9995)
        assert answer.status is Status.OK
        opened.call(PATH, (), (BODY,), None)
    first, second = (request.headers for request in peers.connections[0].requests.values())
    constant = {
        ":method": "POST",
        ":scheme": "http",
        ":path": PATH,
        ":authority": f"127.0.0.1:{port}",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": f"tests/{installed_version()}",
    }
    timeout = first.pop("grpc-timeout")
    assert first == constant | dict(metadata)
    assert timeout.endswith("m")
    assert 99_900_000 < int(timeout[:-1]) <= 99_999_999
    assert second == constant
    assert list(second)[:4] == [":method", ":scheme", ":path", ":authority"]


def test_the_answers_trailers_are_told() -> None:
    def play(peer: Peer) -> None:
        peer.answer(peer.request(), pyrover_dropped="a=1")

    with Peers(greeted(play)).listen() as port, client(port) as opened:
        assert call(opened).trailers == {"grpc-status": "0", "pyrover-dropped": "a=1"}


def test_a_server_on_ipv6() -> None:
    with Peers(greeted(Peer.serve)).listen("::1") as port, client(port, "[::1]") as opened:
        assert call(opened).status is Status.OK


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_address_of_a_name_is_tried(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["::1", "127.0.0.1"])
    with Peers(greeted(Peer.serve)).listen(host) as port, client(port, "name") as opened:
        assert call(opened).status is Status.OK


def test_when_no_address_takes_a_connection_each_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["::1", "127.0.0.1", "127.77.0.2"])
    with Peers(lambda peer: peer.write(b"220 hello\r\n")).listen("127.77.0.2") as port, client(port, "name") as opened:
        answer = call(opened)
    assert answer.status is Status.UNAVAILABLE
    assert answer.message == (
        f"[::1]:{port}: Connection refused; 127.0.0.1:{port}: Connection refused; "
        f"127.77.0.2:{port}: it does not speak HTTP/2; it begins with b'220 hello\\r\\n'"
    )


def test_an_address_that_says_nothing_does_not_use_up_the_time_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ADDRESS_SECONDS", 0.1)
    resolve(monkeypatch, ["127.77.0.2", "127.0.0.1"])
    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, socket.create_server(("127.77.0.2", port)), client(port, "name") as opened:
        assert call(opened).status is Status.OK


def test_a_name_without_an_address() -> None:
    with client(80, "no-such-name.invalid") as opened:
        answer = call(opened)
    assert answer.status is Status.UNAVAILABLE
    assert answer.message.startswith("no-such-name.invalid has no address: ")


def test_time_that_is_over_at_once() -> None:
    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        assert call(opened).status is Status.OK
        answer = call(opened, timeout=0)
        assert (answer.status, answer.message) == (Status.DEADLINE_EXCEEDED, "0 s are over while beginning")
        assert call(opened).status is Status.OK
    assert sum(len(peer.requests) for peer in peers.connections) == 2  # that one was not sent


def test_what_the_body_raises_is_passed_on_and_the_server_told() -> None:
    def body() -> Iterator[bytes]:
        yield BODY
        raise RuntimeError("damaged")

    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        with pytest.raises(RuntimeError, match="damaged"):
            call(opened, body())
        opened.close()
    (reset,) = (event for event in peers.connections[0].events if isinstance(event, StreamReset))
    assert reset.error_code == ErrorCodes.CANCEL


def test_a_message_leaves_before_the_next_one_is_asked_for() -> None:
    arrived = threading.Event()

    def play(peer: Peer) -> None:
        peer.until(lambda _: any(request.body for request in peer.requests.values()))
        arrived.set()
        peer.serve()

    def messages() -> Iterator[bytes]:
        yield b"first"
        assert arrived.wait(PATIENCE)
        yield b"second"

    with Peers(greeted(play)).listen() as port, client(port) as opened:
        assert call(opened, frame_messages(messages(), 1)).status is Status.OK


def test_leaving_is_said() -> None:
    peers = Peers(greeted(Peer.serve))
    with peers.listen() as port, client(port) as opened:
        assert call(opened).status is Status.OK
    assert any(isinstance(event, ConnectionTerminated) for event in peers.connections[0].events)


def _silent(_: Peer, interrupt: Callable[[], None]) -> None:
    interrupt()


def _settled(peer: Peer, interrupt: Callable[[], None]) -> None:
    peer.greet()
    peer.until(lambda _: peer.events)
    interrupt()


def _asked(peer: Peer, interrupt: Callable[[], None]) -> None:
    peer.greet()
    peer.request()
    interrupt()


def _without_room(peer: Peer, interrupt: Callable[[], None]) -> None:
    peer.grant = False
    peer.greet()
    peer.until(lambda _: any(len(request.body) == 65_535 for request in peer.requests.values()))
    interrupt()


def _unread(peer: Peer, interrupt: Callable[[], None]) -> None:
    peer.greet()
    peer.request(whole=False)
    peer.h2.increment_flow_control_window(2**30)
    peer.h2.increment_flow_control_window(2**30, 1)
    peer.write()
    interrupt()


@pytest.mark.parametrize("scene", [_silent, _settled, _asked, _without_room, _unread])
def test_another_thread_ends_a_call(scene: Callable[[Peer, Callable[[], None]], None]) -> None:
    clients: list[GrpcClient] = []

    def play(peer: Peer) -> None:
        scene(peer, clients[0].interrupt)
        peer.until(lambda _: any(isinstance(event, StreamReset | ConnectionTerminated) for event in peer.events))

    limits = {SettingCodes.MAX_CONCURRENT_STREAMS: 0} if scene is _settled else {}
    body = (BODY,) if scene is _asked else (os.urandom(1_000) * 100_000,)
    with Peers(play, greeted(Peer.serve), settings=limits).listen() as port, client(port) as opened:
        clients.append(opened)
        with pytest.raises(Interrupted):
            call(opened, body)


def test_after_an_interruption_the_connection_goes_on() -> None:
    clients: list[GrpcClient] = []

    def play(peer: Peer) -> None:
        peer.request()
        clients[0].interrupt()
        peer.answer(peer.request())

    peers = Peers(greeted(play))
    with peers.listen() as port, client(port) as opened:
        clients.append(opened)
        opened.interrupt()  # nothing is under way: it ends nothing
        with pytest.raises(Interrupted):
            call(opened)
        opened.interrupt()
        assert call(opened).status is Status.OK
    assert len(peers.connections) == 1


def test_a_call_that_connects_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server whose queue of connections is full answers no further ones.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, client(server.getsockname()[1]) as opened:
        waiting = [socket.create_connection(server.getsockname()) for _ in range(1)]
        ended = threading.Event()

        def interrupt() -> None:
            while not ended.wait(0.01):  # one that comes before the call has begun ends nothing
                opened.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(Interrupted):
            call(opened)
        ended.set()
        thread.join()
        pass_time_only_while(monkeypatch, "connecting to")
        answer = call(opened, timeout=SHORT)
        assert answer.status is Status.DEADLINE_EXCEEDED
        assert answer.message == f"{SHORT:g} s are over while connecting to 127.0.0.1:{server.getsockname()[1]}"
        for each in waiting:
            each.close()
