"""Makes one call of a gRPC server with several messages, in a bounded time whatever the other side does."""

import asyncio
import re
from collections.abc import Sequence
from ipaddress import IPv6Address

from backend.alarms.errors import AlarmError
from backend.alarms.sending import SendingError
from common.grpc.answers import Answer
from common.grpc.client import GrpcClient
from common.grpc.messages import frame_messages
from common.grpc.status import Status

_NAME = re.compile(r"[0-9A-Za-z._-]+")
_FINAL = frozenset(
    {
        Status.INVALID_ARGUMENT,
        Status.NOT_FOUND,
        Status.ALREADY_EXISTS,
        Status.PERMISSION_DENIED,
        Status.FAILED_PRECONDITION,
        Status.OUT_OF_RANGE,
        Status.UNIMPLEMENTED,
        Status.DATA_LOSS,
        Status.UNAUTHENTICATED,
    }
)
"""Answers that another attempt would not change."""


def address_of(host: str, port: int) -> str:
    """HOST:PORT of a server. Raises AlarmError, which does not say it."""
    if _NAME.fullmatch(host):
        return f"{host}:{port}"
    try:
        return f"[{IPv6Address(host)}]:{port}"
    except ValueError:
        raise AlarmError("it is no host: write a name or an address, without scheme, port and path") from None


async def call(address: str, path: str, messages: Sequence[bytes], seconds: float) -> None:
    """Make a call in plain text and wait until it is taken.

    Args:
        address: of address_of().
        path: /SERVICE/METHOD.
        messages: encoded.
        seconds: the longest that all of it may take.

    Raises:
        SendingError: it was not taken, or nobody said so.
    """
    client = GrpcClient(address, "pyrover-backend")
    try:
        answer = await asyncio.to_thread(_call, client, path, messages, seconds)
    except asyncio.CancelledError:
        client.interrupt()  # or the thread would wait until the seconds are over
        raise
    if answer.status is not Status.OK:
        # Why, in the words of the server or of the client, may name the address.
        raise SendingError(f"the call ended with {answer.status.name}", again=answer.status not in _FINAL)


def _call(client: GrpcClient, path: str, messages: Sequence[bytes], seconds: float) -> Answer:
    try:
        return client.call(path, (), frame_messages(messages), seconds)
    finally:
        client.close()
