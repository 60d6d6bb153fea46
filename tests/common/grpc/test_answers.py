"""What a response means, beside what grpcio makes of the same response."""

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from common.grpc.answers import Answer, read_answer
from common.grpc.http2 import Response
from common.grpc.status import Status
from tests.common.grpc.calling import call, call_with_grpcio, client
from tests.common.grpc.peer import Peer, Peers, Script, greeted

Fields = list[tuple[str, str]]
GRPC = ("content-type", "application/grpc")
HTML = ("content-type", "text/html")


def both(script: Script) -> tuple[Answer, tuple[str, str]]:
    """What each client makes of a peer."""
    with Peers(greeted(script)).listen() as port:
        with client(port) as opened:
            answer = call(opened)
        return answer, call_with_grpcio(port)


def responding(headers: Fields, trailers: Fields | None = None, *, body: bytes = b"\0\0\0\0\0") -> Script:
    def play(peer: Peer) -> None:
        while True:
            stream = peer.request()
            peer.h2.send_headers(stream, headers, end_stream=trailers is None and not body)
            if body:
                peer.h2.send_data(stream, body, end_stream=trailers is None)
            if trailers is not None:
                peer.h2.send_headers(stream, trailers, end_stream=True)
            peer.write()

    return play


@pytest.mark.parametrize("code", [*map(int, ErrorCodes), 99])
def test_a_stream_that_is_reset(code: int) -> None:
    def play(peer: Peer) -> None:
        while True:
            peer.h2.reset_stream(peer.request(), code)
            peer.write()

    answer, (status, _) = both(play)
    assert answer.status.name == status
    assert answer.message.endswith(f"RST_STREAM {ErrorCodes(code).name if code < 99 else '99'}")


@pytest.mark.parametrize("number", [*map(str, range(19)), "00", "013"])
@pytest.mark.parametrize("early", [False, True], ids=["in trailers", "in headers alone"])
def test_each_status(number: str, *, early: bool) -> None:
    fields = [("grpc-status", number), ("grpc-message", "why%20%C3%A4%zz%")]
    head = [(":status", "200"), GRPC]
    answer, (status, details) = both(
        responding([*head, *fields], body=b"") if early else responding(head, fields, body=b"\0\0\0\0\0")
    )
    assert answer.status.name == status
    assert answer.message == "why ä%zz%"
    assert details == ("" if status == "OK" else answer.message)
    assert answer.trailers["grpc-status"] == number


@pytest.mark.parametrize("number", ["", "abc", "-1", "9" * 5000, "²", "1.0"])
def test_a_status_that_is_no_number_is_unknown(number: str) -> None:
    answer, (status, _) = both(responding([(":status", "200"), GRPC], [("grpc-status", number)]))
    assert answer.status is Status.UNKNOWN
    assert status == "INTERNAL"  # where the agent does the same


@pytest.mark.parametrize("http", [200, 204, 301, 400, 401, 403, 404, 405, 415, 418, 429, 500, 501, 502, 503, 504, 599])
@pytest.mark.parametrize("body", [b"", b"<html>"], ids=["empty", "with a body"])
def test_answers_of_others_than_grpc_servers(http: int, body: bytes) -> None:
    answer, (status, _) = both(responding([(":status", str(http)), HTML], body=body))
    assert answer.status.name == status
    assert answer.message == f"HTTP status {http} with text/html and without a status of gRPC"


def test_a_status_of_grpc_counts_more_than_one_of_http() -> None:
    # So says the mapping's specification; grpcio does it for headers that are trailers too, and not here.
    headers: Fields = [(":status", "503"), HTML]
    answer, (status, _) = both(responding([*headers, ("grpc-status", "9")], body=b""))
    assert answer.status.name == status == "FAILED_PRECONDITION"
    answer, _ = both(responding(headers, [("grpc-status", "9")]))
    assert answer.status is Status.FAILED_PRECONDITION


def test_a_response_without_a_status_is_no_success() -> None:
    answer, (status, _) = both(responding([(":status", "200"), GRPC]))
    assert answer.status.name == status == "UNKNOWN"


@given(st.text())
def test_every_text_can_be_a_message(text: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
    trailers = {b"grpc-status": b"13", b"grpc-message": encoded.encode()}
    assert read_answer(Response({}, trailers)) == Answer(
        Status.INTERNAL,
        text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
        {"grpc-status": "13", "grpc-message": encoded},
    )


@given(st.dictionaries(st.binary(), st.binary()), st.dictionaries(st.binary(), st.binary()), st.none() | st.integers(0))
def test_no_response_raises(headers: dict[bytes, bytes], trailers: dict[bytes, bytes], reset: int | None) -> None:
    answer = read_answer(Response(headers, trailers, ended=True, reset=reset))
    assert answer.status is not Status.OK or trailers.get(b"grpc-status", headers.get(b"grpc-status")) == b"0"
