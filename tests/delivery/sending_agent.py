"""The part of an agent that delivers, as a program that can be killed: spool, sender and transport.

    sending_agent.py ADDRESS SPOOL NAME BATCHES LOGS [SPOOL_BYTES]

Makes so many batches of so many writes each, of a service of its own for each batch (NAME-0 and so on), and prints
"made N" before each; then waits for a line, delivers what is left, and prints its ledger as JSON.
"""

import json
import sys
import time
from pathlib import Path

from agent.export.assembler import Batch
from agent.export.sender import Sender, SenderLimits
from agent.export.spool import Spool
from agent.export.transport import GrpcTransport
from protos.ebpf import accesslog_pb2

PATIENCE = 300.0
"""Seconds in which what is left has to be delivered: a bound on waiting, not an expectation."""
PAUSE = 0.02
"""Seconds between batches, so that some are made while others are on their way."""


def batch_of(service: str, logs: int) -> Batch:
    """A stream of one connection of a service."""
    first = accesslog_pb2.EBPFAccessLogMessage()
    first.node.name = "node"
    first.node.bootTime.seconds = int(time.time()) - 3_600
    made = accesslog_pb2.EBPFAccessLogMessage()
    local = made.connection.local.kubernetes
    local.serviceName, local.podName, local.processName, local.port = service, "pod", "process", 80
    made.connection.remote.ip.host, made.connection.remote.ip.port = "10.0.0.2", 50_000
    for number in range(logs):
        write = made.kernelLogs.add().write
        write.startTime.offset.offset = 3_500_000_000_000 + number
        write.endTime.offset.offset = write.startTime.offset.offset + 1_000
    return Batch([first.SerializeToString(), made.SerializeToString()], logs)


def main(  # noqa: PLR0917 - the arguments of a command
    address: str, folder: str, name: str, batches: str, logs: str, spool_bytes: str = str(1 << 28)
) -> None:
    """Run as a program."""
    spool = Spool(Path(folder))
    transport = GrpcTransport(address)
    limits = SenderLimits(
        spool_bytes=int(spool_bytes), logs=200, attempt_seconds=3.0, first_pause=0.05, longest_pause=0.5
    )
    sender = Sender(transport, spool.ledger, limits, spool)
    sender.start()
    for number in range(int(batches)):
        print(f"made {number}", flush=True)
        batch = batch_of(f"{name}-{number}", int(logs))
        spool.ledger.capture(batch.logs)
        sender.submit(batch)
        time.sleep(PAUSE)
    print("all made", flush=True)
    sys.stdin.readline()
    sender.stop(PATIENCE)
    transport.close()
    balance = spool.ledger.balance()
    spool.close()
    print(
        json.dumps(
            {
                "captured": balance.captured,
                "delivered": balance.delivered,
                "waiting": balance.waiting,
                "lost": dict(balance.lost),
                "unspooled": spool.failures,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
