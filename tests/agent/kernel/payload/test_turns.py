"""bpf/payload*.c on the running kernel: how much is captured of pipelines, their answers and what follows HTTP."""

from pathlib import Path

import pytest

from agent.events.layout import EventKind
from tests.agent.kernel.payload.spoken import EDGE_BYTES, TURN_BYTES, Spoken, request, ways
from tests.agent.kernel.payload.turns import (
    captured_of_turns,
    counted_of_turns,
    requests_without_body,
    response,
    written_of_answers,
)
from tests.agent.kernel.watching import Watch

pytestmark = pytest.mark.kernel
PIPELINE_BYTES, ONE_REQUEST_BYTES, ANSWER_BYTES = 1 << 20, 256, 64


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
