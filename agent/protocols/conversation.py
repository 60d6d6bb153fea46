"""One connection's plain text, or that of one TLS session: fragments in, exchanges out."""

from collections import Counter
from collections.abc import Iterable, Iterator

from agent.connections.view import View
from agent.events.fragments import ConversationProtocol, Fragment
from agent.events.layout import EventKind, Role
from agent.protocols.callers import Callers
from agent.protocols.exchange import Ended, Exchange, Flow, Parser, Piece
from agent.protocols.http1 import Http1Parser
from agent.protocols.http2 import Http2Parser
from agent.protocols.streams import Call, Stream

_RESPONSE = b"HTTP/"
_PREFACE = b"PRI * HTTP/2"
_OTHER_KIND = {EventKind.READ: EventKind.WRITE, EventKind.WRITE: EventKind.READ}


class Conversation:
    """What is being said on a connection, and who says which half of it."""

    __slots__ = ("_callers", "_losses", "_parser", "_served", "_streams", "requests", "session", "socket", "view")

    def __init__(self, view: View, fragment: Fragment, losses: Counter[str], callers: Callers) -> None:
        """Begin with the first fragment, which is still to be taken.

        Args:
            view: The connection.
            fragment: Says what the kernel takes it for.
            losses: Where what cannot be told is counted, by cause.
            callers: Knows which requests threads are serving.
        """
        self.view = view
        self.session = fragment.session
        """Of TLS; 0 for plain text."""
        self.socket = fragment.socket
        """The kernel's struct sock, as a number."""
        self._losses = losses
        self._callers = callers
        self._streams = {
            kind: Stream(losses, is_session=bool(fragment.session)) for kind in (EventKind.READ, EventKind.WRITE)
        }
        self.requests = _kind_of_requests(fragment, view)
        """The kind of calls that move requests: READ where this process serves, WRITE where it asks."""
        self._parser: Parser = _parser(fragment, losses)
        self._served: dict[int, tuple[int, Exchange]] = {}

    @property
    def protocol(self) -> ConversationProtocol:
        """What it is read as at the moment."""
        is_http2 = isinstance(self._parser, Http2Parser)
        return ConversationProtocol.HTTP2 if is_http2 else ConversationProtocol.HTTP1

    @property
    def is_busy(self) -> bool:
        """Whether an exchange has begun and not ended."""
        return self._parser.is_busy

    @property
    def is_over(self) -> bool:
        """Whether no more of its bytes are wanted."""
        return self._parser.ended is not None

    @property
    def is_waiting(self) -> bool:
        """Whether calls wait for what is missing before them."""
        return any(stream.is_waiting for stream in self._streams.values())

    def take(self, fragment: Fragment, look: int) -> Iterator[Exchange]:
        """The exchanges that end with a fragment. `look` numbers the looks at the ring."""
        kind = EventKind(fragment.kind)
        yield from self._feed(kind, self._streams[kind].add(fragment, look))

    def settle(self, look: int) -> Iterator[Exchange]:
        """Give up what is missing before calls that came before `look`; the exchanges that end with that."""
        for kind, stream in self._streams.items():
            yield from self._feed(kind, stream.settle(look))

    def slices(self, now_ns: int) -> Iterator[Exchange]:
        """What is due by now: parts of exchanges that go on for long."""
        return self._told(self._parser.slices(now_ns))

    def end(self, look: int) -> Iterator[Exchange]:
        """The connection has ended; the exchanges that end with it."""
        yield from self.settle(look + 1)
        yield from self._told(self._parser.end())
        for thread, exchange in self._served.values():
            self._callers.served(self.view.process.pid, thread, exchange)
        self._served.clear()

    def _feed(self, kind: EventKind, pieces: Iterable[tuple[Call, Piece]]) -> Iterator[Exchange]:
        flow = Flow.REQUESTS if kind is self.requests else Flow.RESPONSES
        for call, piece in pieces:
            if self.is_over:
                continue
            told = self._parser.feed(flow, piece)
            for exchange in self._parser.begun:
                self._begun(call.thread, exchange)
            yield from self._told(told)
            if self._parser.ended is Ended.UPGRADED:
                yield from self._upgrade()

    def _begun(self, thread: int, exchange: Exchange) -> None:
        facts = self.view.process.facts
        if facts is None or facts.changes_threads:
            return  # its threads say nothing of who calls for whom
        if self.requests is EventKind.READ:
            self._served[id(exchange)] = thread, exchange
            self._callers.serve(self.view.process.pid, thread, exchange)
        else:
            exchange.caller = self._callers.caller(self.view.process.pid, thread)

    def _told(self, exchanges: list[Exchange]) -> Iterator[Exchange]:
        for exchange in exchanges:
            served = self._served.pop(id(exchange), None)
            if served is not None:
                self._callers.served(self.view.process.pid, *served)
            yield exchange

    def _upgrade(self) -> Iterator[Exchange]:
        """Go on as HTTP/2, with what has come behind the answer to the upgrade."""
        before = self._parser
        if not isinstance(before, Http1Parser):
            return
        self._parser = Http2Parser(self._losses, upgraded=before.upgraded_request)
        for flow, piece in before.rest:
            yield from self._told(self._parser.feed(flow, piece))


def _parser(fragment: Fragment, losses: Counter[str]) -> Parser:
    if fragment.protocol == ConversationProtocol.HTTP2:
        return Http2Parser(losses, joined=not fragment.data.startswith(_PREFACE))
    return Http1Parser(losses)


def _kind_of_requests(fragment: Fragment, view: View) -> EventKind:
    """By the first bytes where they tell, else by who has opened the connection."""
    kind = EventKind(fragment.kind)
    if fragment.protocol == ConversationProtocol.HTTP2 and not fragment.data.startswith(_PREFACE):
        return EventKind.READ if view.role is Role.SERVER else EventKind.WRITE
    return _OTHER_KIND[kind] if fragment.data.startswith(_RESPONSE) else kind
