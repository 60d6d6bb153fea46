"""Conversations in which two ends take turns, and how much of each turn was captured."""

import random
from pathlib import Path

from agent.events.fragments import FragmentFlag
from agent.events.layout import EventKind
from tests.agent.kernel.payload.spoken import Parts
from tests.agent.kernel.watching import Watch


def requests_without_body(count: int, method: str = "GET") -> bytes:
    """Of 60 bytes each."""
    lines = (f"{method} /items/{number} HTTP/1.1\r\nHost: a\r\n" for number in range(count))
    return b"".join(f"{line}X: {'x' * (60 - len(line) - 7)}\r\n\r\n".encode() for line in lines)


def response(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + random.Random(size).randbytes(size)


def captured_of_turns(watch: Watch, folder: Path, data: bytes, turns: Parts) -> list[dict[EventKind, int]]:
    """How many bytes of each turn (by whom, bytes, most of a write, most of a read) were captured, at each end.

    All of them are compared with what was sent.
    """
    return [
        {kind: size for kind, (size, _) in counted.items()} for counted in counted_of_turns(watch, folder, data, turns)
    ]


def counted_of_turns(watch: Watch, folder: Path, data: bytes, turns: Parts) -> list[dict[EventKind, tuple[int, int]]]:
    """The same, and by how many calls they were moved."""
    path = folder / "stream"
    path.write_bytes(data)
    run = watch.run("converse", path=str(path), turns=turns)
    fragments = [fragment for fragment in watch.source.take_payload() if fragment.process == run.process]
    inodes = {name: run.result[name]["inode"] for name in ("client", "server")}
    found = []
    sent = dict.fromkeys(inodes, 0)
    begin = 0
    first: dict[str, int] = {}
    for who, size, *_ in turns:
        other = "server" if who == "client" else "client"
        counted = {}
        for kind, inode in ((EventKind.WRITE, inodes[who]), (EventKind.READ, inodes[other])):
            of_stream = [one for one in fragments if one.inode == inode and one.kind == kind]
            base = first.setdefault(f"{who} {kind}", min(one.position for one in of_stream))
            captured = calls = 0
            for one in of_stream:
                at = (one.position - base) % (1 << 32) + one.offset - sent[who]
                if 0 <= at < size:
                    assert one.data == data[begin + at : begin + at + one.length]
                    captured += one.length
                    calls += bool(one.flags & FragmentFlag.LAST)
            counted[kind] = captured, calls
        found.append(counted)
        sent[who] += size
        begin += size
    return found


def written_of_answers(watch: Watch, folder: Path, parts: list[bytes]) -> list[int]:
    """Of turns that a client begins, how much of the server's was captured as it was written."""
    turns = [["server" if number % 2 else "client", len(part), 1 << 20, 1 << 20] for number, part in enumerate(parts)]
    return [turn[EventKind.WRITE] for turn in captured_of_turns(watch, folder, b"".join(parts), turns)[1::2]]
