"""Expressions over what is stored, against sums made one row at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities.ids import (
    endpoint_id,
    endpoint_relation_id,
    instance_id,
    instance_relation_id,
    service_id,
    service_relation_id,
)
from backend.metrics.windows import Compatibility
from backend.oal.buckets import buckets_of
from backend.oal.loader import load, load_texts
from backend.query.catalog import Catalog
from backend.query.mqe import storage_reader
from backend.query.mqe.duration import Duration, Step, between
from backend.query.mqe.entities import entity_id
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import Entity, ReadingError
from backend.query.mqe.results import Owner, ResultType
from backend.query.mqe.storage_reader import StorageReader
from backend.query.mqe.syntax import MqeError, UnknownMetricError
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import (
    Endpoint,
    Flush,
    Instance,
    MeasureSchema,
    MetricSchema,
    Precision,
    Service,
    Storage,
)
from backend.storage.memory import MemoryStorage
from tests.backend.query.mqe import dashboards

DEFINITIONS = load(skip_unsupported=True).definitions
CATALOG = Catalog(DEFINITIONS)
API, WEB = service_id("api"), service_id("web")
OF_API = Entity("api")
DAY = 1_440
START = 20_000 * DAY  # a minute at midnight, UTC
CPM, RATE, TIME = (
    "kubernetes_service_http_call_cpm",
    "kubernetes_service_http_call_successful_rate",
    "kubernetes_service_read_time",
)
PERCENTILE = "kubernetes_service_percentile"
INSTANCE_CPM = "kubernetes_service_instance_http_call_cpm"

Row = tuple[str, str, str, int, int, int]
"""Metric, label, entity, minute, summation, count."""


@pytest.fixture(params=["memory", "duckdb"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    storage: Storage = MemoryStorage() if request.param == "memory" else DuckdbStorage(tmp_path / "store.duckdb")
    yield storage
    storage.close()


def write(storage: Storage, rows: list[Row], writer: str = "test", **more: object) -> None:
    storage.write(Flush(writer, pl.DataFrame(rows, schema=MetricSchema, orient="row"), **more))  # type: ignore[arg-type] # fields of Flush


def ask(
    storage: Storage, text: str, duration: Duration, entity: Entity = OF_API
) -> list[tuple[dict[str, str], list[float | None]]]:
    result = evaluate(parse(text), StorageReader(storage, CATALOG, entity), duration)
    return [
        (dict(series.labels), [None if np.isnan(value) else value for value in series.values.tolist()])
        for series in result.series
    ]


def minutes(first: int, last: int, step: Step = Step.MINUTE, offset: int = 0) -> Duration:
    return between(first * 60, last * 60, step, offset)


def test_minutes_without_rows_are_absent_and_not_zero(storage: Storage) -> None:
    write(storage, [(CPM, "", API, START, 7, 0), (CPM, "", API, START + 2, 0, 0), (CPM, "", WEB, START + 1, 9, 0)])
    duration = minutes(START - 1, START + 3)
    assert ask(storage, CPM, duration) == [({}, [None, 7, None, 0, None])]
    assert ask(storage, f"count({CPM})", duration) == [({}, [2])]
    assert ask(storage, CPM, duration, Entity("nobody")) == [({}, [None] * 5)]


def test_each_function_is_read_by_its_rule_at_every_step(storage: Storage) -> None:
    size = "kubernetes_service_write_package_size"
    rows: list[Row] = []
    for minute in range(START - 30, START + 2 * DAY, 10):
        rows += [(CPM, "", API, minute, 100, 0), (RATE, "", API, minute, 3, 4), (size, "", API, minute, 7, 0)]
    write(storage, rows)
    text = f"view_as_seq({CPM}) + 0 * {RATE} + 0 * {size}"
    assert ask(storage, text, minutes(START, START + 1)) == [({}, [100, None])]
    assert ask(storage, CPM, minutes(START, START + 60, Step.HOUR)) == [({}, [10, 10])]
    assert ask(storage, CPM, minutes(START, START + DAY, Step.DAY)) == [({}, [10, 10])]
    assert ask(storage, RATE, minutes(START, START + DAY, Step.DAY)) == [({}, [7_500, 7_500])]
    assert ask(storage, size, minutes(START - 60, START, Step.HOUR)) == [({}, [21, 42])]


@pytest.mark.parametrize("offset", [120, -300, 330, 345])
@pytest.mark.parametrize("step", [Step.HOUR, Step.DAY])
def test_hours_and_days_of_a_zone(storage: Storage, step: Step, offset: int) -> None:
    size = "kubernetes_service_write_package_size"
    stored = {START + number * 7: number + 1 for number in range(3 * DAY // 7)}
    write(storage, [(size, "", API, minute, value, 0) for minute, value in stored.items()])
    duration = minutes(START, START + 3 * DAY - 1 if step is Step.DAY else START + DAY, step, offset)
    expected = [
        sum(value for minute, value in stored.items() if bucket <= minute * 60 < bucket + step.value)
        for bucket in duration.buckets
    ]
    assert ask(storage, size, duration) == [({}, [value or None for value in expected])]
    assert (duration.buckets[0] + offset * 60) % step.value == 0


def test_percentiles_have_a_series_for_each_rank(storage: Storage) -> None:
    times = np.arange(1, 61)
    rows: list[Row] = [(PERCENTILE, str(bucket), API, START, 1, 0) for bucket in buckets_of(times)]
    write(storage, rows)
    duration = minutes(START, START + 1)
    assert ask(storage, PERCENTILE, duration) == [
        ({"p": str(rank)}, [value, None]) for rank, value in ((50, 30), (75, 45), (90, 54), (95, 57), (99, 60))
    ]
    relabelled = f"max(relabels({PERCENTILE}{{p='99,50'}}, p='99,50', percentile='P99,P50'))"
    assert ask(storage, relabelled, duration) == [({"percentile": "P99"}, [60]), ({"percentile": "P50"}, [30])]
    empty = ask(storage, PERCENTILE, minutes(START + 5, START + 6))
    assert [values for _, values in empty] == [[None, None]] * 5


@pytest.mark.parametrize(
    ("scope", "entity", "expected"),
    [
        ("K8SService", Entity("api"), API),
        ("K8SService", Entity("api", normal=False), service_id("api", normal=False)),
        ("K8SServiceInstance", Entity("api", instance="api-1"), instance_id(API, "api-1")),
        ("K8SEndpoint", Entity("api", endpoint="GET:/"), endpoint_id(API, "GET:/")),
        ("K8SServiceRelation", Entity("web", destination_service="api"), service_relation_id(WEB, API)),
        (
            "K8SServiceInstanceRelation",
            Entity("web", instance="w", destination_service="api", destination_instance="a"),
            instance_relation_id(instance_id(WEB, "w"), instance_id(API, "a")),
        ),
        (
            "K8SEndpointRelation",
            Entity("web", endpoint="GET:/", destination_service="api", destination_endpoint="GET:/a"),
            endpoint_relation_id(WEB, "GET:/", API, "GET:/a"),
        ),
    ],
)
def test_entities_by_their_names(scope: str, entity: Entity, expected: str) -> None:
    assert entity_id(scope, entity) == expected
    with pytest.raises(ReadingError, match="does not name"):
        entity_id(scope, Entity())
    with pytest.raises(ReadingError, match="does not name"):
        entity_id(scope, Entity("", instance="", endpoint="", destination_service=""))


def test_metrics_of_several_scopes_in_one_expression(storage: Storage) -> None:
    write(storage, [(CPM, "", API, START, 10, 0), (INSTANCE_CPM, "", instance_id(API, "api-1"), START, 4, 0)])
    entity = Entity("api", instance="api-1")
    assert ask(storage, f"{INSTANCE_CPM} / {CPM}", minutes(START, START), entity) == [({}, [0.4])]


WORLD = {API: ("K8S_SERVICE", ["api-1", "api-2"]), WEB: ("GENERAL", ["web-1"])}
LOADS = {"api-1": [1, 2, 3], "api-2": [8, 0], "web-1": [4]}


def fill(storage: Storage) -> None:
    """Instances and their calls in the first minutes: means are 2, 4 and 4."""
    instances = {name: instance_id(service, name) for service, (_, names) in WORLD.items() for name in names}
    rows: list[Row] = [
        (INSTANCE_CPM, "", instances[name], START + number, load, 0)
        for name, loads in LOADS.items()
        for number, load in enumerate(loads)
    ]
    rows += [(CPM, "", API, START, 13, 0), (CPM, "", WEB, START, 4, 0)]
    rows += [("kubernetes_service_endpoint_call_cpm", "", endpoint_id(API, "GET:/_x-y"), START, 5, 0)]
    write(
        storage,
        rows,
        services=[
            Service(API, "api", "K8S_SERVICE", START, START + 9),
            Service(WEB, "web", "GENERAL", START, START + 9, more_layers=("K8S_SERVICE",)),
        ],
        instances=[
            Instance(instances[name], service, name, START, START + 9)
            for service, (_, names) in WORLD.items()
            for name in names
        ],
        endpoints=[Endpoint(endpoint_id(API, "GET:/_x-y"), API, "GET:/_x-y", START, START + 9)],
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


@pytest.mark.parametrize(
    ("text", "entity", "error"),
    [
        ("kubernetes_service_http_call_cmp", Entity("api"), f"did you mean {CPM}"),
        (CPM, Entity(" "), "this is a metric of a service, which the entity asked about does not name"),
        (INSTANCE_CPM, Entity("api"), "this is a metric of an instance (serviceInstanceName), which the entity"),
        ("kubernetes_service_endpoint_call_cpm", Entity("api"), "a metric of an endpoint (endpointName)"),
        ("kubernetes_service_relation_connect_cpm", Entity("api"), "that is called (destServiceName)"),
        (
            "top_n(kubernetes_service_relation_connect_cpm, 1, asc)",
            Entity(),
            "top_n() ranks services, instances and endpoints, not what kubernetes_service_relation_connect_cpm is of",
        ),
        (
            f"top_n({PERCENTILE}, 1, asc)",
            Entity(),
            f"top_n() ranks by one number of each entity: choose it, as in {PERCENTILE}{{p='...'}}",
        ),
        (f"top_n({CPM}{{p='1'}}, 1, asc)", Entity(), "ranks by one number of each entity: write it without labels"),
        (f"top_n({CPM}, 1, asc, attr3='x')", Entity(), "attr3 is not kept: only attr0 is, a layer of the service"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(text: str, entity: Entity, error: str) -> None:
    with pytest.raises(MqeError) as caught:
        ask(MemoryStorage(), text, minutes(START, START), entity)
    assert error in str(caught.value)
    assert isinstance(caught.value, UnknownMetricError) == text.endswith("_cmp")


def test_nothing_is_kept_by_the_second() -> None:
    with pytest.raises(MqeError, match="metrics are kept by the minute: ask with the step MINUTE, HOUR or DAY"):
        ask(MemoryStorage(), CPM, between(START * 60, START * 60 + 9, Step.SECOND))


ENTITIES = {
    "services": (dashboards.SERVICES, Entity("web")),
    "tops": (dashboards.TOPS, Entity()),
    "instances": (dashboards.INSTANCES, Entity("web", instance="web-1")),
    "endpoints": (dashboards.ENDPOINTS, Entity("web", endpoint="GET:/")),
    "service relations": (dashboards.SERVICE_RELATIONS, Entity("web", destination_service="api")),
    "instance relations": (
        dashboards.INSTANCE_RELATIONS,
        Entity("web", instance="web-1", destination_service="api", destination_instance="api-1"),
    ),
}


@pytest.mark.parametrize("kind", ENTITIES)
def test_the_dashboards_ask_for_metrics_that_there_are(kind: str) -> None:
    storage = MemoryStorage()
    expressions, entity = ENTITIES[kind]
    scopes = {
        scope: entity_id(scope, entity)
        for scope in (
            "K8SService",
            "K8SServiceInstance",
            "K8SEndpoint",
            "K8SServiceRelation",
            "K8SServiceInstanceRelation",
        )
        if kind != "tops" and _has(scope, entity)
    } or {"K8SService": WEB, "K8SServiceInstance": instance_id(WEB, "i"), "K8SEndpoint": endpoint_id(WEB, "e")}
    rows: list[Row] = [
        (definition.name, "", scopes[definition.scope], START, 100, 5)
        for definition in DEFINITIONS
        if definition.scope in scopes
    ]
    write(storage, rows, services=[Service(WEB, "web", "K8S_SERVICE", START, START)])
    for text in expressions:
        result = evaluate(parse(text), StorageReader(storage, CATALOG, entity), minutes(START, START))
        assert result.has_values, text


def _has(scope: str, entity: Entity) -> bool:
    try:
        entity_id(scope, entity)
    except ReadingError:
        return False
    return True


CUSTOM = """
most = from(K8SService.connect.duration).filter(type == "connect").max();
mean = from(K8SService.connect.duration).filter(type == "connect").doubleAvg();
places = from(K8SService.connect.duration).filter(type == "connect").percentile(10);
by_side = from(K8SService.*).labelCount(detectPoint);
heat = from(K8SService.connect.duration).filter(type == "connect").histogram(100, 3);
"""


def test_functions_with_fractions_extremes_and_labels_of_every_kind(storage: Storage) -> None:
    rows: list[Row] = [
        ("mean", "", API, START, 7, 4),
        ("mean", "", API, START + 1, 1, 4),
        *(("places", str(bucket), API, START, 1, 0) for bucket in buckets_of(np.arange(1, 61))),
        ("by_side", "client", API, START, 3, 0),
        ("by_side", "server", API, START + 1, 4, 0),
        ("by_side", "server", WEB, START + 1, 9, 0),
        ("heat", "100", API, START, 5, 0),
    ]
    measures = pl.DataFrame(
        [
            ("most", "", API, START, 0.0, 2, 3.0, 8.0),
            ("most", "", API, START + 1, 0.0, 2, -5.0, 9.0),
            ("most", "", WEB, START + 1, 0.0, 1, 1.0, 2.0),
        ],
        schema=MeasureSchema,
        orient="row",
    )
    write(storage, rows, measures=measures)
    catalog = Catalog(load_texts({"custom.oal": CUSTOM}).definitions)

    def values(
        text: str, step: Step = Step.MINUTE, entity: Entity = OF_API
    ) -> dict[tuple[str, ...], list[float | None]]:
        reader = StorageReader(storage, catalog, entity)
        result = evaluate(parse(text), reader, minutes(START, START + 1, step))
        return {
            tuple(value for _, value in series.labels): [
                None if np.isnan(value) else value for value in series.values.tolist()
            ]
            for series in result.series
        }

    assert values("most + mean") == {(): [9.75, 9.25]}
    assert values("most", Step.HOUR) == {(): [9]}
    assert values("mean", Step.HOUR) == {(): [1]}
    assert values("places") == {(str(number),): [value, None] for number, value in enumerate((30, 45, 54, 57, 60))}
    assert values("by_side") == {("client",): [3, None], ("server",): [None, 4]}
    assert values("aggregate_labels(by_side, sum)", Step.HOUR) == {(): [7]}
    assert values("heat") == {("0",): [0, None], ("100",): [5, None], ("200",): [0, None], ("300",): [0, None]}
    assert values("by_side", entity=Entity("nobody")) == {}
    assert values("is_present(by_side)", entity=Entity("nobody")) == {(): [0]}
    assert values("top_n(most, 5, asc)", entity=Entity()) == {(): [2, 8.5]}
    assert values("top_n(by_side{n='server'}, 5, des)", entity=Entity()) == {(): [9, 4]}
    with pytest.raises(MqeError, match=r"choose it, as in by_side\{n='...'\}$"):
        values("top_n(by_side, 5, des)")
    with pytest.raises(MqeError, match="choose it"):
        values("top_n(by_side{n='server,client'}, 5, des)")


def test_values_may_be_read_as_skywalking_reads_them(storage: Storage) -> None:
    packages = "kubernetes_service_write_package_cpm"
    write(storage, [(packages, "", API, START, 120, 0)])
    for catalog, expected in ((CATALOG, 2), (Catalog(DEFINITIONS, Compatibility(cpm_totals=True)), 120)):
        reader = StorageReader(storage, catalog, OF_API)
        (series,) = evaluate(parse(packages), reader, minutes(START, START, Step.HOUR)).series
        assert series.values.tolist() == [expected]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3_000, 3_000), st.integers(0, 9), st.integers(1, 9)), max_size=40),
    st.integers(-3_000, 3_000),
    st.integers(0, 20),
    st.sampled_from([Step.MINUTE, Step.HOUR, Step.DAY]),
    st.sampled_from([0, 60, -210, 345]),
)
def test_any_rows_at_any_step_in_any_zone(
    stored: list[tuple[int, int, int]], first: int, more: int, step: Step, offset: int
) -> None:
    storage = MemoryStorage()
    for number, (minute, summation, count) in enumerate(stored):
        rows: list[Row] = [
            (TIME, "", API, START + minute, summation, count),
            (CPM, "", API, START + minute, summation, 0),
        ]
        write(storage, rows, writer=str(number))
    begin = (START + first) * 60
    duration = between(begin, begin + more * step.value, step, offset)
    times: list[float | None] = []
    calls: list[float | None] = []
    for bucket in duration.buckets:
        inside = [row for row in stored if bucket <= (START + row[0]) * 60 < bucket + step.value]
        total = sum(row[1] for row in inside)
        times.append(total // sum(row[2] for row in inside) if inside else None)
        calls.append(total // (step.value // 60) if inside else None)
    assert ask(storage, TIME, duration) == [({}, times)]
    assert ask(storage, CPM, duration) == [({}, calls)]
    storage.close()
