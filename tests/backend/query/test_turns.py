"""Who runs, who waits and who is refused."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from backend.query.turns import BusyError, Turns


class Visitors:
    """Tasks that take turns, each until it is let go."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.running: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.leave: list[asyncio.Event] = []

    async def come(self, number: int) -> None:
        for _ in range(number):
            self.leave.append(asyncio.Event())
            self.tasks.append(asyncio.create_task(self._visit(len(self.tasks))))
        await settled()

    async def let(self, number: int) -> None:
        self.leave[number].set()
        await self.tasks[number]
        await settled()

    async def _visit(self, number: int) -> None:
        async with self.turns.turn():
            self.running.append(number)
            await self.leave[number].wait()


async def settled() -> None:
    """Until every task that could go on has gone on; a turn takes two steps of the loop to pass."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_some_run_some_wait_in_order_and_others_are_refused() -> None:
    visitors = Visitors(Turns(2, 3))
    await visitors.come(5)
    assert (visitors.running, visitors.turns.present) == ([0, 1], 5)
    with pytest.raises(BusyError) as raised:
        async with visitors.turns.turn():
            pytest.fail("there was no room")
    assert (raised.value.waiting, visitors.turns.present) == (3, 5)
    await visitors.let(1)
    assert (visitors.running, visitors.turns.present) == ([0, 1, 2], 4)
    await visitors.come(1)
    for number in (0, 2, 3, 4, 5):
        await visitors.let(number)
    assert (visitors.running, visitors.turns.present) == ([0, 1, 2, 3, 4, 5], 0)


async def test_who_gives_up_waiting_makes_room() -> None:
    visitors = Visitors(Turns(1, 1))
    await visitors.come(2)
    visitors.tasks[1].cancel()
    await settled()
    assert visitors.turns.present == 1
    await visitors.come(1)
    await visitors.let(0)
    assert visitors.running == [0, 2]
    await visitors.let(2)
    assert visitors.turns.present == 0


async def test_a_turn_that_fails_is_over() -> None:
    turns = Turns(1, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn():
                raise ZeroDivisionError
    async with AsyncExitStack() as held:
        await held.enter_async_context(turns.turn())
        with pytest.raises(BusyError, match="0 wait already"):
            await held.enter_async_context(turns.turn())
    assert turns.present == 0
