"""How a batch travels to the backend: one client-streaming call of EBPFAccessLogService.collect."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from agent.export.assembler import Batch
from common.grpc.failover import FailoverClient
from common.grpc.messages import frame_messages
from common.grpc.patience import Interrupted
from common.grpc.security import Security
from common.grpc.status import Status

METHOD = "/skywalking.v3.EBPFAccessLogService/collect"
BATCH_ID = "pyrover-batch-id"
"""Metadata key: the same batch sent again has the same id, so that a receiver can drop what it already has."""


class Outcome(Enum):
    """What became of an attempt."""

    DELIVERED = auto()
    RETRY = auto()  # the backend is away or busy; it may take the batch later
    DOUBTFUL = auto()  # an error that may be the batch's fault or the backend's: worth a few attempts
    DENIED = auto()  # it does not take who sent it, and says nothing of the batch
    REFUSED = auto()  # it will never take the batch


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome with the backend's own words."""

    outcome: Outcome
    detail: str = ""
    timed_out: bool = False
    """Whether it came to no end by itself: its time was over, or that of the agent."""


class Transport(Protocol):
    """Sends one batch at a time."""

    def send(self, batch: Batch, timeout: float) -> Attempt:
        """Send and wait for the answer, at most `timeout` seconds. Does not raise."""
        ...

    def cancel(self) -> None:
        """Give up the attempt that is under way, from another thread; it then ends as Outcome.RETRY."""
        ...

    def twin(self) -> "Transport":
        """Another one to the same backends, for another thread; closed together with this one."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


_OUTCOMES = {
    Status.UNAVAILABLE: Outcome.RETRY,
    Status.DEADLINE_EXCEEDED: Outcome.RETRY,
    Status.RESOURCE_EXHAUSTED: Outcome.RETRY,
    Status.ABORTED: Outcome.RETRY,
    Status.CANCELLED: Outcome.RETRY,
    Status.INTERNAL: Outcome.DOUBTFUL,
    Status.UNKNOWN: Outcome.DOUBTFUL,
    Status.DATA_LOSS: Outcome.DOUBTFUL,
    Status.UNAUTHENTICATED: Outcome.DENIED,
    Status.PERMISSION_DENIED: Outcome.DENIED,
}
"""By status; every other one means that the batch is refused."""


class GrpcTransport:
    """Over gRPC, to whichever of several backends takes it; the messages are already serialised.

    After an attempt that failed the next one goes to the next backend. A batch is refused when a backend said so and
    none of the others took it from then on, each of them asked once.

    Args:
        addresses: HOST:PORT, or several of them separated by commas.
        security: How to use TLS; None for plain text.
        authentication: The metadata "authentication" of every call; empty for none.

    Raises:
        ValueError: one of them cannot be used; the message says why.
    """

    def __init__(self, addresses: str, security: Security | None = None, authentication: str = "") -> None:
        if authentication and not (authentication.isascii() and authentication.isprintable()):
            raise ValueError("the authentication must be printable ASCII")
        metadata = (("authentication", authentication),) if authentication else ()
        self._begin(FailoverClient(addresses, "pyrover-agent", security), metadata)

    def _begin(self, backends: FailoverClient, metadata: tuple[tuple[str, str], ...]) -> None:
        self.backends = backends
        """For its figures."""
        self._metadata = metadata
        self._refused = ""
        """The batch that a backend refused."""
        self._asked = 0
        """Backends that were asked to take it, from that one on."""

    def send(self, batch: Batch, timeout: float) -> Attempt:
        """Send and wait for the answer, at most `timeout` seconds."""
        metadata = (*self._metadata, (BATCH_ID, batch.id))
        address = self.backends.address
        try:
            answer = self.backends.call(METHOD, metadata, frame_messages(batch.messages), timeout)
        except Interrupted:
            return Attempt(Outcome.RETRY, "given up", timed_out=True)
        if answer.status is Status.OK:
            return Attempt(Outcome.DELIVERED)
        detail = f"{answer.status.name}: {answer.message}"
        if len(self.backends) > 1:
            detail = f"{address}: {detail}"
        outcome = self._judge(batch, _OUTCOMES.get(answer.status, Outcome.REFUSED))
        return Attempt(outcome, detail, timed_out=answer.status is Status.DEADLINE_EXCEEDED)

    def _judge(self, batch: Batch, outcome: Outcome) -> Outcome:
        """What a failed attempt means, given that there may be backends which were not asked yet."""
        if batch.id == self._refused:
            self._asked += 1
        elif outcome is Outcome.REFUSED:
            self._refused, self._asked = batch.id, 1
        else:
            return outcome
        return Outcome.RETRY if self._asked < len(self.backends) else Outcome.REFUSED

    def cancel(self) -> None:
        """Give up the attempt that is under way."""
        self.backends.interrupt()

    def twin(self) -> "GrpcTransport":
        """Another one, as Transport.twin; what a backend refuses it is asked for anew."""
        made = object.__new__(GrpcTransport)
        made._begin(self.backends.twin(), self._metadata)
        return made

    def close(self) -> None:
        """Close all connections, also those of twins; not while an attempt is under way."""
        self.backends.close()


__all__ = ["BATCH_ID", "METHOD", "Attempt", "GrpcTransport", "Outcome", "Security", "Transport"]
