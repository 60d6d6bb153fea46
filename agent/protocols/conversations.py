"""All conversations: bounded, found by connection and TLS session, ended with their connections."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from agent.connections.state import ViewState
from agent.connections.table import ViewTable
from agent.connections.view import View
from agent.events.fragments import ConversationProtocol, Fragment
from agent.events.layout import EventKind
from agent.protocols.callers import Callers
from agent.protocols.conversation import Conversation
from agent.protocols.exchange import Exchange, Head
from agent.protocols.http1_heads import PORTION, heads_at_beginnings
from agent.protocols.waiting_room import WaitingRoom

ORPHANS = 4_096
"""Fragments that may wait for the event that begins their connection."""
LATE_NS = 1_000_000_000
"""Nanoseconds for which an exchange may wait for its end after that of its connection, where several threads move its
bytes: the one that moved the last of them may be kept from leaving its call."""

_READ = frozenset((ConversationProtocol.HTTP1, ConversationProtocol.HTTP2))
"""What is read of connections."""
_TLS = int(ConversationProtocol.TLS)  # plain numbers: see agent.protocols.exchange
_WRITE = int(EventKind.WRITE)

_Key = tuple[int, int]
"""View.number and TLS session."""


class Told(Struct, frozen=True, gc=False):
    """An exchange and where it was."""

    view: View
    exchange: Exchange
    requests: EventKind
    """READ where the process of the view serves, WRITE where it asks."""
    is_tls: bool


def _in_order(fragments: Sequence[Fragment]) -> list[Fragment]:
    """By when the first byte was on its way, or there: what answers something never comes before it.

    Fragments arrive as calls leave the kernel. A thread may have read the answer to what another one wrote before that
    one has left.
    """
    moments = [one.start_ns if one.kind == _WRITE else one.end_ns for one in fragments]
    return list(map(fragments.__getitem__, sorted(range(len(fragments)), key=moments.__getitem__)))


class Conversations:
    """Turns fragments of payload into exchanges of connection views."""

    def __init__(self, table: ViewTable, capacity: int, mute: Callable[[int, int], None]) -> None:
        """Begin with none.

        Args:
            table: The connections.
            capacity: Conversations at most; of more the one that said nothing for longest is given up.
            mute: Tells the kernel that no more bytes of a socket are wanted, or, of a TLS session, of the sum of its
                socket and its own number; and the inode, without which it could be a later connection's.
        """
        self._table = table
        self._capacity = capacity
        self._mute = mute
        self._conversations: OrderedDict[_Key, Conversation] = OrderedDict()
        self._waiting: dict[_Key, Conversation] = {}
        self._ending: list[tuple[View, int]] = []  # and until when (CLOCK_MONOTONIC) bytes may come
        self._orphans: list[tuple[int, Fragment]] = []
        self._look = 0
        self.room = WaitingRoom()
        """For requests that wait in pipelines."""
        self.callers = Callers()
        self.losses: Counter[str] = Counter()
        """What of the exchanges could not be told, by cause."""

    def __len__(self) -> int:
        return len(self._conversations)

    def process(self, fragments: Sequence[Fragment], ended: Iterable[View], now_ns: int) -> list[Told]:
        """Take the fragments of one look at the ring; the exchanges that ended with them.

        Args:
            fragments: In any order. Their events were tracked before, as far as there are any.
            ended: Views that have ended since the previous look.
            now_ns: CLOCK_MONOTONIC.
        """
        self._look += 1
        told: list[Told] = []
        orphans, self._orphans = self._orphans, []
        for look, fragment in orphans:
            self._take(fragment, None, look, told)
        ordered = _in_order(fragments)
        for first in range(0, len(ordered), PORTION):
            portion = ordered[first : first + PORTION]
            for fragment, head in zip(portion, heads_at_beginnings(portion), strict=True):
                self._take(fragment, head, self._look, told)
        for key, conversation in list(self._waiting.items()):
            self._collect(conversation, conversation.settle(self._look), told)
            if not conversation.is_waiting:
                del self._waiting[key]
        # Another thread may not have left the call yet whose bytes were the last ones: one more look, and more of them
        # where threads share the work. A thread that works alone has left all of its calls when it ends a connection.
        late = []
        for view, until_ns in self._ending:
            if now_ns < until_ns and any(one.is_busy and one.is_shared for one in self._of(view)):
                late.append((view, until_ns))
            else:
                self._end(view, told)
        self._ending = late + [(view, now_ns + LATE_NS) for view in ended if view.conversations]
        return told

    def due(self, now_ns: int) -> list[Told]:
        """What is to be told by now (CLOCK_MONOTONIC) of exchanges that go on, and of connections that are gone."""
        told: list[Told] = []
        ending = {id(view) for view, _ in self._ending}
        for conversation in list(self._conversations.values()):
            if conversation.view.state is ViewState.ENDED and id(conversation.view) not in ending:
                ending.add(id(conversation.view))
                self._ending.append((conversation.view, now_ns + LATE_NS))
            elif conversation.is_busy:
                self._collect(conversation, conversation.slices(now_ns), told)
        return told

    def finish(self) -> list[Told]:
        """Nothing comes any more: what is to be told of connections that have ended."""
        told: list[Told] = []
        for conversation in list(self._conversations.values()):
            if conversation.view.state is ViewState.ENDED:
                self._end(conversation.view, told)
        return told

    def is_busy(self, view: View) -> bool:
        """Whether an exchange on this connection has begun and not ended."""
        return any(conversation.is_busy for conversation in self._of(view))

    def _of(self, view: View) -> Iterator[Conversation]:
        for session in view.conversations:
            conversation = self._conversations.get((view.number, session))
            if conversation is not None:
                yield conversation

    def _take(self, fragment: Fragment, head: Head | None, look: int, told: list[Told]) -> None:
        _, _, inode, _, session, _, _, _, process, _, _, _, protocol, _, _, _ = fragment
        view = self._table.get(process << 32 | inode)  # socket_key, which every fragment would call
        if view is None:
            if look < self._look or len(self._orphans) >= ORPHANS:
                self.losses["fragments_of_unknown_connections"] += 1
            else:
                self._orphans.append((look, fragment))
            return
        if session or protocol == _TLS:
            view.is_tls = True
        if protocol not in _READ:
            return
        key = (view.number, session)
        conversation = self._conversations.get(key)
        if conversation is None:
            conversation = self._open(key, view, fragment)
        else:
            self._conversations.move_to_end(key)
        exchanges = conversation.take(fragment, head, look)
        if exchanges or conversation.is_over or view.protocol_read is not conversation.protocol:
            self._collect(conversation, exchanges, told)
        if conversation.is_waiting:
            self._waiting[key] = conversation

    def _open(self, key: _Key, view: View, fragment: Fragment) -> Conversation:
        conversation = self._conversations[key] = Conversation(view, fragment, self.losses, self.callers, self.room)
        view.conversations = (*view.conversations, fragment.session)
        if len(self._conversations) > self._capacity:
            _, oldest = next(iter(self._conversations.items()))
            self.losses["conversations_given_up"] += 1
            self._forget(oldest)
        return conversation

    def _collect(self, conversation: Conversation, exchanges: list[Exchange], told: list[Told]) -> None:
        view = conversation.view
        if exchanges:
            requests, is_tls = conversation.requests, bool(conversation.session)
            for exchange in exchanges:
                told.append(Told(view, exchange, requests, is_tls))  # noqa: PERF401 - mostly it is one
        view.protocol_read = conversation.protocol
        if conversation.is_over:
            self._mute((conversation.socket + conversation.session) % (1 << 64), view.inode)

    def _end(self, view: View, told: list[Told]) -> None:
        for conversation in list(self._of(view)):
            self._collect(conversation, conversation.end(self._look), told)
            self._forget(conversation)

    def _forget(self, conversation: Conversation) -> None:
        view, session = conversation.view, conversation.session
        conversation.forget()
        self._conversations.pop((view.number, session), None)
        self._waiting.pop((view.number, session), None)
        view.conversations = tuple(other for other in view.conversations if other != session)
