"""What every server of gRPC answers, by the method's name: /pyrover.test.Echo/KIND.STATUS.N.

KIND is unary, upload (a stream of requests), download (a stream of responses) or both. Each message of a request asks
for an answer of as many bytes as its first 8 say. STATUS other than 0 is all that a call is answered. N is any number.
"""

from collections.abc import Sequence
from typing import TypedDict

from tests.e2e.http.servers.answers import BODY

SERVICE = "/pyrover.test.Echo/"
MESSAGE_HEAD = 5
"""Bytes before each message: whether it is compressed, and its length."""
DOWNLOADED = 7
"""Messages of a stream of responses."""
KINDS = ("unary", "upload", "download", "both")


def kind_and_status(path: str) -> tuple[str, int]:
    """What a method's name says."""
    kind, status, _ = path.removeprefix(SERVICE).split(".")
    return kind, int(status)


def answers(kind: str, requests: Sequence[bytes]) -> list[bytes]:
    """The messages of the response to those of the request."""
    sizes = [int.from_bytes(request[:8]) for request in requests]
    if kind == "download":
        sizes *= DOWNLOADED
    elif kind == "upload":
        sizes = [sum(sizes)]
    return [BODY[:size] for size in sizes]


def on_the_wire(messages: Sequence[bytes]) -> int:
    """Bytes of messages with their heads."""
    return sum(MESSAGE_HEAD + len(message) for message in messages)


class Answered(TypedDict):
    """What a server writes into its account of a call."""

    method: str
    path: str
    status: int
    request_body_bytes: int
    response_body_bytes: int
    version: int
    tls: bool
    grpc_status: int


def answered(path: str, received: Sequence[bytes], sent: Sequence[bytes], *, tls: bool) -> Answered:
    """The account of a call of this path."""
    return Answered(
        method="POST",
        path=path,
        status=200,
        request_body_bytes=on_the_wire(received),
        response_body_bytes=on_the_wire(sent),
        version=2,
        tls=tls,
        grpc_status=kind_and_status(path)[1],
    )
