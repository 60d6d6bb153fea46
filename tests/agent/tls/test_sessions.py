"""bpf/tls_sessions.c: which socket a session belongs to, and which calls count.

With a library that does what tests ask for.
"""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from agent.events.fragments import ConversationProtocol
from agent.events.layout import EventKind
from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from agent.tls.watcher import TlsWatcher
from tests.agent.kernel.watching import ATTACH
from tests.agent.tls.fake import HELLO, RECORD, FakeLibrary, Session, connection, inode_of
from tests.agent.tls.watching import Call, TlsWatch, in_a_thread, until

pytestmark = pytest.mark.kernel

READ, WRITE = EventKind.READ, EventKind.WRITE
GET = b"GET /one HTTP/1.1\r\nHost: here\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: the socket is gone when it has been closed."""


@pytest.fixture(autouse=True)
def attached(tls_watch: TlsWatch, fake: FakeLibrary) -> None:
    tls_watch.until_attached(fake.path)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with connection() as pair:
        yield pair


def told(call: Call) -> tuple[int, int, EventKind, int, bytes]:
    return call.inode, call.session, call.kind, call.size, call.begins


def receive(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += end.recv(size - len(data))
    return data


Ends = tuple[socket.socket, socket.socket]


def test_a_library_that_uses_the_socket_itself(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, server = ends
    sessions = fake.session(client), fake.session(server)

    def exchange() -> None:
        fake.write(sessions[0], GET)
        assert fake.read(sessions[1]) == GET
        fake.write_counted(sessions[1], OK)
        assert fake.read_counted(sessions[0]) == OK

    _, calls = tls.here(exchange)
    first, second = (session.address for session in sessions)
    assert [told(call) for call in calls] == [
        (inode_of(client), first, WRITE, len(GET), GET),
        (inode_of(server), second, READ, len(GET), GET),
        (inode_of(server), second, WRITE, len(OK), OK),
        (inode_of(client), first, READ, len(OK), OK),
    ]


def test_positions_go_on_from_call_to_call(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    session = fake.session(ends[0])
    _, calls = tls.here(lambda: [fake.write(session, GET) for _ in range(3)])
    assert [call.position for call in calls] == [0, len(GET), 2 * len(GET)]


def test_system_calls_are_told_once_each_as_before(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, _ = ends
    session = fake.session(client)
    tls.source.take()
    tls.here(lambda: fake.shake_hands(session))
    for work in (lambda: fake.write(session, GET), lambda: client.sendall(RECORD)):
        work()
    events = tls.source.take()
    sent = events[(events["inode"] == inode_of(client)) & (events["kind"] == WRITE)]
    assert list(sent["bytes"]) == [len(RECORD) + len(GET), len(RECORD)]


def test_a_call_that_moves_nothing_is_no_call(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, server = ends
    session = fake.session(client)
    client.settimeout(0)

    def read_too_early() -> None:
        assert fake.read(session) == b""
        server.sendall(RECORD + OK)
        until(lambda: fake.read(session) == OK)

    _, calls = tls.here(read_too_early)
    assert [told(call) for call in calls] == [(inode_of(client), session.address, READ, len(OK), OK)]


def test_bytes_from_a_file_are_counted(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    session = fake.session(ends[0])

    def send() -> None:
        fake.write(session, GET)
        fake.send_file(session, 1000)

    _, calls = tls.here(send)
    assert [(call.size, call.begins) for call in calls] == [(len(GET), GET), (1000, b"")]


def test_a_session_in_a_session_is_a_stream_of_its_own(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, server = ends
    proxy = fake.session(client)
    through = fake.session(within=proxy)

    def exchange() -> None:
        fake.write(proxy, GET)
        receive(server, len(RECORD + GET))
        fake.write(through, GET)
        fake.write(through, GET)

    _, calls = tls.here(exchange)
    of_proxy = [call.size for call in calls if call.session == proxy.address]
    assert of_proxy == [len(GET), len(RECORD + GET), len(RECORD + GET)]
    assert [(call.inode, call.size, call.position) for call in calls if call.session == through.address] == [
        (inode_of(client), len(GET), 0),
        (inode_of(client), len(GET), len(GET)),
    ]


def test_a_call_that_is_never_left_does_no_harm(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, server = ends
    session = fake.session(client)

    def leap() -> None:
        fake.leap_out_of_a_read(session)
        server.sendall(RECORD + OK)
        assert fake.read(session) == OK
        fake.leap_out_of_a_read(session)
        fake.write(session, GET)

    _, calls = tls.here(leap)
    assert [told(call) for call in calls] == [
        (inode_of(client), session.address, READ, len(OK), OK),
        (inode_of(client), session.address, WRITE, len(GET), GET),
    ]


def test_after_a_call_that_is_never_left_sessions_in_sessions_are_seen(
    tls: TlsWatch, fake: FakeLibrary, ends: Ends
) -> None:
    proxy = fake.session(ends[0])
    through = fake.session(within=proxy)

    def leap_and_go_on() -> None:
        fake.leap_out_of_a_read(fake.session())
        fake.write(through, GET)
        fake.write(through, GET)

    _, calls = tls.here(leap_and_go_on)
    assert [call.size for call in calls if call.session == through.address] == [len(GET)] * 2


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


class Carried:
    """A session whose records the test moves between the library and a socket, as an event loop does."""

    def __init__(self, fake: FakeLibrary, end: socket.socket) -> None:
        self.fake, self.end, self.session = fake, end, fake.session()

    def shake_hands_as_client(self) -> None:
        self.fake.shake_hands(self.session)
        self.end.sendall(HELLO)

    def shake_hands_as_server(self) -> None:
        receive(self.end, len(HELLO))
        self.fake.shake_hands(self.session)

    def write(self, text: bytes) -> None:
        self.fake.write(self.session, text)
        self.end.sendall(RECORD + text)

    def read(self, text: bytes) -> None:
        receive(self.end, len(RECORD + text))
        self.fake.hold(self.session, text)
        assert self.fake.read(self.session) == text

    def told(self, kind: EventKind, text: bytes) -> tuple[int, int, EventKind, int, bytes]:
        return inode_of(self.end), self.session.address, kind, len(text), text


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


def unattributed(tls: TlsWatch) -> int:
    return tls.source.incomplete()["tls_socket_unknown"]


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


def test_a_session_ends_with_its_socket(tls_watch: TlsWatch, fake: FakeLibrary) -> None:
    before = unattributed(tls_watch)
    with connection() as (client, server):
        carried = Carried(fake, client)
        _, calls = tls_watch.here(lambda: (carried.shake_hands_as_client(), carried.write(GET)))
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
    _, calls = tls_watch.here(lambda: (fake.write(proxy, GET), fake.write(through, GET)))
    assert calls == []
    assert unattributed(tls_watch) == before + 2


def test_a_function_that_calls_its_like_counts_once(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    session = fake.session(ends[0])
    _, calls = tls.here(lambda: fake.write_through_another_function(session, GET))
    assert [(call.size, call.position) for call in calls] == [(len(GET), 0)]


def test_the_plain_bytes_of_a_socket_are_told_until_it_has_a_session(
    tls: TlsWatch, fake: FakeLibrary, ends: Ends
) -> None:
    client, server = ends
    session = fake.session(client)

    def start_encrypting() -> None:
        client.sendall(GET)
        fake.shake_hands(session)
        client.sendall(GET)  # whatever it is, the library did not encrypt it, and nobody else takes it for plain text

    in_a_thread(start_encrypting)
    told_plainly = [one for one in tls.source.take_payload() if one.inode == inode_of(client)]
    assert [(one.protocol, one.session, one.length) for one in told_plainly] == [
        (ConversationProtocol.HTTP1, 0, len(GET)),
        (ConversationProtocol.HTTP1, 0, len(HELLO)),  # within the first call, of which nothing is known yet
        (ConversationProtocol.TLS, 0, 0),
    ]
    assert server


def test_a_session_is_muted_apart_from_its_socket(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    session = fake.session(ends[0])
    in_a_thread(lambda: fake.write(session, GET))
    (fragment,) = [one for one in tls.source.take_payload() if one.session == session.address]
    tls.source.mute(fragment.socket, fragment.inode)
    _, calls = tls.here(lambda: fake.write(session, GET))
    assert len(calls) == 1
    tls.source.mute(fragment.socket + fragment.session, fragment.inode)
    _, calls = tls.here(lambda: fake.write(session, GET))
    assert calls == []


@contextlib.contextmanager
def narrow(fake: FakeLibrary, **bounds: int) -> Iterator[TlsWatch]:
    """Programs with small maps."""
    with KernelSource.open(only_processes=[os.getpid()], attach=ATTACH, options=Options(**bounds)) as source:
        watcher = TlsWatcher(source.loaded.programs)
        watcher.start()
        watch = TlsWatch(source, watcher)
        watch.until_attached(fake.path)
        try:
            yield watch
        finally:
            watcher.close()


def test_more_sessions_than_there_is_room_for(fake: FakeLibrary) -> None:
    with narrow(fake, tls_sessions=4) as watch, contextlib.ExitStack() as stack:
        sessions = [fake.session(stack.enter_context(connection())[0]) for _ in range(6)]

        def write_all() -> None:
            for session in sessions:
                fake.write(session, GET)

        _, calls = watch.here(write_all)
        assert [call.session for call in calls] == [session.address for session in sessions[:4]]
        incomplete = watch.source.incomplete()
        assert (incomplete["tls_sessions_full"], incomplete["tls_socket_unknown"]) == (2, 2)
        fake.free(sessions[0])
        _, calls = watch.here(lambda: fake.write(sessions[5], GET))
        assert [call.session for call in calls] == [sessions[5].address]


def test_sockets_that_end_make_room(fake: FakeLibrary) -> None:
    with narrow(fake, tls_sessions=2) as watch:
        sessions = []
        for _ in range(6):
            with connection() as (client, server):
                sessions.append(fake.session(client))
                _, calls = watch.here(lambda: fake.write(sessions[-1], GET))
                assert [call.session for call in calls] == [sessions[-1].address]
                for end in (server, client):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        assert watch.source.incomplete()["tls_sessions_full"] == 0


def test_sessions_whose_writers_do_not_come_back_take_no_room(fake: FakeLibrary) -> None:
    kept = 4
    waiting, release = os.pipe()
    writers = []
    with narrow(fake, tls_sessions=2) as watch:
        for _ in range(kept):
            with connection() as (client, server):
                session = fake.session(server)
                watch.here(partial(fake.write, session, GET))
                session.lingers = waiting
                writers.append(threading.Thread(target=fake.write, args=(session, OK)))
                writers[-1].start()
                receive(client, len(RECORD + GET + RECORD + OK))
                for end in (server, client):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        with connection() as (client, _):
            session = fake.session(client)
            _, calls = watch.here(lambda: fake.write(session, GET))
            assert [call.session for call in calls] == [session.address]

        def let_go() -> None:
            os.write(release, bytes(kept))
            for writer in writers:
                writer.join()

        _, calls = watch.here(let_go)
        assert [(call.position, call.begins) for call in calls] == [(len(GET), OK)] * kept
        incomplete = watch.source.incomplete()
        assert (incomplete["tls_sessions_full"], incomplete["tls_socket_unknown"]) == (0, 0)
    os.close(waiting)
    os.close(release)


def test_more_threads_than_there_is_room_for(fake: FakeLibrary) -> None:
    with narrow(fake, tls_threads=3) as watch, contextlib.ExitStack() as stack:
        sessions: list[Session] = [fake.session(stack.enter_context(connection())[0]) for _ in range(5)]
        written = threading.Barrier(len(sessions) + 1)

        def write_in_turn() -> None:
            turn = [threading.Event() for _ in sessions]

            def write(number: int) -> None:
                turn[number].wait()
                fake.write(sessions[number], GET)
                if number + 1 < len(turn):
                    turn[number + 1].set()
                written.wait()

            threads = [threading.Thread(target=write, args=(number,)) for number in range(len(sessions))]
            for thread in threads:
                thread.start()
            turn[0].set()
            written.wait()
            for thread in threads:
                thread.join()

        _, calls = watch.here(write_in_turn)
        assert [call.session for call in calls] == [session.address for session in sessions[:3]]
        assert watch.source.incomplete()["tls_calls_full"] == 2
        _, calls = watch.here(lambda: fake.write(sessions[4], GET))
        assert len(calls) == 1
