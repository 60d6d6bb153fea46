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
    RequestHead,
    ResponseHead,
)
from agent.protocols.http1_heads import requests, responses
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


class RequestReader(MessageReader[RequestHead]):
    """The stream of requests."""

    kind = RequestHead
    read = requests.read
    holds_anything = True

    def __init__(self, calls: Calls, *, joined: bool) -> None:
        super().__init__(calls, _REQUESTS, joined=joined)

    def may_begin(self, first_ns: int) -> bool:  # noqa: ARG002 - only the requests before decide
        """Not behind a request whose response may make the connection something else."""
        waiting = self.calls.waiting
        return not waiting or not waiting[-1].may_switch

    def take_whole(self, piece: Piece) -> bool:
        """Take a request that is all of a piece, the only one under way, and no more than that: as most are."""
        head = self.begins_with(piece)
        if head is None or head.size + head.body != piece.size or head.body < 0:
            return False
        if head.upgrade or head.expects_continue or head.method == "CONNECT":
            return False
        half = Half(piece.first_ns, piece.last_ns, piece.call_ns, piece.call_ns, head.size, head.body)
        if not self.calls.ask(Exchange(_HTTP1, head.method, head.path, head.host, 0, half, Half(), head.trace)):
            return False
        self.taken(piece)
        return True

    def begin(self, head: RequestHead, first: Piece, last: Piece) -> int:
        """See MessageReader."""
        calls = self.calls
        if calls.failures or not calls.is_understood:
            calls.understood()
        length, upgrade, method = head.body, head.upgrade, head.method
        self.announces_trailers = head.announces_trailers
        if length == NOT_UNDERSTOOD:
            self.lose(Loss.REQUEST_BODY_NOT_UNDERSTOOD, last)
            return 0
        self.half = half = Half(first.first_ns, last.last_ns, first.call_ns, last.call_ns, head.size)
        exchange = Exchange(_HTTP1, method, head.path, head.host, 0, half, Half(), head.trace)
        may_switch = bool(upgrade) or method == "CONNECT"
        calls.begin(Call(exchange, first.first_ns, upgrade, may_switch, head.expects_continue))
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


class ResponseReader(MessageReader[ResponseHead]):
    """The stream of responses."""

    kind = ResponseHead
    read = responses.read

    def __init__(self, calls: Calls, *, joined: bool) -> None:
        super().__init__(calls, _RESPONSES, joined=joined)

    def may_begin(self, first_ns: int) -> bool:
        """Not before its request, which may come later although it was there before."""
        return self.calls.may_answer(first_ns)

    def take_whole(self, piece: Piece) -> Exchange | None:
        """Take a response that is all of a piece, to the only request under way: the exchange that it ends."""
        head = self.begins_with(piece)
        if head is None or head.status < _OK:
            return None
        exchange = self.calls.asked(piece.first_ns)
        if exchange is None or exchange.method == "CONNECT":
            return None
        body = 0 if exchange.method == "HEAD" or head.status in _WITHOUT_BODY else head.body
        if body < 0 or head.size + body != piece.size:
            return None
        self.taken(piece)
        self.calls.waiting.clear()
        exchange.status = head.status
        exchange.response = Half(piece.first_ns, piece.last_ns, piece.call_ns, piece.call_ns, head.size, body)
        return exchange

    def begin(self, head: ResponseHead, first: Piece, last: Piece) -> int:
        """See MessageReader."""
        calls = self.calls
        if calls.failures or not calls.is_understood:
            calls.understood()
        call = calls.match(first.first_ns)
        if call is None:
            self._is_lost = True
            return 0
        status, length = head.status, head.body
        self.announces_trailers = head.announces_trailers
        exchange = call.exchange
        self.half = half = exchange.response
        half.header_bytes += head.size
        if not half.first_ns:
            half.first_ns, half.first_call_ns = first.first_ns, first.call_ns
        half.last_ns, half.last_call_ns = last.last_ns, last.call_ns
        if status < _OK and status != SWITCHING_PROTOCOLS:
            call.expects_continue &= status != _CONTINUE
            return 0
        calls.answer(call, status, first.first_ns)
        if status == SWITCHING_PROTOCOLS or (exchange.method == "CONNECT" and status < _REDIRECTION):
            is_http2 = status == SWITCHING_PROTOCOLS and (head.upgrade or call.upgrade) == "h2c"
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
