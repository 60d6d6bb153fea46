"""gRPC's own server: every kind of call of echo.py.

grpc_server LOG [CERTIFICATE KEY]
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from tests.e2e.http.servers.answers import Log, ready
from tests.e2e.http.servers.echo import answered, answers, kind_and_status

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    Handler = grpc.GenericRpcHandler  # which says only to type checkers what it is of
STATUSES = {code.value[0]: code for code in grpc.StatusCode}


class Echo(Handler):
    """Answers any method."""

    def __init__(self, log: Log, *, tls: bool) -> None:
        self._log = log
        self._tls = tls

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        path: str = handler_call_details.method
        kind, status = kind_and_status(path)

        def respond(requests: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            received = list(requests)
            sent = answers(kind, received) if status == 0 else []
            yield from sent
            self._log.write(**answered(path, received, sent, tls=self._tls))
            if status != 0:
                context.abort(STATUSES[status], "as told")

        return _handler(kind, respond)


def _handler(
    kind: str, respond: Callable[[Iterable[bytes], grpc.ServicerContext], Iterator[bytes]]
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    def one_of_one(request: bytes, context: grpc.ServicerContext) -> bytes:
        # All of it, so that the account is written although one answer is all there is.
        return b"".join(respond([request], context))

    if kind == "unary":
        return grpc.unary_unary_rpc_method_handler(one_of_one)
    if kind == "upload":
        return grpc.stream_unary_rpc_method_handler(lambda requests, context: b"".join(respond(requests, context)))
    if kind == "download":
        return grpc.unary_stream_rpc_method_handler(lambda request, context: respond([request], context))
    return grpc.stream_stream_rpc_method_handler(respond)


def main() -> None:
    log, *tls = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(8), options=UNLIMITED)
    server.add_generic_rpc_handlers((Echo(Log(log), tls=bool(tls)),))
    if tls:
        certificate, key = (Path(file).read_bytes() for file in tls)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ready(port)
    stop.wait()
    server.stop(0).wait()


if __name__ == "__main__":
    main()
