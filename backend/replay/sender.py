"""Streams to a backend over gRPC, at a chosen rate."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from common.grpc.client import GrpcClient
from common.grpc.messages import CHUNK, frame_messages
from common.grpc.status import Status

PATH = "/skywalking.v3.EBPFAccessLogService/collect"
_DROPPED = "pyrover-dropped"


class Unreachable(Exception):  # noqa: N818 - what the backend is
    """Nothing answers at the address."""


@dataclass(slots=True)
class Sent:
    """What was sent and what was answered."""

    streams: int = 0
    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    """Answers by status name, with the reason behind it for those that are not OK."""
    dropped: Counter[str] = field(default_factory=Counter)
    """What the backend says it dropped, by cause."""

    @property
    def accepted(self) -> bool:
        """Whether every stream was answered with OK."""
        return set(self.answers) <= {"OK"}


class Sender:
    """Sends streams one after the other. Use it in a `with` block.

    Args:
        address: HOST:PORT.
        rate: Messages a second; None for as fast as it goes.

    Raises:
        Unreachable: `address` is no address.
    """

    def __init__(self, address: str, rate: float | None) -> None:
        self.sent = Sent()
        self._address = address
        self._pause = 1.0 / rate if rate else 0.0
        self._chunk = 1 if rate else CHUNK  # at a rate each message leaves by itself
        try:
            self._client = GrpcClient(address, "pyrover-backend-replay")
        except ValueError as error:
            raise Unreachable(str(error)) from error
        self._next = 0.0

    def send(self, stream: Iterable[bytes]) -> None:
        """Send one stream and wait for its answer.

        Raises:
            Unreachable: Nothing answers there.
        """
        began = time.monotonic()
        answer = self._client.call(PATH, (), frame_messages(self._paced(stream), self._chunk), None)
        if answer.status is Status.UNAVAILABLE and not self.sent.answers:
            raise Unreachable(f"{self._address} does not take access logs: {answer.message}")
        said = "OK" if answer.status is Status.OK else f"{answer.status.name}: {answer.message}"
        self.sent.answers[said] += 1
        self.sent.streams += 1
        self.sent.seconds += time.monotonic() - began
        self.sent.dropped.update(_losses(answer.trailers))

    def _paced(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        for message in stream:
            now = time.monotonic()
            if self._next > now:
                time.sleep(self._next - now)
            self._next = max(self._next, now) + self._pause
            self.sent.messages += 1
            self.sent.bytes += len(message)
            yield message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def _losses(trailers: Mapping[str, str]) -> dict[str, int]:
    """What the backend says it dropped of a stream, by cause."""
    pairs = (pair.partition("=") for pair in trailers.get(_DROPPED, "").split(",") if pair)
    return {cause: int(count) for cause, _, count in pairs}
