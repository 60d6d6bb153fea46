"""How a batch travels to the backend: one client-streaming call of EBPFAccessLogService.collect."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import grpc

from agent.export.assembler import Batch

METHOD = "/skywalking.v3.EBPFAccessLogService/collect"
BATCH_ID = "pyrover-batch-id"
"""Metadata key: the same batch sent again has the same id, so that a receiver can drop what it already has."""


class Outcome(Enum):
    """What became of an attempt."""

    DELIVERED = auto()
    RETRY = auto()  # the backend is away or busy; it may take the batch later
    DOUBTFUL = auto()  # an error that may be the batch's fault or the backend's: worth a few attempts
    REFUSED = auto()  # it will never take the batch


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome with the backend's own words."""

    outcome: Outcome
    detail: str = ""


class Transport(Protocol):
    """Sends one batch at a time."""

    def send(self, batch: Batch, timeout: float) -> Attempt:
        """Send and wait for the answer, at most `timeout` seconds. Does not raise."""
        ...

    def cancel(self) -> None:
        """Give up the attempt that is under way, from another thread; it then ends as Outcome.RETRY."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


_OUTCOMES = {
    grpc.StatusCode.UNAVAILABLE: Outcome.RETRY,
    grpc.StatusCode.DEADLINE_EXCEEDED: Outcome.RETRY,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Outcome.RETRY,
    grpc.StatusCode.ABORTED: Outcome.RETRY,
    grpc.StatusCode.CANCELLED: Outcome.RETRY,
    grpc.StatusCode.INTERNAL: Outcome.DOUBTFUL,
    grpc.StatusCode.UNKNOWN: Outcome.DOUBTFUL,
    grpc.StatusCode.DATA_LOSS: Outcome.DOUBTFUL,
}
"""By status; every other one means that the batch is refused."""

_CHANNEL_OPTIONS = (
    # grpc waits up to two minutes between attempts to connect; the sender has its own, shorter, back-off.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5000),
)


@dataclass(frozen=True, slots=True)
class Security:
    """How the backend is reached when it is not in plain text."""

    roots: bytes | None = None
    """PEM of the authorities that may vouch for the backend; None for the system's."""
    private_key: bytes | None = None
    certificate_chain: bytes | None = None


class GrpcTransport:
    """Over grpcio; the messages are already serialised."""

    def __init__(self, address: str, security: Security | None = None, authentication: str = "") -> None:
        if security is None:
            self._channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(security.roots, security.private_key, security.certificate_chain)
            self._channel = grpc.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)
        self._collect = self._channel.stream_unary(METHOD, request_serializer=None, response_deserializer=None)
        self._metadata = (("authentication", authentication),) if authentication else ()
        self._call: grpc.Future[bytes] | None = None

    def send(self, batch: Batch, timeout: float) -> Attempt:
        """Send and wait for the answer, at most `timeout` seconds."""
        messages: Iterable[bytes] = batch.messages
        call = self._collect.future(iter(messages), timeout=timeout, metadata=(*self._metadata, (BATCH_ID, batch.id)))
        self._call = call
        try:
            call.result()
        except grpc.FutureCancelledError:
            return Attempt(Outcome.RETRY, "given up")
        except grpc.RpcError:
            status = call.code()
            return Attempt(_OUTCOMES.get(status, Outcome.REFUSED), f"{status.name}: {call.details()}")
        finally:
            self._call = None
        return Attempt(Outcome.DELIVERED)

    def cancel(self) -> None:
        """Give up the attempt that is under way."""
        call = self._call
        if call is not None:
            call.cancel()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
