"""One gRPC call as its handler sees it: what the client sent along, and the body as it arrives."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from backend.agents.book import Peer
from backend.ingest.framing import Framer
from backend.ingest.status import CallError, Status
from backend.server.asgi import Receive


class Disconnected(Exception):  # noqa: N818 - a state: there is nobody left to answer
    """The client has gone, or has reset the stream."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer."""

    message: bytes = b""
    """Serialised; an empty message of any type by default."""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    """Metadata behind it."""


class Call:
    """One call. Its body is read once, by its handler.

    Args:
        path: Such as "/skywalking.v3.EBPFAccessLogService/collect".
        metadata: Headers by lower-case name, the last of each.
        receive: Of ASGI.
        peer: Whose connection it came by; None where that is not known.
    """

    def __init__(self, path: str, metadata: Mapping[str, str], receive: Receive, peer: Peer | None = None) -> None:
        self.path = path
        self.peer = peer
        self.metadata = metadata
        self.complete = False
        """Whether the whole body has been read."""
        self._receive = receive

    @property
    def encoding(self) -> str:
        """The compression of its messages."""
        return self.metadata.get("grpc-encoding", "identity")

    async def read(self, size: int, framer: Framer) -> int:
        """Read the body into a framer until it ends or at least `size` bytes have come; how many have.

        Servers give one chunk for each small HTTP/2 frame, so that this loop turns once for each message.

        Raises:
            Disconnected: The client has gone.
        """
        receive, add = self._receive, framer.add
        read = 0
        while read < size and not self.complete:
            event = await receive()
            if event["type"] != "http.request":
                raise Disconnected
            body = event.get("body", b"")
            self.complete = not event.get("more_body", False)
            add(body)
            read += len(body)
        return read

    async def message(self, limit: int) -> bytes:
        """The only message of a call that sends one.

        Raises:
            CallError: INVALID_ARGUMENT when it is not exactly one; what the framing raises.
            Disconnected: The client has gone.
        """
        framer = Framer(self.encoding, limit)
        messages: list[bytes] = []
        while not self.complete and len(messages) <= 1:
            await self.read(max(framer.needed - framer.held, 1), framer)
            for frames in framer.take():
                messages.extend(frames.message(index) for index in range(len(frames)))
        if self.complete:
            framer.finish()
        if len(messages) != 1:
            raise CallError(Status.INVALID_ARGUMENT, f"this call takes one message, not {len(messages) or 'none'}")
        return messages[0]

    async def messages(self, limit: int) -> AsyncGenerator[bytes, None]:
        """Its messages as they come.

        Raises:
            CallError: What the framing raises.
            Disconnected: The client has gone.
        """
        framer = Framer(self.encoding, limit)
        while not self.complete:
            await self.read(max(framer.needed - framer.held, 1), framer)
            for frames in framer.take():
                for index in range(len(frames)):
                    yield frames.message(index)
        framer.finish()

    async def gone(self) -> None:
        """Wait until the client has gone; its body has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, slots=True)
class Streaming:
    """A handler that answers with any number of messages, each sent when it is there."""

    answer: Callable[[Call], AsyncGenerator[bytes, None]]


Handler = Callable[[Call], Awaitable[Reply]] | Streaming
