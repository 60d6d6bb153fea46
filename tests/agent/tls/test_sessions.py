"""bpf/tls_sessions.c: calls of a library that uses the sockets itself, and which of them count.

With a library that does what tests ask for.
"""

import pytest

from agent.events.fragments import ConversationProtocol
from tests.agent.tls.fake import HELLO, RECORD, FakeLibrary, inode_of
from tests.agent.tls.sessions import GET, OK, READ, WRITE, Ends, receive, told
from tests.agent.tls.watching import TlsWatch, in_a_thread
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("attached")]


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

    def write_thrice() -> None:
        for _ in range(3):
            fake.write(session, GET)

    _, calls = tls.here(write_thrice)
    assert [call.position for call in calls] == [0, len(GET), 2 * len(GET)]


def test_system_calls_are_told_once_each_as_before(tls: TlsWatch, fake: FakeLibrary, ends: Ends) -> None:
    client, _ = ends
    session = fake.session(client)
    tls.source.take()
    tls.here(lambda: fake.shake_hands(session))
    fake.write(session, GET)
    client.sendall(RECORD)
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
