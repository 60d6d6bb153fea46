"""Streams of access logs to send."""

import itertools

from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage
from tests.backend.ingest.messages import message, read_log

NUMBERS = itertools.count(1)


def stream(messages: int, logs: int = 3, remote: str = "a") -> tuple[list[EBPFAccessLogMessage], list[int]]:
    """A stream, and the numbers by which its logs are known."""
    sizes = [[next(NUMBERS) for _ in range(logs)] for _ in range(messages)]
    made = [
        message(*[read_log(size=size) for size in some], node="n" if not index else None, remote=remote)
        for index, some in enumerate(sizes)
    ]
    return made, [size for some in sizes for size in some]


def serialised(messages: list[EBPFAccessLogMessage]) -> list[bytes]:
    return [item.SerializeToString() for item in messages]
