"""The streams of a recording, and their times brought to now."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from backend.ingest.decode import NODE, SCHEMA, decode
from backend.ingest.framing import Frames
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage, EBPFAccessLogNodeInfo
from protos.recording import read_messages

_TOGETHER = 1_000  # messages looked at together
_NANOSECONDS = 1_000_000_000
_END, _HAS_END = SCHEMA.start + 1, SCHEMA.start + 3
_LARGEST_OFFSET = 1 << 62  # nanoseconds, 146 years: a longer offset is a defect that must not move the others


def streams(path: Path) -> Iterator[list[bytes]]:
    """The streams of a recording, each as its serialised messages; one is held at a time.

    Raises:
        RecordingError: The file is not a whole recording.
        OSError: It cannot be read.
    """
    stream: list[bytes] = []
    with path.open("rb") as file:
        messages = read_messages(file)
        while some := list(islice(messages, _TOGETHER)):
            for message, begins in zip(some, _name_node(some), strict=True):
                if stream and begins:
                    yield stream
                    stream = []
                stream.append(message)
    if stream:
        yield stream


def newest(path: Path) -> int | None:
    """Unix time in ns at which the last log of a recording ends; None when it tells no times."""
    found = None
    for stream in streams(path):
        boot = 0
        for decoded in decode(Frames.of(stream)):
            node = decoded.bytes_of(0, NODE)
            if node is not None:
                boot = _boot_time(EBPFAccessLogNodeInfo.FromString(node))
            ends = decoded.values[_END][decoded.values[_HAS_END] > 0]
            ends = ends[ends < _LARGEST_OFFSET]
            if boot and len(ends):
                latest = boot + int(ends.max())
                found = latest if found is None else max(found, latest)
    return found


def shifted(stream: list[bytes], shift_ns: int) -> list[bytes]:
    """A stream whose node booted `shift_ns` later; nothing else changes, as all times count from the boot."""
    if not shift_ns or not _name_node(stream[:1])[0]:
        return stream
    first = EBPFAccessLogMessage.FromString(stream[0])
    if not first.node.HasField("bootTime"):
        return stream
    boot = _boot_time(first.node) + shift_ns
    first.node.bootTime.seconds, first.node.bootTime.nanos = divmod(boot, _NANOSECONDS)
    return [first.SerializeToString(), *stream[1:]]


def _name_node(messages: list[bytes]) -> list[bool]:
    """Per message, whether it names a node, and so begins a stream."""
    return [begins for decoded in decode(Frames.of(messages)) for begins in (decoded.ranges[:, NODE, 0] >= 0).tolist()]


def _boot_time(node: EBPFAccessLogNodeInfo) -> int:
    return node.bootTime.seconds * _NANOSECONDS + node.bootTime.nanos
