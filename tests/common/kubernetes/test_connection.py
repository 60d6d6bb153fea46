"""Bodies as they come: lines out of pieces, and bounds."""

import socket
import threading
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kubernetes.answers import ExpiredError, RefusedError, UnreadableError, refused, refused_by_event
from common.kubernetes.connection import Connection, StoppedError, Stopper, read_all, read_lines
from tests.common.kubernetes.following import access
from tests.waiting import PATIENCE


class Pieces:
    """A body that comes in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)

    def read1(self, most: int) -> bytes:
        assert not self.left or len(self.left[0]) <= most
        return self.left.pop(0) if self.left else b""


def body(*pieces: bytes) -> HTTPResponse:
    return cast("HTTPResponse", Pieces(*pieces))


@given(st.lists(st.binary(min_size=1, max_size=6).map(lambda raw: raw.replace(b"x", b"\n")), max_size=20))
def test_lines_are_those_of_the_whole_body_whatever_the_pieces_are(pieces: list[bytes]) -> None:
    whole = b"".join(pieces).split(b"\n")[:-1]
    found = [line for lines in read_lines(body(*pieces), 1000) for line in lines]
    assert found == [line for line in whole if line]


@pytest.mark.parametrize(
    "pieces", [[b"12345", b"6789"], [b"123456789\n"], [b"1\n2345678901\n"], [b"1\n12345", b"67890\n"]]
)
def test_a_line_beyond_the_bound_is_not_waited_for(pieces: list[bytes]) -> None:
    with pytest.raises(UnreadableError, match="a line of more than 8 bytes"):
        list(read_lines(body(*pieces, b"never asked for"), 8))


def answer(raw: bytes) -> HTTPResponse:
    one, other = socket.socketpair()
    with one:
        other.sendall(raw)
        other.close()
        response = HTTPResponse(one)
        response.begin()
        return response


def test_a_body_is_whole_or_refused() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    assert read_all(answer(head % 5 + b"12345"), 5) == b"12345"
    with pytest.raises(UnreadableError, match="more than 4 bytes"):
        read_all(answer(head % 5 + b"12345"), 4)
    with pytest.raises(HTTPException, match="1 bytes of an answer are missing"):
        read_all(answer(head % 5 + b"1234"), 9)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read_all(answer(chunked + b"3\r\n123\r\n2\r\n45\r\n0\r\n\r\n"), 5) == b"12345"
    with pytest.raises(IncompleteRead):
        read_all(answer(chunked + b"3\r\n123\r\n2\r\n4"), 9)
    with pytest.raises(UnreadableError, match="more than 4 bytes"):
        read_all(answer(chunked + b"5\r\n12345\r\n0\r\n\r\n"), 4)


@pytest.mark.parametrize(
    ("code", "content", "said"),
    [
        (403, b'{"kind":"Status","message":"no","reason":"Forbidden","code":403}', "403: no"),
        (403, b'{"kind":"Status","reason":"Forbidden"}', "403: Forbidden"),
        (502, b"<html>a proxy</html>", "502: <html>a proxy</html>"),
        (500, b"", "500: Internal Server Error"),
        (599, b"{}", "599: refused without a reason"),
        (500, b"y" * 10_000, "500: " + "y" * 500),
        (500, b"\xff", "500: �"),
    ],
)
def test_a_refusal_says_what_the_server_said(code: int, content: bytes, said: str) -> None:
    error = refused(code, content)
    assert (str(error), error.code, type(error)) == (said, code, RefusedError)


def test_a_refusal_may_mean_that_a_version_is_gone_and_say_when_to_come_back() -> None:
    assert isinstance(refused(410, b""), ExpiredError)
    assert isinstance(refused_by_event(b'{"code":410}'), ExpiredError)
    assert refused_by_event(b"[]").code == 500
    assert [refused(503, b"", text).retry_after for text in ("7", None, "tomorrow", "-1")] == [7.0, None, None, None]


def test_stopping_interrupts_a_handshake_and_holds_for_good() -> None:
    stopper = Stopper()
    failed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:  # which never says anything
        secured = access(f"https://127.0.0.1:{server.getsockname()[1]}")

        def ask() -> None:
            with pytest.raises((OSError, StoppedError)), Connection(secured, stopper) as connection:
                connection.get("/", {}, 10 * PATIENCE)
            failed.set()

        thread = threading.Thread(target=ask)
        thread.start()
        connected, _ = server.accept()
        with connected:
            assert connected.recv(1) == b"\x16"  # the beginning of a handshake
            stopper.stop()
            assert failed.wait(PATIENCE)
            thread.join()
        with pytest.raises(StoppedError), Connection(secured, stopper) as connection:
            connection.get("/", {}, PATIENCE)
