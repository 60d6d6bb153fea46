"""Fragments of connections to exchanges: who says which half, what ends a conversation, and every bound."""

from collections.abc import Sequence

import msgspec
import pytest

from agent.connections.view import View
from agent.events.fragments import ConversationProtocol, Fragment
from agent.events.layout import EventKind
from agent.protocols.conversations import LATE_NS, ORPHANS, Conversations, Told
from tests.agent.protocols.payload import READ, WRITE, calls, fragment
from tests.agent.synthetic import World, event, facts, released

K = EventKind
REQUEST = b"GET /path?query HTTP/1.1\r\nHost: here\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS


class Talk:
    """Conversations over a tracker, with what they told and whom they muted."""

    def __init__(self, capacity: int = 100) -> None:
        self.world = World()
        self.world.host.processes[100] = facts(100)
        self.muted: list[tuple[int, int]] = []
        """Socket and inode of each."""
        self.now_ns = 10_000
        self.conversations = Conversations(self.world.table, capacity, lambda *one: self.muted.append(one))

    def server(self, inode: int = 1) -> View:
        (view,) = self.world.track(event(K.ACCEPT, inode=inode, local=("127.0.0.1", 80))).views.values()
        return view

    def client(self, inode: int = 1) -> View:
        (view,) = self.world.track(event(K.CONNECT, inode=inode)).views.values()
        return view

    def hears(self, *fragments: Fragment, ended: Sequence[View] = ()) -> list[Told]:
        return self.conversations.process(fragments, ended, self.now_ns)

    def ends(self, inode: int = 1) -> list[Told]:
        return self.hears(ended=list(self.world.track(released(inode=inode)).views.values()))

    def closed(self, inode: int = 1) -> list[Told]:
        return self.ends(inode) + self.hears()

    def waits(self, nanoseconds: int) -> list[Told]:
        """Look again after some time."""
        self.now_ns += nanoseconds
        return self.hears()


def test_many_calls_in_a_look_tell_what_each_in_a_look_of_its_own_tells() -> None:
    together, apart = Talk(), Talk()
    for talk in (together, apart):
        talk.server()
    count = 150
    asked = [REQUEST.replace(b"path", b"%d" % number) for number in range(count)]
    answered = [RESPONSE.replace(b"OK", b"%d" % number) for number in range(count)]
    said = zip(calls(READ, asked, at=1_000), calls(WRITE, answered, at=1_015), strict=True)
    fragments = [one for both in said for one in both]
    expected = [told.exchange for one in fragments for told in apart.hears(one)]
    found = [told.exchange for told in together.hears(*fragments)]
    assert [one.path for one in found] == [f"/{number}" for number in range(count)]
    assert found == expected
    assert not together.conversations.losses


def one_exchange(talk: Talk, *, inode: int = 1, at: int = 1000, asks: EventKind = READ) -> list[Told]:
    answers = WRITE if asks is READ else READ
    return talk.hears(
        fragment(asks, REQUEST, inode=inode, at=at), fragment(answers, RESPONSE, inode=inode, at=at + 100)
    )


def test_a_server_reads_requests_and_writes_responses() -> None:
    talk = Talk()
    view = talk.server()
    (told,) = one_exchange(talk)
    assert (told.view, told.requests, told.is_tls) == (view, K.READ, False)
    assert (told.exchange.method, told.exchange.path, told.exchange.host) == ("GET", "/path", "here")
    assert (told.exchange.status, told.exchange.response.body_bytes) == (200, 2)
    # The first byte was there when the read ended; the last one had been passed on when the write ended.
    assert (told.exchange.request.first_ns, told.exchange.response.last_ns) == (1010, 1110)
    assert (told.exchange.request.first_call_ns, told.exchange.response.last_call_ns) == (1000, 1100)
    assert view.protocol_read is ConversationProtocol.HTTP1
    assert not view.is_tls


def test_a_client_writes_requests_and_reads_responses() -> None:
    talk = Talk()
    talk.client()
    (told,) = one_exchange(talk, asks=WRITE)
    assert told.requests is K.WRITE
    assert (told.exchange.request.first_ns, told.exchange.response.last_ns) == (1000, 1110)


def test_a_response_that_is_heard_first_shows_who_asks() -> None:
    talk = Talk()
    talk.client()
    assert talk.hears(fragment(READ, RESPONSE)) == []
    (told,) = talk.hears(fragment(WRITE, REQUEST, at=2000), fragment(READ, RESPONSE, at=2100, position=len(RESPONSE)))
    assert told.requests is K.WRITE
    assert talk.conversations.losses["response_without_request"] == 1


def test_a_response_that_arrives_before_its_request_was_still_read_after_it() -> None:
    """Another thread may have read the response before the one that wrote the request had left the kernel."""
    talk = Talk()
    talk.client()
    (told,) = talk.hears(fragment(READ, RESPONSE, at=1005, thread=2), fragment(WRITE, REQUEST, at=1000, thread=1))
    assert told.exchange.status == 200
    assert not talk.conversations.losses


def test_http2_is_asked_by_who_sends_the_preface_else_by_who_has_connected() -> None:
    http2 = ConversationProtocol.HTTP2
    talk = Talk()
    view = talk.server()
    talk.hears(fragment(READ, PREFACE, protocol=http2))
    assert view.protocol_read is http2
    assert not talk.conversations.is_busy(view)
    other = talk.client(inode=2)
    talk.hears(fragment(READ, SETTINGS, inode=2, protocol=http2))
    assert other.protocol_read is http2


def test_calls_that_were_lost_do_not_stop_a_conversation() -> None:
    talk = Talk()
    talk.server()
    whole = calls(READ, [REQUEST] * 4)
    assert talk.hears(whole[0], *whole[2:]) == []
    told = talk.hears(*calls(WRITE, [RESPONSE] * 4, at=5000))
    assert talk.conversations.losses["calls_missing"] == 1
    assert 1 <= len(told) <= 4
    assert {item.exchange.status for item in told} == {200}


def test_a_conversation_ends_with_its_connection() -> None:
    talk = Talk()
    view = talk.server()
    talk.hears(fragment(READ, REQUEST), fragment(WRITE, b"HTTP/1.0 200 OK\r\n\r\nuntil the end", at=1100))
    assert talk.conversations.is_busy(view)
    (told,) = talk.closed()
    assert told.exchange.response.body_bytes == len("until the end")
    assert len(talk.conversations) == 0
    assert not talk.conversations.is_busy(view)
    assert view.conversations == ()


def test_bytes_that_come_with_the_close_are_heard_before_the_end() -> None:
    talk = Talk()
    talk.server()
    talk.hears(fragment(READ, REQUEST))
    views = list(talk.world.track(released()).views.values())
    (told,) = talk.hears(fragment(WRITE, RESPONSE, at=1100), ended=views)
    assert told.exchange.status == 200


def test_bytes_that_come_one_look_after_the_close_are_heard_before_the_end() -> None:
    """A thread may close a connection before another one has left the call that wrote its last bytes."""
    talk = Talk()
    talk.server()
    talk.hears(fragment(READ, REQUEST))
    assert talk.ends() == []
    (told,) = talk.hears(fragment(WRITE, RESPONSE, at=1100))
    assert told.exchange.status == 200
    talk.hears()
    assert len(talk.conversations) == 0


HALVES = (RESPONSE[:-1], RESPONSE[-1:])


@pytest.mark.parametrize("session", [0, 7])
def test_bytes_of_a_thread_that_is_kept_from_leaving_its_call_are_awaited(session: int) -> None:
    """The reader has seen the end and closed; the writer has moved the last byte but has not run since."""
    talk = Talk()
    view = talk.server()
    first, last = calls(WRITE, HALVES, at=1100)
    talk.hears(fragment(READ, REQUEST, thread=1, session=session), first._replace(thread=2, session=session))
    assert talk.ends() == []
    for _ in range(50):
        assert talk.waits((LATE_NS - 1) // 50) == []
        assert talk.conversations.is_busy(view)
    (told,) = talk.hears(last._replace(thread=2, session=session))
    assert (told.exchange.status, told.exchange.response.body_bytes) == (200, 2)
    assert talk.hears() == []
    assert len(talk.conversations) == 0
    assert not talk.conversations.losses


def test_bytes_that_never_come_are_awaited_for_a_bounded_time() -> None:
    talk = Talk()
    talk.server()
    first, _ = calls(WRITE, HALVES, at=1100)
    talk.hears(fragment(READ, REQUEST, thread=1), first._replace(thread=2))
    assert talk.ends() == []
    assert talk.waits(LATE_NS - 1) == []
    (told,) = talk.waits(1)
    assert (told.exchange.status, told.exchange.response.body_bytes) == (200, 1)
    assert len(talk.conversations) == 0


def test_a_thread_that_works_alone_has_left_its_calls_when_its_connection_ends() -> None:
    """As curl, which leaves with the last byte of a body; an empty frame would still have ended its stream."""
    talk = Talk()
    talk.server()
    first, _ = calls(WRITE, HALVES, at=1100)
    talk.hears(fragment(READ, REQUEST), first)
    assert talk.ends() == []
    (told,) = talk.hears()
    assert told.exchange.response.body_bytes == 1


def test_a_program_that_changes_threads_may_be_late_in_any_of_them() -> None:
    talk = Talk()
    talk.world.host.processes[100] = msgspec.structs.replace(facts(100), changes_threads=True)
    talk.server()
    talk.hears(fragment(READ, REQUEST))
    assert talk.ends() == []
    assert talk.waits(LATE_NS - 1) == []
    (told,) = talk.hears(fragment(WRITE, RESPONSE, at=1100))
    assert told.exchange.status == 200


def test_nothing_is_awaited_where_no_exchange_is_under_way() -> None:
    talk = Talk()
    talk.server()
    assert len(talk.hears(fragment(READ, REQUEST, thread=1), fragment(WRITE, RESPONSE, at=1100, thread=2))) == 1
    assert talk.closed() == []
    assert len(talk.conversations) == 0


def test_a_connection_that_waits_for_late_bytes_does_not_keep_others_waiting() -> None:
    talk = Talk()
    talk.server()
    first, _ = calls(WRITE, HALVES, at=1100)
    talk.hears(fragment(READ, REQUEST, thread=1), first._replace(thread=2))
    talk.ends()
    talk.waits(1)
    talk.server(2)
    talk.hears(fragment(READ, REQUEST, inode=2, at=2000))
    assert [item.exchange.status for item in talk.closed(2)] == [0]
    assert len(talk.conversations) == 1


def test_a_connection_that_vanished_ends_when_it_is_looked_after() -> None:
    talk = Talk()
    talk.server()
    talk.hears(fragment(READ, REQUEST))
    talk.world.track(released())
    assert talk.conversations.due(10_000) == []
    (told,) = talk.hears()
    assert told.exchange.status == 0
    assert len(talk.conversations) == 0


def test_fragments_may_be_ahead_of_their_connection_by_one_look() -> None:
    talk = Talk()
    assert talk.hears(fragment(READ, REQUEST)) == []
    talk.server()
    (told,) = talk.hears(fragment(WRITE, RESPONSE, at=1100))
    assert told.exchange.path == "/path"
    assert not talk.conversations.losses


def test_fragments_of_connections_that_never_come_are_counted_and_bounded() -> None:
    talk = Talk()
    talk.hears(*(fragment(READ, b"x", inode=number) for number in range(ORPHANS + 10)))
    assert talk.conversations.losses == {"fragments_of_unknown_connections": 10}
    talk.hears()
    assert talk.conversations.losses == {"fragments_of_unknown_connections": ORPHANS + 10}


def test_conversations_are_bounded_and_the_one_silent_for_longest_is_given_up() -> None:
    talk = Talk(capacity=2)
    for inode in (1, 2):
        talk.server(inode)
        talk.hears(fragment(READ, REQUEST, inode=inode))
    talk.hears(fragment(READ, REQUEST, inode=1, position=len(REQUEST), at=2000))
    talk.server(3)
    talk.hears(fragment(READ, REQUEST, inode=3))
    assert len(talk.conversations) == 2
    assert talk.conversations.losses["conversations_given_up"] == 1
    assert len(talk.hears(fragment(WRITE, RESPONSE, inode=1, at=3000))) == 1


@pytest.mark.parametrize("ends", [True, False])
def test_places_of_waiting_requests_are_given_back(*, ends: bool) -> None:
    talk = Talk(capacity=1)
    talk.server()
    before = talk.conversations.room.free
    talk.hears(fragment(READ, REQUEST * 5_000))
    assert talk.conversations.room.free == before - 4 * 1024
    if ends:
        assert [told.exchange.status for told in talk.closed()] == [0] * 5_000
    else:
        talk.server(2)
        talk.hears(fragment(READ, REQUEST, inode=2))
    assert talk.conversations.room.free == before


def test_what_is_no_http_any_more_is_muted() -> None:
    talk = Talk()
    talk.server()
    connect = b"CONNECT there:1 HTTP/1.1\r\nHost: there:1\r\n\r\n"
    opened = fragment(WRITE, b"HTTP/1.1 200 OK\r\n\r\n", at=2000)
    (told,) = talk.hears(fragment(READ, connect), opened)
    assert (told.exchange.method, told.exchange.status) == ("CONNECT", 200)
    assert talk.muted == [(opened.socket, opened.inode)]
    assert talk.hears(fragment(READ, REQUEST, position=len(connect), at=3000)) == []


def test_an_upgrade_goes_on_as_http2_with_the_request_as_its_first_stream() -> None:
    talk = Talk()
    view = talk.server()
    asked = b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    headers = b"\0\0\1\1\4\0\0\0\1\x88"  # HEADERS of stream 1: ":status: 200" of the static table
    data = b"\0\0\3\0\1\0\0\0\1abc"
    talk.hears(fragment(READ, asked))
    (told,) = talk.hears(
        fragment(WRITE, switched + SETTINGS + headers, at=2000),
        fragment(READ, PREFACE, position=len(asked), at=2100),
        fragment(WRITE, data, position=len(switched + SETTINGS + headers), at=2200),
    )
    assert (told.exchange.path, told.exchange.status, told.exchange.response.body_bytes) == ("/up", 200, 3)
    assert view.protocol_read is ConversationProtocol.HTTP2


def test_a_tls_session_is_a_conversation_of_its_own() -> None:
    talk = Talk()
    view = talk.server()
    talk.hears(fragment(READ, b"", protocol=ConversationProtocol.TLS))
    assert view.is_tls
    first = talk.hears(fragment(READ, REQUEST, session=7), fragment(WRITE, RESPONSE, session=7, at=1100))
    second = talk.hears(fragment(READ, REQUEST, session=8), fragment(WRITE, RESPONSE, session=8, at=1100))
    assert [item.is_tls for item in first + second] == [True, True]
    assert len(talk.conversations) == 2
    talk.closed()
    assert len(talk.conversations) == 0


def test_a_call_that_is_made_while_serving_names_its_caller() -> None:
    talk = Talk()
    talk.server(1)
    talk.client(2)
    talk.hears(fragment(READ, REQUEST))
    (told,) = one_exchange(talk, inode=2, at=2000, asks=WRITE)
    assert told.exchange.caller == "GET:/path"
    (answered,) = talk.hears(fragment(WRITE, RESPONSE, at=3000))
    assert answered.exchange.caller == ""
    more = talk.hears(
        fragment(WRITE, REQUEST, inode=2, position=len(REQUEST), at=4000),
        fragment(READ, RESPONSE, inode=2, position=len(RESPONSE), at=4100),
    )
    assert [item.exchange.caller for item in more] == [""]


def test_a_request_that_can_never_be_told_is_served_no_more() -> None:
    talk = Talk()
    talk.server(1)
    talk.client(2)
    one, lost, other = calls(READ, [REQUEST, REQUEST, REQUEST])
    talk.hears(one)
    talk.hears(other)  # what is between them is missing
    talk.hears()
    talk.hears(*calls(WRITE, [RESPONSE] * 3, at=lost.start_ns + 1000))
    assert not talk.conversations.is_busy(talk.world.table.of_process(100)[0])
    (told,) = one_exchange(talk, inode=2, at=9000, asks=WRITE)
    assert told.exchange.caller == ""


def test_threads_of_a_program_that_changes_them_say_nothing() -> None:
    talk = Talk()
    talk.world.host.processes[100] = msgspec.structs.replace(facts(100), changes_threads=True)
    talk.server(1)
    talk.client(2)
    talk.hears(fragment(READ, REQUEST))
    (told,) = one_exchange(talk, inode=2, at=2000, asks=WRITE)
    assert told.exchange.caller == ""


def test_a_request_whose_connection_ends_is_served_no_more() -> None:
    talk = Talk()
    talk.server(1)
    talk.client(2)
    talk.hears(fragment(READ, REQUEST))
    talk.closed(1)
    (told,) = one_exchange(talk, inode=2, at=2000, asks=WRITE)
    assert told.exchange.caller == ""
