"""The engine over real stores: what begins, goes on and ends, and what is told of it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backend.alarms import minute as minute_module
from backend.alarms.engine import Engine
from backend.alarms.record_file import FileRecords
from backend.entities.ids import (
    endpoint_id,
    instance_id,
    instance_relation_id,
    service_id,
    service_relation_id,
)
from backend.oal.buckets import buckets_of
from backend.query.catalog import Catalog
from backend.query.graphql.alarms import Alarm, AlarmedMetric, AlarmQuery, Found
from backend.query.graphql.inputs import Page
from backend.query.mqe.answer import KeyValue, Metadata, Value, Values
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Storage, StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.alarms.world import (
    API,
    CATALOG,
    CPM,
    DEFINITIONS,
    LAYER,
    MINUTE,
    NANOSECONDS,
    RATE,
    TIME,
    WEB,
    calls,
    rule,
    settings,
    write,
)

BUSY = f"sum({CPM}) > 10"
EVERYTHING = AlarmQuery(0, 1 << 60, Page(0, 1_000))


@pytest.fixture(params=["memory", "duckdb"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    found: Storage = MemoryStorage() if request.param == "memory" else DuckdbStorage(tmp_path / "store.duckdb")
    yield found
    found.close()


@pytest.fixture
def records(tmp_path: Path) -> Iterator[FileRecords]:
    found = FileRecords(tmp_path / "alarms.sqlite")
    yield found
    found.close()


def engine_of(storage: Storage, records: FileRecords, folder: Path, text: str) -> Engine:
    return Engine(storage, lambda: CATALOG, records, settings(folder, text).rules)


def told(engine: Engine, minute: int) -> list[tuple[str, str, int | None]]:
    """Rule, name and recovery (in minutes after MINUTE) of what is told of a minute after MINUTE."""
    return [
        (
            notice.alarm.rule,
            notice.alarm.name,
            None if notice.alarm.recovery is None else notice.alarm.recovery // 60_000 - MINUTE,
        )
        for notice in engine.check(MINUTE + minute)
    ]


def test_an_alarm_from_its_begin_to_its_end(storage: Storage, records: FileRecords, tmp_path: Path) -> None:
    calls(storage, API, {0: 5, 1: 11, 2: 12, 3: 13, 4: 1})
    calls(storage, WEB, dict.fromkeys(range(5), 10))
    engine = engine_of(storage, records, tmp_path, rule(BUSY, silence_period=1, message="'{name} is busy: {name}'"))
    assert told(engine, 0) == []
    (notice,) = engine.check(MINUTE + 1)
    start = (MINUTE + 2) * 60_000
    alarm = Alarm(
        id=API,
        destination_id="",
        scope="Service",
        name="api",
        rule="busy_rule",
        layer=LAYER,
        message="api is busy: api",
        start=start,
        expression=BUSY,
    )
    assert notice.alarm == alarm
    assert not notice.over
    assert told(engine, 2) == []
    assert engine.standing == {"FIRING": 0, "SILENCED_FIRING": 1, "OBSERVING_RECOVERY": 0}
    (again,) = engine.check(MINUTE + 3)
    assert again == notice
    assert told(engine, 4) == []
    (end,) = engine.check(MINUTE + 5)
    assert (end.uuid, end.alarm.start, end.alarm.recovery) == (notice.uuid, start, (MINUTE + 6) * 60_000)
    assert told(engine, 6) == []
    found = records.find(EVERYTHING)
    snapshot = AlarmedMetric(CPM, [Values(Metadata([]), [Value(str((MINUTE + 1) * 60_000), "11")])])
    assert found.total == 1
    assert found.alarms[0].metrics == [snapshot]
    assert found.alarms[0].recovery == (MINUTE + 6) * 60_000
    assert (engine.begun, engine.checked) == (1, 11)


@pytest.mark.parametrize(
    "case",
    [
        ("kubernetes_service_read_cpm", API, "api", "Service"),
        ("kubernetes_service_instance_read_cpm", instance_id(API, "i-1"), "i-1 of api", "ServiceInstance"),
        ("kubernetes_service_endpoint_http_call_cpm", endpoint_id(API, "GET:/"), "GET:/ in api", "Endpoint"),
        (
            "kubernetes_service_relation_client_read_cpm",
            service_relation_id(WEB, API),
            "web to api",
            "ServiceRelation",
        ),
        (
            "kubernetes_service_instance_relation_client_read_cpm",
            instance_relation_id(instance_id(WEB, "w"), instance_id(API, "a")),
            "w of web to a of api",
            "ServiceInstanceRelation",
        ),
    ],
)
def test_every_scope_has_its_names(
    storage: Storage, records: FileRecords, tmp_path: Path, case: tuple[str, str, str, str]
) -> None:
    metric, entity, name, scope = case
    write(storage, [(metric, "", entity, MINUTE, 7, 0)])
    (notice,) = engine_of(storage, records, tmp_path, rule(f"sum({metric}) >= 7")).check(MINUTE)
    alarm = notice.alarm
    assert (alarm.name, alarm.scope, alarm.layer) == (name, scope, LAYER)
    assert (alarm.id, alarm.destination_id) == (entity.partition("-")[0], entity.partition("-")[2])


def test_a_window_is_as_long_as_the_period_and_read_anew(
    storage: Storage, records: FileRecords, tmp_path: Path
) -> None:
    calls(storage, API, {0: 4, 1: 4, 2: 2, 3: 4})
    engine = engine_of(storage, records, tmp_path, rule(BUSY, period=3, silence_period=0))
    assert told(engine, 2) == []
    assert told(engine, 3) == []
    # Late: it counts for the minutes after it.
    calls(storage, API, {2: 1}, "late")
    assert told(engine, 4) == []
    calls(storage, API, {3: 7}, "later")
    assert told(engine, 5) == [("busy_rule", "api", None)]
    assert told(engine, 6) == [("busy_rule", "api", 7)]


def test_one_label_is_enough(storage: Storage, records: FileRecords, tmp_path: Path) -> None:
    low, high = (str(bucket) for bucket in buckets_of(np.array([10, 2_000])))
    metric = "kubernetes_service_percentile"
    write(storage, [(metric, low, API, MINUTE, 80, 0), (metric, high, API, MINUTE, 20, 0)])
    text = rule(f"sum({metric}{{p='50,90'}} > 1000) >= 1", silence_period=0)
    (notice,) = engine_of(storage, records, tmp_path, text).check(MINUTE)
    assert notice.alarm.name == "api"
    labels = [series.metric for series in records.find(EVERYTHING).alarms[0].metrics[0].results]
    assert labels == [Metadata([KeyValue("p", rank)]) for rank in ("50", "75", "90", "95", "99")]


def test_metrics_of_several_kinds_and_values_without_data(
    storage: Storage, records: FileRecords, tmp_path: Path
) -> None:
    write(
        storage,
        [
            (TIME, "", API, MINUTE, 3 * 2_000 * NANOSECONDS, 3),
            (RATE, "", API, MINUTE, 1, 4),
            (TIME, "", WEB, MINUTE, 2_000 * NANOSECONDS, 1),
        ],
    )
    text = rule(f"(avg({TIME}) == 2000) && (avg({RATE}) == 2500)")
    assert told(engine_of(storage, records, tmp_path, text), 0) == [("busy_rule", "api", None)]


def test_names_choose_what_a_rule_is_about(storage: Storage, records: FileRecords, tmp_path: Path) -> None:
    names = ["a-1", "a-2", "b-1", "b-2"]
    known = {name: service_id(name) for name in names}
    write(storage, [(CPM, "", entity, MINUTE, 11, 0) for entity in known.values()], services=known)
    text = "rules:\n" + "".join(
        f"  {name}_rule: {{expression: '{BUSY}', {fields}}}\n"
        for name, fields in (
            ("all", ""),
            ("included", "include-names: [a-1, b-2]"),
            ("excluded", "exclude-names: [a-1, b-2]"),
            ("whole", "include-names-regex: 'a'"),
            ("pattern", "include-names-regex: 'a.*', exclude-names-regex: '.*2'"),
            ("both", "include-names: [a-1, b-1], include-names-regex: 'b.*'"),
        )
    )
    found: dict[str, list[str]] = {}
    for of_rule, name, _ in told(engine_of(storage, records, tmp_path, text), 0):
        found.setdefault(of_rule, []).append(name)
    assert found == {
        "all_rule": names,
        "included_rule": ["a-1", "b-2"],
        "excluded_rule": ["a-2", "b-1"],
        "pattern_rule": ["a-1"],
        "both_rule": ["b-1"],
    }


def test_a_restart_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    held = {minute: 11 if minute in {1, 2, 3, 6, 7, 8, 9} else 1 for minute in range(20)}
    calls(storage, API, held)
    text = rule(BUSY, silence_period=2, recovery_observation_period=1)
    told_of = []
    for restarts in (False, True):
        file = tmp_path / f"alarms-{restarts}"
        records = FileRecords(file)
        engine = engine_of(storage, records, tmp_path, text)
        notices = []
        for minute in range(20):
            notices += engine.check(MINUTE + minute)
            if restarts:
                records.close()
                records = FileRecords(file)
                engine = engine_of(storage, records, tmp_path, text)
                assert engine.minute == MINUTE + minute
        told_of.append((notices, records.find(EVERYTHING)))
        records.close()
    assert told_of[0] == told_of[1]
    assert [notice.over for notice in told_of[0][0]] == [False, True, False, False, True]


def test_two_engines_give_alarms_the_same_ids(storage: Storage, tmp_path: Path) -> None:
    calls(storage, API, {0: 11, 1: 1, 2: 11})
    told_of = []
    for name in ("one", "two"):
        records = FileRecords(tmp_path / name)
        engine = engine_of(storage, records, tmp_path, rule(BUSY, silence_period=0))
        told_of.append([notice for minute in range(3) for notice in engine.check(MINUTE + minute)])
        records.close()
    assert told_of[0] == told_of[1]
    first, end, second = told_of[0]
    assert first.uuid == end.uuid != second.uuid


def test_a_rule_that_is_gone_or_no_longer_about_an_entity_ends_its_alarms(
    storage: Storage, records: FileRecords, tmp_path: Path
) -> None:
    calls(storage, API, dict.fromkeys(range(4), 11))
    calls(storage, WEB, dict.fromkeys(range(4), 11))
    engine = engine_of(storage, records, tmp_path, rule(BUSY, silence_period=9))
    assert len(told(engine, 0)) == 2
    engine.use(settings(tmp_path, rule(BUSY, silence_period=9, exclude_names="[api]")).rules)
    assert told(engine, 1) == [("busy_rule", "api", 2)]
    engine.use(())
    assert told(engine, 2) == []
    assert {alarm.name: alarm.recovery for alarm in records.find(EVERYTHING).alarms} == {
        "api": (MINUTE + 2) * 60_000,
        "web": (MINUTE + 3) * 60_000,
    }
    assert records.load().standing == {}


def test_an_alarm_of_a_changed_rule_goes_on(storage: Storage, records: FileRecords, tmp_path: Path) -> None:
    calls(storage, API, {0: 11, 1: 11})
    engine = engine_of(storage, records, tmp_path, rule(BUSY, silence_period=0))
    (begun,) = engine.check(MINUTE)
    engine.use(settings(tmp_path, rule(f"sum({CPM}) > 100", silence_period=0)).rules)
    (end,) = engine.check(MINUTE + 1)
    assert end.uuid == begun.uuid
    assert end.over


def test_a_metric_that_is_gone_fails_its_rule_alone(storage: Storage, records: FileRecords, tmp_path: Path) -> None:
    calls(storage, API, {0: 11, 1: 11})
    write(storage, [(TIME, "", API, MINUTE + minute, 5_000 * NANOSECONDS, 1) for minute in range(2)], "times")
    text = rule(BUSY, silence_period=0) + f"  slow_rule: {{expression: 'avg({TIME}) > 1'}}\n"
    catalogs = [CATALOG]
    engine = Engine(storage, lambda: catalogs[-1], records, settings(tmp_path, text).rules)
    assert len(engine.check(MINUTE)) == 2
    catalogs.append(Catalog(one for one in DEFINITIONS if one.name != TIME))
    assert told(engine, 1) == [("busy_rule", "api", None)]
    assert engine.failed == {"slow_rule": 1}
    # Nothing is known of it, so its alarm stays.
    assert {rule for rule, _ in records.load().standing} == {"busy_rule", "slow_rule"}


class Failing:
    """A store that fails when it is told to."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.failing = False

    def __getattr__(self, name: str) -> object:
        if self.failing:
            raise StorageError("away")
        return getattr(self._storage, name)


def test_a_minute_that_failed_is_checked_again_from_the_same_begin(
    storage: Storage, records: FileRecords, tmp_path: Path
) -> None:
    calls(storage, API, {0: 11, 1: 1})
    failing = Failing(storage)
    engine = engine_of(failing, records, tmp_path, rule(BUSY, silence_period=0))  # type: ignore[arg-type] # a Storage by __getattr__
    engine.check(MINUTE)
    before = records.load()
    failing.failing = True
    with pytest.raises(StorageError, match="away"):
        engine.check(MINUTE + 1)
    assert (records.load(), engine.minute) == (before, MINUTE)
    failing.failing = False
    assert told(engine, 1) == [("busy_rule", "api", 2)]


def test_entities_and_alarms_are_bounded_and_counted(
    storage: Storage, records: FileRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minute_module, "MAXIMUM_ENTITIES", 3)
    monkeypatch.setattr(minute_module, "MAXIMUM_STANDING", 2)
    known = {f"s-{number}": service_id(f"s-{number}") for number in range(5)}
    names = sorted(known, key=lambda name: known[name])
    rows = [(CPM, "", entity, MINUTE + minute, 11, 0) for entity in known.values() for minute in range(3)]
    write(storage, [*rows, (CPM, "", "no id", MINUTE, 11, 0)], services=known)
    engine = engine_of(storage, records, tmp_path, rule(BUSY, silence_period=0))
    first = told(engine, 0)
    assert [name for _, name, _ in first] == names[:2]
    assert engine.left_out == {"entities": 2, "standing": 1, "unnamed": 1}
    # Those that have an alarm are checked first.
    assert told(engine, 1) == first
    # An alarm that ends makes room.
    write(storage, [(CPM, "", known[names[4]], MINUTE + 3, 11, 0)], "last", services=known)
    assert told(engine, 3) == [
        ("busy_rule", names[0], 4),
        ("busy_rule", names[1], 4),
        ("busy_rule", names[4], None),
    ]


def test_there_is_nothing_to_find_before_anything_began(records: FileRecords) -> None:
    assert records.find(EVERYTHING) == Found([], 0)
