"""A relay in the test itself, for one connection: whoever connects is connected to a server, and bytes are counted."""

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

from tests.waiting import PATIENCE

PIECE = 1 << 16


class Way:
    """One direction of the connection: what has been read from one end and written to the other, in bytes."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.read = 0
        self.written = 0
        self._source = source
        self._target = target
        self._is_open = True
        self._lock = Lock()

    def carry(self) -> None:
        """Until the source ends."""
        while data := self._source.recv(PIECE):
            self.read += len(data)
            with self._lock:
                if self._is_open:
                    self._target.sendall(data)
                    self.written += len(data)

    def end(self) -> None:
        """Write nothing any more, and say so."""
        with self._lock:
            self._is_open = False
            self._target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Once the source has ended."""
        self._source.close()


class Relay:
    """A relay that takes one connection, and ends it when it is told to.

    So nothing is under way to an end that has closed already, and both ends have received what was sent to them.
    """

    def __init__(self, listener: socket.socket, server_port: int, pool: ThreadPoolExecutor) -> None:
        self.port: int = listener.getsockname()[1]
        self._pool = pool
        self._ways: Future[tuple[Way, Way]] = pool.submit(self._connect, listener, server_port)
        self._done: list[Future[None]] = []

    def _connect(self, listener: socket.socket, server_port: int) -> tuple[Way, Way]:
        listener.settimeout(PATIENCE)
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", server_port))
        ways = Way(client, server), Way(server, client)
        self._done = [self._pool.submit(way.carry) for way in ways]
        return ways

    def end(self) -> tuple[Way, Way]:
        """End the connection on both sides; what passed to the server, and from it."""
        ways = self._ways.result(PATIENCE)
        for way in ways:
            way.end()
        for done in self._done:
            done.result(PATIENCE)
        for way in ways:
            way.close()
        return ways


@contextmanager
def relay(server_port: int) -> Iterator[Relay]:
    """A relay to a server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(3) as pool:
        yield Relay(listener, server_port, pool)
