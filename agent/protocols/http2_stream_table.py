"""The open streams of an HTTP/2 connection, bounded, and how they end: as exchanges or as losses."""

from collections import Counter

from agent.protocols.exchange import Exchange, Flow, Piece, Version
from agent.protocols.http2_losses import Loss
from agent.protocols.http2_streams import Stream
from agent.protocols.slicing import SLICE_NS, take_slice

DOUBT_NS = 5 * SLICE_NS
"""How long a stream that cannot be told is followed while nothing happens: its end may have passed unseen."""
MAXIMUM_UNREQUESTED = 1_024
"""Streams that are followed of which only a response has come."""

_HTTP2 = Version.HTTP2  # see agent.protocols.exchange


class StreamTable:
    """Streams by their numbers."""

    __slots__ = ("_due_ns", "_losses", "_maximum", "_streams", "get", "told", "unrequested")

    def __init__(self, losses: Counter[str], maximum: int) -> None:
        self._losses = losses
        self._maximum = maximum
        self._streams: dict[int, Stream] = {}
        self._due_ns = 0
        self.unrequested: set[int] = set()
        """Those of which only a response has come."""
        self.told: list[Exchange] = []
        """Exchanges and slices to be told, for `take_told`."""
        self.get = self._streams.get
        """The stream of a number, or None."""

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, number: int, piece: Piece) -> Stream | None:
        """Begin a stream with a piece; None when there is no room."""
        if len(self._streams) >= self._maximum:
            self._losses[Loss.TOO_MANY_STREAMS] += 1
            return None
        stream = self._streams[number] = Stream(Exchange(_HTTP2), piece.first_ns)
        return stream

    def put(self, number: int, stream: Stream) -> None:
        """Take a stream that has begun elsewhere."""
        self._streams[number] = stream

    def open_with_response(self, number: int, piece: Piece) -> Stream | None:
        """Begin a stream with a response, whose request is still to come or was not seen."""
        if len(self.unrequested) >= MAXIMUM_UNREQUESTED:
            self._losses[Loss.RESPONSE_WITHOUT_REQUEST] += 1
            return None
        stream = self.open(number, piece)
        if stream is not None:
            self.unrequested.add(number)
        return stream

    def requested(self, number: int) -> None:
        """A client's stream has begun: those before it have as well, or never will."""
        self.unrequested.discard(number)
        for other in [other for other in self.unrequested if other < number]:
            self.finish(other, self._streams[other])

    def finish(self, number: int, stream: Stream) -> None:
        """End a stream: tell it, or count why not."""
        del self._streams[number]
        if self.unrequested:
            self.unrequested.discard(number)
        loss = stream.loss
        if loss is not None:
            self._losses[loss] += 1
            return
        if stream.slices:
            stream.exchange.slice = stream.slices + 1
        self.told.append(stream.exchange)

    def reset(self, number: int) -> None:
        """End a stream whatever it has, or as soon as its request has come, by another thread's call."""
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.has_request:
            self.finish(number, stream)
        else:
            stream.request_ended = stream.response_ended = True

    def refuse(self, last: int, *, of_client: bool) -> None:
        """End the streams that one end began after the last one that the other took on (GOAWAY)."""
        for number, stream in list(self._streams.items()):
            if number > last and bool(number & 1) is of_client and stream.has_request:
                self.finish(number, stream)

    def finish_all(self) -> None:
        """The connection has ended."""
        for number, stream in list(self._streams.items()):
            self.finish(number, stream)

    def drop_all(self, loss: Loss) -> None:
        """Count all streams as lost."""
        self._losses[loss] += len(self._streams)
        self._streams.clear()
        self.unrequested.clear()

    def missed(self, flow: Flow) -> None:
        """Frames of a flow may have passed unseen."""
        for stream in self._streams.values():
            stream.missed(flow)

    def slice(self, now_ns: int) -> None:
        """Tell slices of what goes on for long, and what is complete but for a request that nobody waits for."""
        if now_ns < self._due_ns:
            return
        due_ns = now_ns + SLICE_NS
        for number, stream in list(self._streams.items()):
            if now_ns - stream.since_ns < SLICE_NS:
                due_ns = min(due_ns, stream.since_ns + SLICE_NS)
            elif stream.loss is not None:
                if now_ns - stream.last_ns >= DOUBT_NS:
                    self.finish(number, stream)
            elif stream.response_ended:
                if now_ns - stream.last_ns >= SLICE_NS:
                    self.finish(number, stream)
                else:
                    due_ns = min(due_ns, stream.last_ns + SLICE_NS)
            elif stream.is_under_way:
                told = take_slice(stream.exchange, stream.slices + 1)
                if told is not None:
                    stream.slices += 1
                    stream.since_ns = now_ns
                    self.told.append(told)
        self._due_ns = due_ns

    def take_told(self) -> list[Exchange]:
        """The exchanges and slices to be told since the last time."""
        told, self.told = self.told, []
        return told
