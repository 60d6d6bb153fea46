"""Rankings by top_n() over what is stored."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from backend.entities.ids import (
    endpoint_id,
    instance_id,
    service_id,
)
from backend.query.mqe import storage_reader
from backend.query.mqe.duration import Step, between
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import Entity
from backend.query.mqe.results import Owner, ResultType
from backend.query.mqe.storage_reader import StorageReader
from backend.storage.interface import (
    MetricSchema,
    Precision,
    Storage,
)
from backend.storage.memory import MemoryStorage
from tests.backend.query.mqe.asking import (
    API,
    CATALOG,
    CPM,
    INSTANCE_CPM,
    PERCENTILE,
    START,
    WEB,
    Row,
    ask,
    fill,
    minutes,
    write,
)


@pytest.mark.parametrize(
    ("text", "service", "expected"),
    [
        (f"top_n({INSTANCE_CPM}, 10, des)", None, [("api - api-2", 4), ("web - web-1", 4), ("api - api-1", 2)]),
        (f"top_n({INSTANCE_CPM}, 2, asc)", "", [("api - api-1", 2), ("api - api-2", 4)]),
        (f"top_n({INSTANCE_CPM}, 10, asc)", "api", [("api-1", 2), ("api-2", 4)]),
        (f"top_n({INSTANCE_CPM}, 10, asc)", "nobody", []),
        (f"top_n({CPM}, 10, des)", None, [("api", 13), ("web", 4)]),
        (f"top_n({CPM}, 10, des)", "web", [("api", 13), ("web", 4)]),
        (f"top_n({CPM}, 10, des, attr0='GENERAL')", None, [("web", 4)]),
        (f"top_n({CPM}, 10, des, attr0='K8S_SERVICE')", None, [("api", 13), ("web", 4)]),
        (f"top_n({CPM}, 10, des, attr0='K8S_SERVICE', attr0 != 'GENERAL')", None, [("api", 13)]),
        (f"top_n({INSTANCE_CPM}, 10, des, attr0 != 'GENERAL')", None, [("api - api-2", 4), ("api - api-1", 2)]),
        ("top_n(kubernetes_service_endpoint_call_cpm, 3, des)", None, [("api - GET:/_x-y", 5)]),
        ("top_n(kubernetes_service_endpoint_call_cpm, 3, des)", "api", [("GET:/_x-y", 5)]),
    ],
)
def test_ranking(storage: Storage, text: str, service: str | None, expected: list[tuple[str, float]]) -> None:
    fill(storage)
    result = evaluate(parse(text), StorageReader(storage, CATALOG, Entity(service)), minutes(START, START + 9))
    assert result.type is ResultType.SORTED_LIST
    (series,) = result.series
    names = [point.name for point in series.points if isinstance(point, Owner)]
    assert list(zip(names, series.values.tolist(), strict=True)) == expected


def test_owners_are_told_in_full(storage: Storage) -> None:
    fill(storage)
    reader = StorageReader(storage, CATALOG, Entity())
    text = f"top_n_of(top_n({INSTANCE_CPM}, 1, asc), top_n(kubernetes_service_endpoint_call_cpm, 1, asc), 2, asc)"
    (series,) = evaluate(parse(text), reader, minutes(START, START + 9)).series
    instance, endpoint = instance_id(API, "api-1"), endpoint_id(API, "GET:/_x-y")
    assert list(series.points) == [
        Owner(instance, "ServiceInstance", API, "api", True, "api-1", None, "api - api-1"),  # noqa: FBT003 - normal
        Owner(endpoint, "Endpoint", API, "api", True, None, "GET:/_x-y", "api - GET:/_x-y"),  # noqa: FBT003 - normal
    ]


def test_ranking_by_a_percentile(storage: Storage) -> None:
    rows: list[Row] = [(PERCENTILE, str(time), API, START, 1, 0) for time in range(1, 11)]
    write(storage, [*rows, (PERCENTILE, "7", WEB, START, 1, 0)])
    reader = StorageReader(storage, CATALOG, Entity())

    def ranked(text: str) -> list[tuple[str, float]]:
        (series,) = evaluate(parse(text), reader, minutes(START, START)).series
        names = [point.name for point in series.points if isinstance(point, Owner)]
        return list(zip(names, series.values.tolist(), strict=True))

    assert ranked(f"top_n({PERCENTILE}{{p='50'}}, 5, des)") == [("web", 7), ("api", 5)]
    assert ranked(f"top_n({PERCENTILE}{{p='99'}}, 5, des)") == [("api", 10), ("web", 7)]


@pytest.mark.parametrize("most", [1, 100, 1_000_000])
def test_a_ranking_is_by_the_mean_that_avg_gives_however_it_is_cut(
    storage: Storage, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(7)
    chosen = sorted(generator.choice(200, 120, replace=False).tolist())
    rows: list[Row] = [
        (CPM, "", service, START + minute, int(generator.integers(0, 1_000)), 0)
        for service in (API, WEB)
        for minute in chosen
    ]
    write(storage, rows)
    monkeypatch.setattr(storage_reader, "SLICE_ROWS", most)
    duration = minutes(START, START + 199)
    (series,) = evaluate(parse(f"top_n({CPM}, 5, asc)"), StorageReader(storage, CATALOG, Entity()), duration).series
    means = {service: sum(row[4] for row in rows if row[2] == service) / len(chosen) for service in (API, WEB)}
    ranked = [point.id for point in series.points if isinstance(point, Owner)]
    assert ranked == sorted(means, key=lambda service: means[service])
    assert series.values.tolist() == sorted(means.values())
    assert ask(storage, f"avg({CPM})", duration) == [({}, [means[API]])]


@pytest.mark.parametrize(
    ("step", "offset", "points", "most", "sizes"),
    [
        # 10 rows a bucket: 30 buckets to begin with, then as many as make 400 rows.
        (Step.MINUTE, 0, 200, 540, [30, 40, 40, 40, 40, 10]),
        (Step.HOUR, 0, 100, 9, [30, 40, 30]),
        # Hours of such a zone are 60 minutes each, and one at a time is the least.
        (Step.HOUR, 330, 3, 540, [1, 1, 1]),
    ],
)
def test_rankings_ask_for_so_many_rows_at_a_time(
    step: Step, offset: int, points: int, *, most: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    class Ten(MemoryStorage):
        """Ten entities, each with a row in every bucket of the precision."""

        def metrics(
            self,
            names: Sequence[str],
            entities: Sequence[str],
            first_minute: int,
            last_minute: int,
            precision: Precision = Precision.MINUTE,
        ) -> pl.DataFrame:
            assert (list(names), list(entities)) == ([CPM], [])
            asked.append((first_minute, last_minute))
            rows = [
                (CPM, "", service_id(str(number)), minute, 60 * number, 0)
                for number in range(10)
                for minute in range(first_minute, last_minute + 1, precision)
            ]
            return pl.DataFrame(rows, MetricSchema, orient="row")

    monkeypatch.setattr(storage_reader, "SLICE_ROWS", 400)
    duration = between(START * 60, START * 60 + (points - 1) * step.value, step, offset)
    top = evaluate(parse(f"top_n({CPM}, 1, des)"), StorageReader(Ten(), CATALOG, Entity()), duration)
    assert top.series[0].values.tolist() == [most]
    length = step.value // 60
    assert [(last - first + 1) // length for first, last in asked] == sizes
    assert [first for first, _ in asked[1:]] == [last + 1 for _, last in asked[:-1]]
