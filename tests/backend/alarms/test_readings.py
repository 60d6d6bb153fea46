"""Metrics of all entities at once, against those of one entity after the other."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.alarms.known_entities import KnownEntities, Numbers
from backend.alarms.readings import NO_ROW, Readings
from backend.oal.loader import load_texts
from backend.query.catalog import Catalog
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.reader import Entity, LabelledValues, UnknownMetricReadingError
from backend.query.mqe.storage_reader import StorageReader
from backend.storage.interface import Flush, MeasureSchema, MetricSchema
from backend.storage.memory import MemoryStorage
from tests.backend.alarms.world import API, CATALOG, CPM, DEFINITIONS, MINUTE, RATE, TIME, WEB

PERCENTILE = "kubernetes_service_percentile"
LARGEST = "largest"
EXTREME = load_texts({"own": f'{LARGEST} = from(K8SService.protocol.http.latency).filter(type == "protocol").max();'})
NAMES = (CPM, TIME, RATE, PERCENTILE, LARGEST)
MINUTES = 4
BOTH = Catalog([*DEFINITIONS, *EXTREME.definitions])

entities = st.sampled_from([("api", API), ("web", WEB)])
minutes = st.integers(MINUTE - 2, MINUTE + MINUTES + 1)
rows = st.tuples(
    st.sampled_from(NAMES[:3]), st.just(""), entities, minutes, st.integers(0, 10**9), st.integers(1, 5)
) | st.tuples(st.just(PERCENTILE), st.sampled_from(["5", "200"]), entities, minutes, st.integers(1, 5), st.just(0))
measures = st.tuples(entities, minutes, st.floats(0, 1e9))


def plain(series: Sequence[LabelledValues]) -> list[tuple[object, list[float]]]:
    """Series that have any value, comparable."""
    return sorted(
        ((one.labels, np.nan_to_num(one.values, nan=-1).tolist()) for one in series if not np.isnan(one.values).all()),
        key=str,
    )


@given(st.lists(rows, max_size=30), st.lists(measures, max_size=5), st.integers(1, MINUTES))
def test_they_are_those_of_the_reader_of_one_entity(
    written: list[tuple[str, str, tuple[str, str], int, int, int]],
    measured: list[tuple[tuple[str, str], int, float]],
    points: int,
) -> None:
    storage = MemoryStorage()
    for number, (metric, label, (_, entity), *rest) in enumerate(written):
        frame = pl.DataFrame([(metric, label, entity, *rest)], schema=MetricSchema, orient="row")
        storage.write(Flush(f"a{number}", frame))
    for number, ((_, entity), minute, value) in enumerate(measured):
        frame = pl.DataFrame(
            [(LARGEST, "", entity, minute, value, 1, value, value)], schema=MeasureSchema, orient="row"
        )
        storage.write(Flush(f"b{number}", pl.DataFrame(schema=MetricSchema), measures=frame))
    window = Duration(MINUTE * 60, points, Step.MINUTE)
    known = KnownEntities("K8SService")
    readings = Readings(storage, BOTH, known)
    seen = readings.entities(NAMES, window)
    assert sorted(map(known.text, seen)) == sorted(set(map(known.text, seen)))
    for name, entity in (("api", API), ("web", WEB)):
        numbers = known.numbers([entity])
        found = {metric: series_of(readings, metric, numbers, window) for metric in NAMES}
        expected = StorageReader(storage, BOTH, Entity(name)).read(NAMES, window)
        assert {metric: plain(found[metric]) for metric in NAMES} == {
            metric: plain(expected[metric]) for metric in NAMES
        }
        assert (numbers[0] in seen) is any(plain(series) for series in expected.values())
        assert [one.labels for one in found[CPM]] == [()]


def series_of(readings: Readings, metric: str, number: Numbers, window: Duration) -> list[LabelledValues]:
    """The series of one entity."""
    found = readings.of(metric, window)
    return [
        LabelledValues(labels, found.values[row])
        for labels, row in zip(found.labels, found.rows(number)[:, 0], strict=True)
        if row != NO_ROW or not found.labelled
    ]


def test_an_unknown_metric_says_so() -> None:
    readings = Readings(MemoryStorage(), CATALOG, KnownEntities("K8SService"))
    with pytest.raises(UnknownMetricReadingError, match=CPM):
        readings.entities(["kubernetes_service_http_call_cmp"], Duration(MINUTE * 60, 1, Step.MINUTE))
