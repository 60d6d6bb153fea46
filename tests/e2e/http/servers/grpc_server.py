"""gRPC's own server: every kind of call, by the method's name.

    grpc_server LOG [CERTIFICATE KEY]

The method's name says what to do: /pyrover.test.Echo/KIND.STATUS.N, where KIND is unary, upload (a stream of
requests), download (a stream of responses) or both. Each message of a request asks for an answer of as many bytes as
its first 8 say.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path

import grpc

from tests.e2e.http.servers.answers import BODY, Log, ready

MESSAGE_HEAD = 5
"""Bytes before each message: whether it is compressed, and its length."""
DOWNLOADED = 7
"""Messages of a stream of responses."""
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
SERVICE = "/pyrover.test.Echo/"
STATUSES = {code.value[0]: code for code in grpc.StatusCode}


class Echo(grpc.GenericRpcHandler):
    """Answers any method."""

    def __init__(self, log: Log, *, tls: bool) -> None:
        self._log = log
        self._tls = tls

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path: str = handler_call_details.method
        kind, status, _ = path.removeprefix(SERVICE).split(".")

        def respond(requests: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            received = sent = 0
            sizes = []
            for request in requests:
                received += MESSAGE_HEAD + len(request)
                sizes.append(int.from_bytes(request[:8]))
            if kind == "download":
                sizes *= DOWNLOADED
            elif kind == "upload":
                sizes = [sum(sizes)]
            if status == "0":
                for size in sizes:
                    yield BODY[:size]
                    sent += MESSAGE_HEAD + size
            self._log.write(
                method="POST",
                path=path,
                status=200,
                request_body_bytes=received,
                response_body_bytes=sent,
                version=2,
                tls=self._tls,
                grpc_status=int(status),
            )
            if status != "0":
                context.abort(STATUSES[int(status)], "as told")

        return _handler(kind, respond)


def _handler(
    kind: str, respond: Callable[[Iterable[bytes], grpc.ServicerContext], Iterator[bytes]]
) -> grpc.RpcMethodHandler:
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
