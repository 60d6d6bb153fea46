"""One connection to an API server, over HTTP/1.1.

The standard library's client serves: nothing is sent but GET, and nothing is needed of an answer but its status and its
body, as it comes. docs/addresses.md says why it is not the official client.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Lock
from typing import Final, Self
from urllib.parse import urlencode

from common.kubernetes.access import Access
from common.kubernetes.answers import UnreadableError, refused

_RECEIVE_SIZE: Final = 256 * 1024
_LONGEST_REFUSAL: Final = 64 * 1024
_CONNECT_SECONDS: Final = 10.0

# A server that vanished without a word is noticed after a minute.
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


class StoppedError(Exception):
    """Another thread asked for the end."""


class Stopper:
    """Ends what a thread does over its connection, from another, and for good."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._stopped = False

    def stop(self) -> None:
        """Whoever waits for the connection has StoppedError or an end of it at once."""
        with self._lock:
            self._stopped = True
            if self._socket is not None:
                with suppress(OSError):  # it may have ended by itself
                    # That of the plain socket: an SSLSocket's would also forget the session another thread reads in.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    @property
    def stopped(self) -> bool:
        """Whether there was such a call."""
        return self._stopped

    def attach(self, connected: socket.socket | None) -> None:
        """This is the connection now; None for none.

        Raises:
            StoppedError: the end was asked for.
        """
        with self._lock:
            self._socket = connected
            if self._stopped and connected is not None:
                raise StoppedError


class Connection:
    """Asks one thing after the other. For use by one thread, in a `with` block; opened by the first request."""

    def __init__(self, access: Access, stopper: Stopper) -> None:
        self._access = access
        self._stopper = stopper
        server = access.server
        self._http = HTTPConnection(server.host, server.port, timeout=_CONNECT_SECONDS)

    def get(self, path: str, query: Mapping[str, str], silence: float) -> HTTPResponse:
        """Ask, and give the answer once its headers are there.

        Args:
            path: below the server's prefix.
            query: what to ask for.
            silence: seconds that the server may take between two parts of the answer.

        Raises:
            RefusedError: the answer is another than 200.
            OSError, HTTPException: there is no connection, or no answer.
            AccessError: there are no usable credentials.
            StoppedError: the end was asked for.
        """
        authorization = self._access.authorization()
        if self._http.sock is None:
            self._connect()
        self._http.sock.settimeout(silence)
        headers = {"Accept": "application/json", "User-Agent": "pyrover"}
        if authorization:
            headers["Authorization"] = authorization
        self._http.request("GET", f"{self._access.server.prefix}{path}?{urlencode(query)}", headers=headers)
        response = self._http.getresponse()
        if response.status != HTTPStatus.OK:
            raise refused(response.status, response.read(_LONGEST_REFUSAL), response.getheader("retry-after"))
        return response

    def _connect(self) -> None:
        server = self._access.server
        context = self._access.context() if server.secure else None
        self._http.connect()
        plain = self._http.sock
        for level, option, value in _KEEPALIVE:
            plain.setsockopt(level, option, value)
        self._stopper.attach(plain)
        if context is not None:
            self._stopper.attach(None)  # its descriptor goes over to the other
            secured = context.wrap_socket(
                plain, server_hostname=server.name or server.host, do_handshake_on_connect=False
            )
            self._http.sock = secured
            self._stopper.attach(secured)
            secured.do_handshake()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopper.attach(None)
        self._http.close()


def read_all(response: HTTPResponse, most: int) -> bytes:
    """The whole body.

    Raises:
        UnreadableError: it has more than `most` bytes.
        OSError, HTTPException: it ends too early.
    """
    body = response.read(most + 1)
    if len(body) > most:
        raise UnreadableError(f"an answer of more than {most:,} bytes")
    if response.length:  # what was promised is not all here; read(n) says nothing about that
        raise HTTPException(f"{response.length:,} bytes of an answer are missing")
    return body


def read_lines(response: HTTPResponse, longest: int) -> Iterator[list[bytes]]:
    """The whole lines of a body, as many at a time as have come; a part of a line at the end is left out.

    Raises:
        UnreadableError: a line has more than `longest` bytes.
        OSError, HTTPException: the connection ends before the body.
    """
    pending: list[bytes] = []
    waiting = 0
    while received := response.read1(_RECEIVE_SIZE):
        *ended, rest = received.split(b"\n")
        if ended:
            ended[0] = b"".join((*pending, ended[0]))
            pending.clear()
            waiting = 0
        pending.append(rest)
        waiting += len(rest)
        if waiting > longest or any(len(line) > longest for line in ended):
            raise UnreadableError(f"a line of more than {longest:,} bytes")
        if ended:
            yield [line for line in ended if line]
