"""One flow of an HTTP/2 connection (RFC 9113 4): pieces in, header blocks, parts of bodies and control frames out."""

from collections import Counter

from msgspec.structs import replace

from agent.protocols.block_collector import MAXIMUM_BLOCK, BlockCollector, BlockHead
from agent.protocols.exchange import Flow, Piece
from agent.protocols.frame_search import FrameSearch, Verdict
from agent.protocols.frame_sink import FrameSink
from agent.protocols.http2_frames import (
    CONTINUATION,
    DATA,
    DEFAULT_FRAME_SIZE,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    HEADERS,
    MAXIMUM_FRAME_SIZE,
    PADDED,
    PLAIN_HEADER,
    PREFACE,
    PUSH_PROMISE,
    FrameHeader,
    FrameKind,
    frame_header,
    is_valid,
)
from agent.protocols.http2_losses import Loss

# DATA and HEADERS with the flags that need nothing else.
_PLAIN = frozenset((DATA, END_STREAM, HEADERS << 8 | END_HEADERS, HEADERS << 8 | END_HEADERS | END_STREAM))
_ODD = 1 << 31 | 1  # bits of a stream: only the last one is set in that of a client, with no reserved bit
_CONTROL = frozenset((FrameKind.RST_STREAM, FrameKind.SETTINGS, FrameKind.GOAWAY))


class FrameReader:
    """Reads the frames of one flow. What it keeps is bounded by `MAXIMUM_BLOCK` and what the search keeps."""

    __slots__ = (
        "_began",
        "_blocks",
        "_body_left",
        "_call_ns",
        "_flow",
        "_head",
        "_header",
        "_left",
        "_losses",
        "_payload",
        "_preface_left",
        "_search",
        "_sink",
        "_waiting",
        "found_ns",
        "is_lost",
        "is_understood",
        "maximum_frame",
    )

    def __init__(self, flow: Flow, sink: FrameSink, losses: Counter[str], *, joined: bool) -> None:
        """`joined` when the first piece is not the first of the connection."""
        self._flow = flow
        self._sink = sink
        self._losses = losses
        self._search = FrameSearch(flow)
        self._blocks = BlockCollector(losses)
        self._waiting: list[Piece] = []  # found to begin with frames; the next one last
        self._call_ns = -1  # of the last piece, unless that was not captured
        self.is_lost = joined
        """Whether it is not known where frames begin."""
        self.found_ns = 0
        """CLOCK_MONOTONIC of when it became known again where frames begin."""
        self.is_understood = False
        """Whether there ever were frames."""
        self.maximum_frame = MAXIMUM_FRAME_SIZE if joined else DEFAULT_FRAME_SIZE
        """Most bytes of a payload."""
        self._preface_left = 0 if joined or flow is Flow.RESPONSES else len(PREFACE)
        self._head = b""
        # The last frame, and what is left of it:
        self._header: FrameHeader = 0, 0, 0, 0
        self._left = 0
        self._body_left = 0  # of data; -1 while it is padded and not known by how much
        self._payload: bytearray | None = None  # of other kinds; None when it is of no use
        self._began: Piece | None = None

    @property
    def rejected(self) -> int:
        """Calls since the reader was lost that did not begin with frames."""
        return self._search.rejected

    @property
    def kept_bytes(self) -> int:
        """Bytes of pieces that are kept."""
        return self._search.held_bytes + self._blocks.kept_bytes + len(self._head) + len(self._payload or b"")

    def expect_streams(self, maximum: int) -> None:
        """Look for frames of streams up to this one only."""
        self._search.maximum_stream = maximum

    def feed(self, piece: Piece) -> None:
        """Read the next piece."""
        data = piece.data
        if data is not None and not (self.is_lost or self._left or self._head or self._preface_left):
            self._call_ns = piece.call_ns
            self._read_frames(piece, data, 0)
            return
        self._take(piece)
        while self._waiting:
            self._take(self._waiting.pop())

    def _take(self, piece: Piece) -> None:
        may_begin = piece.call_ns != self._call_ns
        self._call_ns = piece.call_ns if piece.data is not None else -1
        if self.is_lost:
            self._look(piece, may_begin=may_begin)
        elif piece.data is not None:
            self._read(piece, piece.data)
        else:
            self._pass(piece)

    def _look(self, piece: Piece, *, may_begin: bool) -> None:
        self._search.maximum_frame = self.maximum_frame
        verdict, found = self._search.add(piece, may_begin=may_begin)
        if found:
            self.is_lost = False
            self.found_ns = found[0].first_ns
            self.is_understood = True
            self._search.rejected = 0
            self._preface_left = len(PREFACE) if verdict is Verdict.PREFACE else 0
            self._waiting.extend(reversed(found))

    def _lose(self, cause: Loss) -> None:
        self._losses[cause] += 1
        self.is_lost = True
        self._head = b""
        self._left = self._preface_left = 0
        self._payload = self._began = None
        self._blocks.clear()
        self._sink.hidden(self._flow)

    def _pass(self, piece: Piece) -> None:
        """Go over bytes that were not captured."""
        left = piece.size
        if self._preface_left:
            passed = min(left, self._preface_left)
            self._preface_left -= passed
            left -= passed
        elif self._left:
            passed = min(left, self._left)
            left -= passed
            if self._header[1] == DATA:
                self._pass_data(passed, piece)
            else:
                self._payload = None
                self._left -= passed
                if not self._left:
                    self._finish(self._header, None, self._began or piece, piece)
        if left:
            self._lose(Loss.FRAMES_HIDDEN)

    def _pass_data(self, size: int, piece: Piece) -> None:
        if self._body_left < 0:
            self._losses[Loss.PADDING_ESTIMATED] += 1
            size -= 1
            self._left -= 1
            self._body_left = self._left
        self._data_part(size, piece)

    def _read(self, piece: Piece, data: bytes) -> None:
        at = 0
        if self._preface_left:
            at = self._read_preface(piece, data)
        elif self._left:
            at = self._read_payload(data, 0, piece)
        elif self._head:
            at = FRAME_HEADER - len(self._head)
            self._head += data[:at]
            if len(self._head) < FRAME_HEADER:
                return
            header, self._head = frame_header(self._head), b""
            at = self._frame(header, data, at, self._began or piece, piece)
        self._read_frames(piece, data, at)

    def _read_frames(self, piece: Piece, data: bytes, at: int) -> None:
        """Read frames from where one begins."""
        end, flow, sink, blocks = len(data), self._flow, self._sink, self._blocks
        last = end - FRAME_HEADER
        while at <= last:
            high, low, kind_and_flags, stream = PLAIN_HEADER.unpack_from(data, at)
            begin = at + FRAME_HEADER
            size = high << 8 | low
            # Nearly all frames are one of four, whole, and need nothing of what is asked of others.
            if (
                begin + size > end
                or kind_and_flags not in _PLAIN
                or size > DEFAULT_FRAME_SIZE
                or stream & _ODD != 1
                or blocks.head is not None
            ):
                at = self._frame(frame_header(data, at), data, begin, piece, piece)
                continue
            at = begin + size
            if kind_and_flags <= END_STREAM:
                sink.data(flow, stream, kind_and_flags, size, piece)
            else:
                self.is_understood = True
                sink.headers(flow, stream, kind_and_flags, data[begin:at], piece, piece)
        if at < end:
            self._head = data[at:]
            self._began = _times_of(piece)

    def _read_preface(self, piece: Piece, data: bytes) -> int:
        """Where frames begin."""
        expected = PREFACE[len(PREFACE) - self._preface_left :][: len(data)]
        if data.startswith(expected):
            self._preface_left -= len(expected)
            return len(expected)
        is_first = self._preface_left == len(PREFACE)
        self._lose(Loss.FRAMING_LOST)
        if is_first:  # the connection may have begun before anybody looked
            self._look(piece, may_begin=True)
        return len(data)

    def _frame(self, header: FrameHeader, data: bytes, at: int, began: Piece, piece: Piece) -> int:
        """Read the frame whose payload begins in the data at a place; where the next one begins."""
        length, kind, flags, stream = header
        open_block = self._blocks.head
        is_expected = (
            kind != CONTINUATION if open_block is None else kind == CONTINUATION and stream == open_block.stream
        )
        if not is_expected or length > self.maximum_frame or not is_valid(self._flow, length, kind, flags, stream):
            self._lose(Loss.FRAMING_LOST)
            return len(data)
        end = at + length
        is_whole = end <= len(data)
        if kind != DATA:
            if is_whole:
                self._finish(header, data[at:end] if length <= MAXIMUM_BLOCK else None, began, piece)
                return end
            self._payload = bytearray() if length <= MAXIMUM_BLOCK else None
            self._began = began if began is not piece else _times_of(piece)
        else:
            if began is not piece or not is_whole:
                self._sink.data(self._flow, stream, 0, 0, began)
            if is_whole and not flags & PADDED:
                self._sink.data(self._flow, stream, flags, length, piece)
                return end
            self._body_left = -1 if flags & PADDED else length
        self._header, self._left = header, length
        return self._read_payload(data, at, piece)

    def _read_payload(self, data: bytes, at: int, piece: Piece) -> int:
        """Go on with the payload of a frame; where it ends."""
        size = min(self._left, len(data) - at)
        end = at + size
        if not size:
            return at
        if self._header[1] == DATA:
            if self._body_left < 0:
                size -= 1
                self._left -= 1
                self._body_left = self._left - data[at]
                if self._body_left < 0:
                    self._lose(Loss.FRAMING_LOST)
                    return len(data)
            self._data_part(size, piece)
            return end
        if self._payload is not None:
            self._payload += data[at:end]
        self._left -= size
        if not self._left:
            payload = None if self._payload is None else bytes(self._payload)
            self._payload = None
            self._finish(self._header, payload, self._began or piece, piece)
        return end

    def _data_part(self, size: int, piece: Piece) -> None:
        """Count bytes of a payload of data, without the length of its padding."""
        body = min(size, self._body_left)
        self._body_left -= body
        self._left -= size
        _, _, flags, stream = self._header
        self._sink.data(self._flow, stream, 0 if self._left else flags, body, piece)

    def _finish(self, header: FrameHeader, payload: bytes | None, began: Piece, piece: Piece) -> None:
        """Take a frame of another kind than DATA that has been read to its end."""
        self.is_understood = True
        _, kind, flags, stream = header
        if kind in {HEADERS, PUSH_PROMISE, CONTINUATION}:
            if kind == CONTINUATION:
                ended = self._blocks.goes_on(flags, payload)
            else:
                ended = self._blocks.first(kind, flags, stream, payload, began)
            if ended is not None:
                self._headers(*ended, piece)
            elif self._blocks.head is not None and self._blocks.head.began is piece:
                self._blocks.head.began = _times_of(piece)
        elif kind in _CONTROL:
            self._sink.control(self._flow, kind, stream, payload)

    def _headers(self, head: BlockHead, block: bytes | None, piece: Piece) -> None:
        if head.promised is None:
            self._sink.headers(self._flow, head.stream, END_STREAM if head.ends else 0, block, head.began, piece)
        else:
            self._sink.promise(self._flow, head.promised, block, head.began, piece)


def _times_of(piece: Piece) -> Piece:
    """The piece without its bytes, to be kept."""
    return replace(piece, data=None)
