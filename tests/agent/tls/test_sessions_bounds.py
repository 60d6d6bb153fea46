"""bpf/tls_sessions.c: more sessions and threads than there is room for."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from agent.kernel.loader_options import Options
from agent.kernel.source import KernelSource
from agent.tls.watcher import TlsWatcher
from tests.agent.kernel.watching import ATTACH
from tests.agent.tls.fake import RECORD, FakeLibrary, Session, connection
from tests.agent.tls.sessions import AT_ONCE, GET, OK, receive
from tests.agent.tls.watching import TlsWatch, until_ended

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("attached")]


@contextlib.contextmanager
def narrow(fake: FakeLibrary, **bounds: Any) -> Iterator[TlsWatch]:  # noqa: ANN401 # those of Options
    """Programs with small maps."""
    with KernelSource.open(only_processes=[os.getpid()], attach=ATTACH, options=Options(**bounds)) as source:
        watcher = TlsWatcher(source.loaded.programs, maps=source.loaded.maps)
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
            until_ended(threads)

        _, calls = watch.here(write_in_turn)
        assert [call.session for call in calls] == [session.address for session in sessions[:3]]
        assert watch.source.incomplete()["tls_calls_full"] == 2
        _, calls = watch.here(lambda: fake.write(sessions[4], GET))
        assert len(calls) == 1
