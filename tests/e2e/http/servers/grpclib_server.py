"""grpclib's server, on asyncio: every kind of call of echo.py. Its TLS is OpenSSL over memory.

    grpclib_server LOG [CERTIFICATE KEY]

It knows methods by their whole names, so N is a number below METHODS.
"""

import asyncio
import signal
import socket
import ssl
import sys
from functools import partial

from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase
from grpclib.server import Server, Stream

from tests.e2e.http.servers.answers import Log, ready
from tests.e2e.http.servers.echo import KINDS, SERVICE, answered, answers, kind_and_status

METHODS = 23
CARDINALITIES = {
    "unary": Cardinality.UNARY_UNARY,
    "upload": Cardinality.STREAM_UNARY,
    "download": Cardinality.UNARY_STREAM,
    "both": Cardinality.STREAM_STREAM,
}


class Raw(CodecBase):
    """Messages as they are."""

    __content_subtype__ = "proto"  # which is meant where a client names none

    def encode(self, message: bytes, message_type: type[bytes]) -> bytes:  # noqa: ARG002 - the library's interface
        return message

    def decode(self, data: bytes, message_type: type[bytes]) -> bytes:  # noqa: ARG002 - same
        return data


class Echo:
    """Answers the methods."""

    def __init__(self, log: Log, *, tls: bool) -> None:
        self._log = log
        self._tls = tls

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: Handler(partial(self._respond, path), CARDINALITIES[kind], bytes, bytes)
            for kind in KINDS
            for status in Status
            for number in range(METHODS)
            for path in [f"{SERVICE}{kind}.{status.value}.{number}"]
        }

    async def _respond(self, path: str, stream: Stream[bytes, bytes]) -> None:
        kind, status = kind_and_status(path)
        received = [request async for request in stream]
        sent = answers(kind, received) if status == 0 else []
        for message in sent:
            await stream.send_message(message)
        self._log.write(**answered(path, received, sent, tls=self._tls))
        if status != 0:
            raise GRPCError(Status(status), "as told")


async def main() -> None:
    log, *tls = sys.argv[1:]
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        context.set_alpn_protocols(["h2"])
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asgi_server.py says why
    listener.bind(("127.0.0.1", 0))
    server = Server([Echo(Log(log), tls=bool(tls))], codec=Raw())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.start(sock=listener, ssl=context)
    ready(listener.getsockname()[1])
    await stop.wait()
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
