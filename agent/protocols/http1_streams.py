"""The two streams of an HTTP/1 connection: what their messages are, and what ends them."""

from agent.protocols.exchange import Ended, Exchange, Half, Piece, Version
from agent.protocols.http1_call import Call
from agent.protocols.http1_calls import Calls
from agent.protocols.http1_head import (
    NOT_UNDERSTOOD,
    REQUEST_FOUND,
    REQUEST_START,
    REQUEST_START_CUT,
    RESPONSE_FOUND,
    RESPONSE_START,
    RESPONSE_START_CUT,
    SWITCHING_PROTOCOLS,
    read_request_head,
    read_response_head,
)
from agent.protocols.http1_losses import Loss
from agent.protocols.http1_messages import MessageReader, Syntax
from agent.protocols.message_body import Body

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
_CONTINUE, _OK, _REDIRECTION = 100, 200, 300
_WITHOUT_BODY = frozenset((204, 304))
_HTTP1 = Version.HTTP1  # see agent.protocols.exchange


class RequestReader(MessageReader):
    """The stream of requests."""

    holds_anything = True

    def __init__(self, calls: Calls, *, joined: bool) -> None:
        super().__init__(calls, _REQUESTS, joined=joined)

    def may_begin(self, first_ns: int) -> bool:  # noqa: ARG002 - only the requests before decide
        """Not behind a request whose response may make the connection something else."""
        waiting = self.calls.waiting
        return not waiting or not waiting[-1].may_switch

    def begin(self, head: bytes, first: Piece, last: Piece) -> int:
        """See MessageReader."""
        calls = self.calls
        parsed = read_request_head(head)
        if parsed is None:
            self.lose(Loss.REQUEST_HEAD_MALFORMED, last)
            calls.failed(begins_turn=True)
            return 0
        if calls.failures or not calls.is_understood:
            calls.understood()
        length, upgrade, method = parsed.body, parsed.upgrade, parsed.method
        self.announces_trailers = parsed.announces_trailers
        if length == NOT_UNDERSTOOD:
            self.lose(Loss.REQUEST_BODY_NOT_UNDERSTOOD, last)
            return 0
        self.half = half = Half(first.first_ns, last.last_ns, first.call_ns, last.call_ns, len(head))
        exchange = Exchange(_HTTP1, method, parsed.path, parsed.host, 0, half, Half(), parsed.trace)
        may_switch = bool(upgrade) or method == "CONNECT"
        calls.begin(Call(exchange, first.first_ns, upgrade, may_switch, parsed.expects_continue))
        if not length:
            calls.request_ended()
        return length

    def body(self, length: int) -> Body:
        """See MessageReader."""
        body = super().body(length)
        if self.calls.sending is not None:
            self.calls.sending.body = body
        return body

    def finish(self) -> None:
        """See MessageReader."""
        self.calls.request_ended()

    def doubt(self) -> None:
        """See MessageReader. Those before keep their order."""
        self.calls.doubt_requests()

    def miss(self, piece: Piece) -> None:
        """See MessageReader."""
        self.calls.skipped_ns = piece.first_ns
        self.calls.turn_begins = False

    def estimate(self, piece: Piece) -> None:  # noqa: ARG002 - when it was makes no difference
        """See MessageReader. Later requests are missed with it only where they are pipelined."""
        self.calls.doubt_requests()

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

    def begin(self, head: bytes, first: Piece, last: Piece) -> int:
        """See MessageReader."""
        calls = self.calls
        parsed = read_response_head(head)
        if parsed is None:
            self.lose(Loss.RESPONSE_HEAD_MALFORMED, last)
            calls.failed(begins_turn=True)
            return 0
        if calls.failures or not calls.is_understood:
            calls.understood()
        call = calls.match(first.first_ns)
        if call is None:
            self._is_lost = True
            return 0
        status, length = parsed.status, parsed.body
        self.announces_trailers = parsed.announces_trailers
        exchange = call.exchange
        self.half = half = exchange.response
        half.header_bytes += len(head)
        half.note(first)
        if last is not first:
            half.note(last)
        if status < _OK and status != SWITCHING_PROTOCOLS:
            call.expects_continue &= status != _CONTINUE
            return 0
        calls.answer(call, status, first.first_ns)
        if status == SWITCHING_PROTOCOLS or (exchange.method == "CONNECT" and status < _REDIRECTION):
            is_http2 = status == SWITCHING_PROTOCOLS and (parsed.upgrade or call.upgrade) == "h2c"
            calls.switch(Ended.UPGRADED if is_http2 else Ended.TUNNEL)
            return 0
        if length == NOT_UNDERSTOOD:
            calls.answering = None
            self.lose(Loss.RESPONSE_BODY_NOT_UNDERSTOOD, last)
            return 0
        if exchange.method == "HEAD" or status in _WITHOUT_BODY:
            length = 0
        if not length:
            calls.response_ended()
        return length

    def finish(self) -> None:
        """See MessageReader."""
        self.calls.response_ended()

    def doubt(self) -> None:
        """See MessageReader."""
        self.calls.doubt()

    def miss(self, piece: Piece) -> None:
        """See MessageReader."""
        self.calls.doubt()
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
