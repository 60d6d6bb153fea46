"""HTTP servers on the loopback address that hooks are told by, and that behave as they are told."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def answer(status: int, head: str = "") -> bytes:
    return f"HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n{head}\r\n".encode()


@dataclass
class Receiver:
    """What came, and what is answered: each answer once, the last again and again; None for none at all."""

    url: str
    answers: list[bytes | None]
    requests: list[h11.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    """Set with the first request; for other threads."""

    def take(self) -> bytes | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def headers(self, number: int = -1) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.requests[number].headers}


@asynccontextmanager
async def receiving(*answers: bytes | None) -> AsyncIterator[Receiver]:
    """A server that reads requests with another implementation of HTTP than the one that is tested."""
    given: Sequence[bytes | None] = answers or (OK,)
    silent = asyncio.Event()
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            # What is no HTTP ends the connection.
            with contextlib.suppress(h11.RemoteProtocolError, ConnectionError):
                await exchange(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            serving.discard(asyncio.current_task())

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        body = b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65_536))
            elif isinstance(event, h11.Request):
                receiver.requests.append(event)
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return
        receiver.bodies.append(body)
        receiver.came.set()
        told = receiver.take()
        if told is None:
            await silent.wait()
        else:
            writer.write(told)
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    receiver = Receiver(f"http://127.0.0.1:{port}/hook?secret=s3cret", list(given))
    try:
        yield receiver
    finally:
        silent.set()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*(task for task in serving if task is not None))
