"""A real gRPC server that keeps what it is sent, or fails as a test says."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

from agent.export.transport import METHOD
from tests.waiting import PATIENCE


class Collector:
    """Batches that were answered with OK, by id, and every attempt."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.accepted: dict[str, list[bytes]] = {}
        self.attempts: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.failure: Callable[[int], grpc.StatusCode | None] = lambda _: None
        """Status to fail an attempt with, by its number from 0."""

    def collect(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        received = list(messages)
        with self._changed:
            number = len(self.attempts)
            self.attempts.append(metadata["pyrover-batch-id"])
            self.metadata.append(metadata)
            status = self.failure(number)
            if status is None:
                # Once: one whose answer came too late is sent again.
                self.accepted.setdefault(metadata["pyrover-batch-id"], received)
            self._changed.notify_all()
        if status is not None:
            context.abort(status, "as the test wants")
        return b""

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, seconds)

    @contextmanager
    def serve(self, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
        """Serve on a port of the loopback interface; 0 lets the system choose."""
        server = grpc.server(futures.ThreadPoolExecutor(4))
        _, service, method = METHOD.split("/")
        handler = grpc.stream_unary_rpc_method_handler(self.collect)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        address = f"127.0.0.1:{port}"
        bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        try:
            yield bound
        finally:
            server.stop(0).wait()
