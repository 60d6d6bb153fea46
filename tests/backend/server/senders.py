"""Senders that know what was acknowledged of what they sent."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc

from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from protos.ebpf.accesslog_pb2_grpc import EBPFAccessLogServiceStub
from tests.backend.ingest.messages import message, read_log


def stream_of(service: str, minutes: list[int], logs: int, instance: str = "") -> list[EBPFAccessLogMessage]:
    """A stream of `logs` reads in each of some minutes (since 1970-01-01 UTC), of one service."""
    boot = min(minutes) * 60
    made = []
    for number, minute in enumerate(minutes):
        start = (minute * 60 - boot) * 1_000_000_000 + 1
        sent = message(
            *[read_log(start=start, end=start + 1_000, size=10)] * logs,
            node=None if number else "n",
            boot=boot,
            remote=None if number else "10.0.0.2",
        )
        if not number:
            sent.connection.local.kubernetes.serviceName = service
            sent.connection.local.kubernetes.podName = instance or f"{service}-1"
        made.append(sent)
    return made


@dataclass
class Ledger:
    """What became of streams, by service. Shared by senders."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    """Streams that ended with an error: they may have been stored, or not."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, service: str, *, acknowledged: bool) -> None:
        """A stream has ended."""
        with self.changed:
            (self.acknowledged if acknowledged else self.unknown)[service] += 1
            self.changed.notify_all()

    def wait_for(self, streams: int) -> None:
        """Wait until this many streams were acknowledged."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.acknowledged.total() >= streams, 60)


class Sender(threading.Thread):
    """Sends one stream after another, each on a connection of its own, until one fails or enough were sent."""

    def __init__(
        self, address: str, service: str, stream: list[EBPFAccessLogMessage], ledger: Ledger, most: int = 1 << 30
    ) -> None:
        super().__init__()
        self._address, self._service, self._stream, self._ledger, self._most = address, service, stream, ledger, most

    def run(self) -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        for _ in range(self._most):
            with grpc.insecure_channel(self._address, options) as channel:
                try:
                    EBPFAccessLogServiceStub(channel).collect(iter(self._stream), timeout=120)
                except grpc.RpcError:
                    self._ledger.note(self._service, acknowledged=False)
                    return
                self._ledger.note(self._service, acknowledged=True)


def minute_now() -> int:
    return int(time.time() // 60)
