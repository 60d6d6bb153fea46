"""Files of recorded kernel events, with everything else that a replay needs.

A signature, then frames: a kind (1 byte), a length (4 bytes, little-endian), a CRC-32 of the content (4 bytes), the
content. First comes a header. Then, for each moment of the recorded run, the answers of the host that it asked for, the
payload that was captured, and the moment itself: the beginning, then steps with their events, then the end. The end
also says how many events there are, so that a file cut between two frames is noticed as well.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, BinaryIO

import msgspec
import numpy as np

from agent.discovery.recorded import Answer
from agent.events.fragments import Fragment, FragmentError, pack_fragments, unpack_fragments
from agent.events.layout import EVENT, Events
from agent.events.recorded_layout import Layout, LayoutError, RecordedLayout

SIGNATURE = b"PYREVT\x00\x01"
MAXIMUM_PAYLOAD = 64 * 1024 * 1024
"""Bytes of a frame."""
STEP_EVENTS = 65_536
"""Events of a step at most; more are written as several steps of the same time."""

STEP_FRAGMENTS = 4_096
"""Fragments of payload in a frame at most: 17 MB."""

_FRAME = struct.Struct("<BII")
_MOMENT = struct.Struct("<QQ")
_COMPRESSION = 1


class RecordingError(Exception):
    """The file is not a recording of events, is damaged, or was cut short."""


class _FrameKind(IntEnum):
    HEADER = 1
    ANSWER = 2
    LOSSES = 3
    BEGIN = 4
    STEP = 5
    END = 6
    FRAGMENTS = 7


class MomentKind(Enum):
    """What the recorded run did at a moment."""

    BEGIN = "begin"  # took on the connections that were open
    STEP = "step"  # took events in
    END = "end"  # sent what was left


_MOMENT_KINDS = {
    _FrameKind.BEGIN: MomentKind.BEGIN,
    _FrameKind.STEP: MomentKind.STEP,
    _FrameKind.END: MomentKind.END,
}


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the recording is."""

    node: str
    """Name of the node it was made on."""
    agent_process: int
    """Process id of the agent that made it."""
    layout: Layout
    """Of the events in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One moment of the recorded run."""

    kind: MomentKind
    now_ns: int
    """CLOCK_MONOTONIC."""
    events: Events
    answers: tuple[Answer, ...]
    """What the host answered at this moment."""
    losses: Mapping[str, int]
    """Events lost before they could be taken, by cause, since the start."""
    fragments: tuple[Fragment, ...] = ()
    """Payload that was taken after the events."""


class RecordingWriter:
    """Writes a recording: header at once, then `begin`, any number of `step`, and `end`."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._events = 0
        self._losses: dict[str, int] = {}
        file.write(SIGNATURE)
        self._frame(_FrameKind.HEADER, msgspec.json.encode(header))

    def begin(self, now_ns: int, answers: Iterable[Answer]) -> None:
        """Write the beginning."""
        self._answers(answers)
        self._frame(_FrameKind.BEGIN, _MOMENT.pack(now_ns, 0))

    def step(
        self,
        now_ns: int,
        events: Events,
        answers: Iterable[Answer],
        losses: Mapping[str, int],
        fragments: Sequence[Fragment] = (),
    ) -> None:
        """Append a step."""
        self._answers(answers)
        for first in range(0, len(fragments), STEP_FRAGMENTS):
            packed = pack_fragments(fragments[first : first + STEP_FRAGMENTS])
            self._frame(_FrameKind.FRAGMENTS, zlib.compress(packed, _COMPRESSION))
        if dict(losses) != self._losses:
            self._losses = dict(losses)
            self._frame(_FrameKind.LOSSES, msgspec.json.encode(self._losses))
        for first in range(0, len(events), STEP_EVENTS) or (0,):
            portion = events[first : first + STEP_EVENTS]
            data = zlib.compress(portion.tobytes(), _COMPRESSION) if len(portion) else b""
            self._frame(_FrameKind.STEP, _MOMENT.pack(now_ns, len(portion)) + data)
        self._events += len(events)

    def end(self, now_ns: int, answers: Iterable[Answer]) -> None:
        """Write the end. The file stays open; flushing it is its owner's business."""
        self._answers(answers)
        self._frame(_FrameKind.END, _MOMENT.pack(now_ns, self._events))

    def _answers(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self._frame(_FrameKind.ANSWER, msgspec.json.encode(answer))

    def _frame(self, kind: _FrameKind, payload: bytes) -> None:
        if len(payload) > MAXIMUM_PAYLOAD:
            raise RecordingError(f"a frame of {len(payload)} bytes is longer than a recording may hold")
        self._file.write(_FRAME.pack(kind, len(payload), zlib.crc32(payload)) + payload)


class RecordingReader:
    """Reads a recording: its header at once, its steps one by one."""

    def __init__(self, file: BinaryIO) -> None:
        """Read signature and header.

        Raises:
            RecordingError: the file is not a recording that this version can replay.
        """
        self._file = file
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise RecordingError("not a recording of kernel events: make one with 'pyrover-agent record FILE'")
        kind, payload = self._frame()
        if kind is not _FrameKind.HEADER:
            raise RecordingError(f"the recording is damaged: it begins with a frame of kind {kind.name}")
        self.header = _decode(payload, Header)
        try:
            self._layout = RecordedLayout(self.header.layout)
        except LayoutError as error:
            raise RecordingError(
                f"the recording holds events of a layout that this version cannot read: {error}; record it again"
            ) from error

    def moments(self) -> Iterator[Moment]:
        """The moments in order.

        Raises:
            RecordingError: the file is damaged or was cut short; the moments before that have been given.
        """
        answers: list[Answer] = []
        fragments: list[Fragment] = []
        losses: dict[str, int] = {}
        events = 0
        expected = _FrameKind.BEGIN
        while True:
            kind, payload = self._frame()
            if kind is _FrameKind.ANSWER:
                answers.append(_decode(payload, Answer))
            elif kind is _FrameKind.LOSSES:
                losses = _decode(payload, dict[str, int])
            elif kind is _FrameKind.FRAGMENTS:
                fragments += _fragments(payload)
            elif kind not in _MOMENT_KINDS or (kind is _FrameKind.BEGIN) != (expected is _FrameKind.BEGIN):
                raise RecordingError(f"the recording is damaged: a frame of kind {kind.name} where none belongs")
            else:
                now_ns, count = _unpack_moment(payload)
                found = self._events(payload, count if kind is _FrameKind.STEP else 0)
                events += len(found)
                if kind is _FrameKind.END and (count != events or self._file.read(1)):
                    raise RecordingError("the recording is damaged: its end does not fit what it holds")
                yield Moment(_MOMENT_KINDS[kind], now_ns, found, tuple(answers), losses, tuple(fragments))
                if kind is _FrameKind.END:
                    return
                answers, fragments = [], []
                expected = _FrameKind.STEP

    def _events(self, payload: bytes, count: int) -> Events:
        if count > STEP_EVENTS:
            raise RecordingError(f"the recording is damaged: a step of {count} events")
        if not count:
            return np.empty(0, dtype=EVENT)
        size = count * self._layout.itemsize
        data = _decompress(payload[_MOMENT.size :], size + 1)
        if len(data) != size:
            raise RecordingError("the recording is damaged: a step without its events")
        return self._layout.read(data)

    def _frame(self) -> tuple[_FrameKind, bytes]:
        head = self._file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            raise RecordingError("the recording was cut short: its end is missing")
        number, length, checksum = _FRAME.unpack(head)
        if length > MAXIMUM_PAYLOAD:
            raise RecordingError(f"the recording is damaged: a frame of {length} bytes")
        payload = self._file.read(length)
        if len(payload) < length:
            raise RecordingError("the recording was cut short in the middle of a frame")
        if zlib.crc32(payload) != checksum:
            raise RecordingError("the recording is damaged: the checksum of a frame does not fit")
        try:
            return _FrameKind(number), payload
        except ValueError as error:
            raise RecordingError(f"the recording is damaged: a frame of unknown kind {number}") from error


def _decode(payload: bytes, wanted: Any) -> Any:  # noqa: ANN401 - msgspec takes unions as types too
    try:
        return msgspec.json.decode(payload, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingError(f"the recording is damaged: {error}") from error


def _decompress(content: bytes, most: int) -> bytes:
    """At most so many bytes of what was compressed."""
    try:
        return zlib.decompressobj().decompress(content, most)
    except zlib.error as error:
        raise RecordingError(f"the recording is damaged: {error}") from error


def _fragments(content: bytes) -> Iterator[Fragment]:
    try:
        yield from unpack_fragments(_decompress(content, MAXIMUM_PAYLOAD))
    except FragmentError as error:
        raise RecordingError(f"the recording is damaged: {error}") from error


def _unpack_moment(payload: bytes) -> tuple[int, int]:
    """(time, number of events)."""
    if len(payload) < _MOMENT.size:
        raise RecordingError("the recording is damaged: a moment that is too short")
    now_ns, count = _MOMENT.unpack_from(payload)
    return now_ns, count
