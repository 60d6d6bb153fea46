"""Minutes that are checked when they are due, by a clock that the test sets."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from backend.alarms import watch as watch_module
from backend.alarms.couriers import Couriers
from backend.alarms.engine import Engine
from backend.alarms.record_file import FileRecords
from backend.alarms.records import Notice
from backend.alarms.schedule import DELAY
from backend.alarms.telemetry import AlarmCollector
from backend.alarms.watch import KEPT, AlarmWatch
from backend.alarms.webhook import Webhook
from backend.query.graphql.alarms import AlarmQuery
from backend.query.graphql.inputs import Page
from backend.storage.interface import StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.alarms.receivers import receiving
from tests.backend.alarms.world import API, CATALOG, CPM, MINUTE, calls, rule, settings
from tests.waiting import eventually


class World:
    """A watch and all that it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = MemoryStorage()
        self.records = FileRecords(folder / "alarms.sqlite")
        self.engine = Engine(self.storage, lambda: CATALOG, self.records)
        self.now = 0.0
        self.couriers = Couriers()
        self.watch = AlarmWatch(
            self.engine, self.records, self.couriers, interval=0.001, retry_delay=0.001, clock=lambda: self.now
        )

    def at(self, minute: int, seconds: float = DELAY) -> None:
        """Set the clock to that of a minute after MINUTE."""
        self.now = (MINUTE + minute) * 60 + seconds

    def use(self, limit: int = 10, url: str = "http://127.0.0.1:1/") -> None:
        text = rule(f"sum({CPM}) > {limit}", silence_period=0)
        self.watch.use(
            settings(self.folder, f"{text}hooks: {{webhook: {{a: {{is-default: true, urls: ['{url}']}}}}}}\n")
        )

    def starts(self) -> list[int]:
        """When alarms began, in minutes after MINUTE."""
        found = self.records.find(AlarmQuery(0, 1 << 60, Page(0, 100)))
        return [alarm.start // 60_000 - MINUTE for alarm in found.alarms]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.watch.stop(0)
    made.records.close()


async def test_each_minute_is_checked_once_when_it_is_due(world: World) -> None:
    world.use()
    calls(world.storage, API, {0: 11, 2: 11})
    world.at(1, DELAY - 1)
    assert await world.watch.check()
    assert (world.engine.minute, world.starts()) == (MINUTE - 1, [])
    world.at(1)
    assert await world.watch.check()
    assert await world.watch.check()
    assert (world.engine.minute, world.starts()) == (MINUTE, [1])
    # Two minutes at once: the alarm ends and begins again.
    world.at(3)
    assert await world.watch.check()
    assert (world.engine.minute, world.starts()) == (MINUTE + 2, [3, 1])


async def test_minutes_that_are_long_gone_are_skipped_and_counted(world: World) -> None:
    world.at(1)
    await world.watch.check()
    world.at(31)
    await world.watch.check()
    assert (world.engine.minute, world.watch.skipped) == (MINUTE + 30, 20)
    assert world.engine.checked == 0


async def test_a_failure_is_counted_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.use()
    calls(world.storage, API, {0: 11})
    world.at(1)
    with monkeypatch.context() as patch:
        for number, error in enumerate((StorageError("away"), ZeroDivisionError("a defect")), 1):

            def fail(*_: object, error: Exception = error) -> None:
                raise error

            patch.setattr(world.storage, "metrics", fail)
            assert not await world.watch.check()
            assert (world.watch.failures, world.engine.minute) == (number, None)
    assert await world.watch.check()
    assert world.starts() == [1]


async def test_notices_are_told_though_the_records_cannot_be_tidied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.use()
    calls(world.storage, API, {0: 11})
    world.at(1)
    told: list[Notice] = []

    def tell(notices: Sequence[Notice]) -> None:
        told.extend(notices)

    def fail(*_: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(world.couriers, "tell", tell)
    monkeypatch.setattr(world.records, "forget", fail)
    assert not await world.watch.check()
    assert ([notice.alarm.name for notice in told], world.watch.failures) == (["api"], 1)


async def test_alarms_are_forgotten_after_three_days_and_when_there_are_too_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.use()
    calls(world.storage, API, {0: 11, 2: 11, 4: 11})
    for minute in range(1, 7):
        world.at(minute)
        await world.watch.check()
    assert world.starts() == [5, 3, 1]
    world.at(1 + KEPT // 60_000, DELAY)
    await world.watch.check()
    assert world.starts() == [5, 3, 1]
    world.at(2 + KEPT // 60_000, DELAY)
    await world.watch.check()
    assert (world.starts(), world.watch.forgotten) == ([5, 3], 0)
    monkeypatch.setattr(watch_module, "MAXIMUM_KEPT", 1)
    world.at(3 + KEPT // 60_000, DELAY)
    await world.watch.check()
    assert (world.starts(), world.watch.forgotten) == ([5], 1)


async def test_it_checks_by_itself_and_tells_a_server(world: World) -> None:
    async with receiving() as receiver:
        world.use(url=receiver.url)
        calls(world.storage, API, {0: 11})
        world.at(1)
        await world.watch.start()
        await eventually(lambda: len(receiver.bodies) == 1)
        world.at(2)
        await eventually(lambda: world.engine.minute == MINUTE + 1)
        await eventually(lambda: world.couriers.delivered["webhook.a"] == 1)
        await world.watch.stop(60)
    assert world.starts() == [1]


async def test_everything_is_counted(world: World) -> None:
    registry = CollectorRegistry()
    registry.register(AlarmCollector(world.watch))
    world.use()
    world.couriers.use({"webhook.a": Webhook([])})
    calls(world.storage, API, {0: 11})
    world.at(1)
    await world.watch.check()
    found = {
        (sample.name.removeprefix("pyrover_backend_alarm"), *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }
    assert found == {
        ("_leads",): 1,
        ("s_begun_total",): 1,
        ("s_standing", "FIRING"): 1,
        ("s_standing", "SILENCED_FIRING"): 0,
        ("s_standing", "OBSERVING_RECOVERY"): 0,
        ("_checks_total",): 1,
        ("_entities_left_out_total", "entities"): 0,
        ("_entities_left_out_total", "standing"): 0,
        ("_entities_left_out_total", "unnamed"): 0,
        ("_minute_failures_total",): 0,
        ("_minutes_skipped_total",): 0,
        ("s_forgotten_total",): 0,
        ("_notices_waiting", "webhook.a"): 0,
    }
