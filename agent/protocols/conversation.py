"""One connection's plain text, or that of one TLS session: fragments in, exchanges out."""

from collections import Counter

from agent.connections.view import View
from agent.events.fragments import ConversationProtocol, Fragment
from agent.events.layout import EventKind, Role
from agent.protocols.callers import Callers
from agent.protocols.exchange import Exchange, Flow, Head, Parser, Piece
from agent.protocols.http1 import Http1Parser
from agent.protocols.http2 import Http2Parser
from agent.protocols.streams import Stream, ThreadPiece
from agent.protocols.waiting_room import WaitingRoom

SERVED = 1_024
"""Requests of one connection that may be served at the same time; of more the oldest count as answered."""

_RESPONSE = b"HTTP/"
_PREFACE = b"PRI * HTTP/2"
_OTHER_KIND = {EventKind.READ: EventKind.WRITE, EventKind.WRITE: EventKind.READ}
_READ = EventKind.READ  # see agent.protocols.exchange
_KIND_OF_READS = int(EventKind.READ)


class Conversation:
    """What is being said on a connection, and who says which half of it."""

    __slots__ = (
        "_callers",
        "_flow_of_reads",
        "_flow_of_writes",
        "_losses",
        "_parser",
        "_reads",
        "_served",
        "_thread",
        "_writes",
        "is_over",
        "is_shared",
        "is_waiting",
        "protocol",
        "requests",
        "session",
        "socket",
        "view",
    )

    def __init__(
        self, view: View, fragment: Fragment, losses: Counter[str], callers: Callers, room: WaitingRoom
    ) -> None:
        """Begin with the first fragment, which is still to be taken.

        Args:
            view: The connection.
            fragment: Says what the kernel takes it for.
            losses: Where what cannot be told is counted, by cause.
            callers: Knows which requests threads are serving.
            room: Shared places for requests of HTTP/1 that wait.
        """
        self.view = view
        self.session = fragment.session
        """Of TLS; 0 for plain text."""
        self.socket = fragment.socket
        """The kernel's struct sock, as a number."""
        self._losses = losses
        self._callers = callers
        self._reads, self._writes = (Stream(losses, is_session=bool(fragment.session)) for _ in range(2))
        self.requests = _kind_of_requests(fragment, view)
        """The kind of calls that move requests: READ where this process serves, WRITE where it asks."""
        is_server = self.requests is EventKind.READ
        self._flow_of_reads = Flow.REQUESTS if is_server else Flow.RESPONSES
        self._flow_of_writes = Flow.RESPONSES if is_server else Flow.REQUESTS
        is_http2 = fragment.protocol == ConversationProtocol.HTTP2
        self.protocol = ConversationProtocol.HTTP2 if is_http2 else ConversationProtocol.HTTP1
        """What it is read as at the moment."""
        self._parser: Parser = _parser(fragment, losses, room)
        self.is_waiting = False
        """Whether calls wait for what is missing before them."""
        self.is_over = False
        """Whether no more of its bytes are wanted."""
        self._served: dict[int, tuple[int, Exchange]] = {}
        self._thread = fragment.thread
        facts = view.process.facts
        self.is_shared = facts is not None and facts.changes_threads
        """Whether several threads move its bytes, or may: one can be in a call while another ends the connection."""

    @property
    def is_busy(self) -> bool:
        """Whether an exchange has begun and not ended."""
        return self._parser.is_busy

    def take(self, fragment: Fragment, head: Head | None, look: int) -> list[Exchange]:
        """The exchanges that end with a fragment.

        Args:
            fragment: The next one, in any order.
            head: The head of HTTP/1 that it begins with, if it is known.
            look: Numbers the looks at the ring.
        """
        thread = fragment.thread
        if thread != self._thread:
            self.is_shared = True
        if fragment.kind == _KIND_OF_READS:
            flow, stream = self._flow_of_reads, self._reads
        else:
            flow, stream = self._flow_of_writes, self._writes
        piece = stream.whole(fragment, head)
        if piece is not None:
            return self._read(flow, thread, piece)
        told = self._feed(flow, stream.add(fragment, look))
        self.is_waiting = bool(self._reads.early or self._writes.early)
        return told

    def settle(self, look: int) -> list[Exchange]:
        """Give up what is missing before calls that came before `look`; the exchanges that end with that."""
        told = self._feed(self._flow_of_reads, self._reads.settle(look)) + self._feed(
            self._flow_of_writes, self._writes.settle(look)
        )
        self.is_waiting = bool(self._reads.early or self._writes.early)
        return told

    def slices(self, now_ns: int) -> list[Exchange]:
        """What is due by now: parts of exchanges that go on for long."""
        return self._told(self._parser.slices(now_ns))

    def end(self, look: int) -> list[Exchange]:
        """The connection has ended; the exchanges that end with it."""
        told = self.settle(look + 1) + self._told(self._parser.end())
        self.is_over = self._parser.ended is not None
        self._forget_served(0)
        return told

    def forget(self) -> None:
        """It is given up, or has ended."""
        if isinstance(self._parser, Http1Parser):
            self._parser.forget()

    def _feed(self, flow: Flow, pieces: list[ThreadPiece]) -> list[Exchange]:
        return [exchange for thread, piece in pieces for exchange in self._read(flow, thread, piece)]

    def _read(self, flow: Flow, thread: int, piece: Piece) -> list[Exchange]:
        if self.is_over:
            return []
        parser = self._parser
        told = parser.feed(flow, piece)
        if told and self._served:
            self._answered(told)
        if parser.begun:
            self._begun(thread, parser.begun)
        elif self._served and not parser.is_busy:
            # Some requests are never told, because something of them was lost: they must not be served forever.
            self._forget_served(0)
        if parser.ended is not None:
            told = told + self._upgrade()
            self.is_over = self._parser.ended is not None
        return told

    def _begun(self, thread: int, exchanges: list[Exchange]) -> None:
        process = self.view.process
        facts = process.facts
        if facts is None or facts.changes_threads:
            return  # its threads say nothing of who calls for whom
        callers, pid = self._callers, process.pid
        if self.requests is not _READ:
            for exchange in exchanges:
                exchange.caller = callers.caller(pid, thread)
            return
        served = self._served
        for exchange in exchanges:
            served[id(exchange)] = thread, exchange
            callers.serve(pid, thread, exchange)
        if len(served) > SERVED:
            self._forget_served(SERVED)

    def _forget_served(self, most: int) -> None:
        """Serve no more than so many requests, the latest ones."""
        while len(self._served) > most:
            thread, exchange = self._served.pop(next(iter(self._served)))
            self._callers.served(self.view.process.pid, thread, exchange)

    def _answered(self, exchanges: list[Exchange]) -> None:
        for exchange in exchanges:
            served = self._served.pop(id(exchange), None)
            if served is not None:
                thread, _ = served
                self._callers.served(self.view.process.pid, thread, exchange)

    def _told(self, exchanges: list[Exchange]) -> list[Exchange]:
        self._answered(exchanges)
        return exchanges

    def _upgrade(self) -> list[Exchange]:
        """Go on as HTTP/2 if that is why the parser has ended, with what has come behind the answer to the upgrade."""
        before = self._parser
        if not isinstance(before, Http1Parser) or before.upgraded_request is None:
            return []
        self._parser = Http2Parser(self._losses, upgraded=before.upgraded_request)
        self.protocol = ConversationProtocol.HTTP2
        return [exchange for flow, piece in before.rest for exchange in self._told(self._parser.feed(flow, piece))]


def _parser(fragment: Fragment, losses: Counter[str], room: WaitingRoom) -> Parser:
    if fragment.protocol == ConversationProtocol.HTTP2:
        return Http2Parser(losses, joined=not fragment.data.startswith(_PREFACE))
    return Http1Parser(losses, room=room)


def _kind_of_requests(fragment: Fragment, view: View) -> EventKind:
    """By the first bytes where they tell, else by who has opened the connection."""
    kind = EventKind(fragment.kind)
    if fragment.protocol == ConversationProtocol.HTTP2 and not fragment.data.startswith(_PREFACE):
        return EventKind.READ if view.role is Role.SERVER else EventKind.WRITE
    return _OTHER_KIND[kind] if fragment.data.startswith(_RESPONSE) else kind
