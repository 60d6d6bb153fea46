import pytest

from agent.protocols.exchange import Flow, Piece
from agent.protocols.frame_search import MAXIMUM_PIECES, FrameSearch, Verdict
from agent.protocols.http2_frames import PREFACE, FrameKind
from tests.agent.protocols.http2_wire import End, frame, ping, settings, window_update

LARGE = 1 << 20


class Calls:
    """Feeds a search with calls."""

    def __init__(self, flow: Flow = Flow.REQUESTS) -> None:
        self.search = FrameSearch(flow)
        self.search.maximum_frame = LARGE
        self.search.maximum_stream = 99
        self.number = 0

    def call(self, *parts: bytes | int) -> tuple[Verdict, list[bytes | int]]:
        self.number += 1
        may_begin = True
        for part in parts:
            size, data = (part, None) if isinstance(part, int) else (len(part), part)
            piece = Piece(1, 2, self.number, size, data)
            verdict, found = self.search.add(piece, may_begin=may_begin)
            may_begin = data is None
        return verdict, [piece.size if piece.data is None else piece.data for piece in found]


def test_a_piece_that_ends_with_its_frames() -> None:
    sent = End().headers(1, ((":method", "GET"),), ends=True)
    assert Calls().call(sent) == (Verdict.FRAMES, [sent])
    assert Calls().call(settings(ack=True)) == (Verdict.FRAMES, [settings(ack=True)])


def test_three_frames_are_believed_wherever_the_piece_ends() -> None:
    sent = ping() + ping() + ping()[:9]
    assert Calls().call(sent) == (Verdict.FRAMES, [sent])
    assert Calls().call(sent[:-1])[0] is Verdict.UNDECIDED


def test_what_is_undecided_is_decided_with_the_next_call() -> None:
    calls = Calls()
    data = frame(FrameKind.DATA, 0, 1, bytes(5_000))
    assert calls.call(data[:1_000])[0] is Verdict.UNDECIDED
    assert calls.call(3_000)[0] is Verdict.UNDECIDED
    assert calls.call(data[4_000:]) == (Verdict.FRAMES, [data[:1_000], 3_000, data[4_000:]])
    assert calls.search.held_bytes == 0


def test_a_call_that_begins_with_something_else_is_rejected_until_the_next_one() -> None:
    calls = Calls()
    assert calls.call(b"some other bytes", ping())[0] is Verdict.UNDECIDED
    assert calls.search.rejected == 1
    assert calls.call(ping()) == (Verdict.FRAMES, [ping()])


def test_calls_after_a_rejected_one_are_looked_at_though_they_were_waiting() -> None:
    calls = Calls()
    calls.call(frame(FrameKind.DATA, 0, 1, bytes(20))[:9])  # 20 bytes are to follow, then a frame: there is none
    updates = window_update(1) * 4
    assert calls.call(updates) == (Verdict.FRAMES, [updates])
    assert calls.search.rejected == 1


def test_a_call_is_looked_at_again_after_bytes_that_were_not_captured() -> None:
    calls = Calls()
    calls.call(frame(FrameKind.DATA, 0, 1, bytes(15))[:20])
    # The header of a frame should be among the first 10 bytes.
    assert calls.call(10, ping()) == (Verdict.FRAMES, [ping()])
    assert calls.search.rejected == 1
    assert calls.call(b"other bytes", 10)[0] is Verdict.UNDECIDED
    assert calls.call(10, b"other", ping())[0] is Verdict.UNDECIDED
    assert (calls.search.rejected, calls.search.held_bytes) == (3, 0)


def test_the_preface() -> None:
    assert Calls().call(PREFACE) == (Verdict.PREFACE, [PREFACE])
    assert Calls().call(PREFACE[:7], PREFACE[7:] + b"\0") == (Verdict.PREFACE, [PREFACE[:7], PREFACE[7:] + b"\0"])
    calls = Calls(Flow.RESPONSES)
    calls.call(PREFACE)
    assert calls.search.rejected == 1


def test_what_waits_is_bounded() -> None:
    calls = Calls()
    header = frame(FrameKind.DATA, 0, 1)[3:]
    begin = (LARGE).to_bytes(3, "big") + header
    calls.call(begin)
    for _ in range(MAXIMUM_PIECES - 1):
        calls.call(b"x")
    assert (calls.search.rejected, calls.search.held_bytes) == (0, MAXIMUM_PIECES + 8)
    calls.call(b"x")
    assert (calls.search.rejected, calls.search.held_bytes) == (1, 0)
    calls = Calls()
    calls.call(begin + bytes(100_000))
    assert calls.search.held_bytes == 100_009
    calls.call(bytes(100_000))
    assert (calls.search.rejected, calls.search.held_bytes) == (1, 0)


@pytest.mark.parametrize(
    "header",
    [
        frame(FrameKind.DATA, 0, 1),  # empty, and ends nothing
        frame(FrameKind.DATA, 4, 1, b"x"),  # a flag that there is not
        frame(FrameKind.DATA, 1, 1 << 31 | 1, b"x"),  # the reserved bit
        frame(FrameKind.DATA, 1, 2, b"x"),  # a stream of the server
        frame(FrameKind.DATA, 1, 101, b"x"),  # a stream that there is not yet
        frame(FrameKind.CONTINUATION, 4, 1, b"x"),  # of nothing
        frame(0x10, 0, 0, b"x"),  # a type that there is not
        frame(FrameKind.PING, 2, 0, bytes(8)),
        frame(FrameKind.PUSH_PROMISE, 4, 1, bytes(8)),
    ],
)
def test_what_no_client_would_begin_a_call_with(header: bytes) -> None:
    calls = Calls()
    assert calls.call(header)[0] is Verdict.UNDECIDED
    assert calls.search.rejected == 1


def test_a_frame_over_the_limit_is_none() -> None:
    calls = Calls()
    calls.call((LARGE + 1).to_bytes(3, "big") + b"\0\0\0\0\0\1")
    assert calls.search.rejected == 1


def test_one_empty_frame_is_not_believed_and_servers_streams_are_rare() -> None:
    calls = Calls(Flow.RESPONSES)
    assert calls.call(frame(FrameKind.DATA, 1, 1))[0] is Verdict.UNDECIDED
    assert calls.call(ping()) == (Verdict.FRAMES, [frame(FrameKind.DATA, 1, 1), ping()])
    assert calls.call(frame(FrameKind.DATA, 1, 2, b"x"))[0] is Verdict.UNDECIDED
    assert calls.search.rejected == 1
