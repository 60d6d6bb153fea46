"""Random metrics over random logs, beside an evaluator that is slow and obvious."""

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.entities.resolution import Resolver
from backend.ingest.batch import LogBatch
from backend.metrics.analysis import analyse
from backend.metrics.reading import rules_of, value_of
from backend.metrics.windows import Step
from backend.oal.apdex import ApdexThresholds
from backend.oal.compiler import Program
from backend.oal.functions import FUNCTIONS
from backend.oal.loader import load_texts
from backend.storage.interface import MeasureSchema, MetricSchema
from tests.backend.oal import drawing, oracle
from tests.backend.oal.batches import batches

MINUTES = (1_375, 1_445)
"""Three hours of two days."""
THRESHOLDS = {"default": 300, "api": 100, "db": 700}


def test_every_function_is_drawn() -> None:
    assert {*drawing.FUNCTIONS} == {*FUNCTIONS}


@settings(max_examples=250, deadline=None)
@given(
    metrics=st.lists(drawing.metrics(), min_size=1, max_size=4),
    given_batches=st.lists(batches(MINUTES), min_size=1, max_size=3),
    step=st.sampled_from(Step),
    seed=st.integers(0, 99),
)
def test_random_metrics_are_what_a_slow_evaluator_finds(
    metrics: list[oracle.Metric], given_batches: list[LogBatch], step: Step, seed: int
) -> None:
    script = "\n".join(metric.script(f"m{number}") for number, metric in enumerate(metrics))
    definitions = load_texts({"random.oal": script}).definitions
    services = {name: limit for name, limit in THRESHOLDS.items() if name != "default"}
    program = Program(definitions, thresholds=ApdexThresholds(THRESHOLDS["default"], services))
    # Each batch is a flush of its own, and what is stored is merged in any order.
    flushes = [analyse([batch], Resolver(), program, str(number)).flush for number, batch in enumerate(given_batches)]
    random.Random(seed).shuffle(flushes)
    points, measures = (pl.concat([getattr(flush, name) for flush in flushes]) for name in ("rows", "measures"))
    assert (points.schema, measures.schema) == (MetricSchema, MeasureSchema)
    found = value_of(rules_of(definitions), points, measures, step)
    for number, metric in enumerate(metrics):
        rows = found.filter(pl.col("metric") == f"m{number}")
        values = {(label, entity, minute): value for _, label, entity, minute, value, _ in rows.iter_rows()}
        expected = oracle.evaluate(given_batches, metric, step, THRESHOLDS)
        different = {
            key: (values.get(key), expected.get(key))
            for key in values.keys() | expected.keys()
            if key not in values or key not in expected or values[key] != pytest.approx(expected[key], rel=1e-12)
        }
        assert not different, metric.script(f"m{number}")
