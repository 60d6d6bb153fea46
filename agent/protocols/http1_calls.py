"""Which response of an HTTP/1 connection belongs to which request.

As long as no byte is missed, responses come in the order of their requests; those to requests before the first byte
that was missed still do. After that, times decide: a response cannot begin before its request, and without pipelining
it is that of the latest request. What that leaves open is dropped.

A connection that pipelines is given up, or waits for its next turn: where it has taken turns before, so that all of
several requests were answered before the next one was sent, and never did otherwise, that begins anew. What is told of
such a turn waits until it has proved itself: by the next one, or the end of the connection, as many responses have come
as there were requests. Only one that begins to do otherwise in the very turn of which bytes were missed could deceive
this.
"""

from collections import Counter, deque

from msgspec.structs import replace

from agent.protocols.exchange import Ended, Exchange
from agent.protocols.http1_call import Call
from agent.protocols.http1_limits import Limits
from agent.protocols.http1_losses import Loss
from agent.protocols.slicing import SLICE_NS, take_slice
from agent.protocols.waiting_room import Places, WaitingRoom


class Calls:
    """The exchanges of a connection that are under way, and what its two streams have to know of each other."""

    def __init__(self, losses: Counter[str], limits: Limits, room: WaitingRoom | None, *, joined: bool) -> None:
        self.losses = losses
        self.limits = limits
        self._places = Places(room, limits.waiting_requests, limits.most_waiting)
        self.ended: Ended | None = None
        self.upgraded: Exchange | None = None
        self.waiting: deque[Call] = deque()
        """Those whose response has not begun, interim responses apart; in the order of their requests."""
        self.sending: Call | None = None
        """That whose request is under way."""
        self.answering: Call | None = None
        """That whose response is under way."""
        self.begun: list[Exchange] = []
        """Those whose request's head was completed by the piece that was read last."""
        self.last_response_ns = 0
        """`Piece.first_ns` of the last bytes of responses, understood or not."""
        self.skipped_ns = 0
        """`Piece.first_ns` of the last bytes in which requests may have passed unseen."""
        self.turn_begins = False
        """Whether the next request is the first one since responses came, as far as no byte was missed before it."""
        self.missed_response_ns = 0
        """The same of responses, or of parts of them."""
        self.told: list[Exchange] = []
        """Those that have ended, for who asks to take."""
        self._is_doubtful = joined
        self._known = 0  # of `waiting`, how many are before anything was missed
        self._pipelines = False
        self._has_pipelined = False  # with certainty
        self._takes_turns = False  # after several requests of a turn the next one began when all were answered
        self._overlaps = False  # it began while others of an earlier turn were not
        self._unproven: list[Exchange] | None = None  # told when their turn has proved itself
        self._last_request_ns = 0
        self.failures = 0
        """Turns that began with no message since one did."""
        self.is_understood = False
        """Whether any message ever began where one was looked for."""
        self._failed_calls = 0

    @property
    def counts_turns(self) -> bool:
        """Whether a response too much, until the next turn of requests begins, tells something about that."""
        return self._unproven is not None or self.may_resume

    @property
    def may_resume(self) -> bool:
        """Whether the next turn of requests may begin anew, although the order of what was before is lost."""
        return self._is_doubtful and self._takes_turns and not self._overlaps

    def _begin_turn(self) -> None:
        """A request has begun, the first one since responses came, on a connection that pipelines or may do so."""
        if self._known:
            self._overlaps = True
        if self._is_doubtful:
            self._resume()
        elif self.waiting or self.answering is not None:
            self._overlaps = True
            self._distrust()
        elif self._has_pipelined:
            self._takes_turns = True
            self._prove()

    def _resume(self) -> None:
        """Begin anew, if that may be."""
        if self.may_resume:
            if self.waiting:
                self.losses[Loss.REQUEST_WITHOUT_RESPONSE] += len(self.waiting)
                self.waiting.clear()
            self._is_doubtful = False
            self._known = 0
            self._unproven = []

    def begin(self, call: Call) -> None:
        """A request has begun."""
        if self.turn_begins:
            self.turn_begins = False
            if self._is_doubtful or self._has_pipelined or self.waiting or self.answering is not None:
                self._begin_turn()
        answered_ns = self.last_response_ns
        call.is_ambiguous = answered_ns < self._last_request_ns or answered_ns < self.skipped_ns
        self._last_request_ns = call.first_ns
        self.sending = call
        waiting = self.waiting
        waiting.append(call)
        self.begun.append(call.exchange)
        if len(waiting) > self._places.count and not self._places.take():
            waiting.popleft()
            self.losses[Loss.REQUESTS_WAITING] += 1
            self.doubt()

    @property
    def is_calm(self) -> bool:
        """Whether the connection is understood, in its order, and has not pipelined."""
        return self.is_understood and not (
            self.failures or self._is_doubtful or self._has_pipelined or self._unproven is not None
        )

    def ask(self, exchange: Exchange) -> bool:
        """A request has come whole, if it is the only one; the same as `begin` and `request_ended`, in one step."""
        waiting = self.waiting
        if waiting or self.sending is not None or self.answering is not None or not self.is_calm:
            return False
        first_ns, answered_ns = exchange.request.first_ns, self.last_response_ns
        is_ambiguous = answered_ns < self._last_request_ns or answered_ns < self.skipped_ns
        self.turn_begins = False
        self._last_request_ns = first_ns
        waiting.append(Call(exchange, first_ns, is_ambiguous=is_ambiguous, request_ended=True))
        self.begun.append(exchange)
        return True

    def asked(self, first_ns: int) -> Exchange | None:
        """The exchange that a response which came whole then belongs to, if there is no other one, and it is new.

        It is to be taken from `waiting`; `match`, `answer` and `response_ended` would do no more with it.
        """
        waiting = self.waiting
        if len(waiting) != 1 or self.sending is not None or self.answering is not None:
            return None
        if self._places.are_shared or not self.is_calm:
            return None
        call = waiting[0]
        if not call.request_ended or call.slices or call.first_ns > first_ns:
            return None
        return None if call.exchange.response.first_ns else call.exchange

    def doubt(self) -> None:
        """The order of a stream is lost: from now on times decide."""
        self._is_doubtful = True
        self._known = 0
        self._distrust()

    def doubt_requests(self) -> None:
        """The order of later requests is lost."""
        known = self._known if self._is_doubtful else len(self.waiting)
        self.doubt()
        self._known = known

    def _prove(self) -> None:
        """Tell what waited for its turn to prove itself."""
        if self._unproven is not None:
            self.told += self._unproven
            self._unproven = None

    def _distrust(self) -> None:
        """Drop what was to be told of a turn that does not prove itself."""
        unproven, self._unproven = self._unproven, None
        if unproven:
            self.losses[Loss.PAIRING_AMBIGUOUS] += len(unproven)

    def may_answer(self, first_ns: int) -> bool:
        """Whether a response that began then has a request."""
        return bool(self.waiting) and self.waiting[0].first_ns <= first_ns

    def match(self, first_ns: int) -> Call | None:
        """The first of `waiting` once it is that of a response that began then; None, counted, when there is none."""
        waiting = self.waiting
        if not waiting or waiting[0].first_ns > first_ns:
            self.losses[Loss.RESPONSE_WITHOUT_REQUEST] += 1
            self._distrust()
            return None
        if self._is_doubtful and not self._known:
            return self._match_by_time(first_ns)
        if len(waiting) > 1 and waiting[1].first_ns <= first_ns:
            self._pipelines = self._has_pipelined = True
        return waiting[0]

    def _match_by_time(self, first_ns: int) -> Call | None:
        began = sum(call.first_ns <= first_ns for call in self.waiting)
        latest = self.waiting[began - 1]
        is_certain = not (
            self._pipelines
            or latest.is_ambiguous
            # Its response may have been among what was missed, and this one be that of a request not known of.
            or self.missed_response_ns >= latest.first_ns
        )
        passed = began - is_certain
        for _ in range(passed):
            self.waiting.popleft()
        if is_certain:
            if passed:
                self.losses[Loss.REQUEST_WITHOUT_RESPONSE] += passed
            # A request that was missed while this one waited: the next response is that one's.
            self._is_doubtful = self._pipelines = self.skipped_ns >= latest.first_ns
            return latest
        self.losses[Loss.PAIRING_AMBIGUOUS] += passed
        if self._pipelines and not self.may_resume:  # nothing will ever show again where its order is
            self.give_up()
        return None

    def answer(self, call: Call, status: int, first_ns: int) -> None:
        """The final response to the first of `waiting` has begun."""
        self.waiting.popleft()
        if self._places.are_shared and not self.waiting:
            self._places.give_back()
        if self._known:
            self._known -= 1
            if not self._known and self.skipped_ns >= call.first_ns:
                self._pipelines = True  # the next response is that of a request that was missed
        self.answering = call
        call.exchange.status = status
        call.response_ns = first_ns
        body = call.body
        if body is not None and call.expects_continue and not call.exchange.request.body_bytes:
            body.may_be_over = True  # nobody asked for it

    def request_ended(self) -> None:
        """The request under way is complete."""
        call, self.sending = self.sending, None
        if call is not None:
            call.request_ended = True
            if call.response_ended:
                self._tell(call)

    def response_ended(self) -> None:
        """The response under way is complete."""
        call, self.answering = self.answering, None
        if call is None:
            return
        call.response_ended = True
        if call.request_ended:
            self._tell(call)
        elif call.is_estimated:
            # The stream goes on counting into what is told no more.
            self.sending = None
            call.exchange.request = replace(call.exchange.request)
            self._tell(call)

    def understood(self) -> None:
        """A message began where one was looked for."""
        self.is_understood = True
        self.failures = 0

    def failed(self, *, begins_turn: bool) -> None:
        """A call began with neither a request nor a response where one was looked for."""
        self.failures += begins_turn
        self._failed_calls += not self.is_understood
        if self.failures >= self.limits.failures or self._failed_calls >= self.limits.failed_calls:
            self.give_up()

    def give_up(self) -> None:
        """The connection is not understood."""
        self.ended = Ended.NOT_UNDERSTOOD
        self._distrust()
        under_way = {*self.waiting, self.sending, self.answering} - {None}
        if under_way:
            self.losses[Loss.GIVEN_UP] += len(under_way)
        self.drop()

    def switch(self, ended: Ended) -> None:
        """The connection goes on as something else after the response to the call that is answered."""
        self.ended = ended
        if self.waiting:
            self.losses[Loss.REQUEST_WITHOUT_RESPONSE] += len(self.waiting)
        call = self.answering
        if call is not None:
            if ended is Ended.UPGRADED:
                self.upgraded = call.exchange
            else:
                self._tell(call)
        self.drop()

    def drop(self) -> None:
        """Forget what is under way."""
        self._distrust()
        self._places.give_back()
        self.waiting.clear()
        self.sending = self.answering = None

    def slices(self, now_ns: int) -> list[Exchange]:
        """Slices of the exchanges of which a body goes on for long."""
        told: list[Exchange] = []
        if self._unproven is not None:
            return told
        for call in {id(call): call for call in (self.sending, self.answering) if call is not None}.values():
            began = call.first_ns if call is self.sending else call.response_ns
            if now_ns - (call.sliced_ns or began) >= SLICE_NS and (piece := take_slice(call.exchange, call.slices + 1)):
                call.slices += 1
                call.sliced_ns = now_ns
                told.append(piece)
        return told

    def end(self) -> None:
        """The connection has ended."""
        if self._unproven is not None:
            if self.waiting or self.answering is not None:
                self.losses[Loss.PAIRING_AMBIGUOUS] += len(self.waiting)
                self.waiting.clear()
                self.answering = None
                self._distrust()
            else:
                self._prove()
        if self.answering is not None:
            self._tell(self.answering)
        elif self.sending is not None and self.sending.response_ended:
            self._tell(self.sending)
        for call in self.waiting:
            if self._is_doubtful and self.last_response_ns >= call.first_ns:
                self.losses[Loss.REQUEST_WITHOUT_RESPONSE] += 1  # what passed may have been one
            else:
                self._tell(call)
        self.drop()

    @property
    def is_busy(self) -> bool:
        """Whether an exchange is under way."""
        return bool(self.waiting) or self.answering is not None or self.sending is not None

    def _tell(self, call: Call) -> None:
        if call.slices:
            call.exchange.slice = call.slices + 1
        if self._unproven is None:
            self.told.append(call.exchange)
        else:
            self._unproven.append(call.exchange)
