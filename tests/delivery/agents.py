"""An agent of a simulation: the real queue, spool and ledger, over a network that cuts, delays, repeats and forgets."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.export.accounting import Balance, Loss
from agent.export.assembler import Batch
from agent.export.queue import BatchQueue, QueueLimits
from agent.export.sender import SenderLimits
from agent.export.spool import Spool, SpoolError
from agent.export.transport import _OUTCOMES, BATCH_ID, METHOD, Outcome
from backend.server.asgi import Message, Scope
from common.grpc.messages import encode_timeout, frame_messages
from common.grpc.status import Status
from tests.delivery.backends import Incarnation, SimulatedBackend
from tests.delivery.faults import Crash, Faults, FaultyOs, FaultyPath
from tests.delivery.streams import stream_of

DOUBTS, UNDER_WAY = SenderLimits().doubtful_attempts, SenderLimits().under_way


@dataclass
class Workload:
    """What agents have captured. Each batch has a service of its own, by which the store tells what it has of it."""

    logs: dict[str, int] = field(default_factory=dict)
    """By batch."""
    services: dict[str, str] = field(default_factory=dict)
    """By batch."""

    def make(self, faults: Faults) -> Batch:
        """A batch that nobody has seen."""
        count = faults.chance.randint(1, 6)
        identifier = str(uuid.UUID(int=faults.chance.getrandbits(128)))
        service = f"service-{len(self.logs)}"
        self.logs[identifier], self.services[identifier] = count, service
        return Batch(stream_of(service, count, faults.chance.randint(1, count)), count, identifier)


class SimulatedAgent:
    """An agent that is killed and comes back.

    Args:
        to_capture: Batches.

    Attributes:
        deaths: How often it was killed.
        balance: Its ledger at the end.
        calls: What is under way to the backend, whether or not anybody waits for the answer.
    """

    def __init__(
        self,
        folder: Path,
        faults: Faults,
        system: FaultyOs,
        backends: Sequence[SimulatedBackend],
        workload: Workload,
        *,
        to_capture: int,
    ) -> None:
        self._os = system
        self._folder = FaultyPath.of(folder, faults)
        self._faults = faults
        self._backends = backends
        self._at = 0
        self._workload = workload
        self._to_capture = to_capture
        self._limits = QueueLimits(logs=12, size=1_000, spool_bytes=faults.chance.choice((700, 4_000, 1 << 20)))
        self._haste = faults.chance.choice((0.0, 0.2, 0.8))
        """How likely it is that a batch is sent beside others."""
        self.calls: set[asyncio.Task[None]] = set()
        self._uncertain = 0
        self.captured = 0
        self.deaths = 0
        self.balance = Balance(0, 0, {})

    def capture(self, batches: int) -> None:
        """Have more to capture."""
        self._to_capture += batches

    async def live(self) -> None:
        """Run until everything is captured and settled, again and again."""
        while True:
            try:
                spool = Spool(self._folder)
                self._check_before(spool)
                await self._work(spool)
            except Crash:
                self.deaths += 1
            except SpoolError:
                pass  # as the program does: it ends, and is started again
            else:
                self.balance = spool.ledger.balance()
                return
            finally:
                self._os.end(Path(self._folder))
            await asyncio.sleep(self._faults.chance.uniform(0.0, 20.0))

    def _check_before(self, spool: Spool) -> None:
        """What was captured while the agent died may be in the ledger or not: it says itself which."""
        captured = spool.ledger.balance().captured
        assert captured in {self.captured, self.captured + self._uncertain}, "the ledger has forgotten or made up logs"
        self.captured, self._uncertain = captured, 0

    async def _work(self, spool: Spool) -> None:
        queue = BatchQueue(spool.ledger, self._limits, spool)
        chance, loop = self._faults.chance, asyncio.get_running_loop()
        under_way: dict[asyncio.Task[Outcome], Batch] = {}
        failures, paused_until = 0, 0.0
        while self._to_capture or len(queue):
            if self._to_capture and (not len(queue) or chance.random() < 0.7):
                # Also while some are under way: the queue may have to give up what is behind them.
                self._capture(spool, queue)
                await asyncio.sleep(chance.choice((0.0, 0.0, chance.uniform(0.0, 3.0), chance.uniform(0.0, 40.0))))
                continue
            may_send = not under_way or (len(under_way) < UNDER_WAY and chance.random() < self._haste)
            if loop.time() >= paused_until and may_send and (batch := queue.take()) is not None:
                under_way[asyncio.ensure_future(self._send(batch, chance.uniform(0.5, 20.0)))] = batch
                continue
            if not under_way:
                await asyncio.sleep(max(0.0, paused_until - loop.time()))
                continue
            await asyncio.wait(under_way, timeout=chance.uniform(0.0, 2.0), return_when=asyncio.FIRST_COMPLETED)
            for sent in [sending for sending in under_way if sending.done()]:
                self._faults.crash()
                if self._settle(queue, under_way.pop(sent), sent.result()):
                    failures = 0
                else:
                    failures += 1
                    paused_until = loop.time() + chance.uniform(0.0, min(15.0, 0.5 * 2**failures))

    def _settle(self, queue: BatchQueue, batch: Batch, outcome: Outcome) -> bool:
        """Book what has become of an attempt; False when the batch waits again."""
        if outcome is Outcome.DOUBTFUL:
            outcome = Outcome.RETRY if queue.doubt(batch) < DOUBTS else Outcome.REFUSED
        if outcome is Outcome.RETRY:
            queue.put_back(batch)
            return False
        queue.settle(batch, None if outcome is Outcome.DELIVERED else Loss.REFUSED)
        return True

    def _capture(self, spool: Spool, queue: BatchQueue) -> None:
        self._to_capture -= 1
        batch = self._workload.make(self._faults)
        self._uncertain = batch.logs
        spool.ledger.capture(batch.logs)
        self.captured, self._uncertain = self.captured + batch.logs, 0
        self._faults.crash()
        queue.put(batch)

    async def _send(self, batch: Batch, patience: float) -> Outcome:
        """One attempt, on a connection of its own; when it fails, the next one goes to the next backend."""
        at = self._at
        outcome = await self._send_to(self._backends[at], batch, patience)
        if outcome is not Outcome.DELIVERED and at == self._at:
            self._at = (at + 1) % len(self._backends)
        return outcome

    async def _send_to(self, to: SimulatedBackend, batch: Batch, patience: float) -> Outcome:
        backend = to.current
        if backend is None or self._faults.strikes():
            await asyncio.sleep(self._faults.chance.uniform(0.0, 1.0))
            return Outcome.RETRY  # refused, or nobody there
        body = list(frame_messages(batch.messages, self._faults.chance.choice((1, 100, 65_536))))
        if self._faults.strikes():
            # Bytes that were under way elsewhere arrive after all, whenever that is.
            self._stray(batch, body, patience)
        cut = self._faults.chance.randrange(len(body)) if self._faults.strikes(3.0) else None
        answer: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        lost = self._faults.strikes(3.0)
        call = asyncio.ensure_future(self._call(to, backend, batch, body, patience, cut=cut, answer=answer))
        self.calls.add(call)
        call.add_done_callback(self.calls.discard)
        await asyncio.wait({answer, backend.died}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if lost or not answer.done():
            return Outcome.RETRY
        return Outcome.DELIVERED if answer.result() is Status.OK else _OUTCOMES.get(answer.result(), Outcome.REFUSED)

    def _stray(self, batch: Batch, body: Sequence[bytes], patience: float) -> None:
        async def arrive() -> None:
            await asyncio.sleep(self._faults.chance.uniform(0.0, 60.0))
            to = self._faults.chance.choice(self._backends)
            if to.current is not None:
                ignored: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
                await self._call(to, to.current, batch, body, patience, cut=None, answer=ignored)

        task = asyncio.ensure_future(arrive())
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

    async def _call(
        self,
        to: SimulatedBackend,
        backend: Incarnation,
        batch: Batch,
        body: Sequence[bytes],
        patience: float,
        *,
        cut: int | None,
        answer: asyncio.Future[Status],
    ) -> None:
        """What the backend sees of an attempt."""
        application = backend.application
        if application is None:
            return
        events: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in body]
        events[-1]["more_body"] = False
        if cut is not None:
            half = {"type": "http.request", "body": body[cut][: len(body[cut]) // 2], "more_body": True}
            events[cut:] = [half]
        arriving = iter(events)
        never = asyncio.get_running_loop().create_future()

        async def receive() -> Message:
            await asyncio.sleep(self._faults.chance.uniform(0.0, 0.3))
            if backend.is_dead:
                await never
            return next(arriving, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            if backend.is_dead:
                await never
            if message["type"] == "http.response.trailers":
                status = Status(int(dict(message["headers"])[b"grpc-status"]))
                if status is Status.OK:
                    to.acknowledged.add(batch.id)
                if not answer.done():
                    answer.set_result(status)

        headers = {
            "content-type": "application/grpc",
            BATCH_ID: batch.id,
            "grpc-timeout": encode_timeout(patience),
        }
        scope: Scope = {
            "method": "POST",
            "path": METHOD,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await application(scope, receive, send)
