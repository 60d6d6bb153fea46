from contextlib import closing
from pathlib import Path

import pytest

from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.export.queue import BatchQueue, QueueLimits
from agent.export.sender import Sender, SenderLimits
from agent.export.spool import Spool
from agent.export.transport import Outcome
from tests.agent.export.test_sender import FAST, FakeTransport
from tests.waiting import PATIENCE

LIMITS = QueueLimits(logs=100, size=1_000, spool_bytes=1_000)
OVERHEAD = 16
"""Bytes of a spooled batch of one message beyond those of the message."""


def put(queue: BatchQueue, ledger: Ledger, *batches: Batch) -> None:
    for batch in batches:
        ledger.capture(batch.logs)
        queue.put(batch)


def test_batches_are_in_the_spool_and_not_in_memory(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        queue = BatchQueue(spool.ledger, LIMITS, spool)
        batches = [Batch([b"x" * 10], 7) for _ in range(20)]  # more logs than may be in memory
        put(queue, spool.ledger, *batches)
        assert (queue.logs, queue.size, len(queue)) == (140, 20 * (10 + OVERHEAD), 20)
        assert all(entry.batch is None for entry in queue._entries)
        taken = queue.take()
        assert taken is not None
        assert (list(taken.messages), taken.id) == ([b"x" * 10], batches[0].id)
        queue.put_back(taken)
        assert all(entry.batch is None for entry in queue._entries)


def test_a_full_spool_gives_up_the_oldest_that_is_not_under_way(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        queue = BatchQueue(spool.ledger, LIMITS, spool)
        batches = [Batch([b"x" * (250 - OVERHEAD)], number) for number in range(1, 7)]
        put(queue, spool.ledger, batches[0])
        first = queue.take()
        assert first is not None
        put(queue, spool.ledger, *batches[1:])
        assert spool.ledger.balance().lost == {"spool_full": 2 + 3}
        assert (len(queue), queue.size) == (4, 1_000)
        assert len(list(tmp_path.glob("*.batch"))) == 4
        queue.settle(first)
        delivered = [first.id]
        while (batch := queue.take()) is not None:
            delivered.append(batch.id)
            queue.settle(batch)
        assert delivered == [batch.id for batch in (batches[0], *batches[3:])]
        assert list(tmp_path.glob("*.batch")) == []
        assert spool.ledger.balance().waiting == queue.logs == queue.size == 0


def test_a_batch_larger_than_the_spool_is_given_up_at_once(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        queue = BatchQueue(spool.ledger, LIMITS, spool)
        put(queue, spool.ledger, Batch([b"x" * 2_000], 3))
        assert spool.ledger.balance().lost == {"spool_full": 3}
        assert list(tmp_path.glob("*.batch")) == []


def test_what_the_disk_does_not_take_waits_in_memory_within_its_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Spool(tmp_path)) as spool:
        queue = BatchQueue(spool.ledger, LIMITS, spool)
        put(queue, spool.ledger, Batch([b"x"], 1))
        with monkeypatch.context() as patch:
            patch.setattr(spool, "keep", lambda _batch: None)
            put(queue, spool.ledger, *(Batch([b"x" * 10], 30) for _ in range(4)))
        assert spool.ledger.balance().lost == {"queue_full": 30}
        put(queue, spool.ledger, Batch([b"x"], 2))
        sizes = []
        while (batch := queue.take()) is not None:
            sizes.append(batch.logs)
            queue.settle(batch)
        assert sizes == [1, 30, 30, 30, 2]


def test_a_damaged_batch_is_lost_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        queue = BatchQueue(spool.ledger, LIMITS, spool)
        put(queue, spool.ledger, *(Batch([b"x"], number) for number in (3, 4, 5)))
        first, second, _ = sorted(tmp_path.glob("*.batch"))
        first.write_bytes(b"")
        second.unlink()
        batch = queue.take()
        assert batch is not None
        assert batch.logs == 5
        assert spool.ledger.balance().lost == {"spool_damaged": 7}


def test_room_is_that_of_the_spool(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        queue = BatchQueue(spool.ledger, LIMITS, spool)
        assert queue.has_room_for(Batch([b"x" * 5_000], 1))
        put(queue, spool.ledger, Batch([b"x" * (600 - OVERHEAD)], 1))
        assert queue.has_room_for(Batch([b"x" * 400], 1_000))
        assert not queue.has_room_for(Batch([b"x" * 401], 1))


def test_what_is_left_goes_on_with_the_next_agent(tmp_path: Path) -> None:
    batches = [Batch([b"x"], number) for number in range(1, 6)]
    with closing(Spool(tmp_path)) as spool:
        sender = Sender(FakeTransport(lambda _: Outcome.RETRY), spool.ledger, FAST, spool)
        sender.start()
        for batch in batches:
            spool.ledger.capture(batch.logs)
            sender.submit(batch)
        sender.stop(0.01)
        assert sender.waiting == spool.ledger.balance().waiting == 15
        assert spool.ledger.balance().lost == {}
    with closing(Spool(tmp_path)) as spool:
        transport = FakeTransport()
        sender = Sender(transport, spool.ledger, FAST, spool)
        assert sender.waiting == 15
        sender.start()
        sender.stop(PATIENCE)
        assert [batch.id for batch in transport.delivered] == [batch.id for batch in batches]
        balance = spool.ledger.balance()
        assert (balance.captured, balance.delivered, balance.lost, sender.waiting) == (15, 15, {}, 0)


def test_a_spool_that_may_hold_less_than_before_gives_up_the_oldest(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        for logs in (1, 2, 3):
            spool.ledger.capture(logs)
            spool.keep(Batch([b"x" * 84], logs))
    with closing(Spool(tmp_path)) as spool:
        sender = Sender(FakeTransport(), spool.ledger, SenderLimits(spool_bytes=200), spool)
        assert sender.waiting == 5
        assert spool.ledger.balance().lost == {"spool_full": 1}
