"""Calls of a peer, with the client under test and with grpcio as the second source."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import grpc

from common.grpc.answers import Answer
from common.grpc.client import GrpcClient
from common.grpc.messages import frame_messages
from common.grpc.security import Security
from tests.waiting import PATIENCE

PATH = "/package.Service/method"
MESSAGES = (b"one", b"", b"three")
BODY = b"".join(frame_messages(MESSAGES))
SHORT = 0.2
"""Seconds of a call that is meant to run out of time, where time passes only while it waits (passing_time.py)."""


@contextmanager
def client(port: int, host: str = "127.0.0.1", security: Security | None = None) -> Iterator[GrpcClient]:
    opened = GrpcClient(f"{host}:{port}", "tests", security)
    try:
        yield opened
    finally:
        opened.close()


def call(opened: GrpcClient, body: Iterable[bytes] = (BODY,), timeout: float | None = PATIENCE) -> Answer:
    return opened.call(PATH, (), body, timeout)


def call_with_grpcio(port: int) -> tuple[str, str]:
    """Name of the status, and its message."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        method = channel.stream_unary(PATH, request_serializer=None, response_deserializer=None)
        try:
            method(iter(MESSAGES), timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
    return "OK", ""
