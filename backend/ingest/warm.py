"""Compiles, or loads from the cache, everything that the first message would otherwise wait for."""

from backend.ingest.framing import Framer
from backend.ingest.interning import Interner
from backend.ingest.stream import LogStream
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage


def warm() -> None:
    """Receive one message and throw it away. Takes seconds the first time on a machine."""
    message = EBPFAccessLogMessage()
    message.connection.local.ip.host = message.connection.remote.ip.host = "127.0.0.1"
    log = message.kernelLogs.add()
    log.read.startTime.offset.offset = log.read.endTime.offset.offset = 1
    data = message.SerializeToString()
    framer, stream = Framer(), LogStream(Interner())
    framer.add(b"\0" + len(data).to_bytes(4, "big") + data)
    for frames in framer.take():
        stream.take(frames)
    stream.batch()
