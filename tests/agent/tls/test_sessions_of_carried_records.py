"""bpf/tls_sessions.c: which socket a session belongs to whose records the caller moves, as event loops do."""

import contextlib

import pytest

from tests.agent.tls.fake import HELLO, RECORD, FakeLibrary, connection
from tests.agent.tls.sessions import GET, OK, READ, WRITE, Carried, Ends, receive, told, unattributed
from tests.agent.tls.watching import TlsWatch

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("attached")]


def test_records_that_the_caller_moves(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, server = Carried(fake, ends[0]), Carried(fake, ends[1])

    def exchange() -> None:
        client.shake_hands_as_client()
        server.shake_hands_as_server()
        client.write(GET)
        server.read(GET)
        server.write(OK)
        client.read(OK)

    _, calls = tls.here(exchange)
    assert [told(call) for call in calls] == [
        client.told(WRITE, GET),
        server.told(READ, GET),
        server.told(WRITE, OK),
        client.told(READ, OK),
    ]


def test_after_a_call_that_is_never_left_records_are_looked_at_again(
    tls: TlsWatch, fake: FakeLibrary, ends: Ends
) -> None:
    client = Carried(fake, ends[0])

    def leap_and_go_on() -> None:
        fake.leap_out_of_a_read(fake.session())
        client.shake_hands_as_client()
        client.write(GET)

    _, calls = tls.here(leap_and_go_on)
    assert [told(call) for call in calls] == [client.told(WRITE, GET)]


def test_many_at_once_in_one_thread(tls: TlsWatch, fake: FakeLibrary) -> None:
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(connection()) for _ in range(20)]
        clients = [Carried(fake, client) for client, _ in pairs]
        servers = [Carried(fake, server) for _, server in pairs]

        def exchange() -> None:
            for client in clients:
                client.shake_hands_as_client()
            for server in reversed(servers):
                server.shake_hands_as_server()
            for client in clients:
                client.write(GET)
            for server in reversed(servers):
                server.read(GET)

        _, calls = tls.here(exchange)
        assert [told(call) for call in calls] == [
            *(client.told(WRITE, GET) for client in clients),
            *(server.told(READ, GET) for server in reversed(servers)),
        ]


def test_a_connection_that_was_open_before_is_learned_when_it_reads(
    tls_watch: TlsWatch, fake: FakeLibrary, ends: Ends
) -> None:
    client, server = Carried(fake, ends[0]), Carried(fake, ends[1])
    before = unattributed(tls_watch)

    def go_on() -> None:
        client.write(GET)  # its records are written after the call: too late for this one
        server.read(GET)
        server.write(OK)
        client.read(OK)

    _, calls = tls_watch.here(go_on)
    assert [told(call) for call in calls] == [
        server.told(READ, GET),
        server.told(WRITE, OK),
        client.told(READ, OK),
    ]
    assert unattributed(tls_watch) == before + 1


def test_records_of_several_sockets_prove_nothing(tls_watch: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    session = fake.session()
    before = unattributed(tls_watch)
    with connection() as others:
        for _, far in (ends, others):
            far.sendall(RECORD + GET)

        def read_both_first() -> None:
            fake.hold(session, b"")
            fake.read(session)  # from now on the thread's records are looked at
            for near, _ in (ends, others):
                receive(near, len(RECORD + GET))
            fake.hold(session, GET)
            fake.read(session)

        _, calls = tls_watch.here(read_both_first)
    assert calls == []
    assert unattributed(tls_watch) == before + 1


def test_a_socket_that_has_a_session_is_not_given_another(tls_watch: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client = Carried(fake, ends[0])
    stranger = fake.session()
    before = unattributed(tls_watch)

    def confuse() -> None:
        client.shake_hands_as_client()
        ends[1].sendall(RECORD + OK)
        receive(client.end, len(RECORD + OK))
        fake.hold(stranger, OK)
        fake.read(stranger)  # of a socket that nobody saw, while records of another are waiting
        fake.write(stranger, GET)
        client.end.sendall(RECORD)

    _, calls = tls_watch.here(confuse)
    assert calls == []
    assert unattributed(tls_watch) == before + 2


def test_two_unknown_sessions_before_one_write_prove_nothing(
    tls_watch: TlsWatch, fake: FakeLibrary, ends: Ends
) -> None:
    before = unattributed(tls_watch)
    first, second = fake.session(), fake.session()

    def shake_both_first() -> None:
        fake.shake_hands(first)
        fake.shake_hands(second)
        ends[0].sendall(HELLO)
        fake.write(first, GET)
        fake.write(second, GET)

    _, calls = tls_watch.here(shake_both_first)
    assert calls == []
    assert unattributed(tls_watch) == before + 2


def test_what_is_no_record_proves_nothing(tls_watch: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    session = fake.session()
    before = unattributed(tls_watch)

    def write_plainly() -> None:
        fake.shake_hands(session)
        ends[0].sendall(b"\x18" + HELLO[1:])
        fake.write(session, GET)

    _, calls = tls_watch.here(write_plainly)
    assert calls == []
    assert unattributed(tls_watch) == before + 1
