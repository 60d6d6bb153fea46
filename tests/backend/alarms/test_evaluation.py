"""Expressions for many entities at once, against the evaluator for one after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.alarms.evaluation import holds
from backend.alarms.readings import Readout
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.parser import parse
from backend.query.mqe.syntax import Labels, MqeError
from tests.backend.query.mqe.readers import DictReader
from tests.backend.query.mqe.reference import write
from tests.backend.query.mqe.test_evaluator import LABELLED, POINTS, START, deeper, label_names, label_values, numbers

DURATION = Duration(START, POINTS, Step.MINUTE)
MINUTE = 60
Series = Mapping[Labels, Mapping[int, float]]
Entity = Mapping[str, Series]
"""Metrics of an entity, by name, labels and bucket."""

PAST = sorted(
    {START + at * MINUTE for at in range(-3, POINTS)}
    | {START + at * MINUTE - days * 86_400 for at in range(POINTS) for days in (1, 2, 7)}
)


class DictReadings:
    """Readings over Python dicts. Counts how often it is asked."""

    def __init__(self, entities: Sequence[Entity]) -> None:
        self._entities = entities
        self.loads: list[tuple[list[str], Duration]] = []

    def load(self, names: Sequence[str], duration: Duration) -> None:
        self.loads.append((list(names), duration))

    def of(self, name: str, duration: Duration) -> Readout:
        labels = tuple(LABELLED[name]) or ((("none", "x"),),)
        rows, keys = [], []
        for place, one in enumerate(labels):
            for number, entity in enumerate(self._entities):
                known = entity[name].get(one)
                if known is not None:
                    keys.append((place << 32) + number)
                    rows.append([known.get(bucket, np.nan) for bucket in duration.buckets])
        values = np.array([*rows, [np.nan] * duration.points])
        return Readout(labels, labels != ((),), np.array(keys, np.int64), values)


@st.composite
def crowds(draw: st.DrawFn) -> list[Entity]:
    """Some entities, each with some of the series that there are."""
    small = st.sampled_from([0.0, 1.0, 1.0, 2.0]) | numbers
    series = st.dictionaries(st.sampled_from(PAST), small, max_size=len(PAST))
    of_metrics: dict[str, st.SearchStrategy[Series]] = {
        name: st.fixed_dictionaries({}, optional=dict.fromkeys(several, series))
        if several != [()]
        else st.fixed_dictionaries({(): series})
        for name, several in LABELLED.items()
    }
    entity = st.fixed_dictionaries(of_metrics)
    return draw(st.lists(entity, min_size=1, max_size=6))


metrics = st.tuples(
    st.just("metric"),
    st.sampled_from(list(LABELLED)),
    st.lists(st.tuples(label_names, label_values), max_size=2, unique_by=lambda pair: pair[0]),
)
leaves = st.one_of(
    st.tuples(st.just("number"), st.one_of(st.integers(0, 100), st.sampled_from([0.5, 1000.25]))),
    metrics,
    st.tuples(st.sampled_from(["increase", "rate"]), metrics, st.integers(1, 3)),
    st.tuples(st.just("baseline"), metrics, st.sampled_from(["value", "upper", "lower"])),
)
comparisons = st.sampled_from(["==", "!=", "<", ">", "<=", ">="])
expressions = st.recursive(leaves, deeper, max_leaves=8)
rules = st.tuples(st.just("binary"), comparisons, expressions, expressions) | expressions


def one_by_one(text: str, entities: Sequence[Entity]) -> list[bool] | None:
    """For which entities an expression is true; None when it does not fit one of them."""
    held = []
    for entity in entities:
        try:
            result = evaluate(parse(text), DictReader(entity), DURATION)
        except MqeError:
            return None
        held.append(any(bool((series.values == 1).any()) for series in result.series))
    return held


@settings(max_examples=250, deadline=None)
@given(crowds(), rules, st.data())
def test_any_expression_holds_for_those_for_which_it_does_by_itself(
    entities: list[Entity], expression: tuple[Any, ...], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.sampled_from(range(len(entities))), unique=True))
    text = write(expression)
    expected = one_by_one(text, [entities[number] for number in asked])
    readings: Any = DictReadings(entities)
    numbers_asked = np.array(asked, np.int64)
    if expected is None:
        with pytest.raises(MqeError):
            holds(parse(text), readings, numbers_asked, DURATION)
    else:
        assert holds(parse(text), readings, numbers_asked, DURATION).tolist() == expected


MIXED = [
    "sum(view_as_seq(a, b)) >= 1",
    "sum(view_as_seq(a * 0, b, 7)) == 0",
    "is_present(a, b) == 0",
    "count(p) < 3",
    "max(sort_values(p, 1, des, sum)) >= 1",
    "avg(sort_values(p, 2, asc, max)) == 1",
    "latest(sort_values(a, 2, des)) == 1",
    "sum(p{p='50,9'}) > sum(q)",
    "sum(aggregate_labels(xy, max(x))) >= 2",
    "max(baseline(p, value)) >= 1",
    "latest(a) == 1",
]


@pytest.mark.parametrize("text", MIXED)
@settings(max_examples=25, deadline=None)
@given(entities=crowds())
def test_entities_with_other_data_get_answers_of_their_own(text: str, entities: list[Entity]) -> None:
    expected = one_by_one(text, entities)
    assert expected is not None
    readings: Any = DictReadings(entities)
    assert holds(parse(text), readings, np.arange(len(entities)), DURATION).tolist() == expected


def of_a(*values: float) -> Entity:
    """An entity that has only the metric a."""
    nothing: dict[str, Series] = {name: {(): {}} if several == [()] else {} for name, several in LABELLED.items()}
    return nothing | {"a": {(): {START + at * MINUTE: value for at, value in enumerate(values)}}}


def test_sums_are_exact_before_they_are_rounded() -> None:
    # Added up from the left these are 0, 0, 0.30000000000000004 and too large on the way.
    rows = [(1e100, 1.0, -1e100), (1.0, 1e100, 1e-100, -1e100), (0.1, 0.2), (1.5e308, 1.5e308, -1.5e308)]
    for text in ("sum(a) == 1", "sum(a) > 1", "avg(a) * 2 == 0.30000000000000004", "sum(a) == 150000 * 10"):
        entities = [of_a(*row) for row in rows]
        readings: Any = DictReadings(entities)
        assert holds(parse(text), readings, np.arange(4), DURATION).tolist() == one_by_one(text, entities)


def test_metrics_of_one_span_are_read_together_however_many_parts_there_are() -> None:
    entities = [of_a(), of_a(1), of_a(0, 1)]
    readings: Any = DictReadings(entities)
    text = "(sum(view_as_seq(a, b)) >= 1) && (is_present(a, b) == 1) && (sum(increase(a, 1)) < 9)"
    assert holds(parse(text), readings, np.arange(3), DURATION).tolist() == one_by_one(text, entities)
    assert readings.loads == [(["a", "b"], DURATION), (["a"], DURATION.extended(1))]
