"""Metrics of every function for all entities at once, against what backend/metrics/reading.py says of their rows."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.alarms.known_entities import KnownEntities
from backend.alarms.readings import NO_ROW, Readings
from backend.metrics.reading import LABEL_NAMES, value_of
from backend.metrics.windows import Compatibility
from backend.oal.functions import EXTREMES, Function
from backend.oal.loader import load_texts
from backend.query.catalog import Catalog
from backend.query.mqe.duration import Duration, Step
from backend.storage.interface import Flush, MetricSchema
from backend.storage.memory import MemoryStorage
from tests.backend.alarms.world import API, MINUTE, WEB

DEFINED = load_texts(
    {
        "own": """
            a_count = from(K8SService.*).count();
            a_cpm = from(K8SService.*).cpm();
            a_sum_cpm = from(K8SService.protocol.http.latency).sum();
            a_mean = from(K8SService.protocol.http.latency).longAvg();
            a_fraction = from(K8SService.protocol.http.latency).doubleAvg();
            a_percent = from(K8SService.*).percent(protocol.success == true);
            a_rate = from(K8SService.*).rate(protocol.success == true, protocol.type == "http");
            an_apdex = from(K8SService.protocol.http.latency).apdex(name, protocol.success);
            a_percentile = from(K8SService.protocol.http.latency).percentile2(10);
            an_old_percentile = from(K8SService.protocol.http.latency).percentile(10);
            a_histogram = from(K8SService.protocol.http.latency).histogram(100, 3);
            a_label_count = from(K8SService.*).labelCount(type, 10);
            a_label_mean = from(K8SService.*).labelAvg(type, protocol.http.latency);
        """
    }
).definitions
LABELS = {
    Function.PERCENTILE: ["3", "70", "no bucket"],
    Function.INDEXED_PERCENTILE: ["3", "70", "no bucket"],
    Function.HISTOGRAM: ["0", "100", "300"],
    Function.LABEL_COUNT: ["read", "write", "accept"],
    Function.LABEL_AVG: ["read", "write", "accept"],
}
MINUTES = 3
Written = tuple[str, str, str, int, int, int]


@st.composite
def written(draw: st.DrawFn) -> Written:
    definition = draw(st.sampled_from(DEFINED))
    label = draw(st.sampled_from(LABELS.get(definition.function, [""])))
    entity = draw(st.sampled_from([API, WEB, "no service"]))
    number, count = st.integers(-5, 10) | st.integers(0, 10**12), st.integers(0, 4)
    return definition.name, label, entity, MINUTE + draw(st.integers(-1, MINUTES)), draw(number), draw(count)


@given(st.lists(written(), max_size=40), st.booleans())
def test_all_at_once_give_what_reading_gives(rows: list[Written], as_upstream: bool) -> None:  # noqa: FBT001 - drawn
    catalog = Catalog(DEFINED, Compatibility(cpm_totals=as_upstream, empty_rates_are_zero=as_upstream))
    storage = MemoryStorage()
    for number, row in enumerate(rows):
        storage.write(Flush(f"{number}", pl.DataFrame([row], schema=MetricSchema, orient="row")))
    window = Duration(MINUTE * 60, MINUTES, Step.MINUTE)
    known = KnownEntities("K8SService")
    readings = Readings(storage, catalog, known)
    names = [definition.name for definition in DEFINED]
    seen = set(map(known.text, readings.entities(names, window)))
    stored = storage.metrics(names, [], MINUTE, MINUTE + MINUTES - 1)
    expected = value_of(
        {name: catalog.metric(name).rule for name in names}, stored, compatibility=catalog.compatibility
    )
    assert seen == set(expected["entity"])
    found: list[tuple[str, str, str, int, float]] = []
    for name in names:
        one = readings.of(name, window)
        label_name = LABEL_NAMES.get(catalog.metric(name).function)
        numbers = np.arange(len(known))
        assert list(one.labels) == sorted(one.labels)
        for labels, of_label in zip(one.labels, one.rows(numbers), strict=True):
            assert [key for key, _ in labels] == ([] if label_name is None else [label_name])
            for number, row in enumerate(of_label.tolist()):
                values = one.values[row].tolist()
                assert row != NO_ROW or np.isnan(values).all()
                found += [
                    (name, "".join(value for _, value in labels), known.text(number), MINUTE + at, value)
                    for at, value in enumerate(values)
                    if not math.isnan(value)
                ]
    assert sorted(found) == sorted(expected.drop("whole").rows())


def test_every_function_that_adds_up_is_among_them() -> None:
    assert {definition.function for definition in DEFINED} == set(Function) - EXTREMES


@pytest.mark.parametrize("name", ["a_percentile", "a_histogram", "a_label_mean", "a_mean"])
def test_nothing_is_nothing(name: str) -> None:
    readings = Readings(MemoryStorage(), Catalog(DEFINED), KnownEntities("K8SService"))
    window = Duration(MINUTE * 60, MINUTES, Step.MINUTE)
    assert readings.entities([name], window).tolist() == []
    assert readings.of(name, window).labels == (((),) if name == "a_mean" else ())
