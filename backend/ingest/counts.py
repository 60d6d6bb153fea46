"""What the receiver has counted: everything it took and everything it dropped, by cause."""

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class LogLoss(IntEnum):
    """Why one log was dropped. The first cause that applies is the one that is counted."""

    NONE = 0
    NO_CONNECTION = 1  # nothing on its stream has named a connection yet
    ADDRESS_MISSING = 2  # the connection has no local or no remote address
    CONNECTION_LOST = 3  # a message that was refused may have named the connection it belongs to
    UNKNOWN_OPERATION = 4  # none of connect, accept, close, read, write, HTTP
    NODE_MISSING = 5  # nothing on its stream has told the node's boot time, so its times mean nothing
    TIME_MISSING = 6  # no start or no end
    TIME_INVERTED = 7  # the end is before the start
    TIME_FUTURE = 8  # it ends further in the future than clocks may differ
    TIME_EXPIRED = 9  # it starts before the oldest minute that is kept
    VALUE_OUT_OF_RANGE = 10  # a count or a duration is negative or absurd

    @property
    def label(self) -> str:
        """The name of the cause in metrics and answers."""
        return self.name.lower()


class MessageLoss(StrEnum):
    """Why a whole message was dropped; how many logs it held is not known."""

    UNDECODABLE = "undecodable"
    TOO_MANY_LOGS = "too_many_logs"


@dataclass(slots=True)
class Counts:
    """Running totals of one receiver, or of one call. Not locked: it belongs to the event loop."""

    messages: int = 0
    """Messages received, dropped ones included."""
    logs: int = 0
    """Kernel and protocol logs received in messages that were decoded."""
    accepted: int = 0
    """Logs handed to the sink; `logs` is this plus the losses."""
    protocol_logs: int = 0
    """How many of `logs` are protocol logs."""
    lost_logs: Counter[LogLoss] = field(default_factory=Counter)
    lost_messages: Counter[MessageLoss] = field(default_factory=Counter)

    def add(self, other: "Counts") -> None:
        """Add another's totals to these."""
        self.messages += other.messages
        self.logs += other.logs
        self.accepted += other.accepted
        self.protocol_logs += other.protocol_logs
        self.lost_logs.update(other.lost_logs)
        self.lost_messages.update(other.lost_messages)

    def losses(self) -> str:
        """The losses as text for a header: "undecodable=1,time_missing=3"; empty if there are none."""
        named = [(cause.value, count) for cause, count in self.lost_messages.items()]
        named += [(cause.label, count) for cause, count in self.lost_logs.items()]
        return ",".join(f"{name}={count}" for name, count in sorted(named) if count)
