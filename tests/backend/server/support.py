"""A receiver on a port of its own, sinks that show what they got, and bodies to send."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.routing import BaseRoute

from backend.agents.book import Peer
from backend.ingest.batch import LogBatch
from backend.ingest.sink import LogSink, Overloaded
from backend.server import reflection
from backend.server.access_logs import PATH, AccessLogService
from backend.server.application import BackendApplication
from backend.server.companions import handlers
from backend.server.presence import Presence
from backend.server.readiness import Readiness
from backend.server.serving import Listener, listen, serving
from backend.server.tokens import Token
from backend.storage.memory import MemoryStorage
from bench.http2 import Connection, Stream, coalesced, framed

SIZE = "read.l2Metrics.totalPackageSize"


class Collecting:
    """A sink that keeps what it gets; each batch is durable at once, or when `answer` says."""

    def __init__(self, answer: Callable[[LogBatch], Awaitable[None]] | None = None) -> None:
        self.batches: list[LogBatch] = []
        self._answer = answer or (lambda _: asyncio.sleep(0))

    def submit(self, batch: LogBatch) -> Awaitable[None]:
        self.batches.append(batch)
        return self._answer(batch)

    @property
    def logs(self) -> int:
        return sum(map(len, self.batches))

    def sizes(self) -> list[int]:
        """The distinguishing number of each log, in order."""
        return [size for batch in self.batches for size in batch.columns[SIZE].tolist()]


class Full:
    """A sink that takes nothing."""

    def submit(self, _batch: LogBatch) -> Awaitable[None]:
        raise Overloaded("5 logs wait to be stored")


@dataclass(frozen=True)
class Receiver:
    """A running receiver."""

    service: AccessLogService
    application: BackendApplication
    listener: Listener

    @property
    def address(self) -> str:
        return self.listener.authority

    async def raw(self, body: bytes | Sequence[bytes], *headers: tuple[str, str], path: str = PATH) -> Stream:
        """Send one body over raw HTTP/2, each item as one frame, or bytes cut into frames; the answer."""

        def send() -> Stream:
            with Connection(self.listener.port) as connection:
                stream = connection.open(path, *headers)
                connection.send(stream, coalesced(body) if isinstance(body, bytes) else body)
                connection.end(stream)
                return connection.answer(stream)

        return await asyncio.to_thread(send)


def application_of(
    service: AccessLogService,
    routes: Sequence[BaseRoute] = (),
    token: str = "",
    presence: Presence | None = None,
    alive: Callable[[Peer], None] = lambda _peer: None,
) -> BackendApplication:
    application = BackendApplication(Readiness(()), Token(token))
    presence = Presence(MemoryStorage()) if presence is None else presence
    application.open({PATH: service.collect, **handlers(presence, alive), **reflection.handlers()}, routes)
    return application


@asynccontextmanager
async def receiving(
    service: AccessLogService | LogSink,
    token: str = "",
    grace: float = 5.0,
    presence: Presence | None = None,
    alive: Callable[[Peer], None] = lambda _peer: None,
) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    if not isinstance(service, AccessLogService):
        service = AccessLogService(service)
    application = application_of(service, token=token, presence=presence, alive=alive)
    listener = listen("127.0.0.1", 0, "--grpc-port")
    async with serving(application, [listener], grace):
        yield Receiver(service, application, listener)


def body_of(*messages: bytes) -> bytes:
    return b"".join(map(framed, messages))
