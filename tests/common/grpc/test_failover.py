"""Which of several servers is called. Each server is real; names have the addresses that a test says."""

import logging
import socket
import threading
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.grpc import client as client_module
from common.grpc import failover as failover_module
from common.grpc.addresses import LARGEST_NUMBER
from common.grpc.answers import Answer
from common.grpc.failover import FailoverClient
from common.grpc.status import Status
from tests.common.grpc.calling import BODY, PATH, SHORT
from tests.common.grpc.names import resolve
from tests.common.grpc.passing_time import pass_time_only_while
from tests.common.grpc.peer import Peer, Peers, greeted
from tests.waiting import PATIENCE


def failing(*statuses: int) -> Peers:
    """A server whose answers have these statuses, in each connection from the beginning; then OK."""

    def play(peer: Peer) -> None:
        for status in statuses:
            peer.answer(peer.request(), status)
        peer.serve()

    return Peers(greeted(play), greeted(Peer.serve))


def requests(peers: Peers) -> int:
    return sum(len(peer.requests) for peer in peers.connections)


def calls(client: FailoverClient, number: int) -> list[tuple[str, Status]]:
    """Where calls went, and what they came to."""
    made = []
    for _ in range(number):
        address = client.address
        made.append((address, client.call(PATH, (), (BODY,), PATIENCE).status))
    return made


def opened(stack: ExitStack, *servers: Peers) -> tuple[FailoverClient, list[str]]:
    addresses = [f"127.0.0.1:{stack.enter_context(server.listen())}" for server in servers]
    client = FailoverClient(",".join(addresses), "tests")
    stack.callback(client.close)
    return client, addresses


def test_the_first_one_is_called_as_long_as_it_answers() -> None:
    servers = failing(), failing()
    with ExitStack() as stack:
        client, (first, _) = opened(stack, *servers)
        assert calls(client, 3) == [(first, Status.OK)] * 3
    assert [requests(server) for server in servers] == [3, 0]
    assert (client.failures, client.moves) == ({}, 0)
    assert client.connections == dict(zip(client._addresses, [1, 0], strict=True))


def test_after_a_failure_the_next_one_is_called_and_kept_though_the_first_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, failover_module.__name__)
    servers = failing(0, Status.UNAVAILABLE), failing(), failing()
    with ExitStack() as stack:
        client, (first, second, _) = opened(stack, *servers)
        made = calls(client, 5)
    assert made == [(first, Status.OK), (first, Status.UNAVAILABLE), *[(second, Status.OK)] * 3]
    assert (client.failures, client.moves) == ({first: 1}, 1)
    assert [record.getMessage() for record in caplog.records] == [
        f"calls of {first} fail, trying {second}: UNAVAILABLE: ",
        f"{second} answers; calls go there from now on, and not to {first}",
    ]


def test_after_the_last_one_comes_the_first_and_an_outage_of_all_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, failover_module.__name__)
    servers = failing(Status.INTERNAL), failing(Status.RESOURCE_EXHAUSTED)
    with ExitStack() as stack:
        client, (first, second) = opened(stack, *servers)
        made = calls(client, 4)
    assert made == [
        (first, Status.INTERNAL),
        (second, Status.RESOURCE_EXHAUSTED),
        (first, Status.OK),
        (first, Status.OK),
    ]
    assert (client.failures, client.moves) == ({first: 1, second: 1}, 2)
    assert client.connections == {first: 2, second: 1}
    assert len(caplog.records) == 1


def test_one_that_takes_connections_and_never_speaks_takes_no_time_from_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "ADDRESS_SECONDS", SHORT)
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        port = stack.enter_context(failing().listen())
        client = FailoverClient(f"127.0.0.1:{silent},127.0.0.1:{port}", "tests")
        stack.callback(client.close)
        pass_time_only_while(monkeypatch, f"waiting for 127.0.0.1:{silent} to begin with HTTP/2")
        made = calls(client, 2)
    assert made == [(f"127.0.0.1:{silent}", Status.UNAVAILABLE), (f"127.0.0.1:{port}", Status.OK)]


def test_one_that_speaks_and_never_answers_calls_is_left_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = Peers(greeted(lambda peer: peer.until(lambda _: False)))
    with ExitStack() as stack:
        client, (first, second) = opened(stack, silent, failing())
        pass_time_only_while(monkeypatch, f"waiting for {first} to answer")
        assert client.call(PATH, (), (BODY,), SHORT).status is Status.DEADLINE_EXCEEDED
        assert calls(client, 2) == [(second, Status.OK)] * 2
        assert (client.failures, client.moves) == ({first: 1}, 1)


def test_a_name_that_nobody_looks_up_in_time_takes_no_time_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ADDRESS_SECONDS", SHORT)
    pass_time_only_while(monkeypatch, "looking up localhost")
    real, held = socket.getaddrinfo, threading.Event()

    def lookup(host: bytes, port: int, *, type: int, flags: int) -> object:  # noqa: A002 - as the real one
        if not flags:
            assert held.wait(PATIENCE)
        return real(host, port, type=type, flags=flags)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with ExitStack() as stack:
        stack.callback(held.set)
        port = stack.enter_context(failing().listen())
        client = FailoverClient(f"localhost:{port},127.0.0.1:{port}", "tests")
        stack.callback(client.close)
        answer = client.call(PATH, (), (BODY,), PATIENCE)
        assert (answer.status, answer.message) == (Status.UNAVAILABLE, "too long looking up localhost")
        assert calls(client, 2) == [(f"127.0.0.1:{port}", Status.OK)] * 2


def test_a_single_one_is_given_all_the_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ADDRESS_SECONDS", 0.0)
    with ExitStack() as stack:
        client, (only,) = opened(stack, failing(Status.UNAVAILABLE))
        assert calls(client, 2) == [(only, Status.UNAVAILABLE), (only, Status.OK)]
    assert (client.failures, client.moves) == ({only: 1}, 0)


def test_an_address_of_a_name_that_never_answers_calls_is_tried_last(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["127.77.0.2", "127.0.0.1"])
    silent, good = Peers(greeted(lambda peer: peer.until(lambda _: False))), failing()
    with ExitStack() as stack:
        port = stack.enter_context(good.listen())
        stack.enter_context(silent.listen("127.77.0.2", port))
        client = FailoverClient(f"name:{port}", "tests")
        stack.callback(client.close)
        pass_time_only_while(monkeypatch, f"waiting for 127.77.0.2:{port} to answer")
        assert client.call(PATH, (), (BODY,), SHORT).status is Status.DEADLINE_EXCEEDED
        assert calls(client, 2) == [(f"name:{port}", Status.OK)] * 2
    assert (len(silent.connections), requests(good)) == (1, 2)


def test_each_address_of_a_name_has_its_turn_as_long_as_all_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ["127.77.0.3", "127.0.0.1", "127.77.0.2"]
    resolve(monkeypatch, hosts)
    servers = [Peers(greeted(lambda peer: peer.answer(peer.request(), Status.UNAVAILABLE))) for _ in hosts]
    with ExitStack() as stack:
        port = stack.enter_context(servers[0].listen(hosts[0]))
        for host, server in zip(hosts[1:], servers[1:], strict=True):
            stack.enter_context(server.listen(host, port))
        client = FailoverClient(f"name:{port}", "tests")
        stack.callback(client.close)
        counts = []
        for _ in range(6):
            calls(client, 1)
            counts.append([requests(server) for server in servers])
    assert counts == [[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1], [2, 2, 1], [2, 2, 2]]


def test_a_name_is_looked_up_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["127.77.0.2"])
    with ExitStack() as stack:
        old = failing(0, Status.UNAVAILABLE)
        port = stack.enter_context(old.listen("127.77.0.2"))
        new = failing()
        stack.enter_context(new.listen("127.0.0.1", port))
        client = FailoverClient(f"name:{port}", "tests")
        stack.callback(client.close)
        calls(client, 1)
        resolve(monkeypatch, ["127.0.0.1"])
        calls(client, 3)
    assert (requests(old), requests(new)) == (2, 2)


@given(st.lists(st.lists(st.sampled_from([Status.OK, Status.UNAVAILABLE, Status.INVALID_ARGUMENT]), min_size=1)))
def test_whatever_they_answer_a_server_is_left_when_and_only_when_it_failed(answers: list[list[Status]]) -> None:
    client = FailoverClient(",".join(f"127.0.0.1:{number}" for number in range(1, 2 + len(answers))), "tests")
    script = iter([status for some in answers for status in some])
    for each in client._clients:
        each.call = lambda *_: Answer(next(script))  # type: ignore[method-assign] # the network is not what is tested
    at, failures = 0, 0
    for _ in [status for some in answers for status in some]:
        assert client.address == f"127.0.0.1:{1 + at}"
        if client.call(PATH, (), (), None).status is not Status.OK:
            at, failures = (at + 1) % len(client), failures + 1
    client.close()
    assert client.failures.total() == failures
    assert client.moves == (failures if len(client) > 1 else 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"'' names no server; write HOST:PORT, or several of them separated by commas"),
        (" , ", r"names no server"),
        ("a:1,b", r"'b' is not HOST:PORT"),
        (",".join(f"a:{port}" for port in range(1, 2 + LARGEST_NUMBER)), r"65 servers are named, 64 at most can be"),
    ],
)
def test_lists_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FailoverClient(text, "tests")


def test_twins_begin_where_the_client_is_and_share_figures_metadata_and_their_end() -> None:
    servers = failing(14), failing()
    with ExitStack() as stack:
        client, (first, second) = opened(stack, *servers)
        assert calls(client, 1) == [(first, Status.UNAVAILABLE)]
        twin = client.twin()
        client.metadata = (("token", "new"),)
        assert calls(twin, 2) == [(second, Status.OK)] * 2
        assert twin.metadata == client.metadata
        assert (twin.failures, twin.moves) == (client.failures, client.moves) == ({first: 1}, 1)
        assert calls(client, 1) == [(second, Status.OK)]
        assert twin.connections == client.connections == {first: 1, second: 2}
    # The client's end was that of the twin's connection: else the server would not be at its end.
    assert [len(server.connections) for server in servers] == [1, 2]


def test_a_twin_is_interrupted_by_itself_and_moves_by_itself() -> None:
    servers = failing(14, 14), failing()
    with ExitStack() as stack:
        client, (first, second) = opened(stack, *servers)
        twin = client.twin()
        client.interrupt()
        assert calls(twin, 1) == [(first, Status.UNAVAILABLE)]
        assert (twin.address, client.address) == (second, first)
        assert (client.failures, client.moves) == ({first: 1}, 1)
