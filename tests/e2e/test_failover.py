"""Several backends as programs, one of which is killed in the middle: nothing that was answered for is missing."""

import time
from contextlib import ExitStack
from pathlib import Path

from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.sender import Sender, SenderLimits
from agent.export.transport import GrpcTransport
from protos.ebpf import accesslog_pb2
from tests.e2e.programs import PATIENCE, Backend, backend

BATCHES = 24
LOGS = 50


def batch_of(service: str) -> Batch:
    """A stream of reads of one service, by which its arrival is seen."""
    first = accesslog_pb2.EBPFAccessLogMessage()
    first.node.name = "node"
    first.node.bootTime.seconds = int(time.time()) - 3_600
    made = accesslog_pb2.EBPFAccessLogMessage()
    local = made.connection.local.kubernetes
    local.serviceName, local.podName, local.processName, local.port = service, "pod", "process", 80
    made.connection.remote.ip.host, made.connection.remote.ip.port = "10.0.0.2", 50_000
    made.connection.protocol = 1
    for number in range(LOGS):
        read = made.kernelLogs.add().read
        read.startTime.offset.offset = 3_500_000_000_000 + number
        read.endTime.offset.offset = read.startTime.offset.offset + 1_000
    return Batch([first.SerializeToString(), made.SerializeToString()], LOGS)


def services(store: Backend) -> set[str]:
    """The services that a backend has stored something of, as callers of what they called."""
    answer = store.get("/api/services", start="-1h", end="now")
    return {each["name"] for each in answer["services"] if each["name"].startswith("service-")}


def test_a_backend_is_killed_and_the_other_one_takes_what_it_did_not_answer_for(tmp_path: Path) -> None:
    names = [f"service-{number}" for number in range(BATCHES)]
    ledger = Ledger()
    with ExitStack() as stack:
        first = stack.enter_context(backend(tmp_path / "first", tmp_path / "first.log"))
        second = stack.enter_context(backend(tmp_path / "second", tmp_path / "second.log"))
        transport = GrpcTransport(f"{first.grpc},{second.grpc}")
        stack.callback(transport.close)
        sender = Sender(transport, ledger, SenderLimits(first_pause=0.01))
        stack.callback(sender.stop, 0.0)
        sender.start()
        for at, name in enumerate(names):
            if at == BATCHES // 2:
                # Some were answered for, and others are on their way while it ends.
                assert sender.wait_for_room(Batch([], SenderLimits().logs - 6 * LOGS), PATIENCE)
                first.process.kill()
            batch = batch_of(name)
            ledger.capture(batch.logs)
            sender.submit(batch)
        sender.stop(3 * PATIENCE)
        balance = ledger.balance()
        assert (balance.captured, balance.delivered, balance.lost) == (BATCHES * LOGS, BATCHES * LOGS, {})
        assert transport.backends.address == second.grpc
        assert transport.backends.moves >= 1
        first.process.wait(PATIENCE)
        again = stack.enter_context(backend(tmp_path / "first", tmp_path / "first.log"))
        by_first, by_second = services(again), services(second)
    assert by_first | by_second == set(names)
    assert by_first
    assert by_second
    # What was stored and not answered for is in both: the batch that was under way.
    assert len(by_first & by_second) <= 1
