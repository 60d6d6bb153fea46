"""What expressions share is what each would read by itself, with fewer questions and within bounds."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities.ids import service_id, service_relation_id
from backend.query.mqe import shared_series
from backend.query.mqe.duration import Duration, Step, between
from backend.query.mqe.entities import entity_id
from backend.query.mqe.reader import Entity, LabelledValues
from backend.query.mqe.shared_series import Asked, SharedSeries
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Flush, MeasureSchema, MetricSchema, Precision, StorageError
from tests.backend.query.counting import Counting
from tests.backend.query.mqe.asking import CATALOG

START = 30_000_000 - 30_000_000 % 1_440
CPM, TIME = "kubernetes_service_http_call_cpm", "kubernetes_service_http_call_time"
PERCENTILE = "kubernetes_service_percentile"
RELATION = "kubernetes_service_relation_client_http_call_cpm"
NAMES = [f"s{number}" for number in range(5)]


def span(first: int = 0, points: int = 10, step: Step = Step.MINUTE, offset: int = 0) -> Duration:
    begin = (START + first) * 60
    return between(begin, begin + (points - 1) * step.value, step, offset)


def shared(storage: Counting, asked: Sequence[Asked]) -> SharedSeries:
    return SharedSeries(storage, CATALOG, lambda: asked)


def read(series: SharedSeries, names: Sequence[str], entity: Entity, duration: Duration) -> None:
    metrics = map(CATALOG.metric, names)
    series.read({metric: entity_id(metric.scope, entity) for metric in metrics}, duration)


def test_one_question_is_for_all_of_a_span_and_others_for_other_spans() -> None:
    storage = Counting()
    asked = [Asked(f"{CPM} + {TIME}", Entity(name), span()) for name in NAMES[:3]]
    asked += [Asked(f"increase({CPM}, 2)", Entity("s0"), span()), Asked(CPM, Entity("s4"), span(10))]
    series = shared(storage, asked)
    for one in asked[:3]:
        read(series, [CPM], one.entity, one.duration)
        read(series, [TIME], one.entity, one.duration)
    read(series, [CPM], Entity("s0"), span().extended(2))
    read(series, [CPM], Entity("s4"), span(10))
    three = tuple(service_id(name) for name in NAMES[:3])
    assert storage.questions == [
        (frozenset({CPM, TIME}), three, START, START + 9, Precision.MINUTE),
        (frozenset({CPM}), three[:1], START - 2, START + 9, Precision.MINUTE),
        (frozenset({CPM}), (service_id("s4"),), START + 10, START + 19, Precision.MINUTE),
    ]


def test_baselines_of_many_are_read_by_the_day_before() -> None:
    storage = Counting()
    asked = [Asked(f"baseline({CPM}, upper)", Entity(name), span()) for name in NAMES]
    series = shared(storage, asked)
    for one in asked:
        for days in range(1, 8):
            read(series, [CPM], one.entity, one.duration.before(days * 1_440))
    assert [first for _, _, first, _, _ in storage.questions] == [START - days * 1_440 for days in range(1, 8)]
    assert all(len(entities) == len(NAMES) for _, entities, *_ in storage.questions)


def test_what_nobody_was_said_to_need_is_read_alone() -> None:
    storage = Counting()
    series = shared(storage, [Asked(CPM, Entity("s0"), span())])
    read(series, [CPM], Entity("s1"), span())
    assert storage.pairs() == [({CPM}, [service_id("s1")])]


def test_metrics_of_different_entities_are_not_read_of_all_when_that_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Asked(CPM, Entity(f"a{number}"), span()) for number in range(40)]
    asked += [Asked(TIME, Entity(f"b{number}"), span()) for number in range(40)]
    asked += [Asked(PERCENTILE, Entity("c"), span())]
    # The first two may be read together: no more than half of it is in vain.
    for small, questions in ((100_000, 1), (10, 2)):
        monkeypatch.setattr(shared_series, "SMALL", small)
        storage = Counting()
        series = shared(storage, asked)
        for one in asked:
            read(series, [one.expression], one.entity, one.duration)
        assert len(storage.questions) == questions


def test_a_question_is_for_so_much_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_series, "MAXIMUM_TOGETHER", 40)
    storage = Counting()
    asked = [Asked(f"{CPM} + {TIME}", Entity(name), span()) for name in NAMES]
    series = shared(storage, asked)
    for one in asked:
        read(series, [CPM, TIME], one.entity, one.duration)
    assert [len(entities) for _, entities in storage.pairs()] == [2, 2, 1]


def test_so_much_is_kept_and_the_rest_is_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_series, "MAXIMUM_SHARED", 30)
    storage = Counting()
    asked = [Asked(CPM, Entity(name), span()) for name in NAMES]
    series = shared(storage, asked)
    for one in asked:
        read(series, [CPM], one.entity, one.duration)
    ids = [service_id(name) for name in NAMES]
    assert storage.pairs() == [({CPM}, ids[:3]), ({CPM}, ids[3:4]), ({CPM}, ids[4:])]


def test_a_store_that_fails_is_asked_again() -> None:
    class Failing(Counting):
        def metrics(self, *asked: object, **more: object) -> pl.DataFrame:
            if len(self.questions) < 1:
                self.questions.append((frozenset(), (), 0, 0, Precision.MINUTE))
                raise StorageError("not now")
            return super().metrics(*asked, **more)  # type: ignore[arg-type] # those of MemoryStorage

    series = shared(Failing(), [Asked(CPM, Entity("s0"), span())])
    with pytest.raises(StorageError):
        read(series, [CPM], Entity("s0"), span())
    read(series, [CPM], Entity("s0"), span())


def test_threads_that_need_the_same_wait_for_one_question() -> None:
    class Gated(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.let = threading.Event(), threading.Event()

        def metrics(self, *asked: object, **more: object) -> pl.DataFrame:
            self.begun.set()
            assert self.let.wait(120)
            return super().metrics(*asked, **more)  # type: ignore[arg-type] # those of MemoryStorage

    storage = Gated()
    series = shared(storage, [Asked(CPM, Entity(name), span()) for name in NAMES])
    threads = [threading.Thread(target=read, args=(series, [CPM], Entity(name), span())) for name in NAMES]
    for thread in threads:
        thread.start()
    assert storage.begun.wait(120)
    storage.let.set()
    for thread in threads:
        thread.join(60)
    assert storage.pairs() == [({CPM}, [service_id(name) for name in NAMES])]


EXPRESSIONS = [
    CPM,
    f"{CPM} * {TIME}",
    PERCENTILE,
    f"{PERCENTILE}{{p='50,99'}}",
    RELATION,
    f"rate({CPM}, 3)",
    f"baseline({TIME}, lower)",
    f"view_as_seq(nothing, max({CPM}))",
    "kubernetes_service_write_package_size",
    "1 +",
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckdbStorage]:
    path: Path = tmp_path_factory.mktemp("shared") / "store.duckdb"
    storage = DuckdbStorage(path)
    generator = np.random.default_rng(5)
    pairs = [service_relation_id(service_id(one), service_id(other)) for one in NAMES for other in NAMES]
    rows = []
    for minute in generator.integers(-3_000, 3_000, 400).tolist():
        name, pair = service_id(NAMES[minute % len(NAMES)]), pairs[minute % len(pairs)]
        rows += [(metric, "", name, START + minute, minute % 97, 3) for metric in (CPM, TIME)]
        rows += [(PERCENTILE, str(minute % 11), name, START + minute, 1, 0), (RELATION, "", pair, START + minute, 5, 0)]
    frame = pl.DataFrame(rows, MetricSchema, orient="row").unique(["metric", "label", "entity", "minute"])
    storage.write(Flush("one", frame, measures=pl.DataFrame(schema=MeasureSchema)))
    yield storage
    storage.close()


entities = st.builds(
    Entity, service=st.sampled_from([*NAMES, None]), destination_service=st.sampled_from([*NAMES, None])
)
spans = st.builds(
    span,
    st.integers(-200, 200),
    st.sampled_from([1, 7, 90]),
    st.sampled_from([Step.MINUTE, Step.HOUR, Step.DAY]),
    st.sampled_from([0, 330, -60]),
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.builds(Asked, st.sampled_from(EXPRESSIONS), entities, st.shared(spans) | spans), max_size=8),
    st.sampled_from([10, 25_000]),
)
def test_what_is_shared_is_what_each_reads_alone(stored: DuckdbStorage, asked: list[Asked], small: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_series, "SMALL", small)
        together = SharedSeries(stored, CATALOG, lambda: asked)
        for metric, entity, duration in SharedSeries(stored, CATALOG, lambda: asked)._wanted():
            found = together.read({metric: entity}, duration)[metric.name]
            alone = SharedSeries(stored, CATALOG).read({metric: entity}, duration)[metric.name]
            assert shown(found) == shown(alone)


def shown(series: Sequence[LabelledValues]) -> list[tuple[object, list[str]]]:
    """As text, in which missing numbers are equal to each other."""
    return [(one.labels, list(map(str, one.values.tolist()))) for one in series]
