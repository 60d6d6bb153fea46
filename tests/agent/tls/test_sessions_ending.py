"""bpf/tls_sessions.c: sessions that end, begin anew, move to other sockets, or outlive theirs."""

import os
import socket
import threading

import pytest

from tests.agent.tls.fake import RECORD, FakeLibrary, connection, inode_of
from tests.agent.tls.sessions import AT_ONCE, GET, OK, WRITE, Carried, Ends, receive, told, unattributed
from tests.agent.tls.watching import TlsWatch

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("attached")]


def test_a_session_moves_to_another_socket(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, _ = ends
    session = fake.session(client)
    with connection() as (other, _):

        def move() -> None:
            fake.write(session, GET)
            session.descriptor = other.fileno()
            fake.write(session, GET)

        _, calls = tls.here(move)
        assert [(call.inode, call.position) for call in calls] == [(inode_of(client), 0), (inode_of(other), 0)]


def test_a_freed_session_begins_anew(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    session = fake.session(ends[0])

    def twice() -> None:
        for _ in range(2):
            fake.write(session, GET)
            fake.free(session)

    _, calls = tls.here(twice)
    assert [call.position for call in calls] == [0, 0]


def test_a_write_that_is_left_when_its_socket_is_gone_is_told(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    """The peer has the bytes, and has left; another thread has closed the connection before the writer runs again."""
    client, server = ends
    inode, session = inode_of(server), fake.session(server)
    waiting, release = os.pipe()

    def exchange() -> None:
        fake.write(session, OK)
        session.lingers = waiting
        writer = threading.Thread(target=fake.write, args=(session, OK))
        writer.start()
        receive(client, 2 * len(RECORD + OK))
        client.close()
        assert server.recv(1) == b""
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        server.close()
        os.write(release, b"x")
        writer.join()

    try:
        _, calls = tls.here(exchange)
    finally:
        os.close(waiting)
        os.close(release)
    assert [told(call) for call in calls] == [(inode, session.address, WRITE, len(OK), OK)] * 2
    assert [call.position for call in calls] == [0, len(OK)]


def test_a_session_ends_with_its_socket(tls_watch: TlsWatch, fake: FakeLibrary) -> None:
    before = unattributed(tls_watch)
    with connection() as (client, server):
        carried = Carried(fake, client)

        def carry() -> None:
            carried.shake_hands_as_client()
            carried.write(GET)

        _, calls = tls_watch.here(carry)
        assert len(calls) == 1
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    _, calls = tls_watch.here(lambda: fake.write(carried.session, GET))
    assert calls == []
    assert unattributed(tls_watch) == before + 1


def test_a_session_that_was_not_the_last_one_ends_with_its_socket_too(tls_watch: TlsWatch, fake: FakeLibrary) -> None:
    with connection() as (client, server):
        proxy = fake.session(client)
        through = fake.session(within=proxy)
        _, calls = tls_watch.here(lambda: fake.write(through, GET))
        assert [call.session for call in calls][-1] == through.address
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    before = unattributed(tls_watch)
    through.within, proxy.descriptor = None, -1

    def write_twice() -> None:
        fake.write(proxy, GET)
        fake.write(through, GET)

    _, calls = tls_watch.here(write_twice)
    assert calls == []
    assert unattributed(tls_watch) == before + 2
