"""A reader of HTTP/1.0 and HTTP/1.1 as it passes, of which bytes may be missing.

An exchange is told when its response is complete and so is its request: after an early final response (413 before the
end of an upload) it still counts what is uploaded, until the next request or the end of the connection at the latest.
After a loss a stream is read again from the next call that begins with a message, which for a request means one of the
usual methods. Losses are counted by the causes of `agent/protocols/http1_losses.py`. Sources: RFC 9110, RFC 9112.
"""

from collections import Counter

from agent.protocols.exchange import REQUESTS, Ended, Exchange, Flow, Piece
from agent.protocols.http1_calls import Calls
from agent.protocols.http1_limits import Limits
from agent.protocols.http1_streams import RequestReader, ResponseReader
from agent.protocols.waiting_room import WaitingRoom

_LIMITS = Limits()


class Http1Parser:
    """Reads one connection; see `agent.protocols.exchange.Parser`."""

    def __init__(
        self,
        losses: Counter[str],
        *,
        joined: bool = False,
        limits: Limits = _LIMITS,
        room: WaitingRoom | None = None,
    ) -> None:
        """Begin.

        Args:
            losses: Counts what cannot be told, by cause.
            joined: Earlier bytes of the connection were not seen: look for the beginning of a message.
            limits: What is kept at most.
            room: Shared places for requests that wait, beyond those of any connection.
        """
        self.losses = losses
        self._calls = Calls(losses, limits, room, joined=joined)
        self._requests = RequestReader(self._calls, joined=joined)
        self._responses = ResponseReader(self._calls, joined=joined)
        self.ended: Ended | None = None
        """See Parser."""
        self.begun = self._calls.begun
        """See Parser."""
        self._last_flow: Flow | None = None
        self.rest: list[tuple[Flow, Piece]] = []
        """With Ended.UPGRADED what was fed and is HTTP/2 already, each stream in its order."""

    @property
    def is_busy(self) -> bool:
        """See Parser. A part of a request's head counts, a response without a request does not."""
        return self._calls.is_busy or self._requests.has_begun

    @property
    def upgraded_request(self) -> Exchange | None:
        """With Ended.UPGRADED what goes on as stream 1 of HTTP/2; the 101 counts as header bytes of its response."""
        return self._calls.upgraded

    def feed(self, flow: Flow, piece: Piece) -> list[Exchange]:
        """See Parser."""
        if self.ended is not None:
            return []
        calls = self._calls
        if self.begun:
            self.begun.clear()
        begins_turn = flow is not self._last_flow
        self._last_flow = flow
        requests, responses = self._requests, self._responses
        if flow is REQUESTS:
            if piece.head is not None and not responses.held and requests.take_whole(piece):
                return []
            if begins_turn:
                calls.turn_begins = True
                while responses.held and calls.counts_turns:
                    responses.wait_no_longer()
            requests.feed(piece, begins_turn=begins_turn)
        else:
            calls.last_response_ns = piece.first_ns
            if piece.head is not None and not requests.held and (exchange := responses.take_whole(piece)) is not None:
                return [exchange]
            responses.feed(piece, begins_turn=begins_turn)
        if responses.held or requests.held:
            self._read_held()
        if calls.ended is not None:
            self._leave()
        return self._take_told() if calls.told else []

    def slices(self, now_ns: int) -> list[Exchange]:
        """See Parser."""
        return self._calls.slices(now_ns)

    def end(self) -> list[Exchange]:
        """See Parser."""
        if self._responses.held:
            self._responses.wait_no_longer()
        if self._requests.held:
            self._requests.wait_no_longer()
        for reader in (self._requests, self._responses):
            reader.end()
        self._calls.end()
        self._leave()
        return self._take_told()

    def forget(self) -> None:
        """Nothing of this connection will be read any more, or told."""
        self._calls.drop()

    def _take_told(self) -> list[Exchange]:
        told, self._calls.told = self._calls.told, []
        return told

    def _read_held(self) -> None:
        """Read of one stream what waited for the other one, as long as that makes a difference."""
        calls = self._calls
        while calls.ended is None:
            if self._responses.held and calls.waiting:
                if calls.may_answer(self._responses.held[0][0].first_ns):
                    self._responses.read_held()
                else:
                    self._responses.wait_no_longer()
            elif self._requests.held and self._requests.may_begin(0):
                self._requests.read_held()
            else:
                return

    def _leave(self) -> None:
        """Forget what is kept of a connection that is read no further."""
        self.ended = self._calls.ended
        for flow, reader in ((Flow.REQUESTS, self._requests), (Flow.RESPONSES, self._responses)):
            if self.ended is Ended.UPGRADED:
                self.rest += [(flow, piece) for piece, _ in reader.held]
            reader.held.clear()
            reader.drop()
