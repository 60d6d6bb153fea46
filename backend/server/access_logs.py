"""EBPFAccessLogService.collect: a stream of access logs in, an answer when they are durable."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from backend.agents.book import Peer
from backend.ingest.batch import Node
from backend.ingest.batches import StoredBatches
from backend.ingest.budget import Budget, Lease
from backend.ingest.counts import Counts
from backend.ingest.framing import DEFAULT_MESSAGE_LIMIT, Framer
from backend.ingest.interning import Interner
from backend.ingest.sink import LogSink, Overloaded
from backend.ingest.status import CallError, Status
from backend.ingest.stream import LogStream, Period
from backend.server.calls import Call, Reply
from backend.storage.interface import StorageError
from backend.telemetry import Latency

PATH = "/skywalking.v3.EBPFAccessLogService/collect"
BATCH_ID = "pyrover-batch-id"
"""Metadata by which a sender says that it will send this batch again until it is answered."""
DROPPED = b"pyrover-dropped"
"""Trailer with what was dropped of a stream, by cause."""

BLOCK = 131_072
"""Bytes that are decoded together."""
QUANTUM = 16_384
"""Bytes for which room is reserved together. A stream that is open and quiet holds this much."""
EXPANSION = 10
"""Bytes of columns that a byte of messages usually becomes at most."""
LARGEST_BATCH = 16 * 1024 * 1024
"""Bytes of a batch with an id, which is held until it is whole."""
UNSTORED = 16 * 1024 * 1024
"""Bytes of columns that one call may have waiting for the sink before it stops reading. What a flush costs is mostly by
the entities in it: the more a call may have waiting, the more logs share that (docs/figures.md)."""
IDLE = 0.5
"""Seconds after which messages of a stream that has gone quiet are decoded."""


@dataclass(slots=True)
class Delivery:
    """What became of the logs that were good."""

    stored: int = 0
    """Logs that are durable."""
    refused: Counter[str] = field(default_factory=Counter)
    """Logs that the sink did not take or could not store, by cause."""


class AccessLogService:
    """Receives access logs.

    Args:
        sink: Where they go.
        budget: Shared by all calls.
        period: The times that are believed.
        message_limit: Bytes of one message.
        hear: Is told which nodes send, each with what its agent tells of itself where it does, and by whose connection.
    """

    def __init__(
        self,
        sink: LogSink,
        budget: Budget | None = None,
        period: Period | None = None,
        message_limit: int = DEFAULT_MESSAGE_LIMIT,
        hear: Callable[[Node, bytes | None, Peer | None], None] = lambda _node, _report, _peer: None,
    ) -> None:
        self.sink = sink
        self.budget = budget or Budget()
        self.period = period or Period()
        self.message_limit = message_limit
        self.hear = hear
        self.interner = Interner()
        self.batches = StoredBatches()
        self.counts = Counts()
        self.delivery = Delivery()
        self.latency = Latency()
        self.broken_streams = 0
        """Streams that ended with an error of their framing or of this server."""

    async def collect(self, call: Call) -> Reply:
        """Handle one stream."""
        collecting = _Collecting(self, call)
        try:
            with Lease(self.budget) as lease:
                identifier = call.metadata.get(BATCH_ID)
                if identifier is None:
                    await collecting.read_on(lease)
                else:
                    await collecting.read_whole(lease, identifier)
        except CallError as error:
            self.broken_streams += error.status in {Status.INTERNAL, Status.INVALID_ARGUMENT}
            raise
        finally:
            collecting.close()
        losses = collecting.counts.losses()
        return Reply(trailers=((DROPPED, losses.encode()),) if losses else ())


class _Collecting:
    """One stream being received."""

    def __init__(self, service: AccessLogService, call: Call) -> None:
        self.counts = Counts()
        self._service = service
        self._call = call
        self._framer = Framer(call.encoding, service.message_limit)
        self._stream = LogStream(
            service.interner, service.period, hear=lambda node, report: service.hear(node, report, call.peer)
        )
        self._unstored: deque[tuple[asyncio.Future[None], int]] = deque()
        self._unstored_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    async def read_on(self, lease: Lease) -> None:
        """Hand logs to the sink as they come."""
        while not self._call.complete:
            await self._read_block(lease)
            await self._when_there_is_room(lease, self._advance)
            lease.trim(self._framer.held)
            await self._stored(UNSTORED)
        self._framer.finish()
        await self._stored(0)

    async def read_whole(self, lease: Lease, identifier: str) -> None:
        """Hand logs to the sink when all have come, once: the sender will repeat the stream if anything fails."""
        batches, size = self._service.batches, 0
        known = identifier in batches
        while not self._call.complete:
            size += await self._read(lease)
            if known:
                self._framer.drop()
                lease.trim(0)
            elif size > LARGEST_BATCH:
                raise CallError(
                    Status.RESOURCE_EXHAUSTED,
                    f"a batch with an id has at most {LARGEST_BATCH} bytes; send smaller batches",
                )
        if await batches.begin(identifier):
            try:
                await self._when_there_is_room(lease, self._decode)
                self._framer.finish()
                storing = self._submit(identifier)
            except BaseException:
                batches.end(identifier, stored=False)
                raise
            if storing is None:  # there was nothing good in it, and there will not be next time
                batches.end(identifier, stored=True)
            else:
                storing.add_done_callback(lambda future: batches.end(identifier, stored=_succeeded(future)))
            await self._stored(0)

    def close(self) -> None:
        """Stop the timer of a stream that is quiet, or over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _read(self, lease: Lease) -> int:
        """Read some of the body, with room reserved for it; how many bytes."""
        await lease.reserve(QUANTUM)
        size = await self._call.read(QUANTUM, self._framer)
        lease.hold(size - QUANTUM)
        return size

    async def _read_block(self, lease: Lease) -> None:
        """Read a block. When nothing comes for a while, what is whole is handed on meanwhile."""
        loop = asyncio.get_running_loop()
        failure: CallError | None = None

        def advance() -> None:
            nonlocal failure
            self._timer = loop.call_later(IDLE, advance)
            try:
                if self._service.budget.has_room(self._expected_columns()):
                    self._advance()
            except CallError as error:
                failure = error
                waiting.reschedule(loop.time())

        self._timer = loop.call_later(IDLE, advance)
        try:
            async with asyncio.timeout(None) as waiting:
                size = 0
                while size < BLOCK and not self._call.complete:
                    size += await self._read(lease)
        except TimeoutError:
            if failure is None:
                raise
            raise failure from None
        finally:
            self.close()

    def _expected_columns(self) -> int:
        """Bytes of columns that what is held may become. More is possible, and is then counted when it is there."""
        return min(EXPANSION * self._framer.held, self._service.budget.limit // 4)

    async def _when_there_is_room(self, lease: Lease, decode: Callable[[], None]) -> None:
        """Decode, once there is room for the columns."""
        if self._framer.held >= self._framer.needed:
            expected = self._expected_columns()
            await lease.reserve(expected)
            try:
                decode()
            finally:
                lease.release(expected)

    def _advance(self) -> None:
        """Decode what is whole and hand it to the sink. Does not wait, so that a timer may call it."""
        try:
            self._decode()
        finally:
            self._submit()

    def _decode(self) -> None:
        service = self._service
        try:
            for frames in self._framer.take():
                began = time.perf_counter()
                self._stream.take(frames)
                service.latency.observe((time.perf_counter() - began) / len(frames), len(frames))
        finally:
            counts, self._stream.counts = self._stream.counts, Counts()
            self.counts.add(counts)
            service.counts.add(counts)

    def _submit(self, identifier: str = "") -> asyncio.Future[None] | None:
        size = self._stream.waiting_bytes
        batch = self._stream.batch()
        if batch is None:
            return None
        if identifier:
            batch = replace(batch, identifier=identifier)
        delivery, budget, logs = self._service.delivery, self._service.budget, len(batch)
        try:
            storing = asyncio.ensure_future(self._service.sink.submit(batch))
        except Overloaded as error:
            delivery.refused["overloaded"] += logs
            raise CallError(Status.RESOURCE_EXHAUSTED, f"{error}; wait and send again") from error
        budget.hold(size)
        self._unstored.append((storing, size))
        self._unstored_bytes += size

        def settle(future: asyncio.Future[None]) -> None:
            budget.release(size)
            if _succeeded(future):
                delivery.stored += logs
            else:
                delivery.refused["storage"] += logs

        storing.add_done_callback(settle)
        return storing

    async def _stored(self, allowed: int) -> None:
        """Wait until at most `allowed` bytes are not durable.

        Raises:
            CallError: UNAVAILABLE when something could not be stored.
        """
        while self._unstored and (self._unstored_bytes > allowed or self._unstored[0][0].done()):
            storing, size = self._unstored[0]
            await asyncio.wait({storing})
            self._unstored.popleft()
            self._unstored_bytes -= size
            try:
                storing.result()
            except StorageError as error:
                raise CallError(Status.UNAVAILABLE, f"the logs could not be stored: {error}") from error


def _succeeded(future: asyncio.Future[None]) -> bool:
    return not future.cancelled() and future.exception() is None
