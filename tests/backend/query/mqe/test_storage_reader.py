"""Expressions over what is stored, against sums made one row at a time."""

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
from backend.oal.loader import load_texts
from backend.query.catalog import Catalog
from backend.query.mqe.duration import Step, between
from backend.query.mqe.entities import entity_id
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.reader import Entity, ReadingError
from backend.query.mqe.storage_reader import StorageReader
from backend.query.mqe.syntax import MqeError, UnknownMetricError
from backend.storage.interface import (
    MeasureSchema,
    Storage,
)
from backend.storage.memory import MemoryStorage
from tests.backend.query.mqe.asking import (
    API,
    CATALOG,
    CPM,
    DAY,
    DEFINITIONS,
    INSTANCE_CPM,
    OF_API,
    PERCENTILE,
    RATE,
    START,
    TIME,
    WEB,
    Row,
    ask,
    minutes,
    write,
)


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
