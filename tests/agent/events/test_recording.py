import io
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.host import Interface, ProcessFacts, SocketScan
from agent.discovery.recorded import (
    Answer,
    BootTimeAnswer,
    DropReasonsAnswer,
    InterfacesAnswer,
    InterfacesOfAnswer,
    NetworkNamespaceAnswer,
    ProcessAnswer,
    SocketDescriptorsAnswer,
    SocketInodeAnswer,
    SocketsAnswer,
)
from agent.events import recording
from agent.events.layout import EVENT, EventKind, Events
from agent.events.recorded_layout import event_layout
from agent.events.recording import (
    SIGNATURE,
    Header,
    Moment,
    MomentKind,
    RecordingError,
    RecordingReader,
    RecordingWriter,
)
from tests.agent.synthetic import event, facts, socket_facts

HEADER = Header(node="node-1", agent_process=7, layout=event_layout())
ANSWERS: list[Answer] = [
    ProcessAnswer(1, facts(1, cgroups=["/a"])),
    ProcessAnswer(2, None),
    SocketInodeAnswer(1, 3, 99),
    SocketInodeAnswer(1, 4, None),
    SocketDescriptorsAnswer(1, {3: 99}),
    SocketDescriptorsAnswer(2, None),
    SocketsAnswer(SocketScan((socket_facts(1, ("127.0.0.1", 80), owners=((1, 3),)),), {1: (b"\0\xff" * 8,)})),
    InterfacesAnswer((Interface(1, 1500, "eth0"),)),
    NetworkNamespaceAnswer(4026531840),
    InterfacesOfAnswer(4026532000, (Interface(2, 1400, "eth0"),)),
    InterfacesOfAnswer(4026532001, None),
    DropReasonsAnswer({2: "NOT_SPECIFIED"}),
    BootTimeAnswer(2**60),
]


def _write(steps: list[Events], losses: list[dict[str, int]] | None = None) -> bytes:
    file = io.BytesIO()
    writer = RecordingWriter(file, HEADER)
    writer.begin(1, ANSWERS)
    for at, step in enumerate(steps):
        writer.step(2 + at, step, ANSWERS[: at % 3], losses[at] if losses else {})
    writer.end(99, [])
    return file.getvalue()


def _read(data: bytes) -> list[Moment]:
    return list(RecordingReader(io.BytesIO(data)).moments())


def _random_events(seed: int, count: int) -> Events:
    return np.frombuffer(np.random.default_rng(seed).bytes(count * EVENT.itemsize), dtype=EVENT)


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 2**32))
def test_what_was_written_is_read(counts: list[int], seed: int) -> None:
    steps = [_random_events(seed + at, count) for at, count in enumerate(counts)]
    begin, *middle, end = _read(_write(steps))
    assert (begin.kind, begin.now_ns, list(begin.answers)) == (MomentKind.BEGIN, 1, ANSWERS)
    assert (end.kind, end.now_ns, len(end.events)) == (MomentKind.END, 99, 0)
    assert [moment.kind for moment in middle] == [MomentKind.STEP] * len(steps)
    for at, (moment, step) in enumerate(zip(middle, steps, strict=True)):
        assert moment.events.tobytes() == step.tobytes()
        assert (moment.now_ns, list(moment.answers)) == (2 + at, ANSWERS[: at % 3])


def test_header() -> None:
    assert RecordingReader(io.BytesIO(_write([]))).header == HEADER


def test_losses_hold_until_they_change() -> None:
    nothing = np.empty(0, dtype=EVENT)
    losses = [{"ring_full": 1}, {"ring_full": 1}, {"ring_full": 5}]
    assert [dict(moment.losses) for moment in _read(_write([nothing] * 3, losses))[1:4]] == losses


def test_a_large_step_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "STEP_EVENTS", 4)
    events = _random_events(1, 10)
    steps = _read(_write([events]))[1:-1]
    assert [len(step.events) for step in steps] == [4, 4, 2]
    assert len({step.now_ns for step in steps}) == 1
    assert np.concatenate([step.events for step in steps]).tobytes() == events.tobytes()


def test_a_file_cut_anywhere_is_an_error_and_what_came_before_was_given() -> None:
    whole = _write([event(EventKind.CONNECT), event(EventKind.CLOSE)])
    expected = _read(whole)
    for length in range(len(whole)):
        moments: list[Moment] = []
        with pytest.raises(RecordingError, match=r"cut short|not a recording"):
            moments.extend(RecordingReader(io.BytesIO(whole[:length])).moments())
        assert len(moments) < len(expected)
        assert [moment.now_ns for moment in moments] == [moment.now_ns for moment in expected[: len(moments)]]


@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_changed_byte_is_an_error(at: int, change: int) -> None:
    damaged = bytearray(_write([event(EventKind.CONNECT), event(EventKind.CLOSE)]))
    damaged[at % len(damaged)] ^= change
    with pytest.raises(RecordingError):
        _read(bytes(damaged))


@given(st.binary(max_size=200))
def test_anything_after_the_signature_is_an_error(data: bytes) -> None:
    with pytest.raises(RecordingError):
        _read(SIGNATURE + data)


def _frame(kind: int, payload: bytes) -> bytes:
    return recording._FRAME.pack(kind, len(payload), zlib.crc32(payload)) + payload


_HEADER_END = len(SIGNATURE) + recording._FRAME.size + len(msgspec.json.encode(HEADER))
_MOMENT = recording._MOMENT


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([_frame(9, b"")], "unknown kind 9"),
        ([_frame(2, b"{}")], "damaged"),
        ([_frame(2, b'{"type":"process","pid":"x"}')], "damaged"),
        ([_frame(5, _MOMENT.pack(1, 0))], "where none belongs"),  # a step before the beginning
        ([_frame(4, _MOMENT.pack(1, 0)), _frame(4, _MOMENT.pack(1, 0))], "where none belongs"),
        ([_frame(4, _MOMENT.pack(1, 0)), _frame(5, _MOMENT.pack(1, 2**40))], "events"),
        ([_frame(4, _MOMENT.pack(1, 0)), _frame(5, _MOMENT.pack(1, 1))], "damaged"),
        ([_frame(4, _MOMENT.pack(1, 0)), _frame(5, _MOMENT.pack(1, 1) + b"zlib?")], "damaged"),
        ([_frame(4, _MOMENT.pack(1, 0)), _frame(5, _MOMENT.pack(1, 1) + zlib.compress(bytes(2**22)))], "damaged"),
        ([_frame(4, _MOMENT.pack(1, 0)), _frame(6, _MOMENT.pack(1, 5))], "end does not fit"),
        ([_frame(4, _MOMENT.pack(1, 0)), _frame(6, _MOMENT.pack(1, 0)), b"more"], "end does not fit"),
        ([recording._FRAME.pack(2, 2**31, 0)], "damaged: a frame of 2147483648 bytes"),
    ],
)
def test_frames_that_do_not_belong(frames: list[bytes], message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        _read(_write([])[:_HEADER_END] + b"".join(frames))


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ((("start_ns", "<u4"),), "its field start_ns is not known, or not as <u4"),
        ((("stages.nothing", "<u8"),), "stages.nothing is not known"),
        ((("start_ns", "<u8"), ("start_ns", "<u8")), "twice"),
        ((("stages", "|V120"),), "stages is not known"),
    ],
)
def test_another_layout_is_refused(layout: tuple[tuple[str, str], ...], says: str) -> None:
    file = io.BytesIO()
    RecordingWriter(file, Header("n", 1, layout))
    with pytest.raises(RecordingError, match=says):
        _read(file.getvalue())


def test_a_recording_of_fewer_fields_is_read_with_zeros_for_the_others() -> None:
    kept = ("start_ns", "inode", "local_address", "stages.packages")
    older = tuple((name, kind) for name, kind in event_layout() if name in kept)
    events = _random_events(1, 3)
    recorded = np.zeros(3, dtype=[("start_ns", "u8"), ("inode", "u8"), ("local_address", "u1", 16), ("packages", "u4")])
    for name in ("start_ns", "inode", "local_address"):
        recorded[name] = events[name]
    recorded["packages"] = events["stages"]["packages"]
    file = io.BytesIO()
    writer = RecordingWriter(file, Header("n", 1, older))
    writer.begin(1, [])
    writer.step(2, recorded, [], {})
    writer.end(3, [])
    found = _read(file.getvalue())[1].events
    expected = np.zeros(3, dtype=EVENT)
    for name in ("start_ns", "inode", "local_address"):
        expected[name] = events[name]
    expected["stages"]["packages"] = events["stages"]["packages"]
    assert found.tobytes() == expected.tobytes()


def test_facts_with_any_text_survive() -> None:
    strange = ProcessFacts(1, 2, "a\ufffd\n", "/x/\u00e9", ('--a="b"', "\u4e2d"), ())
    file = io.BytesIO()
    writer = RecordingWriter(file, HEADER)
    writer.begin(1, [ProcessAnswer(1, strange)])
    writer.end(2, [])
    assert _read(file.getvalue())[0].answers == (ProcessAnswer(1, strange),)
