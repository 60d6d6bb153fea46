"""Finding frames of HTTP/2 again in a stream of which parts were not captured."""

from collections.abc import Sequence
from enum import Enum, auto

from agent.protocols.exchange import Flow, Piece
from agent.protocols.http2_frames import (
    DATA,
    FRAME_HEADER,
    MAXIMUM_FRAME_SIZE,
    MAXIMUM_STREAM,
    PREFACE,
    frame_header,
    is_plausible,
)

ENOUGH_FRAMES = 3
"""Plausible frame headers, each where the frame before it ends, that are believed."""
MAXIMUM_PIECES = 64
"""Pieces that are looked at together."""
MAXIMUM_BYTES = 128 * 1024
"""Captured bytes that are looked at together, unless they are one piece."""


class Verdict(Enum):
    """Whether pieces begin with frames."""

    FRAMES = auto()
    PREFACE = auto()
    """With what a client sends before its frames."""
    OTHER = auto()
    UNDECIDED = auto()
    """More has to follow."""


class FrameSearch:
    """Looks for pieces that begin with frames: one flow of a connection, while it is not known where frames begin.

    Applications write whole frames, and read them whole when they come one by one; so a call is where a frame is
    likely to begin. So is the end of bytes that were not captured: calls that were lost, or the payload of a frame.
    Believed are pieces whose first bytes are a run of `ENOUGH_FRAMES` frame headers, or of fewer where a piece ends
    exactly with one of their frames, unless that is one empty DATA frame.
    """

    __slots__ = ("_bytes", "_flow", "_held", "maximum_frame", "maximum_stream", "rejected")

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._held: list[Piece] = []
        self._bytes = 0
        self.maximum_frame = MAXIMUM_FRAME_SIZE
        """Most bytes of a payload."""
        self.maximum_stream = MAXIMUM_STREAM
        """The last stream that there may be."""
        self.rejected = 0
        """Pieces that did not begin with frames, where they might have."""

    @property
    def held_bytes(self) -> int:
        """Captured bytes that are kept until they are understood."""
        return self._bytes

    def add(self, piece: Piece, *, may_begin: bool) -> tuple[Verdict, list[Piece]]:
        """Look at the next piece.

        Args:
            piece: The next one of the flow.
            may_begin: Whether it is the first of a call, or follows bytes that were not captured.

        Returns:
            The verdict, and with FRAMES and PREFACE the pieces that begin with them; they are no longer kept.
        """
        if not self._held and not (may_begin and piece.data is not None):
            return Verdict.UNDECIDED, []
        self._held.append(piece)
        self._bytes += len(piece.data or b"")
        while self._held:
            verdict = examine(self._held, self._flow, self.maximum_frame, self.maximum_stream)
            if verdict in {Verdict.FRAMES, Verdict.PREFACE}:
                return verdict, self._take_all()
            if verdict is Verdict.UNDECIDED:
                if len(self._held) > MAXIMUM_PIECES or (self._bytes > MAXIMUM_BYTES and len(self._held) > 1):
                    self._take_all()
                    self.rejected += 1
                break
            self._reject()
        return Verdict.UNDECIDED, []

    def _take_all(self) -> list[Piece]:
        held, self._held, self._bytes = self._held, [], 0
        return held

    def _reject(self) -> None:
        """Go on with the next piece that may begin with a frame."""
        self.rejected += 1
        gone = self._drop()
        while self._held and (
            self._held[0].data is None or (self._held[0].call_ns == gone.call_ns and gone.data is not None)
        ):
            gone = self._drop()

    def _drop(self) -> Piece:
        gone = self._held.pop(0)
        self._bytes -= len(gone.data or b"")
        return gone


def examine(pieces: Sequence[Piece], flow: Flow, maximum_frame: int, maximum_stream: int) -> Verdict:
    """Whether pieces that follow each other begin with frames; see FrameSearch."""
    if flow is Flow.REQUESTS:
        begin = _captured(pieces, 0, len(PREFACE))
        if begin == PREFACE:
            return Verdict.PREFACE
        if begin and PREFACE.startswith(begin):
            return Verdict.UNDECIDED
    total = sum(piece.size for piece in pieces)
    position = frames = 0
    while position + FRAME_HEADER <= total:
        header = _captured(pieces, position, FRAME_HEADER)
        if header is None or not is_plausible(flow, header, maximum_stream, first=not frames):
            return Verdict.OTHER
        length, kind, _, _ = frame_header(header)
        if length > maximum_frame:
            return Verdict.OTHER
        frames += 1
        position += FRAME_HEADER + length
        is_something = length or kind != DATA
        if frames == ENOUGH_FRAMES or (position == total and (frames > 1 or is_something)):
            return Verdict.FRAMES
    return Verdict.UNDECIDED


def _captured(pieces: Sequence[Piece], begin: int, size: int) -> bytes | None:
    """Bytes at a place, fewer where the pieces end; None when not all of them were captured."""
    found = b""
    for piece in pieces:
        if begin < piece.size:
            if piece.data is None:
                return None
            found += piece.data[begin : begin + size - len(found)]
            if len(found) == size:
                break
            begin = piece.size
        begin -= piece.size
    return found
