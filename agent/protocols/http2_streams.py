"""A stream of HTTP/2 (RFC 9113 5 and 8) on its way to an exchange."""

from msgspec import Struct

from agent.protocols.exchange import REQUESTS, Exchange, Flow, Piece, Version
from agent.protocols.header_blocks import Block
from agent.protocols.http2_losses import Loss
from agent.protocols.trace_context import TRACE_FIELDS, trace_context

MAXIMUM_PATH = 4_096
"""Characters of a path that are kept."""
MAXIMUM_NAME = 256
"""Characters of a method or host that are kept."""

_HTTP2 = Version.HTTP2  # see agent.protocols.exchange
_INTERIM = range(100, 200)
_STATUS_DIGITS = 3
_GRPC_DIGITS = 9


class Stream(Struct, eq=False, gc=False):
    """What is known of one stream while it is open."""

    exchange: Exchange
    since_ns: int
    """CLOCK_MONOTONIC of its beginning or its last slice."""
    has_request: bool = False
    """Whether the request's header fields have come."""
    has_response: bool = False
    """Whether header fields have come that may be those of the final response."""
    request_ended: bool = False
    response_ended: bool = False
    is_doubtful: bool = False
    """Whether its response, or its end, may have passed unseen."""
    untold: Loss | None = None
    """Why it will not be told."""
    status_loss: Loss | None = None
    """Why the status is not known, when there was a response without."""
    slices: int = 0

    @property
    def loss(self) -> Loss | None:
        """Why it cannot be told as it is now; None when it can."""
        if self.untold is not None:
            return self.untold
        if not self.has_request:
            return Loss.RESPONSE_WITHOUT_REQUEST
        if self.is_doubtful and not self.has_response:
            return Loss.NOT_SEEN_WHOLE
        return self.status_loss

    @property
    def last_ns(self) -> int:
        """CLOCK_MONOTONIC of what last happened with it."""
        return max(self.exchange.request.last_ns, self.exchange.response.last_ns, self.since_ns)

    @property
    def is_under_way(self) -> bool:
        """Whether there is more to it than a request that waits for its response."""
        return self.has_response or self.slices > 0 or self.exchange.request.body_bytes > 0

    def missed(self, flow: Flow) -> None:
        """Frames of a flow may have passed unseen."""
        if flow is REQUESTS:
            if self.has_request and not self.request_ended:
                self.untold = self.untold or Loss.NOT_SEEN_WHOLE
        elif (self.has_response or self.exchange.response.first_ns) and not self.response_ended:
            self.untold = self.untold or Loss.NOT_SEEN_WHOLE
        self.is_doubtful = True

    def take_request(self, block: Block) -> None:
        """Take the header fields of the request."""
        self.has_request = True
        fields, exchange = block.fields, self.exchange
        method, host = fields.get(":method"), fields.get(":authority")
        path = fields.get(":path")
        if method == "CONNECT" and path is None and ":protocol" not in fields and not block.has_unknown:
            path = host
        if method is None or path is None:
            self.untold = self.untold or (Loss.TABLE_UNKNOWN if block.has_unknown else Loss.REQUEST_MALFORMED)
            return
        if host is None and not block.has_unknown:  # an unknown field may be the authority, which counts for more
            host = fields.get("host")
        exchange.method = method[:MAXIMUM_NAME]
        exchange.path = path.partition("?")[0][:MAXIMUM_PATH]
        exchange.host = (host or "")[:MAXIMUM_NAME]
        if not TRACE_FIELDS.isdisjoint(fields):
            exchange.trace = trace_context(fields)

    def take_response(self, block: Block, *, ends: bool) -> None:
        """Take header fields of the response: interim, final or trailers."""
        status = block.fields.get(":status")
        if status is not None:
            number = int(status) if len(status) == _STATUS_DIGITS and status.isdecimal() and status.isascii() else 0
            if number in _INTERIM and not ends:
                return
            self.exchange.status = number
            self.status_loss = None if number else Loss.REQUEST_MALFORMED
        elif not self.exchange.status:
            self.status_loss = Loss.TABLE_UNKNOWN if block.has_unknown else Loss.NOT_SEEN_WHOLE
        self.has_response = True
        grpc_status = block.fields.get("grpc-status")
        if grpc_status and len(grpc_status) <= _GRPC_DIGITS and grpc_status.isdecimal() and grpc_status.isascii():
            self.exchange.grpc_status = int(grpc_status)


def new_stream(piece: Piece) -> Stream:
    """A stream of which a piece has the first byte."""
    return Stream(Exchange(_HTTP2), piece.first_ns)
