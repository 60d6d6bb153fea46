"""What our agent sends, with every extension of the wire, received by the backend."""

import time
from typing import Any

import numpy as np

from agent.config import Configuration
from agent.events.layout import STAGES, EventFlag, EventKind, Events
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.metrics import READ_METRICS, WRITE_METRICS
from agent.pipeline import Pipeline
from backend.ingest.batch import START, LogKind
from backend.ingest.decode import SCHEMA
from backend.ingest.framing import Frames
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from bench.http2 import framed
from tests.agent.synthetic import SECOND, FakeHost, event, events, quality
from tests.backend.server.support import Collecting, receiving

K = EventKind
COUNTED = EventFlag.PACKAGES_COUNTED


class _RunningHost(FakeHost):
    def boot_time_ns(self) -> int:
        return time.time_ns() - 100 * SECOND


def _traffic() -> Events:
    """A connection with a stage in each place, trouble, and packages after its end; another one with trouble alone."""
    stages: dict[str, Any] = {name: 1000 + at for at, name in enumerate(STAGES.names or ())}
    doubled: dict[str, Any] = {name: 2 * value for name, value in stages.items()}
    return events(
        event(K.CONNECT, inode=1, l4_ns=5, round_trip_us=6),
        event(K.CONNECT, inode=2, result=-111, local=("127.0.0.1", 5)),
        event(K.WRITE, inode=1, system_call=17, flags=COUNTED, **stages),
        event(K.READ, inode=1, system_call=4, flags=COUNTED, **doubled),
        event(K.CLOSE, inode=1, flags=EventFlag.LAST_REFERENCE),
        quality({11: 3}, inode=1, retransmits_fast=4),
        event(K.LATE_WRITE, inode=2, local=("127.0.0.1", 5), **stages),
        quality({11: 3}, inode=2, local=("127.0.0.1", 5), zero_windows_sent=2),
    )


def _sent() -> list[bytes]:
    batches: list[Batch] = []
    pipeline = Pipeline(Configuration(), "n", 9, host=_RunningHost(), ledger=Ledger(), deliver=batches.append)
    pipeline.start(1)
    pipeline.step(_traffic(), 2)
    pipeline.flush(3)
    return [message for batch in batches for message in batch.messages]


def test_every_metric_arrives_in_its_column_and_nothing_is_refused() -> None:
    receiver = LogStream(Interner())
    receiver.take(Frames.of(_sent()))
    batch = receiver.batch()
    assert batch is not None
    assert (receiver.counts.logs, receiver.counts.accepted) == (5, 5)
    assert not receiver.counts.lost_logs
    assert sorted(batch.kind.tolist()) == [LogKind.CONNECT, LogKind.CONNECT, LogKind.CLOSE, LogKind.READ, LogKind.WRITE]
    for kind, metrics, factor in ((LogKind.WRITE, WRITE_METRICS, 1), (LogKind.READ, READ_METRICS, 2)):
        (row,) = np.flatnonzero(batch.kind == kind).tolist()
        for path, name in metrics.items():
            column = f"{kind.name.lower()}.{path}"
            if column in batch.columns:
                assert batch.columns[column][row] == factor * (1000 + (STAGES.names or ()).index(name)), column
            else:  # an extension: checked, and not kept
                assert name in ("round_trip_us", "late_packages", "late_ns")
    assert {*batch.columns} == {*SCHEMA.columns, START}


async def test_a_stream_of_it_is_answered_with_ok() -> None:
    sink = Collecting()
    async with receiving(sink) as receiver:
        answer = await receiver.raw([framed(message) for message in _sent()])
        assert answer.headers["grpc-status"] == "0"
        assert "pyrover-dropped" not in answer.headers
    assert (sink.logs, receiver.service.counts.accepted) == (5, 5)
