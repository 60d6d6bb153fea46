"""One history: agents, a network, a backend and their disks, all of which fail as a seed says, and then no more.

When it is over, all that was captured must be delivered or lost by a cause, nothing acknowledged missing, and nothing
counted twice.
"""

import asyncio
import contextlib
import logging
import random
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import polars as pl

from agent.export import ledger_file, spool
from agent.export.accounting import Loss
from backend.entities.ids import service_id
from backend.metrics import journal
from backend.storage.interface import Storage
from tests.delivery.agents import SimulatedAgent, Workload
from tests.delivery.backends import InDuckdb, InMemory, SimulatedBackend
from tests.delivery.faults import Faults, FaultyFile, FaultyOs
from tests.delivery.virtual_loop import Stuck, VirtualLoop

MEDIA = {"memory": InMemory, "duckdb": InDuckdb}
LONGEST = 100_000.0
"""Seconds of its own time after which a history that is not over is a failure."""
FAULTS_END = 300.0
"""Seconds after which nothing fails any more."""
LAST = 2**31 - 1


@dataclass
class History:
    """What happened."""

    seed: int
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
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    loop = VirtualLoop(LONGEST)
    try:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            return loop.run_until_complete(_Simulation(seed, medium, Path(folder)).run())
    except BaseException as error:
        error.add_note(f"seed {seed}, store {medium}: python -m tests.delivery.histories --seed {seed} --count 1")
        raise
    finally:
        _end(loop)
        while FaultyFile.opened:
            FaultyFile.opened.pop().close()
        logging.disable(disabled)


class _Simulation:
    def __init__(self, seed: int, medium: str, folder: Path) -> None:
        chance = random.Random(seed)
        self._history = History(seed)
        self._faults = Faults(chance)
        self._os = FaultyOs(self._faults)
        self._workload = Workload()
        self._backend = SimulatedBackend(folder, self._faults, MEDIA[medium](folder))
        self._agents = [
            SimulatedAgent(folder / f"spool-{number}", self._faults, self._os, self._backend, self._workload)
            for number in range(chance.randint(1, 3))
        ]

    async def run(self) -> History:
        """The history, checked."""
        with ExitStack() as stack:
            FaultyFile.synced.clear()
            kind = type("File", (FaultyFile,), {"faults": self._faults})
            stack.enter_context(mock.patch.object(journal, "FileIO", kind))
            for module in (journal, ledger_file, spool):
                stack.enter_context(mock.patch.object(module, "os", self._os))
            living = asyncio.ensure_future(self._backend.live())
            others = [asyncio.ensure_future(agent.live()) for agent in self._agents]
            others.append(asyncio.ensure_future(self._disturb()))
            everything = asyncio.gather(*others)
            await asyncio.wait({living, everything}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()
            await everything
            # Calls of before may still arrive; those that a dead process had begun to answer never end.
            late = [asyncio.ensure_future(asyncio.sleep(0)), *(call for agent in self._agents for call in agent.calls)]
            await asyncio.wait(late, timeout=300.0)
            store = await self._backend.finish()
        self._check(store)
        return self._history

    async def _disturb(self) -> None:
        """Kill the backend and fill the disk of agents now and then, and at last do no more harm."""
        chance, faults = self._faults.chance, self._faults
        loop = asyncio.get_running_loop()
        while (left := FAULTS_END - loop.time()) > 0:
            await asyncio.sleep(min(chance.uniform(0.0, 40.0), left))
            faults.disk_full = faults.strikes(5.0)
            if self._backend.current is not None and faults.strikes(10.0):
                self._backend.current.die()
        faults.active = faults.disk_full = False
        # What failed while starting is started again.
        while self._backend.current is None or self._backend.current.is_dead:  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(1.0)

    def _check(self, store: Storage) -> None:
        rows = store.metrics(["writes"], [], 0, LAST)
        counted = dict(rows.group_by("entity").agg(pl.col("summation").sum()).iter_rows())
        history, workload = self._history, self._workload
        for batch, logs in workload.logs.items():
            stored = counted.pop(service_id(workload.services[batch]), 0)
            assert stored in {0, logs}, f"{stored} of {logs} logs of a batch count"
            assert stored or batch not in self._backend.acknowledged, "a batch was acknowledged and is missing"
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
        history.backend_deaths = self._backend.deaths
        history.acknowledged = len(self._backend.acknowledged)
        self._check_sums()

    def _check_sums(self) -> None:
        history = self._history
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
