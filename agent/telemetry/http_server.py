"""Answers a few questions by HTTP, in a thread of its own.

It never waits for one who asks: what they have not sent or read yet stays with the kernel while others are answered.
Each connection is for one question and has a few seconds; when there are too many of them the oldest one goes.

Source: RFC 9112.
"""

import http
import logging
import selectors
import socket
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

CONNECTIONS: Final = 16
"""At the same time."""
SECONDS: Final = 10.0
"""How long a connection may take."""
REQUEST_BYTES: Final = 8192
"""Of a question, its headers included."""
_RECEIVE_BYTES: Final = 4096
_BACKLOG: Final = 16
_PAUSE_SECONDS: Final = 0.1
"""After a connection that could not be taken."""
_TEXT: Final = "text/plain; charset=utf-8"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """To one question."""

    text: str
    status: int = 200
    content_type: str = _TEXT


@dataclass(slots=True, eq=False)
class _Connection:
    """Somebody who asks."""

    socket: socket.socket
    until: float
    """When its time is over, on time.monotonic()."""
    request: bytearray = field(default_factory=bytearray)
    left: memoryview | None = None
    """Of the answer, what has not been sent; None while the question is not complete."""


class StatusServer:
    """Answers GET and HEAD of a few paths. `start` it, and `close` it.

    Attributes:
        answered: answers by status, since the start.
        lost: questions that were not answered, by cause, since the start.
    """

    def __init__(self, address: str, answers: Mapping[str, Callable[[], Answer]], seconds: float = SECONDS) -> None:
        """Listen, and answer nothing yet.

        Args:
            address: HOST:PORT; without a host on all addresses, with port 0 on one that is free.
            answers: What answers, by path. Called by the server's thread.
            seconds: See `SECONDS`.

        Raises:
            OSError: the address cannot be had.
        """
        self.answered: Counter[str] = Counter()
        self.lost: Counter[str] = Counter({"incomplete": 0, "not taken": 0, "too slow": 0, "too many": 0})
        self._answers = answers
        self._seconds = seconds
        self._listener = _listen(address)
        self._listener.setblocking(False)  # noqa: FBT003 - the only argument that it has
        self._connections: OrderedDict[socket.socket, _Connection] = OrderedDict()
        """The oldest first; all have the same time."""
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    @property
    def address(self) -> str:
        """Where it is reached, as HOST:PORT."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._closing.set()
        self._wake_writer.send(b"\0")
        if self._thread.is_alive():
            self._thread.join()
        for connection in list(self._connections.values()):
            self._drop(connection)
        for each in (self._selector, self._listener, self._wake_reader, self._wake_writer):
            each.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            oldest = next(iter(self._connections.values()), None)
            pause = None if oldest is None else max(0.0, oldest.until - time.monotonic())
            for key, _ in self._selector.select(pause):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.data, _Connection) and key.data.socket in self._connections:
                    self._go_on(key.data)
            self._drop_overdue()

    def _accept(self) -> None:
        try:
            opened, _ = self._listener.accept()
        except OSError as error:  # it has gone again, or no descriptor is left
            self.lost["not taken"] += 1
            _logger.warning("a question about the agent cannot be taken: %s", error.strerror)
            self._closing.wait(_PAUSE_SECONDS)  # the listener goes on to be ready
            return
        opened.setblocking(False)  # noqa: FBT003 - the only argument that it has
        if len(self._connections) >= CONNECTIONS:
            self._lose(next(iter(self._connections.values())), "too many")
        connection = _Connection(opened, time.monotonic() + self._seconds)
        self._connections[opened] = connection
        self._selector.register(opened, selectors.EVENT_READ, connection)

    def _go_on(self, connection: _Connection) -> None:
        try:
            if connection.left is None:
                self._receive(connection)
            else:
                self._send(connection)
        except BlockingIOError:
            return
        except OSError:  # it has been reset
            self._lose(connection, "incomplete")

    def _receive(self, connection: _Connection) -> None:
        data = connection.socket.recv(_RECEIVE_BYTES)
        connection.request += data
        if b"\r\n\r\n" in connection.request:
            connection.left = memoryview(self._answer(bytes(connection.request)))
        elif len(connection.request) > REQUEST_BYTES:
            connection.left = memoryview(self._encode(Answer("the request is too long\n", 431)))
        elif not data:
            self._lose(connection, "incomplete")
            return
        else:
            return
        self._selector.modify(connection.socket, selectors.EVENT_WRITE, connection)
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        assert connection.left is not None  # noqa: S101 - for the type
        connection.left = connection.left[connection.socket.send(connection.left) :]
        if not connection.left:
            self._drop(connection)

    def _answer(self, request: bytes) -> bytes:
        """The whole response to a request."""
        line = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(line) != 3 or not line[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
            return self._encode(Answer("this is not a request of HTTP/1\n", 400))
        method, path = line[0], line[1].partition("?")[0]
        answer = self._answers.get(path)
        if answer is None:
            return self._encode(Answer(f"there are {', '.join(self._answers)}\n", 404))
        if method not in {"GET", "HEAD"}:
            return self._encode(Answer("use GET\n", 405), "Allow: GET, HEAD\r\n")
        try:
            given = answer()
        except Exception:
            _logger.exception("the question %s cannot be answered", path)
            given = Answer("the agent cannot tell; its log says why\n", 500)
        return self._encode(given, without_body=method == "HEAD")

    def _encode(self, answer: Answer, headers: str = "", *, without_body: bool = False) -> bytes:
        self.answered[str(answer.status)] += 1
        body = answer.text.encode()
        head = (
            f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
        )
        return head.encode("latin-1") + (b"" if without_body else body)

    def _drop_overdue(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.until > now:
                return
            self._lose(connection, "too slow")

    def _lose(self, connection: _Connection, cause: str) -> None:
        self.lost[cause] += 1
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        del self._connections[connection.socket]
        self._selector.unregister(connection.socket)
        connection.socket.close()


def _listen(address: str) -> socket.socket:
    """A listener on HOST:PORT.

    Raises:
        OSError: the address cannot be had.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    kind, *_, where = socket.getaddrinfo(host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(where[:2], family=kind, backlog=_BACKLOG)
