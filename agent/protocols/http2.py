"""A passive reader of HTTP/2 (RFC 9113), and so of gRPC, that goes on where not everything was captured.

An exchange ends when both halves of its stream have ended, or the stream was reset, or refused by GOAWAY, or the
connection ended. Exchanges are told with a method, a path, a status and sizes that are certain, or not at all: what was
hidden, or can only be known from earlier header blocks, is counted. Two things are not certain: an interim response may
have been hidden from a reader that joined, or lost sight, between a request and its response, and its header bytes are
then missing; and padding that was not captured counts as body (and as a loss).
"""

from collections import Counter

from agent.protocols.exchange import REQUESTS, RESPONSES, Ended, Exchange, Flow, Piece, Version
from agent.protocols.frame_reader import FrameReader
from agent.protocols.header_blocks import UNKNOWN_BLOCK, Block, HeaderBlocks
from agent.protocols.http2_frames import (
    END_STREAM,
    MAXIMUM_FRAME_SIZE,
    MAXIMUM_STREAM,
    RST_STREAM,
    SETTINGS,
    Setting,
    last_stream_of,
    settings_of,
)
from agent.protocols.http2_losses import Loss
from agent.protocols.http2_stream_table import StreamTable
from agent.protocols.http2_streams import Stream

MAXIMUM_STREAMS = 16_384
"""Open streams of a connection that are followed."""
ATTEMPTS = 16
"""Calls that may begin with something else than frames, until a connection that never had any is given up."""
LATER_ATTEMPTS = 1_024
"""The same of one that had."""

STREAMS_MISSED = 1 << 20
"""By how much the numbers of streams may go on while they are not seen."""

_OTHER = {REQUESTS: RESPONSES, RESPONSES: REQUESTS}


class Http2Parser:
    """Reads one connection; see Parser."""

    def __init__(
        self,
        losses: Counter[str],
        *,
        upgraded: Exchange | None = None,
        joined: bool = False,
        maximum_streams: int = MAXIMUM_STREAMS,
    ) -> None:
        """Read a connection.

        Args:
            losses: Where what cannot be told is counted, by `Loss`.
            upgraded: The request in HTTP/1 that made the connection HTTP/2 (h2c), which is complete: stream 1. It is
                told as this same object.
            joined: Whether the connection began before its first piece.
            maximum_streams: Open streams that are followed.
        """
        self.losses = losses
        self.begun: list[Exchange] = []
        self.ended: Ended | None = None
        """As Parser.ended."""
        self._streams = StreamTable(losses, maximum_streams)
        self._newest = 0  # of the streams that the client began
        self._refused_from = MAXIMUM_STREAM  # streams of the client after it, by GOAWAY
        self._has_missed = [joined] * len(Flow)  # these three by Flow
        self._blocks = [HeaderBlocks(is_complete=not joined) for _ in Flow]
        self._readers = [FrameReader(flow, self, losses, joined=joined) for flow in Flow]
        if upgraded is not None:
            self._newest = 1
            upgraded.version = Version.HTTP2
            stream = Stream(upgraded, upgraded.request.first_ns)
            stream.has_request = stream.request_ended = True
            self._streams.put(1, stream)
            self._settings_missed(REQUESTS)  # they were a field of that request

    @property
    def is_busy(self) -> bool:
        """As Parser.is_busy."""
        return len(self._streams) > 0

    @property
    def kept_bytes(self) -> int:
        """Bytes of pieces that are kept."""
        return sum(reader.kept_bytes for reader in self._readers)

    def feed(self, flow: Flow, piece: Piece) -> list[Exchange]:
        """As Parser.feed."""
        if self.begun:
            self.begun = []
        if self.ended is not None:
            return []
        reader = self._readers[flow]
        if reader.is_lost and self._newest:
            reader.expect_streams(self._newest + STREAMS_MISSED)
        reader.feed(piece)
        if reader.is_lost and reader.rejected >= self._attempts():
            self.ended = Ended.NOT_UNDERSTOOD
            self._streams.drop_all(Loss.GIVEN_UP)
        return self._streams.take_told() if self._streams.told else []

    def slices(self, now_ns: int) -> list[Exchange]:
        """As Parser.slices. Also tells what is complete but for a request that the server did not want all of."""
        self._streams.slice(now_ns)
        return self._streams.take_told()

    def end(self) -> list[Exchange]:
        """As Parser.end."""
        self._streams.finish_all()
        return self._streams.take_told()

    def headers(  # noqa: PLR0917 - as FrameSink has it
        self, flow: Flow, number: int, flags: int, block: bytes | None, began: Piece, piece: Piece
    ) -> None:
        """As FrameSink.headers."""
        decoded = self._blocks[flow].known(block) or self._decode(flow, block)
        if flow is REQUESTS:
            stream = self._requesting(number, decoded, began)
            if stream is None:
                return
            half = stream.exchange.request
            if flags & END_STREAM:
                stream.request_ended = True
        else:
            stream = self._responding(number, flags, decoded, began)
            if stream is None:
                return
            half = stream.exchange.response
        if block is None:
            stream.untold = Loss.NOT_SEEN_WHOLE
        else:
            half.header_bytes += len(block)
        if began is not piece:
            half.note(began)
        # Often the same piece had another frame of this half before.
        if half.last_ns != piece.last_ns or half.last_call_ns != piece.call_ns:
            half.note(piece)
        if stream.request_ended and stream.response_ended:
            self._streams.finish(number, stream)

    def promise(self, flow: Flow, number: int, block: bytes | None, began: Piece, piece: Piece) -> None:
        """As FrameSink.promise."""
        decoded = self._decode(flow, block)
        if not number or number & 1 or self._streams.get(number) is not None:
            return
        stream = self._streams.open(number, began)
        if stream is None:
            return
        stream.take_request(decoded)
        stream.request_ended = True
        half = stream.exchange.request
        if block is None:
            stream.untold = Loss.NOT_SEEN_WHOLE
        else:
            half.header_bytes += len(block)
        half.note(began)
        half.note(piece)

    def data(self, flow: Flow, number: int, flags: int, size: int, piece: Piece) -> None:
        """As FrameSink.data."""
        stream = self._streams.get(number)
        if stream is None:
            return
        if flow is REQUESTS:
            half = stream.exchange.request
        else:
            half = stream.exchange.response
            if not stream.has_response:  # its header fields passed unseen
                stream.untold = stream.untold or Loss.NOT_SEEN_WHOLE
        half.body_bytes += size
        if half.last_ns != piece.last_ns or half.last_call_ns != piece.call_ns:  # as in `headers`
            half.note(piece)
        if flags & END_STREAM:
            if flow is REQUESTS:
                stream.request_ended = True
            else:
                stream.response_ended = True
            if stream.request_ended and stream.response_ended:
                self._streams.finish(number, stream)

    def control(self, flow: Flow, kind: int, stream: int, payload: bytes | None) -> None:
        """As FrameSink.control."""
        if kind == RST_STREAM:
            self._streams.reset(stream)
        elif kind == SETTINGS:
            if payload is None:
                self._settings_missed(flow)
            else:
                self._settings(flow, payload)
        elif payload is not None:
            last = last_stream_of(payload)
            of_client = flow is RESPONSES
            if of_client:
                self._refused_from = last
            self._streams.refuse(last, of_client=of_client)

    def hidden(self, flow: Flow) -> None:
        """As FrameSink.hidden."""
        self._has_missed[flow] = True
        self._blocks[flow].forget()
        self._settings_missed(flow)
        self._streams.missed(flow)

    def _decode(self, flow: Flow, block: bytes | None) -> Block:
        blocks = self._blocks[flow]
        if block is None:
            blocks.forget()
            return UNKNOWN_BLOCK
        decoded = blocks.decode(block)
        if decoded is None:
            self.losses[Loss.BLOCK_MALFORMED] += 1
            return UNKNOWN_BLOCK
        return decoded

    def _requesting(self, number: int, block: Block, began: Piece) -> Stream | None:
        """The stream of a request or its trailers; None when there is nothing to be told of it."""
        stream = self._streams.get(number)
        if stream is None or not stream.has_request:
            return self._begin(number, block, began, stream)
        return None if stream.request_ended else stream

    def _begin(self, number: int, block: Block, began: Piece, stream: Stream | None) -> Stream | None:
        if number <= self._newest:
            return None  # of a stream that has ended, or whose request was not seen
        self._newest = number
        if self._streams.unrequested:
            self._streams.requested(number)
        if self._has_missed[REQUESTS] and ":method" not in block.fields and not block.has_unknown:
            return None  # trailers
        if stream is None:
            stream = self._streams.open(number, began)
            if stream is None:
                return None
            responses = self._readers[RESPONSES]
            stream.is_doubtful = responses.is_lost or began.first_ns < responses.found_ns
        stream.take_request(block)
        if number > self._refused_from:
            stream.response_ended = True
        if stream.untold is None:
            self.begun.append(stream.exchange)
        return stream

    def _responding(self, number: int, flags: int, block: Block, began: Piece) -> Stream | None:
        """The stream of a response or its trailers; None when there is nothing to be told of it."""
        stream = self._streams.get(number)
        if stream is None:
            if number & 1 and number > self._newest:  # its request may come later, by another thread's call
                stream = self._streams.open_with_response(number, began)
            elif ":status" in block.fields and self._has_missed[REQUESTS if number & 1 else RESPONSES]:
                self.losses[Loss.RESPONSE_WITHOUT_REQUEST] += 1
        if stream is None or stream.response_ended:
            return None
        ends = flags & END_STREAM != 0
        stream.take_response(block, ends=ends)
        stream.response_ended = ends
        return stream

    def _settings(self, flow: Flow, payload: bytes) -> None:
        """Take what the sender of these settings allows its peer."""
        other = _OTHER[flow]
        reader = self._readers[other]
        for identifier, value in settings_of(payload):
            if identifier == Setting.HEADER_TABLE_SIZE:
                self._blocks[other].allow(value)
            elif identifier == Setting.MAX_FRAME_SIZE:
                # What is under way may still be as large as was allowed before.
                reader.maximum_frame = max(reader.maximum_frame, min(value, MAXIMUM_FRAME_SIZE))

    def _settings_missed(self, flow: Flow) -> None:
        other = _OTHER[flow]
        self._blocks[other].allow_any()
        self._readers[other].maximum_frame = MAXIMUM_FRAME_SIZE

    def _attempts(self) -> int:
        return LATER_ATTEMPTS if any(reader.is_understood for reader in self._readers) else ATTEMPTS
