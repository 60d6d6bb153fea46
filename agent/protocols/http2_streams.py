"""A stream of HTTP/2 (RFC 9113 5 and 8) on its way to an exchange."""

from msgspec import Struct

from agent.protocols.exchange import REQUESTS, Exchange, Flow
from agent.protocols.header_blocks import Block
from agent.protocols.http2_losses import Loss

_INTERIM = range(100, 200)


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
        method, path, host, trace, loss = block.request or block.read_request()
        if loss is not None:
            self.untold = self.untold or loss
            return
        exchange = self.exchange
        exchange.method, exchange.path, exchange.host, exchange.trace = method, path, host, trace

    def take_response(self, block: Block, *, ends: bool) -> None:
        """Take header fields of the response: interim, final or trailers."""
        status, loss, grpc_status = block.response or block.read_response()
        exchange = self.exchange
        if status is not None:
            if status in _INTERIM and not ends:
                return
            exchange.status = status
            self.status_loss = loss
        elif not exchange.status:
            self.status_loss = loss
        self.has_response = True
        if grpc_status is not None:
            exchange.grpc_status = grpc_status
