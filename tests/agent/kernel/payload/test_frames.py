"""bpf/payload*.c on the running kernel: which frames of HTTP/2 are captured."""

import random
from pathlib import Path

import pytest

from agent.events.fragments import ConversationProtocol
from agent.events.layout import EventKind
from tests.agent.kernel.payload.spoken import (
    DATA_BYTES,
    FRAGMENT_LARGE,
    PREFACE,
    READS,
    STEPS,
    TURNS,
    WITH_BUFFERS,
    Spoken,
    frame,
    ways,
)
from tests.agent.kernel.watching import Watch

pytestmark = pytest.mark.kernel


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
