"""HTTP/1.1 for a double of the API server: answers of known length, and watches in chunks that end in many ways."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.common.kubernetes.api_server import ApiServer


class Cut(Enum):
    """How a watch is interrupted."""

    BETWEEN_LINES = "the connection ends after a whole line, without the end of the body"
    IN_A_LINE = "a chunk holds the beginning of an event, and then the connection ends"
    IN_A_CHUNK = "the connection ends within a chunk"
    RESET = "the connection is reset"
    TIME_IS_OVER = "the body ends as it should"


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, host: str, port: int, api: "ApiServer", context: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.api = api
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)
        self._context = context

    def get_request(self) -> tuple[socket.socket, Any]:
        connected, address = super().get_request()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            # The handshake is done by the thread of the connection, at its first read.
            connected = self._context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(connected)
        return connected, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as in the base class
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in the base class
        """A connection that failed: the client has left, or does not trust the server."""

    def end_connections(self) -> None:
        with self._lock:
            for connected in self._open:
                with suppress(OSError):
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass

    def do_GET(self) -> None:
        api = self.server.api
        given = api.respond(
            self.command, self.path, self.headers.get("Accept", ""), self.headers.get("Authorization", "")
        )
        if given.watcher is None:
            self._answer(given.code, given.body, given.headers)
            return
        try:
            self._stream(given.lines)
        finally:
            api.left(given.watcher)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names that the base class looks for

    def _answer(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, lines: "Iterator[bytes | Cut]") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            if isinstance(line, Cut):
                self._cut(line)
                return
            piece = self.server.api.piece or len(line)
            for at in range(0, len(line), piece):
                self._chunk(line[at : at + piece])

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _cut(self, how: Cut) -> None:
        beginning = b'{"type":"ADDED","object":{"kind":'
        if how is Cut.TIME_IS_OVER:
            self.wfile.write(b"0\r\n\r\n")
            return
        self.close_connection = True
        if how is Cut.IN_A_LINE:
            self._chunk(beginning)
        elif how is Cut.IN_A_CHUNK:
            self.wfile.write(b"%x\r\n%s" % (10 * len(beginning), beginning))
        elif how is Cut.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            self.connection.close()
