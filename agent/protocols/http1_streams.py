"""The two streams of an HTTP/1 connection: what their messages are, and what ends them."""

from agent.protocols.exchange import Ended, Exchange, Half, Piece, Version
from agent.protocols.http1_calls import Call, Calls
from agent.protocols.http1_head import (
    CHUNKED,
    NOT_UNDERSTOOD,
    REQUEST_FOUND,
    REQUEST_START,
    REQUEST_START_CUT,
    RESPONSE_FOUND,
    RESPONSE_START,
    RESPONSE_START_CUT,
    SWITCHING_PROTOCOLS,
    UNTIL_END,
    ResponseHead,
    read_request_head,
    read_response_head,
)
from agent.protocols.http1_losses import Loss
from agent.protocols.http1_messages import MessageReader, Syntax
from agent.protocols.message_body import Body, ChunkedBody, CountedBody, EndlessBody

_REQUESTS = Syntax(
    REQUEST_START,
    REQUEST_START_CUT,
    REQUEST_FOUND,
    Loss.REQUEST_HEAD_GAP,
    Loss.REQUEST_HEAD_MALFORMED,
    Loss.REQUEST_HEAD_TOO_LONG,
)
_RESPONSES = Syntax(
    RESPONSE_START,
    RESPONSE_START_CUT,
    RESPONSE_FOUND,
    Loss.RESPONSE_HEAD_GAP,
    Loss.RESPONSE_HEAD_MALFORMED,
    Loss.RESPONSE_HEAD_TOO_LONG,
)
# Plain numbers: members of HTTPStatus cost more to look up than all that is asked of them here.
_CONTINUE, _OK, _NO_CONTENT, _REDIRECTION, _NOT_MODIFIED = 100, 200, 204, 300, 304


class RequestReader(MessageReader):
    """The stream of requests."""

    holds_anything = True

    def __init__(self, calls: Calls, *, joined: bool) -> None:
        super().__init__(calls, _REQUESTS, joined=joined)

    def may_begin(self, first_ns: int) -> bool:  # noqa: ARG002 - only the requests before decide
        """Not behind a request whose response may make the connection something else."""
        waiting = self.calls.waiting
        return not waiting or not waiting[-1].may_switch

    def begin(self, head: bytes, first: Piece, last: Piece) -> Body | None:
        """See MessageReader."""
        parsed = read_request_head(head)
        if parsed is None:
            self.lose(Loss.REQUEST_HEAD_MALFORMED, last)
            self.calls.failed(begins_turn=True)
            return None
        self.calls.understood()
        if parsed.body == NOT_UNDERSTOOD:
            self.lose(Loss.REQUEST_BODY_NOT_UNDERSTOOD, last)
            return None
        self.half = half = Half()
        _count_head(half, head, first, last)
        body = _body(parsed.body, self.calls, announces_trailers=parsed.announces_trailers)
        exchange = Exchange(Version.HTTP1, parsed.method, parsed.path, parsed.host, request=half, trace=parsed.trace)
        may_switch = bool(parsed.upgrade) or parsed.method == "CONNECT"
        self.calls.begin(Call(exchange, first.first_ns, parsed.upgrade, may_switch, parsed.expects_continue, body))
        if body is None:
            self.calls.request_ended()
        return body

    def finish(self) -> None:
        """See MessageReader."""
        self.calls.request_ended()

    def miss(self, piece: Piece) -> None:
        """See MessageReader."""
        self.calls.skipped_ns = piece.first_ns

    def estimate(self, piece: Piece) -> None:  # noqa: ARG002 - when it was makes no difference
        """See MessageReader. Later requests are missed with it only where they are pipelined."""
        self.calls.doubt()

    def wait_no_longer(self) -> None:
        """Take what follows for requests."""
        if self.calls.waiting:
            self.calls.waiting[-1].may_switch = False
        self.read_held()


class ResponseReader(MessageReader):
    """The stream of responses."""

    def __init__(self, calls: Calls, *, joined: bool) -> None:
        super().__init__(calls, _RESPONSES, joined=joined)

    def may_begin(self, first_ns: int) -> bool:
        """Not before its request, which may come later although it was there before."""
        return self.calls.may_answer(first_ns)

    def begin(self, head: bytes, first: Piece, last: Piece) -> Body | None:
        """See MessageReader."""
        parsed = read_response_head(head)
        if parsed is None:
            self.lose(Loss.RESPONSE_HEAD_MALFORMED, last)
            self.calls.failed(begins_turn=True)
            return None
        self.calls.understood()
        call = self.calls.match(first.first_ns)
        if call is None:
            self._is_lost = True
            return None
        self.half = call.exchange.response
        _count_head(self.half, head, first, last)
        if parsed.status < _OK and parsed.status != SWITCHING_PROTOCOLS:
            call.expects_continue &= parsed.status != _CONTINUE
            return None
        self.calls.answer(call, parsed.status, first.first_ns)
        if (switched := _switched(parsed, call)) is not None:
            self.calls.switch(switched)
            return None
        if parsed.body == NOT_UNDERSTOOD:
            self.calls.answering = None
            self.lose(Loss.RESPONSE_BODY_NOT_UNDERSTOOD, last)
            return None
        body = None
        if call.exchange.method != "HEAD" and parsed.status not in {_NO_CONTENT, _NOT_MODIFIED}:
            body = _body(parsed.body, self.calls, announces_trailers=parsed.announces_trailers)
        if body is None:
            self.calls.response_ended()
        return body

    def finish(self) -> None:
        """See MessageReader."""
        self.calls.response_ended()

    def miss(self, piece: Piece) -> None:
        """See MessageReader."""
        self.calls.missed_response_ns = piece.first_ns

    def estimate(self, piece: Piece) -> None:
        """See MessageReader."""
        self.calls.doubt()
        if piece.data is None:
            self.miss(piece)

    def wait_no_longer(self) -> None:
        """Take the response that was held for one whose request was not seen."""
        self.calls.losses[Loss.RESPONSE_WITHOUT_REQUEST] += 1
        self.calls.doubt()
        self.read_held(as_lost=True)


def _count_head(half: Half, head: bytes, first: Piece, last: Piece) -> None:
    half.header_bytes += len(head)
    half.note(first)
    if last is not first:
        half.note(last)


def _body(length: int, calls: Calls, *, announces_trailers: bool) -> Body | None:
    if length > 0:
        return CountedBody(length)
    if length == CHUNKED:
        return ChunkedBody(calls.losses, announces_trailers=announces_trailers)
    return EndlessBody() if length == UNTIL_END else None


def _switched(response: ResponseHead, call: Call) -> Ended | None:
    """What the connection is after a response, when it is no longer HTTP/1."""
    if response.status == SWITCHING_PROTOCOLS:
        return Ended.UPGRADED if (response.upgrade or call.upgrade) == "h2c" else Ended.TUNNEL
    is_tunnel = call.exchange.method == "CONNECT" and _OK <= response.status < _REDIRECTION
    return Ended.TUNNEL if is_tunnel else None
