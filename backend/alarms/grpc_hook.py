"""Alarms as calls of a gRPC server, as Apache SkyWalking's hook of that name makes them: protos/alarms/hook.proto."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.alarms.calling import call
from backend.alarms.hooks import split
from backend.alarms.records import Notice
from backend.alarms.webhook import message_of
from protos.alarms.hook_pb2 import AlarmMessage, AlarmRecoveryMessage

_METHODS = (("/AlarmService/doAlarm", AlarmMessage), ("/AlarmService/doAlarmRecovery", AlarmRecoveryMessage))
"""Of alarms, and of alarms that are over."""


@dataclass(frozen=True, slots=True, repr=False)
class GrpcRequest:
    """One call."""

    address: str
    path: str
    messages: Sequence[bytes]

    @property
    def notices(self) -> int:
        """How many are told by it."""
        return len(self.messages)

    async def send(self, seconds: float) -> None:
        """As Request.send."""
        await call(self.address, self.path, self.messages, seconds)


@dataclass(frozen=True, slots=True, repr=False)
class GrpcHook:
    """A server that is told of alarms, and of their ends."""

    address: str

    def requests(self, notices: Sequence[Notice]) -> Iterator[GrpcRequest]:
        """One for alarms and one for ends."""
        for told, (path, kind) in zip(split(notices), _METHODS, strict=True):
            if told:
                yield GrpcRequest(self.address, path, [_encoded(kind, notice) for notice in told])


def _encoded(kind: type[AlarmMessage | AlarmRecoveryMessage], notice: Notice) -> bytes:
    fields: dict[str, Any] = {**message_of(notice)}
    fields["tags"] = {"data": fields["tags"]}
    return kind(**fields).SerializeToString()
