"""bpf/payload*.c on the running kernel: what of messages of HTTP/1 is captured, and that it is those bytes."""

import random
from pathlib import Path

import pytest

from agent.events.fragments import ConversationProtocol
from agent.events.layout import EventKind
from tests.agent.kernel.payload.spoken import (
    EDGE_BYTES,
    GATHERED_BUFFERS,
    GATHERED_BYTES,
    READS,
    TURN_BYTES,
    WITH_BUFFERS,
    Spoken,
    request,
    ways,
)
from tests.agent.kernel.watching import Watch

pytestmark = pytest.mark.kernel


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
