"""One history: agents, a network, backends and their disks, all of which fail for a while, and then no more.

When it is over, all that was captured must be delivered or lost by a cause, nothing acknowledged missing, and nothing
counted twice.
"""

import asyncio
import contextlib
import logging
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl

from agent.export import ledger_file, spool
from agent.export.accounting import Loss
from backend.entities.ids import service_id
from backend.metrics import journal
from backend.storage.interface import Storage
from tests.delivery.agents import SimulatedAgent, Workload
from tests.delivery.backends import InDuckdb, InMemory, Medium, SimulatedBackend
from tests.delivery.faults import Faults, FaultyFile, FaultyOs
from tests.delivery.shared_store import InShared
from tests.delivery.virtual_loop import Stuck, VirtualLoop

MEDIA: Mapping[str, Callable[[Path, Faults, VirtualLoop], Medium]] = {
    "memory": InMemory,
    "duckdb": InDuckdb,
    "shared": InShared,
}
BACKENDS = {"memory": 1, "duckdb": 1, "shared": 2}
LONGEST = 100_000.0
"""Seconds of its own time after which a history that is not over is a failure."""
FAULTS_END = 300.0
"""Seconds after which nothing fails any more, where a seed says what fails."""
LAST = 2**31 - 1


@dataclass
class History:
    """What happened."""

    captured: int = 0
    delivered: int = 0
    stored: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    agent_deaths: int = 0
    backend_deaths: int = 0
    acknowledged: int = 0
    """Batches."""


def simulate(seed: int, medium: str = "memory") -> History:
    """Run a history; everything in it follows from the seed.

    Raises:
        AssertionError: something that is promised does not hold; the message names the seed.
    """
    chance = random.Random(seed)
    faults = Faults(chance)

    def batches() -> Iterator[int]:
        for _ in range(chance.randint(1, 3)):
            yield chance.randint(3, 12)

    try:
        with simulation(faults, medium, batches()) as simulated:
            return simulated.loop.run_until_complete(_disturbed(simulated, faults))
    except BaseException as error:
        error.add_note(f"seed {seed}, store {medium}: python -m tests.delivery.histories --seed {seed} --count 1")
        raise


async def _disturbed(simulated: "Simulation", faults: Faults) -> History:
    simulated.start()
    return await simulated.settle(asyncio.ensure_future(_disturb(simulated, faults)))


async def _disturb(simulated: "Simulation", faults: Faults) -> None:
    """Kill the backend and fill the disk of agents now and then, and at last do no more harm."""
    while (left := FAULTS_END - simulated.loop.time()) > 0:
        await asyncio.sleep(min(faults.chance.uniform(0.0, 40.0), left))
        faults.disk_full = faults.strikes(5.0)
        for number, backend in enumerate(simulated.backends):
            if backend.current is not None and faults.strikes(10.0):
                simulated.kill_backend(number)
    await simulated.recover()


@contextmanager
def simulation(faults: Faults, medium: str, batches: Iterable[int]) -> Iterator["Simulation"]:
    """A world on disks that go with it.

    Args:
        faults: What goes wrong.
        medium: Where backends store; a key of MEDIA. Several of them share a medium that can be shared.
        batches: Of each agent, how many it has to capture at first.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    loop = VirtualLoop(LONGEST)
    try:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, ExitStack() as stack:
            FaultyFile.synced.clear()
            made = Simulation(loop, faults, medium, Path(folder), batches)
            kind = type("File", (FaultyFile,), {"faults": faults})
            stack.enter_context(mock.patch.object(journal, "FileIO", kind))
            for module in (journal, ledger_file, spool):
                stack.enter_context(mock.patch.object(module, "os", made.system))
            try:
                yield made
            finally:
                for number in range(len(made.backends)):
                    made.kill_backend(number)
    finally:
        _end(loop)
        while FaultyFile.opened:
            FaultyFile.opened.pop().close()
        logging.disable(disabled)


class Simulation:
    """Agents, a network, backends and their disks; made by `simulation`."""

    def __init__(self, loop: VirtualLoop, faults: Faults, medium: str, folder: Path, batches: Iterable[int]) -> None:
        self.loop = loop
        self.system = FaultyOs(faults)
        self._faults = faults
        self._workload = Workload()
        where, starting = MEDIA[medium](folder, faults, loop), asyncio.Lock()
        self.backends = [
            SimulatedBackend(folder / f"backend-{number}", faults, where, starting)
            for number in range(BACKENDS[medium])
        ]
        self._agents = [
            SimulatedAgent(
                folder / f"spool-{number}", faults, self.system, self.backends, self._workload, to_capture=count
            )
            for number, count in enumerate(batches)
        ]
        self._backends_live: list[asyncio.Task[None]]
        self._agents_live: list[asyncio.Task[None]]

    def start(self) -> None:
        """Have all of them live."""
        self._backends_live = [self.loop.create_task(backend.live()) for backend in self.backends]
        self._agents_live = [self.loop.create_task(agent.live()) for agent in self._agents]

    def capture(self, number: int, batches: int) -> None:
        """Have an agent capture more; one that has done all it had is started again."""
        agent = self._agents[number]
        agent.capture(batches)
        if self._agents_live[number].done():
            self._agents_live[number].result()
            self._agents_live[number] = self.loop.create_task(agent.live())

    def kill_backend(self, number: int = 0) -> None:
        """End one as by kill -9, if it is there."""
        if (current := self.backends[number].current) is not None:
            current.die()

    def pass_time(self, seconds: float) -> None:
        """Let things happen. Raises what one of them failed with."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        for task in (*self._backends_live, *self._agents_live):
            if task.done():
                task.result()

    async def recover(self) -> None:
        """End all faults, and wait until what failed while starting is started again."""
        self._faults.active = self._faults.disk_full = False
        for backend in self.backends:
            while backend.current is None or backend.current.is_dead:  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(1.0)

    async def settle(self, *others: asyncio.Future[None]) -> History:
        """Let all agents and others come to their end; what happened, checked."""
        everything = asyncio.gather(*self._agents_live, *others)
        until: set[asyncio.Future[Any]] = {*self._backends_live, everything}
        await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
        for living in self._backends_live:
            if living.done():
                living.result()
        await everything
        # Calls of before may still arrive; those that a dead process had begun to answer never end.
        late = [asyncio.ensure_future(asyncio.sleep(0)), *(call for agent in self._agents for call in agent.calls)]
        await asyncio.wait(late, timeout=300.0)
        stores = [await backend.finish() for backend in self.backends]
        return self._checked(stores[0])

    def _checked(self, store: Storage) -> History:
        rows = store.metrics(["writes"], [], 0, LAST)
        counted = dict(rows.group_by("entity").agg(pl.col("summation").sum()).iter_rows())
        history, workload = History(), self._workload
        acknowledged = set[str]().union(*(backend.acknowledged for backend in self.backends))
        for batch, logs in workload.logs.items():
            stored = counted.pop(service_id(workload.services[batch]), 0)
            assert stored in {0, logs}, f"{stored} of {logs} logs of a batch count"
            assert stored or batch not in acknowledged, "a batch was acknowledged and is missing"
            history.stored += stored
        assert not counted, "something counts that nobody has captured"
        for agent in self._agents:
            balance = agent.balance
            assert balance.captured == agent.captured, "the ledger has not what was captured"
            assert balance.waiting == 0, "something waits although everything is settled"
            history.captured += balance.captured
            history.delivered += balance.delivered
            history.lost.update(balance.lost)
            history.agent_deaths += agent.deaths
        history.backend_deaths = sum(backend.deaths for backend in self.backends)
        history.acknowledged = len(acknowledged)
        _check_sums(history)
        return history


def _check_sums(history: History) -> None:
    lost = sum(history.lost.values())
    assert history.captured == history.delivered + lost
    # What an agent gave up may have been stored, as an answer to it was lost.
    assert history.delivered <= history.stored <= history.delivered + lost
    assert history.agent_deaths or not history.lost[Loss.KILLED]
    assert not history.lost[Loss.SPOOL_DAMAGED]
    assert not history.lost[Loss.SHUTDOWN]


def _end(loop: VirtualLoop) -> None:
    """Let go of what waits for ever: the dead."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined] # they are dead, and nobody is to be told
        task.cancel()
    if tasks:
        with contextlib.suppress(Stuck):
            loop.run_until_complete(asyncio.wait(tasks, timeout=10.0))
    loop.close()
