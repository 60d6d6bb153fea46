"""agent/telemetry/http_server.py, asked by Python's own client and by those who do not behave."""

import http.client
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

import pytest

from agent.telemetry.http_server import CONNECTIONS, REQUEST_BYTES, Answer, StatusServer
from tests.waiting import until

LARGE = "x" * 20_000_000
"""More than the kernel takes for somebody who does not read."""


@contextmanager
def serving(answers: Mapping[str, Callable[[], Answer]], seconds: float = 60.0) -> Iterator[StatusServer]:
    server = StatusServer("127.0.0.1:0", answers, seconds)
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def server() -> Iterator[StatusServer]:
    def fails() -> Answer:
        raise OSError("no such thing")

    answers = {
        "/hello": lambda: Answer("hällo\n"),
        "/bad": lambda: Answer("not ready\n", 503, "text/plain; version=1"),
        "/fails": fails,
        "/large": lambda: Answer(LARGE),
    }
    with serving(answers) as one:
        yield one


def ask(server: StatusServer, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    with closing(http.client.HTTPConnection(server.address, timeout=60)) as client:
        client.request(method, path)
        response = client.getresponse()
        return response.status, dict(response.headers), response.read().decode()


def connect(server: StatusServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_question_and_its_answer(server: StatusServer) -> None:
    status, headers, text = ask(server, "/hello?and=more")
    assert (status, text) == (200, "hällo\n")
    assert headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "7",
        "Connection": "close",
    }
    status, headers, text = ask(server, "/bad")
    assert (status, headers["Content-Type"], text) == (503, "text/plain; version=1", "not ready\n")
    assert server.answered == {"200": 1, "503": 1}
    assert set(server.lost.values()) == {0}


def test_only_the_head(server: StatusServer) -> None:
    status, headers, text = ask(server, "/hello", "HEAD")
    assert (status, headers["Content-Length"], text) == (200, "7", "")


def test_what_cannot_be_asked(server: StatusServer) -> None:
    assert ask(server, "/other")[::2] == (404, "there are /hello, /bad, /fails, /large\n")
    status, headers, _ = ask(server, "/hello", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    for request in (b"hello\r\n\r\n", b"GET /hello\r\n\r\n", b"GET /hello SPDY/3\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
        with connect(server) as client:
            client.sendall(request)
            assert read_all(client).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_question_is_bounded(server: StatusServer) -> None:
    with connect(server) as client:
        client.sendall(b"GET /hello HTTP/1.1\r\nX: " + b"x" * (REQUEST_BYTES - 22))
        assert client.recv(100).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert server.answered == {"431": 1}


def test_a_question_may_come_in_pieces(server: StatusServer) -> None:
    with connect(server) as client:
        for byte in b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n":
            client.sendall(bytes([byte]))
        assert read_all(client).endswith(b"\r\n\r\nh\xc3\xa4llo\n")


def test_an_answer_that_fails_is_told_and_logged(server: StatusServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert ask(server, "/fails")[0] == 500
    assert [record.getMessage() for record in caplog.records] == ["the question /fails cannot be answered"]
    assert ask(server, "/hello")[0] == 200


def test_who_does_not_read_holds_nobody_up(server: StatusServer) -> None:
    with connect(server) as slow, connect(server) as silent:
        slow.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        assert slow.recv(1)
        silent.sendall(b"GET /hel")
        for _ in range(3 * CONNECTIONS):
            assert ask(server, "/hello")[0] == 200
        silent.sendall(b"lo HTTP/1.1\r\n\r\n")
        assert read_all(silent).startswith(b"HTTP/1.1 200 OK\r\n")
        assert read_all(slow).endswith(LARGE[-1000:].encode())
    assert set(server.lost.values()) == {0}


def test_when_there_are_too_many_the_oldest_goes(server: StatusServer) -> None:
    clients = [connect(server) for _ in range(CONNECTIONS + 2)]
    until(lambda: server.lost["too many"] == 2)
    assert ask(server, "/hello")[0] == 200
    assert server.lost["too many"] == 3
    assert [client.recv(1) for client in clients[:3]] == [b""] * 3
    clients[3].sendall(b"GET /hello HTTP/1.1\r\n\r\n")
    assert read_all(clients[3]).startswith(b"HTTP/1.1 200 OK\r\n")
    for client in clients:
        client.close()
    until(lambda: server.lost["incomplete"] == CONNECTIONS - 2)


def test_a_connection_has_its_time() -> None:
    answers = {"/large": lambda: Answer(LARGE)}
    with serving(answers, seconds=0.2) as server, connect(server) as silent, connect(server) as slow:
        slow.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        assert silent.recv(1) == b""
        until(lambda: server.lost["too slow"] == 2)


def test_who_goes_in_the_middle_is_counted(server: StatusServer) -> None:
    with connect(server) as client:
        client.sendall(b"GET /hel")
    until(lambda: server.lost["incomplete"] == 1)
    with connect(server) as client:
        client.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        assert client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    until(lambda: server.lost["incomplete"] == 2)


def test_a_connection_that_cannot_be_taken_is_counted(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        """A listener of a process without descriptors."""

        def accept(self) -> None:
            raise OSError(24, "Too many open files")

    listener = server._listener
    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(server, "_listener", Full())
        server._accept()
        monkeypatch.setattr(server, "_listener", listener)
    assert server.lost["not taken"] == 1
    assert "Too many open files" in caplog.text


def test_many_at_once(server: StatusServer) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.extend(ask(server, "/hello")[0] for _ in range(20)))
        for _ in range(CONNECTIONS // 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [200] * (20 * CONNECTIONS // 2)
    assert server.answered == {"200": len(found)}


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", ":0", "localhost:0"])
def test_addresses(address: str) -> None:
    server = StatusServer(address, {})
    port = int(server.address.rpartition(":")[2])
    hosts = {"": ("127.0.0.1", "::1"), "localhost": ("localhost",)}
    host = address.rpartition(":")[0].strip("[]")
    for each in hosts.get(host, (host,)):
        socket.create_connection((each, port), timeout=60).close()
    server.close()


def test_an_address_that_is_taken(server: StatusServer) -> None:
    with pytest.raises(OSError, match="in use"):
        StatusServer(server.address, {})


def test_it_closes_while_somebody_asks() -> None:
    with serving({"/large": lambda: Answer(LARGE)}) as server:
        client = connect(server)
        client.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        assert client.recv(1) == b"H"
    assert not server._thread.is_alive()
    with client:
        assert len(read_all(client)) < len(LARGE)
