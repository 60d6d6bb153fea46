import asyncio

import pytest

from backend.ingest.budget import Budget, Lease
from backend.ingest.status import CallError, Status


async def turns() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_reservations_within_the_limit_do_not_wait() -> None:
    budget = Budget(100, patience=0)
    await budget.reserve(60)
    await budget.reserve(40)
    assert (budget.held, budget.highest) == (100, 100)


async def test_who_finds_no_room_in_time_is_refused_and_holds_nothing() -> None:
    budget = Budget(100, patience=0.01)
    await budget.reserve(60)
    with pytest.raises(CallError) as caught:
        await budget.reserve(41)
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    assert (budget.held, budget.refused) == (60, 1)
    await budget.reserve(40)


async def test_room_goes_to_who_waits_longest() -> None:
    budget = Budget(100, patience=60)
    await budget.reserve(100)
    order: list[str] = []

    async def reserve(name: str, size: int) -> None:
        await budget.reserve(size)
        order.append(name)

    large, small = asyncio.create_task(reserve("large", 80)), asyncio.create_task(reserve("small", 10))
    await turns()
    budget.release(50)
    await turns()
    assert order == []  # the small one would fit, but must not starve the large one
    budget.release(30)
    await turns()
    assert order == ["large"]
    budget.release(20)
    await asyncio.gather(large, small)
    assert order == ["large", "small"]
    assert budget.held == 90


async def test_who_is_cancelled_while_waiting_lets_others_pass() -> None:
    budget = Budget(100, patience=60)
    await budget.reserve(90)
    large = asyncio.create_task(budget.reserve(50))
    small = asyncio.create_task(budget.reserve(10))
    await turns()
    large.cancel()
    await small
    assert budget.held == 100
    with pytest.raises(asyncio.CancelledError):
        await large


async def test_who_is_cancelled_just_when_admitted_gives_back() -> None:
    budget = Budget(100, patience=60)
    await budget.reserve(100)
    waiting = asyncio.create_task(budget.reserve(50))
    await turns()
    budget.release(50)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.held == 50


async def test_a_lease_gives_back_everything_however_it_ends() -> None:
    budget = Budget(100)

    async def fail() -> None:
        with Lease(budget) as lease:
            await lease.reserve(70)
            lease.release(20)
            assert budget.held == 50
            raise CallError(Status.INTERNAL, "broken")

    with pytest.raises(CallError):
        await fail()
    assert budget.held == 0


async def test_bytes_that_are_there_already_make_others_wait() -> None:
    budget = Budget(100, patience=0.01)
    budget.hold(150)
    with pytest.raises(CallError):
        await budget.reserve(1)
    budget.release(150)
    await budget.reserve(100)
    assert budget.highest == 150
