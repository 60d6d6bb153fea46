"""Batches that come again to another process than the one that stored them."""

import asyncio
import dataclasses
import shutil
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from backend.metrics import analysing
from backend.metrics.pipeline import Pipeline, PipelineSettings
from backend.metrics.streams import without
from backend.storage.interface import Flush, Storage, StorageError, StoredElsewhereError
from backend.storage.memory import MemoryStorage
from tests.backend.metrics.exchanges import batch_of, connection, exchange, messages
from tests.backend.metrics.journaling import GATHERING, BadBook, Remembering, ahead
from tests.backend.metrics.journaling import running as writing_ahead
from tests.backend.metrics.test_pipeline import NOW, Gate, batch, counter, running, total
from tests.waiting import eventually


def named(identifier: str, rows: int = 1, remote: str = "") -> LogBatch:
    return dataclasses.replace(batch(rows, remote=remote), identifier=identifier)


class Restless(Remembering):
    """Says that writing has failed when it has not, and cannot always say what it has."""

    def __init__(self) -> None:
        super().__init__()
        self.unasked = 0
        self.lies = 0

    def write(self, flush: object) -> None:
        super().write(flush)  # type: ignore[arg-type] # as the interface has it
        if self.lies:
            self.lies -= 1
            raise StorageError("it is written, but the answer is lost")

    def stored_batches(self, identifiers: object, writer: str) -> set[str]:
        if self.unasked:
            self.unasked -= 1
            raise StorageError("it does not answer")
        return super().stored_batches(identifiers, writer)  # type: ignore[arg-type] # as the interface has it


async def test_a_batch_that_another_process_has_stored_counts_once() -> None:
    storage = MemoryStorage()
    async with running(storage) as first:
        await asyncio.gather(first.submit(named("a", 2)), first.submit(named("b", 3)), first.submit(batch(5)))
    async with running(storage) as second:
        await asyncio.gather(*(second.submit(each) for each in (named("a", 2), named("b", 3), named("c", 7), batch(5))))
        assert counter(second, "logs_repeated_total") == 5
    assert total(storage) == 2 + 3 + 5 + 7 + 5


async def test_a_flush_of_nothing_new_writes_nothing() -> None:
    storage = Gate()
    async with running(storage) as first:
        await first.submit(named("a", 2))
    async with running(storage) as second:
        await second.submit(named("a", 2))
    assert len(storage.flushes) == 1
    assert total(storage) == 2


async def test_a_flush_whose_answers_were_all_lost_counts_once() -> None:
    storage = Restless()
    async with running(storage, attempts=2) as pipeline:
        storage.lies = 2
        with pytest.raises(StorageError, match="the answer is lost"):
            await pipeline.submit(named("a", 2))
        await pipeline.submit(named("a", 2))
        assert counter(pipeline, "logs_repeated_total") == 2
    assert total(storage) == 2


class Beaten(MemoryStorage):
    """Other backends are about to store some batches, and store others while a flush with them is written.

    Args:
        held: Each is held for as long as it is in here.
        stolen: They are stored one after the other, each when a flush has it.
    """

    def __init__(self, held: Iterable[str] = (), stolen: Iterable[str] = ()) -> None:
        super().__init__()
        self.held = set(held)
        self.stolen = list(stolen)
        self.flushes: list[Flush] = []

    def write(self, flush: Flush) -> None:
        self.flushes.append(flush)
        if self.stolen and self.stolen[0] in flush.batches:
            super().write(Flush("other", flush.metrics.clear(), batches=[self.stolen.pop(0)]))
            raise StoredElsewhereError("another backend has stored it meanwhile", self.held & {*flush.batches})
        if held := self.held & {*flush.batches}:
            raise StoredElsewhereError(f"another backend is storing {len(held)}", held)
        super().write(flush)


async def submitted(pipeline: Pipeline, *batches: LogBatch) -> list[str]:
    """What becomes of batches of one flush: nothing to say of those that are stored."""
    results = await asyncio.gather(*(pipeline.submit(each) for each in batches), return_exceptions=True)
    return ["" if result is None else str(result) for result in results]


async def test_what_another_backend_has_stored_meanwhile_is_left_out_and_answered() -> None:
    storage = Beaten(stolen="a")
    async with running(storage) as pipeline:
        assert await submitted(pipeline, named("a", 2), named("b", 3), batch(5)) == ["", "", ""]
        assert [each.batches for each in storage.flushes] == [["a", "b"], ["b"]]
        assert counter(pipeline, "logs_repeated_total") == 2
        assert counter(pipeline, "logs_failed_total") == 0
        assert counter(pipeline, "retries_total") == 0
    assert total(storage) == 3 + 5


async def test_only_what_another_backend_holds_is_sent_again() -> None:
    storage = Beaten(held="ac")
    held = "another backend is storing 2"
    async with running(storage) as pipeline:
        sent = [named("a", 2), named("b", 3), batch(5), named("c", 7)]
        assert await submitted(pipeline, *sent) == [held, "", "", held]
        assert total(storage) == 3 + 5
        assert [each.batches for each in storage.flushes] == [["a", "b", "c"], ["b"]]
        # As another name: of the first nothing counts, and a batch without a name is looked for by nothing else.
        assert len({each.writer for each in storage.flushes}) == 2
        assert counter(pipeline, "logs_failed_total") == 2 + 7
        assert counter(pipeline, "flushes_total", outcome="regrouped") == 1
        assert counter(pipeline, "flushes_total", outcome="stored") == 1
        storage.held = set()
        assert await submitted(pipeline, named("a", 2), named("b", 3), named("c", 7)) == ["", "", ""]
    assert total(storage) == 2 + 3 + 5 + 7


async def test_a_flush_of_nothing_but_what_others_hold_is_written_once() -> None:
    storage = Beaten(held="ab")
    async with running(storage) as pipeline:
        assert await submitted(pipeline, named("a", 2), named("b", 3)) == ["another backend is storing 2"] * 2
        assert (len(storage.flushes), counter(pipeline, "logs_failed_total")) == (1, 5)
        assert counter(pipeline, "logs_held") == 0


async def test_some_are_stored_and_some_are_held() -> None:
    storage = Beaten(held="a", stolen="b")
    async with running(storage) as pipeline:
        sent = [named("a", 2), named("b", 3), named("c", 4)]
        assert await submitted(pipeline, *sent) == ["another backend has stored it meanwhile", "", ""]
        assert [each.batches for each in storage.flushes] == [["a", "b", "c"], ["c"]]
    assert total(storage) == 4


async def test_what_is_analysed_again_is_told_once() -> None:
    """The end of an exchange finds its beginning again, and what is left out of flushes counts once."""
    storage = Beaten(held="a")
    begun = exchange(at=60, milliseconds=1_000, number=1, is_last=False)
    ended = exchange(at=70, milliseconds=1_000, number=2)
    unknown = exchange(at=70, milliseconds=1_000, number=4)
    async with running(storage, future=0) as pipeline:
        await pipeline.submit(batch_of(messages(connection(), begun)))
        sent = [
            named("a", 2),
            batch_of(messages(connection(), ended, unknown)),
            dataclasses.replace(batch(3, minute=NOW + 1), identifier="b"),
        ]
        assert await submitted(pipeline, *sent) == ["another backend is storing 1", "", ""]
        assert len(storage.flushes) == 3
        assert counter(pipeline, "calls_untimed_total") == 1
        assert counter(pipeline, "logs_dropped_total", cause="future") == 3


async def test_the_end_of_an_exchange_finds_its_beginning_after_a_failed_analysis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = exchange(at=60, milliseconds=1_000, number=1, is_last=False)
    ended = exchange(at=70, milliseconds=1_000, number=2)
    async with running(MemoryStorage()) as pipeline:
        await pipeline.submit(batch_of(messages(connection(), begun)))
        leave_out = without
        failures = ["a defect"]

        def fail_once(flush: Flush, disabled: AbstractSet[str]) -> Flush:
            if failures:
                raise RuntimeError(failures.pop())
            return leave_out(flush, disabled)

        monkeypatch.setattr(analysing, "without", fail_once)
        assert await submitted(pipeline, batch_of(messages(connection(), ended)), batch(3)) == ["", ""]
        assert not failures
        assert counter(pipeline, "calls_untimed_total") == 0


async def test_a_flush_is_not_made_anew_for_ever() -> None:
    storage = Beaten(stolen="abc")
    async with running(storage, attempts=3) as pipeline:
        sent = [named(each, 2) for each in "abcd"]
        assert await submitted(pipeline, *sent) == ["another backend has stored it meanwhile"] * 4
        assert [each.batches for each in storage.flushes] == [[*"abcd"], [*"bcd"], [*"cd"]]
        assert counter(pipeline, "flushes_total", outcome="regrouped") == 2
        assert counter(pipeline, "flushes_total", outcome="failed") == 1
        assert await submitted(pipeline, *sent) == [""] * 4
    assert total(storage) == 2


async def test_a_segment_that_is_tried_again_keeps_all_that_was_in_it(tmp_path: Path) -> None:
    """Of what the same writer has written nothing is left out: its rows replace those of before."""
    storage = Restless()
    async with writing_ahead(storage, tmp_path, rows=6, **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        storage.lies = PipelineSettings().attempts + 1
        await asyncio.gather(*(pipeline.submit(each) for each in (named("a", 2), batch(4))))
        storage.open.set()
        await eventually(lambda: not storage.lies)
    assert counter(pipeline, "logs_repeated_total") == 0
    assert total(storage) == 1 + 2 + 4


async def test_a_store_that_cannot_say_what_it_has_is_asked_again_and_then_senders_are_told() -> None:
    storage = Restless()
    async with running(storage, attempts=3) as pipeline:
        storage.unasked = 2
        await pipeline.submit(named("a", 2))
        storage.unasked = 3
        with pytest.raises(StorageError, match="it does not answer"):
            await pipeline.submit(named("b", 3))
        await pipeline.submit(named("b", 3))
    assert total(storage) == 5


async def test_batches_that_are_stored_one_by_one_are_known_too() -> None:
    storage: Storage = MemoryStorage()
    for _ in range(2):
        async with running(storage, Resolver(BadBook())) as pipeline:
            results = await asyncio.gather(
                *(
                    pipeline.submit(each)
                    for each in (named("a", 2), named("bad", 3, remote="10.0.0.99"), named("c", 4))
                ),
                return_exceptions=True,
            )
            assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert total(storage) == 6


async def leave_a_journal(folder: Path) -> None:
    """In "crashed" what a backend leaves that dies with two batches, of 2 and 3 logs, in its journal."""
    storage = Remembering()
    async with writing_ahead(storage, folder / "first", **GATHERING) as pipeline:
        await ahead(storage, pipeline)
        await pipeline.submit(named("a", 2))
        await pipeline.submit(named("b", 3))
        shutil.copytree(folder / "first", folder / "crashed")


async def test_a_batch_is_known_after_its_segment_was_replayed(tmp_path: Path) -> None:
    await leave_a_journal(tmp_path)
    crashed = Remembering()
    for _ in range(2):
        async with writing_ahead(crashed, tmp_path / "crashed") as pipeline:
            await pipeline.submit(named("a", 2))
            assert counter(pipeline, "logs_repeated_total") == 2
    assert total(crashed) == 5


async def test_a_batch_of_a_segment_that_came_again_before_a_replay_counts_once(tmp_path: Path) -> None:
    """Its append was not acknowledged, so its sender gave it to another backend of the same store."""
    await leave_a_journal(tmp_path)
    other = Remembering()
    async with running(other) as pipeline:
        await pipeline.submit(named("a", 2))
    async with writing_ahead(other, tmp_path / "crashed") as pipeline:
        assert counter(pipeline, "logs_repeated_total") == 2
    assert total(other) == 5
