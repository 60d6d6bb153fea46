import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backend.commands.query import TOKEN
from backend.query import client, shapes
from backend.query.client import AskingError, Client
from backend.storage.memory import MemoryStorage
from tests.backend.console.served import serving

OK = b"HTTP/1.1 200 OK\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\n"


@contextmanager
def saying(said: bytes) -> Iterator[str]:
    """A server that says this once, whatever it is asked; gives HOST:PORT."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("said", "error", "hint"),
    [
        (OK + b'{"logs": "\xff"}', "is not this version of pyrover-backend", "--version"),
        (OK + b"<html>", "is not this version of pyrover-backend", "--version"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", "no answer from", "pyrover-backend serve"),
        (b"SSH-2.0-OpenSSH\r\n", "no answer from", "pyrover-backend serve"),
        (UNAVAILABLE + b'\r\n{"error": "\xff"}', "answers 503 Service Unavailable", "GET /healthcheck"),
        (UNAVAILABLE + b"content-length: 50\r\n\r\n{", "answers 503 Service Unavailable", "GET /healthcheck"),
        (UNAVAILABLE + b'\r\n{"error": "not now", "hint": "wait"}', "not now", "wait"),
        (OK + b" " * 1_001, "more than 1,000 bytes", "a shorter span"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b" " * 2_000, "more than 1,000 bytes", "a shorter span"),
    ],
)
def test_whatever_answers_there_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, said: bytes, error: str, hint: str
) -> None:
    monkeypatch.setattr(client, "MAXIMUM_ANSWER", 1_000)
    with saying(said) as address, pytest.raises(AskingError) as caught:
        Client(address).get(shapes.Status, "/api/status", {})
    assert error in caught.value.error
    assert hint in caught.value.hint


@pytest.mark.parametrize("token", ["sésame", "sesame\n", "ses\0ame"])
def test_a_token_that_no_header_can_hold_is_told_and_not_shown(token: str) -> None:
    with pytest.raises(AskingError) as caught:
        Client("127.0.0.1:1", token)
    assert (caught.value.error, caught.value.hint) == (
        "the token cannot be sent",
        "see that it is printable ASCII in one line",
    )


SECRET = "open sesame"  # noqa: S105 - it opens nothing


def test_a_backend_that_asks_for_a_token_answers_who_has_it() -> None:
    with serving(MemoryStorage(), token=SECRET) as address:
        answer = Client(address, SECRET).get(shapes.Services, "/api/services", {})
        assert answer.services == []
        assert Client(f"http://{address}", SECRET).get(shapes.Services, "/api/services", {}).services == []
        for token in ("", "open", "of agents"):
            with pytest.raises(AskingError) as caught:
                Client(address, token).get(shapes.Services, "/api/services", {})
            assert "a token is needed" in caught.value.error
            assert TOKEN in caught.value.hint
