"""Metrics over time."""

from collections.abc import Sequence

from backend.metrics.percentiles import RANKS, percentiles
from backend.metrics.windows import Step, values
from backend.oal.functions import Function
from backend.query import shapes
from backend.query.catalog import Catalog
from backend.query.times import Window, format_minute
from backend.storage.interface import Storage

MAXIMUM_METRICS = 20
PERCENTILES = tuple(f"p{rank}" for rank in RANKS)
"""Labels of the series of a metric of percentiles."""


def metrics(
    storage: Storage, catalog: Catalog, names: Sequence[str], entity: str, *, window: Window, step: Step
) -> shapes.Metrics:
    """Series of metrics of one entity, with one point per bucket that the window touches. Blocks.

    A bucket at an end of the window is whole: an hour's value is that of the hour, wherever in it the window begins.

    Raises:
        QueryError: a metric does not exist, or the entity is not one that it can have.
    """
    asked = [catalog.metric(name) for name in names]
    for metric in asked:
        catalog.check_entity(metric, entity)
    buckets = window.buckets(step)
    rows = storage.metrics([metric.name for metric in asked], [entity], buckets[0], buckets[-1] + step - 1)
    by_bucket = [metric.name for metric in asked if metric.function is Function.PERCENTILE]
    known: dict[tuple[str, str | None, int], int] = {}
    for metric, _, minute, value in values(
        rows,
        {metric.name: metric.function for metric in asked},
        step,
        units={metric.name: metric.divisor for metric in asked},
        cpm_totals=catalog.compatibility.cpm_totals,
    ).iter_rows():
        known[metric, None, minute] = value
    for metric, _, minute, rank, value in percentiles(rows, by_bucket, step).iter_rows():
        known[metric, f"p{rank}", minute] = value
    current = int(window.now) // 60
    return shapes.Metrics(
        start=format_minute(window.first),
        end=format_minute(window.last),
        step=step.name.lower(),
        incomplete_from=format_minute(buckets[-1]) if buckets[-1] + step > current else None,
        series=[
            shapes.Series(
                name=metric.name,
                entity=entity,
                unit=metric.unit,
                points=[
                    shapes.Point(format_minute(minute), known.get((metric.name, label, minute))) for minute in buckets
                ],
                label=label,
            )
            for metric in asked
            for label in (PERCENTILES if metric.function is Function.PERCENTILE else (None,))
        ],
    )
