import asyncio

import pytest

from backend.ingest.batches import StoredBatches
from backend.ingest.status import CallError, Status


async def store(batches: StoredBatches, identifier: str) -> bool:
    granted = await batches.begin(identifier)
    if granted:
        batches.end(identifier, stored=True)
    return granted


async def test_a_batch_is_stored_once() -> None:
    batches = StoredBatches()
    assert [await store(batches, name) for name in ("a", "b", "a", "a")] == [True, True, False, False]
    assert batches.repeated == 2
    assert "a" in batches
    assert "c" not in batches


async def test_a_batch_that_could_not_be_stored_may_come_again() -> None:
    batches = StoredBatches()
    assert await batches.begin("a")
    batches.end("a", stored=False)
    assert await store(batches, "a")


@pytest.mark.parametrize("stored", [True, False])
async def test_who_sends_a_batch_that_is_being_stored_waits_for_the_outcome(*, stored: bool) -> None:
    batches = StoredBatches()
    assert await batches.begin("a")
    others = [asyncio.create_task(store(batches, "a")) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(other.done() for other in others)
    batches.end("a", stored=stored)
    granted = await asyncio.gather(*others)
    assert sorted(granted) == ([False, False, False] if stored else [False, False, True])


async def test_a_waiting_sender_that_goes_away_does_not_disturb() -> None:
    batches = StoredBatches()
    assert await batches.begin("a")
    leaving, staying = (asyncio.create_task(store(batches, "a")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    batches.end("a", stored=True)
    assert await staying is False


async def test_the_latest_are_remembered_and_no_more() -> None:
    batches = StoredBatches(capacity=10)
    for number in range(100):
        assert await store(batches, str(number))
        assert await store(batches, "kept") is (number == 0)
    assert len(batches) == 10
    assert "90" not in batches
    assert "99" in batches


async def test_an_identifier_that_is_too_long_is_refused() -> None:
    batches = StoredBatches()
    with pytest.raises(CallError) as caught:
        await batches.begin("x" * 129)
    assert caught.value.status is Status.INVALID_ARGUMENT
    assert len(batches) == 0
