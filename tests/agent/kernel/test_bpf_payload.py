"""bpf/payload*.c on the running kernel: which bytes of known streams are captured, and that they are those bytes."""

import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.events.fragments import ConversationProtocol, Fragment, FragmentFlag
from agent.events.layout import EventKind
from agent.kernel import bpf_maps
from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from tests.agent.kernel.watching import ATTACH, PATIENCE_SECONDS, Watch

pytestmark = pytest.mark.kernel

TURN_BYTES, EDGE_BYTES, DATA_BYTES, DETECTION_CALLS = 32_768, 32, 512, 6
PIPELINE_BYTES, ONE_REQUEST_BYTES, ANSWER_BYTES = 1 << 20, 256, 64
TURNS, STEPS, GATHERED_BYTES, GATHERED_BUFFERS, FRAGMENT_LARGE = 1024, 8, 512, 32, 4096
"""As in bpf/payload_plan.c, payload_steps.c, payload_records.c and payload.h."""
WITH_BUFFERS = ["WRITE", "WRITEV", "SENDTO", "SENDMSG", "PWRITEV2", "PIECES"]
READS = ["READ", "READV", "RECVFROM", "RECVMSG", "PREADV2", "PIECES"]
Parts = list[list[Any]]
"""What the workload is told: (way, size) each."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="session")
def payload_source() -> Iterator[KernelSource]:
    """The programs with those at the stages: sockets are watched only where their end is told."""
    options = Options(payload_bytes=32 << 20)
    with KernelSource.open(attach=ATTACH, only_processes=(), ring_bytes=32 << 20, options=options) as source:
        yield source


@pytest.fixture
def watch(payload_source: KernelSource) -> Watch:
    payload_source.take_payload()
    return Watch(payload_source)


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


@pytest.mark.parametrize("size", [1, 7, 4096, 5000, 20_000])
def test_a_message_within_the_bound_is_captured_whole_by_every_call(watch: Watch, tmp_path: Path, size: int) -> None:
    data = request(20_000 if size > 100 else 500)
    head = len(data) - (20_000 if size > 100 else 500)
    writes = [["WRITE", head], *ways(WITH_BUFFERS, size)]
    spoken = Spoken(watch, tmp_path, data, writes=writes, reads=[["RECVFROM", head], *ways(READS, max(size, 3))])
    for kind in (EventKind.WRITE, EventKind.READ):
        assert spoken.captured(kind) == set(range(len(data)))
        assert {one.protocol for one in spoken.of[kind]} == {ConversationProtocol.HTTP1}


def test_of_a_long_body_the_edges_of_each_call_are_captured(watch: Watch, tmp_path: Path) -> None:
    data = request(200_000)
    size = 30_000
    spoken = Spoken(watch, tmp_path, data, writes=ways(["SENDTO"], size), reads=ways(["READV"], 1 << 20))
    expected = set(range(TURN_BYTES))
    for begin in range(0, len(data), size):
        end = min(begin + size, len(data))
        kept = max(TURN_BYTES - begin, EDGE_BYTES)
        expected.update(range(begin, min(begin + kept, end)), range(max(end - EDGE_BYTES, begin), end))
    assert spoken.captured(EventKind.WRITE) == expected


def test_each_message_has_the_bound_anew(watch: Watch, tmp_path: Path) -> None:
    one = request(40_000, "/one")
    spoken = Spoken(watch, tmp_path, one * 3, writes=ways(["WRITE"], len(one)), reads=ways(["RECVFROM"], 65_536))
    captured = spoken.captured(EventKind.WRITE)
    for begin in range(0, 3 * len(one), len(one)):
        assert captured >= set(range(begin, begin + TURN_BYTES))
        assert begin + TURN_BYTES not in captured


def requests_without_body(count: int, method: str = "GET") -> bytes:
    """Of 60 bytes each."""
    lines = (f"{method} /items/{number} HTTP/1.1\r\nHost: a\r\n" for number in range(count))
    return b"".join(f"{line}X: {'x' * (60 - len(line) - 7)}\r\n\r\n".encode() for line in lines)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("size", [1 << 20, 48_002, 60])
def test_pipelined_requests_without_body_are_captured_whole(
    watch: Watch, tmp_path: Path, method: str, size: int
) -> None:
    data = requests_without_body(2_000, method)
    spoken = Spoken(watch, tmp_path, data, writes=ways(["WRITE"], size), reads=ways(["RECVFROM"], 17_000))
    for kind in (EventKind.WRITE, EventKind.READ):
        assert spoken.captured(kind) == set(range(len(data)))


def test_of_pipelined_requests_the_bound_is_that_of_a_turn(watch: Watch, tmp_path: Path) -> None:
    """No call but the first begins with a request."""
    data, size = requests_without_body(20_000), 100_001
    spoken = Spoken(watch, tmp_path, data, writes=ways(["WRITE"], size), reads=ways(["RECVFROM"], 60_000))
    expected = set(range(PIPELINE_BYTES))
    for begin in range(0, len(data), size):
        end = min(begin + size, len(data))
        if begin >= PIPELINE_BYTES:
            expected.update(range(begin, min(begin + EDGE_BYTES, end)))
        expected.update(range(end - EDGE_BYTES, end))
    assert spoken.captured(EventKind.WRITE) == expected


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


def response(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + random.Random(size).randbytes(size)


@pytest.mark.parametrize(("write_size", "read_size"), [(1 << 20, 1 << 20), (60_001, 9_001), (333, 70_000)])
def test_answers_of_a_pipeline_are_captured_whole(
    watch: Watch, tmp_path: Path, write_size: int, read_size: int
) -> None:
    asked, answered = requests_without_body(2_000), response(300) * 2_000
    turns = [["client", len(asked), write_size, read_size], ["server", len(answered), write_size, read_size]]
    assert captured_of_turns(watch, tmp_path, asked + answered, turns) == [
        dict.fromkeys((EventKind.WRITE, EventKind.READ), len(part)) for part in (asked, answered)
    ]


@pytest.mark.parametrize("head_bytes", [60, 300, 768])
def test_of_the_answer_to_one_request_as_much_is_captured_as_ever(
    watch: Watch, tmp_path: Path, head_bytes: int
) -> None:
    """However often one was asked for before, and after a pipeline has passed as soon as a few turns have."""
    asked = f"GET / HTTP/1.1\r\nX: {'x' * (head_bytes - 23)}\r\n\r\n".encode()
    assert len(asked) == head_bytes
    small, large = response(300), response(500_000)
    pipeline, answered = requests_without_body(100), small * 100
    parts = [pipeline, answered, *[asked, small] * 9, asked, large]
    turns = [["server" if number % 2 else "client", len(part), 1 << 20, 1 << 20] for number, part in enumerate(parts)]
    *_, found = counted_of_turns(watch, tmp_path, b"".join(parts), turns)
    assert found[EventKind.WRITE] == (TURN_BYTES + EDGE_BYTES, 1)
    captured, reads = found[EventKind.READ]  # as many as the kernel makes of it
    assert captured - TURN_BYTES <= 2 * EDGE_BYTES * reads


@pytest.mark.parametrize("count", [20, 40, 200, 2_000])
def test_answers_of_any_size_are_captured_up_to_a_bound(watch: Watch, tmp_path: Path, count: int) -> None:
    asked, answered = requests_without_body(count), response(3_000_000)
    turns = [["client", len(asked), 1 << 20, 1 << 20], ["server", len(answered), 4 << 20, 1 << 20]]
    found = captured_of_turns(watch, tmp_path, asked + answered, turns)
    most = min(max((count * 60 - ONE_REQUEST_BYTES) * ANSWER_BYTES, TURN_BYTES), PIPELINE_BYTES)
    assert most <= found[1][EventKind.WRITE] <= most + 2 * EDGE_BYTES * 200


def written_of_answers(watch: Watch, folder: Path, parts: list[bytes]) -> list[int]:
    """Of turns that a client begins, how much of the server's was captured as it was written."""
    turns = [["server" if number % 2 else "client", len(part), 1 << 20, 1 << 20] for number, part in enumerate(parts)]
    return [turn[EventKind.WRITE] for turn in captured_of_turns(watch, folder, b"".join(parts), turns)[1::2]]


def test_of_answers_to_requests_that_are_sent_while_others_wait_all_is_captured(watch: Watch, tmp_path: Path) -> None:
    """That a turn of answers begins within one shows that, however few requests were sent before it."""
    one, answer = requests_without_body(1), response(50_000)
    parts = [one * 3, answer + answer[:30_000]]
    for _ in range(4):
        parts += [one, answer[30_000:] + answer[:30_000]]
    first, *others = written_of_answers(watch, tmp_path, parts)
    assert first == TURN_BYTES + EDGE_BYTES
    assert others == [len(answer)] * 4


def test_of_answers_to_a_request_with_a_body_no_more_is_captured(watch: Watch, tmp_path: Path) -> None:
    """Whatever was before."""
    parts = [requests_without_body(200), response(100) * 200, request(10), response(500_000)]
    assert written_of_answers(watch, tmp_path, parts) == [len(parts[1]), TURN_BYTES + EDGE_BYTES]


def test_what_is_left_of_a_pipeline_halves_with_each_turn(watch: Watch, tmp_path: Path) -> None:
    """As where an answer happens to begin the turn although others wait."""
    pipeline, last = requests_without_body(2_000), requests_without_body(1)
    answers = response(400_000)
    parts = [pipeline, response(10), *[last, answers] * 7]
    _, *written = written_of_answers(watch, tmp_path, parts)
    assert written == [
        min(max(PIPELINE_BYTES >> halved, TURN_BYTES) + EDGE_BYTES, len(answers)) for halved in range(1, 8)
    ]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        (b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=["upgrade", "tunnel"],
)
def test_what_a_connection_becomes_has_the_bound_once(
    watch: Watch, tmp_path: Path, asked: bytes, answered: bytes
) -> None:
    """Not with each turn, of which a websocket has thousands."""
    frame_bytes = 10_000
    parts = [asked, answered, *[b"\x82" * frame_bytes] * 20]
    turns = [["server" if number % 2 else "client", len(part), 1 << 20, 1 << 20] for number, part in enumerate(parts)]
    written = [turn[EventKind.WRITE] for turn in captured_of_turns(watch, tmp_path, b"".join(parts), turns)]
    for first, found in ((asked, written[::2]), (answered, written[1::2])):
        whole, rest = divmod(TURN_BYTES - len(first), frame_bytes)
        others = 10 - whole - 1
        assert found == [len(first), *[frame_bytes] * whole, rest + EDGE_BYTES, *[2 * EDGE_BYTES] * others]


def test_after_a_refused_tunnel_each_turn_has_the_bound_anew(watch: Watch, tmp_path: Path) -> None:
    refused = b"HTTP/1.1 407 Who are you\r\nContent-Length: 20000\r\n\r\n"
    parts = [b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", refused, *[b"\x82" * 20_000] * 6]
    turns = [["server" if number % 2 else "client", len(part), 1 << 20, 1 << 20] for number, part in enumerate(parts)]
    found = captured_of_turns(watch, tmp_path, b"".join(parts), turns)
    assert [turn[EventKind.WRITE] for turn in found] == [len(part) for part in parts]


@pytest.mark.parametrize("way", ["SENDFILE", "SENDMMSG"])
def test_calls_without_buffers_are_counted(watch: Watch, tmp_path: Path, way: str) -> None:
    data = request(9_000)
    head = len(data) - 9_000
    writes = [["WRITE", head], [way, 3_000], [way, 3_000], [way, 3_000]]
    spoken = Spoken(watch, tmp_path, data, writes=writes, reads=ways(["READ"], 65_536))
    assert spoken.captured(EventKind.WRITE) == set(range(head))
    assert spoken.captured(EventKind.READ) == set(range(len(data)))


def test_bytes_that_are_thrown_away_are_not_looked_for(watch: Watch, tmp_path: Path) -> None:
    data = request(600)
    reads = [["READ", len(data) - 600], ["TRUNCATED", 200], ["READ", 200]]
    spoken = Spoken(watch, tmp_path, data, writes=ways(["WRITE"], 200), reads=reads)
    assert spoken.captured(EventKind.WRITE) == set(range(len(data)))
    hidden = [call for call in spoken.calls[EventKind.READ] if not call[0].length]
    assert hidden
    assert not any(b"never sent" in one.data for one in spoken.of[EventKind.READ])
    assert len(spoken.captured(EventKind.READ)) == len(data) - sum(call[0].call_bytes for call in hidden)


def frames(seed: int) -> tuple[bytes, set[int]]:
    """A stream of frames, and the places of DATA payloads that are to be left out."""
    rng = random.Random(seed)
    data, left_out = PREFACE + frame(4, b"", 0), set[int]()
    for _ in range(60):
        kind = rng.choice([0, 0, 1, 3, 4, 6, 8, 9])
        size = {0: rng.choice([0, 1, 511, 512, 513, 5_000, 16_384]), 1: rng.randint(1, 9_000), 4: 6, 6: 8}.get(kind, 4)
        data += frame(kind, rng.randbytes(size), 0 if kind in {4, 6} else 1, 4 if kind == 1 else 0)
        if kind == 0 and size > DATA_BYTES:
            left_out.update(range(len(data) - size, len(data)))
    return data, left_out


@pytest.mark.parametrize("seed", range(6))
def test_of_http2_everything_but_long_data_is_captured(watch: Watch, tmp_path: Path, seed: int) -> None:
    data, left_out = frames(seed)
    rng = random.Random(seed)
    writes = [
        ["WRITE", 30],
        *([rng.choice(WITH_BUFFERS), rng.choice([1, 5, 9, 40, 700, 9_000, 60_000])] for _ in range(30)),
    ]
    reads = [["RECVFROM", 30], *([rng.choice(READS), rng.choice([9, 17, 700, 9_000, 60_000])] for _ in range(30))]
    spoken = Spoken(watch, tmp_path, data, writes=writes, reads=reads)
    for kind in (EventKind.WRITE, EventKind.READ):
        assert spoken.captured(kind) == set(range(len(data))) - left_out
        assert {one.protocol for one in spoken.of[kind]} == {ConversationProtocol.HTTP2}


def test_buffers_side_by_side_that_are_not_in_the_stream(watch: Watch, tmp_path: Path) -> None:
    first = PREFACE + frame(4, b"", 0)
    data = frame(0, bytes(range(256)) * 20)
    both = first + data + frame(4, b"", 0, 1)
    writes = [["WRITE", len(first)], ["ADJACENT", len(both) - len(first)]]
    spoken = Spoken(watch, tmp_path, both, writes=writes, reads=ways(["READ"], 65_536))
    left_out = set(range(len(first) + 9, len(first) + len(data)))
    assert spoken.captured(EventKind.WRITE) == set(range(len(both))) - left_out


@pytest.mark.parametrize("size", [100, 40_000])
def test_a_read_that_comes_to_the_end_of_the_stream(watch: Watch, tmp_path: Path, size: int) -> None:
    """The end has a number in the stream, but no byte."""
    data = request(size)
    spoken = Spoken(watch, tmp_path, data, writes=ways(["WRITE"], 60_000), reads=ways(["READ"], 30_000), shuts=True)
    assert len(spoken.captured(EventKind.READ)) > size / 2


def test_small_buffers_are_captured_together(watch: Watch, tmp_path: Path) -> None:
    data = request(10_000)[:10_000]
    spoken = Spoken(watch, tmp_path, data, writes=ways(["TENS"], 10_000), reads=ways(["READ"], 65_536))
    assert spoken.captured(EventKind.WRITE) == set(range(len(data)))
    together = 10 * GATHERED_BUFFERS
    assert together < GATHERED_BYTES
    full, rest = divmod(len(data), together)
    assert [one.length for one in spoken.of[EventKind.WRITE]] == [together] * full + [rest]


@pytest.mark.parametrize("seed", range(8))
def test_buffers_of_any_lengths(watch: Watch, tmp_path: Path, seed: int) -> None:
    """HTTP/1 is captured as it lies there: what is sent together is what was written, none of it twice."""
    rng = random.Random(seed)
    sizes = [rng.randint(1, 3_000) for _ in range(8)]
    data = request(TURN_BYTES - 200)
    writes = [["WRITE", 60], *([rng.choice(["PIECES", "PIECES", "TENS"]), size] for size in sizes)]
    spoken = Spoken(
        watch, tmp_path, data, writes=writes, reads=[["RECVFROM", 60], *ways(["PIECES"], rng.choice(sizes))]
    )
    for kind in (EventKind.WRITE, EventKind.READ):
        assert spoken.captured(kind) == set(range(len(data)))


def test_long_frames_of_data_are_left_out_up_to_the_last_one(watch: Watch, tmp_path: Path) -> None:
    """Of 5 MiB in one call, as Node.js hands them to TLS."""
    first = PREFACE + frame(4, b"", 0)
    data = frame(0, bytes(16_384)) * 320
    writes = [["WRITE", len(first)], ["WRITE", len(data)]]
    spoken = Spoken(watch, tmp_path, first + data, writes=writes, reads=ways(["READ"], 1 << 23))
    heads = {len(first) + number * (9 + 16_384) + byte for number in range(320) for byte in range(9)}
    for kind in (EventKind.WRITE, EventKind.READ):
        assert spoken.captured(kind) == set(range(len(first))) | heads


def test_thousands_of_small_frames_in_a_call(watch: Watch, tmp_path: Path) -> None:
    data = PREFACE + frame(4, b"", 0) + frame(6, bytes(8), 0) * 7_500
    later = frame(0, bytes(9_000)) * 2
    writes = [["WRITE", len(data)], ["WRITE", len(later)]]
    spoken = Spoken(watch, tmp_path, data + later, writes=writes, reads=ways(["RECVFROM"], 1 << 20))
    heads = {len(data) + number * 9_009 + byte for number in range(2) for byte in range(9)}
    assert spoken.captured(EventKind.WRITE) == set(range(len(data))) | heads


def test_more_frames_than_are_followed_are_counted_and_the_next_call_is_followed(watch: Watch, tmp_path: Path) -> None:
    """Each head of a long frame of data is sent by itself; a turn ends with each but the first."""
    first = PREFACE + frame(4, b"", 0)
    length = 9 + DATA_BYTES + 1
    data = frame(0, bytes(DATA_BYTES + 1)) * (TURNS + 100)
    later = frame(6, bytes(8), 0) * 3
    before = watch.source.incomplete()["payload_cut"]
    writes = [["WRITE", len(first)], ["WRITE", len(data)], ["WRITE", len(later)]]
    spoken = Spoken(watch, tmp_path, first + data + later, writes=writes, reads=ways(["READ"], 60_000))
    heads = {len(first) + number * length + byte for number in range(TURNS + 1) for byte in range(9)}
    last = len(first + data)
    expected = set(range(len(first))) | heads | set(range(last, last + len(later)))
    assert spoken.captured(EventKind.WRITE) == expected
    assert watch.source.incomplete()["payload_cut"] == before + 1


def test_more_bytes_than_steps_are_taken_over(watch: Watch, tmp_path: Path) -> None:
    """Of empty frames a step is taken over each; those of a turn fill no record, and are sent together at its limit."""
    first = PREFACE + frame(4, b"", 0)
    data = frame(4, b"", 0, 1) * (TURNS * STEPS + 1_000)
    before = watch.source.incomplete()["payload_cut"]
    spoken = Spoken(
        watch, tmp_path, first + data, writes=[["WRITE", len(first)], ["WRITE", len(data)]], reads=ways(["READ"], 9_000)
    )
    captured = spoken.captured(EventKind.WRITE)
    assert captured == set(range(max(captured) + 1))
    # A turn ends early where a record is full.
    records = 9 * TURNS * STEPS // FRAGMENT_LARGE
    assert TURNS * STEPS - records * (STEPS - 1) <= (len(captured) - len(first)) / 9 <= TURNS * STEPS
    assert watch.source.incomplete()["payload_cut"] == before + 1


def test_a_connection_that_becomes_http2_is_followed_as_that(watch: Watch, tmp_path: Path) -> None:
    first = b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"
    data, left_out = frames(9)
    spoken = Spoken(
        watch, tmp_path, first + data, writes=[["WRITE", len(first)], ["WRITE", 50_000]], reads=ways(["READ"], 65_536)
    )
    places = {len(first) + place for place in left_out}
    assert spoken.captured(EventKind.WRITE) == set(range(len(first + data))) - places


@pytest.mark.parametrize("opening", [b"\0\1\2\3", b"220 mail ESMTP\r\n", b"EHLO there\r\n", b"\x16\x03\x01\x02\0\1"])
def test_of_other_protocols_nothing_is_captured(watch: Watch, tmp_path: Path, opening: bytes) -> None:
    """Also not when something that looks like HTTP comes later."""
    data = opening.ljust(20, b"\0") * DETECTION_CALLS + request(100)
    path = tmp_path / "stream"
    path.write_bytes(data)
    run = watch.run("speak", path=str(path), writes=ways(["WRITE"], 20), reads=ways(["READ"], 20))
    captured = [one for one in watch.source.take_payload() if one.process == run.process]
    assert [one.data for one in captured if one.length] == []
    is_tls = opening[0] == 0x16
    assert {one.protocol for one in captured} == ({ConversationProtocol.TLS} if is_tls else set())


def test_detection_goes_on_for_a_few_calls(watch: Watch, tmp_path: Path) -> None:
    late = b"\0" * 20 * (DETECTION_CALLS - 1)
    data = late + request(100)
    path = tmp_path / "stream"
    path.write_bytes(data)
    writes = [["WRITE", len(late) // (DETECTION_CALLS - 1)]] * (DETECTION_CALLS - 1) + [["WRITE", 1_000]]
    run = watch.run("speak", path=str(path), writes=writes, reads=ways(["READ"], 1_000))
    written = [
        one
        for one in watch.source.take_payload()
        if one.process == run.process and one.inode == run.result["client"]["inode"]
    ]
    assert b"".join(one.data for one in written) == request(100)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_muted_connection_is_captured_no_more(watch: Watch, tmp_path: Path, *, is_late: bool) -> None:
    """But one that has the struct sock of an earlier one is, where that is muted too late."""
    data = request(10, "/a") + request(10, "/b")
    path = tmp_path / "stream"
    path.write_bytes(data)
    half = len(data) // 2
    arguments: dict[str, Any] = {
        "path": str(path),
        "writes": [["WRITE", half]],
        "reads": [["READ", half]],
        "stops": True,
    }
    with watch.started("speak", **arguments) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "part\n"
        first = [one for one in watch.source.take_payload() if one.process == child.pid]
        assert {one.kind for one in first} == {EventKind.READ, EventKind.WRITE}
        for one in first:
            watch.source.mute(one.socket, one.inode - is_late)
        child.stdin.write("on\n")
        child.stdin.flush()
        child.stdout.read()
        child.wait()
    assert len(watch.until_exit(child.pid)) > 4
    rest = [one.data for one in watch.source.take_payload() if one.process == child.pid and one.length]
    assert rest == ([data[half:]] * 2 if is_late else [])
    # No mute waits for whoever is next.
    muted = watch.source.loaded.maps["muted_sockets"]
    assert [value_of(muted, one.socket) for one in first] == [None] * len(first)


def value_of(table: int, key: int) -> bytes | None:
    """What a map behind a descriptor has under a number."""
    return bpf_maps.lookup(table, struct.pack("=Q", key), bpf_maps.map_information(table).value_bytes)


@pytest.mark.parametrize("reuses", [False, True])
def test_a_call_whose_socket_is_gone_at_its_exit_is_counted(watch: Watch, tmp_path: Path, *, reuses: bool) -> None:
    """As where another thread has closed it within that moment, and maybe another socket is at its place already.

    The moment is made here: what is known of the socket is taken away, or given to another one, during the call.
    """
    data = request(10, "/a") + request(10, "/b")
    path = tmp_path / "stream"
    path.write_bytes(data)
    maps = watch.source.loaded.maps
    cut = watch.source.incomplete()["payload_cut"]
    with watch.started("read_before_it_is_sent", path=str(path)) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        reader = int(child.stdout.readline())
        first = [one for one in watch.source.take_payload() if one.process == child.pid]
        (socket,) = (one.socket for one in first if one.kind == EventKind.READ)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while value_of(maps["transfers"], child.pid << 32 | reader) is None:
            assert time.monotonic() < deadline, "the thread did not come to its read"
            time.sleep(0.005)
        known = value_of(maps["watched_sockets"], socket)
        assert known is not None
        key = struct.pack("=Q", socket)
        if reuses:  # the inode is the first field of struct watched
            bpf_maps.update(maps["watched_sockets"], key, struct.pack("=Q", 1) + known[8:])
        else:
            bpf_maps.delete(maps["watched_sockets"], key)
        child.stdin.write("on\n")
        child.stdin.flush()
        assert child.stdout.read()
        child.wait()
    events = watch.until_exit(child.pid)
    assert events[events["kind"] == EventKind.READ]["bytes"].tolist() == [len(data) // 2] * 2
    second = [one for one in watch.source.take_payload() if one.process == child.pid]
    assert {one.kind for one in second} == {EventKind.WRITE}
    assert watch.source.incomplete()["payload_cut"] == cut + 1


def test_a_full_ring_costs_payload_alone_and_is_counted(tmp_path: Path) -> None:
    data = request(30_000)
    path = tmp_path / "stream"
    path.write_bytes(data)
    with KernelSource.open(attach=ATTACH, only_processes=(), options=Options(payload_bytes=4096)) as source:
        run = Watch(source).run("speak", path=str(path), writes=ways(["WRITE"], 3_000), reads=ways(["READ"], 3_000))
        written = run.of_socket(run.result["client"]["inode"], EventKind.WRITE)
        assert int(written["bytes"].sum()) == len(data)
        kept = [one for one in source.take_payload() if one.process == run.process]
        lost = source.incomplete()["payload_full"]
    calls = -(-len(data) // 3_000)
    assert len(kept) + lost == 2 * calls
    assert lost > 0


def test_without_the_end_of_sockets_nothing_is_captured_and_that_is_said(tmp_path: Path) -> None:
    with KernelSource.open(attach=ATTACH, only_processes=(), unavailable={"tcp_destroy"}) as source:
        assert "protocolLog" in source.coverage.lost
        path = tmp_path / "stream"
        path.write_bytes(request(100))
        run = Watch(source).run("speak", path=str(path), writes=ways(["WRITE"], 50), reads=ways(["READ"], 50))
        assert len(run.of(EventKind.READ, EventKind.WRITE)) > 4
        assert source.take_payload() == []
