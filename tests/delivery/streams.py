"""Streams of access logs as an agent sends them, each of one connection of a service, by which its arrival is seen."""

import itertools
import time

from agent.export.assembler import Batch
from protos.ebpf import accesslog_pb2


def stream_of(service: str, logs: int, messages: int = 1) -> list[bytes]:
    """The node, then so many messages, with so many writes of one byte each in turn, in the hour before now."""
    first = accesslog_pb2.EBPFAccessLogMessage()
    first.node.name = "node"
    first.node.bootTime.seconds = int(time.time()) - 3_600
    made = [accesslog_pb2.EBPFAccessLogMessage() for _ in range(messages)]
    for message in made:
        local = message.connection.local.kubernetes
        local.serviceName, local.podName, local.processName, local.port = service, "pod", "process", 80
        message.connection.remote.ip.host, message.connection.remote.ip.port = "10.0.0.2", 50_000
    for number, message in zip(range(logs), itertools.cycle(made), strict=False):
        write = message.kernelLogs.add().write
        write.startTime.offset.offset = 3_500_000_000_000 + number
        write.endTime.offset.offset = write.startTime.offset.offset + 1_000
        write.l4Metrics.totalPackageSize = 1
    return [message.SerializeToString() for message in (first, *made)]


def batch_of(service: str, logs: int) -> Batch:
    """Such a stream of two messages as a batch with an id of its own."""
    return Batch(stream_of(service, logs), logs)
