"""http.server with a thread for each connection: plain, over OpenSSL, or over GnuTLS.

threading_server LOG [openssl|gnutls CERTIFICATE KEY]
"""

import ctypes
import signal
import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, cast

from tests.e2e.http.gnutls import Session, server_credentials
from tests.e2e.http.servers.answers import WITHOUT_BODY, Log, answer, ready


class Counted:
    """A file that says how many bytes went through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0
        self.closed = False

    def readline(self, limit: int = -1) -> bytes:
        line = self._file.readline(limit)
        self.count += len(line)
        return line

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.count += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True
        self._file.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: Log
    tls: bool

    def setup(self) -> None:
        super().setup()
        received, sent = cast("IO[bytes]", self.rfile), cast("IO[bytes]", self.wfile)
        self.rfile: Counted = Counted(received)  # type: ignore[assignment] # as much of a file as is used
        self.wfile: Counted = Counted(sent)  # type: ignore[assignment] # same

    def handle_one_request(self) -> None:
        self._read, self._written = self.rfile.count, self.wfile.count
        super().handle_one_request()

    def _read_body(self) -> tuple[int, int]:
        """(bytes of the body, bytes of its framing)."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length", 0)))), 0
        body = framing = 0
        size = -1
        while size:
            line = self.rfile.readline()
            size = int(line.partition(b";")[0], 16)
            body += len(self.rfile.read(size))
            framing += len(line) + len(self.rfile.readline())
        return body, framing

    def _answer(self) -> None:
        request_headers = self.rfile.count - self._read
        request_body, _ = self._read_body()
        given = answer(self.path)
        self.send_response(given.status)
        chunked = not given.tells_length and self.request_version != "HTTP/1.0"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif given.tells_length and given.status not in WITHOUT_BODY:
            self.send_header("Content-Length", str(len(given.body)))
        elif not given.tells_length:
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        response_headers = self.wfile.count - self._written
        sent = 0
        if self.command != "HEAD" and given.status not in WITHOUT_BODY:
            for piece in given.pieces():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if chunked else bytes(piece))
                sent += len(piece)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        self.log.write(
            method=self.command,
            path=self.path,
            status=given.status,
            request_body_bytes=request_body,
            response_body_bytes=sent,
            request_header_bytes=request_headers,
            response_header_bytes=response_headers,
            version=1,
            tls=self.tls,
        )

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """Nothing: the account is written instead."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    context: ssl.SSLContext | None = None
    credentials: ctypes.c_void_p | None = None

    def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        # A body that waits for the head's acknowledgement waits for 40 ms.
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The handshake is made by the connection's own thread.
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        elif self.credentials is not None:
            request = Session(request, self.credentials, server=True)  # type: ignore[assignment] # what is used of it
        self.RequestHandlerClass(request, client_address, self)  # type: ignore[arg-type] # as its base class does
        request.close()


def main() -> None:
    log, *tls = sys.argv[1:]
    Handler.log = Log(log)
    Handler.tls = bool(tls)
    if tls and tls[0] == "openssl":
        Server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        Server.context.load_cert_chain(tls[1], tls[2])
    elif tls:
        Server.credentials = server_credentials(tls[1], tls[2])
    server = Server(("127.0.0.1", 0), Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ready(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
