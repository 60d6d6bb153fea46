"""Streams whose bytes are known, and what was captured of them."""

import random
import struct
from pathlib import Path
from typing import Any

from agent.events.fragments import Fragment, FragmentFlag
from agent.events.layout import EventKind
from tests.agent.kernel.watching import Watch

TURN_BYTES, EDGE_BYTES, DATA_BYTES, DETECTION_CALLS = 32_768, 32, 512, 6
TURNS, STEPS, GATHERED_BYTES, GATHERED_BUFFERS, FRAGMENT_LARGE = 1024, 8, 512, 32, 4096
"""As in bpf/payload_plan.c, payload_steps.c, payload_records.c and payload.h."""
WITH_BUFFERS = ["WRITE", "WRITEV", "SENDTO", "SENDMSG", "PWRITEV2", "PIECES"]
READS = ["READ", "READV", "RECVFROM", "RECVMSG", "PREADV2", "PIECES"]
Parts = list[list[Any]]
"""What the workload is told: (way, size) each."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Spoken:
    """What was captured of a stream whose bytes are known."""

    def __init__(
        self, watch: Watch, folder: Path, data: bytes, *, writes: Parts, reads: Parts, shuts: bool = False
    ) -> None:
        path = folder / "stream"
        path.write_bytes(data)
        run = watch.run("speak", path=str(path), writes=writes, reads=reads, shuts=shuts)
        self.data = data
        inodes = {EventKind.WRITE: run.result["client"]["inode"], EventKind.READ: run.result["server"]["inode"]}
        fragments = [fragment for fragment in watch.source.take_payload() if fragment.process == run.process]
        self.of = {
            kind: [one for one in fragments if one.inode == inode and one.kind == kind]
            for kind, inode in inodes.items()
        }
        assert sum(map(len, self.of.values())) == len(fragments)
        self.calls = {kind: calls_of(self.of[kind]) for kind in self.of}
        events = {kind: run.of_socket(inode, kind) for kind, inode in inodes.items()}
        for kind, calls in self.calls.items():
            # Each call on the connection is told with its bytes, and is the call of an event.
            assert [call[0].call_bytes for call in calls] == events[kind]["bytes"].tolist()
            assert [call[0].start_ns for call in calls] == events[kind]["start_ns"].tolist()
            assert all(call[0].end_ns <= end for call, end in zip(calls, events[kind]["end_ns"], strict=True))

    def captured(self, kind: EventKind) -> set[int]:
        """Which bytes of the stream were captured; each is compared with what was sent."""
        found: set[int] = set()
        at = 0
        base = self.calls[kind][0][0].position
        for call in self.calls[kind]:
            assert call[0].position == (base + at) % (1 << 32)
            for fragment in call:
                begin = at + fragment.offset
                assert fragment.data == self.data[begin : begin + fragment.length]
                places = range(begin, begin + fragment.length)
                assert not found.intersection(places)
                found.update(places)
            at += call[0].call_bytes
        assert at == len(self.data)
        return found


def calls_of(fragments: list[Fragment]) -> list[list[Fragment]]:
    """The fragments of each call; the last one of each says so."""
    calls: list[list[Fragment]] = [[]]
    for fragment in fragments:
        calls[-1].append(fragment)
        if fragment.flags & FragmentFlag.LAST:
            calls.append([])
    assert calls.pop() == []
    return calls


def ways(names: list[str], size: int) -> Parts:
    return [[name, size] for name in names]


def request(size: int, path: str = "/") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    return head + random.Random(size).randbytes(size)


def frame(kind: int, payload: bytes, stream: int = 1, flags: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload
