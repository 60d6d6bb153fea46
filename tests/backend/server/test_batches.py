"""Batches that are sent again until they are answered count once."""

import asyncio

import pytest

from backend.ingest.batch import LogBatch
from backend.server import access_logs
from backend.server.access_logs import BATCH_ID
from backend.storage.interface import StorageError
from tests.backend.server.log_streams import serialised, stream
from tests.backend.server.support import Collecting, body_of, receiving
from tests.waiting import eventually


async def test_a_batch_sent_again_counts_once() -> None:
    sink = Collecting()
    messages, sizes = stream(50)
    body = body_of(*serialised(messages))
    async with receiving(sink) as receiver:
        answers = [await receiver.raw(body, (BATCH_ID, name)) for name in ("one", "one", "two", "one")]
        assert [answer.headers["grpc-status"] for answer in answers] == ["0"] * 4
        assert receiver.service.batches.repeated == 2
        assert receiver.service.counts.logs == 2 * len(sizes)
    assert sink.sizes() == sizes * 2


async def test_a_batch_that_breaks_off_counts_nothing_until_it_comes_whole() -> None:
    sink = Collecting()
    messages, sizes = stream(1_000)
    body = body_of(*serialised(messages))
    async with receiving(sink) as receiver:
        broken = await receiver.raw(body[:-3], (BATCH_ID, "one"))
        assert broken.headers["grpc-status"] == "13"
        assert sink.batches == []
        whole = await receiver.raw(body, (BATCH_ID, "one"))
        assert whole.headers["grpc-status"] == "0"
    assert sink.sizes() == sizes
    assert len(sink.batches) == 1


async def test_a_batch_that_could_not_be_stored_is_stored_when_it_comes_again() -> None:
    failing = True

    async def answer(_batch: LogBatch) -> None:
        if failing:
            raise StorageError("not now")

    async with receiving(Collecting(answer)) as receiver:
        body = body_of(*serialised(stream(5)[0]))
        first = await receiver.raw(body, (BATCH_ID, "one"))
        failing = False
        again = await receiver.raw(body, (BATCH_ID, "one"))
        assert (first.headers["grpc-status"], again.headers["grpc-status"]) == ("14", "0")
        assert receiver.service.delivery.stored == 15


async def test_a_batch_whose_sender_gave_up_while_it_was_stored_counts_once() -> None:
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sink = Collecting(lambda _: asyncio.shield(durable))
    body = body_of(*serialised(stream(5)[0]))
    async with receiving(sink) as receiver:
        first = await receiver.raw(body, (BATCH_ID, "one"), ("grpc-timeout", "100m"))
        assert first.headers["grpc-status"] == "4"
        again = asyncio.ensure_future(receiver.raw(body, (BATCH_ID, "one")))
        await eventually(lambda: receiver.application.grpc.handling == 1)
        durable.set_result(None)
        assert (await again).headers["grpc-status"] == "0"
        assert receiver.service.delivery.stored == 15
    assert len(sink.batches) == 1


async def test_a_batch_that_is_too_large_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_logs, "LARGEST_BATCH", 100_000)
    async with receiving(Collecting()) as receiver:
        answer = await receiver.raw(body_of(*serialised(stream(3_000)[0])), (BATCH_ID, "one"))
        assert answer.headers["grpc-status"] == "8"
        assert "smaller batches" in answer.headers["grpc-message"]
