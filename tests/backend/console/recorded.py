"""A recording of access logs of bookinfo with the stages of each read and write, and a live backend that took it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.cli import main
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from protos.recording import write_messages, write_signature
from tests.backend.server import bookinfo
from tests.backend.server.processes import backend

MINUTES = 12
WRITE = {
    "call": 30_000,
    "l4": 20_000,
    "l3": 9_000,
    "local": 600,
    "output": 900,
    "l2": 4_000,
    "ready": 1_500,
    "send": 2_100,
}
"""Mean times of the stages of a write, in nanoseconds."""
READ = {
    "call": 50_000,
    "to_queue": 12_000,
    "l4": 8_000,
    "l3": 11_000,
    "receiving": 700,
    "local": 1_400,
    "from_queue": 15_000,
}
"""And of a read."""


def write_recording(file: Path, minutes: int = MINUTES) -> None:
    """Record the last minutes of bookinfo that are over, each with all its calls in the middle."""
    now = time.time() // 60 * 60 - 30
    with file.open("wb") as opened:
        write_signature(opened)
        for minute in reversed(range(minutes)):
            for messages in bookinfo.streams(now - 60 * minute).values():
                write_messages(opened, (_staged(message).SerializeToString() for message in messages))


@contextmanager
def live_backend(folder: Path, *arguments: str) -> Iterator[str]:
    """A backend in a process of its own that has taken the recording; gives the address of its console."""
    file = folder / "bookinfo.logs"
    write_recording(file)
    with backend(folder / "data", *arguments) as (_, addresses):
        assert main(["replay", str(file), "--to", addresses["grpc"], "--no-shift-times"]) == 0
        yield f"{addresses['http']}/"


def _staged(message: EBPFAccessLogMessage) -> EBPFAccessLogMessage:
    for log in message.kernelLogs:
        if log.HasField("write"):
            l3, l2 = log.write.l3Metrics, log.write.l2Metrics
            l3.totalLocalDuration, l3.totalOutputDuration = WRITE["local"], WRITE["output"]
            l2.totalReadySendDuration, l2.totalNetDeviceSendDuration = WRITE["ready"], WRITE["send"]
        elif log.HasField("read"):
            l2_read, l3_read = log.read.l2Metrics, log.read.l3Metrics
            l2_read.totalPackageToQueueDuration = READ["to_queue"]
            l2_read.totalRcvPackageFromQueueDuration = READ["from_queue"]
            l3_read.totalDuration, l3_read.totalRecvDuration = READ["l3"], READ["receiving"]
            l3_read.totalLocalDuration = READ["local"]
    return message
