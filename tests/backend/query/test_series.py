"""Series of the JSON API: every function, at each step, of what the store still has."""

import polars as pl

from backend.entities.ids import service_id
from backend.metrics.windows import Step
from backend.oal.buckets import buckets_of
from backend.oal.loader import load_texts
from backend.query.catalog import Catalog
from backend.query.series import metrics
from backend.query.times import Window
from backend.storage.interface import Flush, MeasureSchema, MetricSchema, Retention
from backend.storage.memory import MemoryStorage

SCRIPT = """
reads = from(K8SService.*).filter(type == "read").cpm();
slowest = from(K8SService.read.duration).filter(type == "read").max();
ratio = from(K8SService.read.duration).filter(type == "read").doubleAvg();
calls = from(K8SService.*).filter(type == "read").labelCount(read.syscall);
spread = from(K8SService.protocol.http.latency).filter(type == "protocol").percentile2(10);
"""
CATALOG = Catalog(load_texts({"test.oal": SCRIPT}).definitions)
API = service_id("api")
DAY = 1_440
START = 20_000 * DAY


def stored() -> MemoryStorage:
    storage = MemoryStorage()
    bucket = str(buckets_of(pl.Series([100]).to_numpy())[0])
    rows = [
        (name, label, API, START + minute, summation, count)
        for minute in (0, 30)
        for name, label, summation, count in (
            ("reads", "", 60, 0),
            ("ratio", "", 5, 2),
            ("calls", "Recv", 3, 0),
            ("calls", "Read", 4, 0),
            ("spread", bucket, 9, 0),
        )
    ]
    measures = [
        ("slowest", "", API, START + minute, 0.0, 1, float(value), float(value)) for minute, value in ((0, 7), (30, 9))
    ]
    storage.write(
        Flush(
            "test",
            pl.DataFrame(rows, schema=MetricSchema, orient="row"),
            measures=pl.DataFrame(measures, schema=MeasureSchema, orient="row"),
        )
    )
    return storage


def ask(storage: MemoryStorage, name: str, step: Step) -> dict[str | None, list[int | float | None]]:
    window = Window(START, START + 59, (START + DAY) * 60.0)
    answer = metrics(storage, CATALOG, [name], API, window=window, step=step)
    return {series.label: [point.value for point in series.points] for series in answer.series}


def test_every_function_is_read_by_its_rule_with_its_labels() -> None:
    storage = stored()
    assert ask(storage, "reads", Step.HOUR) == {None: [2]}
    assert ask(storage, "slowest", Step.HOUR) == {None: [9]}
    assert ask(storage, "ratio", Step.HOUR) == {None: [2.5]}
    assert ask(storage, "calls", Step.HOUR) == {"Read": [8], "Recv": [6]}
    by_rank = ask(storage, "spread", Step.HOUR)
    assert list(by_rank) == ["p50", "p75", "p90", "p95", "p99"]
    assert len({tuple(values) for values in by_rank.values()}) == 1
    minutes = ask(storage, "slowest", Step.MINUTE)[None]
    assert [value for value in minutes if value is not None] == [7, 9]
    assert len(minutes) == 60


def test_hours_remain_when_their_minutes_are_forgotten() -> None:
    storage = stored()
    storage.maintain(START + DAY, START + DAY, Retention(minutes=60, hours=10 * DAY, days=10 * DAY, metadata=10 * DAY))
    assert ask(storage, "reads", Step.MINUTE) == {None: [None] * 60}
    assert ask(storage, "reads", Step.HOUR) == {None: [2]}
    assert ask(storage, "slowest", Step.HOUR) == {None: [9]}
