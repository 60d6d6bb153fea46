"""Metrics over time."""

from collections.abc import Sequence

from backend.metrics.windows import Step, values
from backend.query import shapes
from backend.query.catalog import Catalog
from backend.query.times import Window, format_minute
from backend.storage.interface import Storage

MAXIMUM_METRICS = 20


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
    rows = storage.metrics(names, [entity], buckets[0], buckets[-1] + step - 1)
    known = {
        (metric, minute): value
        for metric, _, minute, value in values(
            rows, {metric.name: metric.function for metric in asked}, step
        ).iter_rows()
    }
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
                points=[shapes.Point(format_minute(minute), known.get((metric.name, minute))) for minute in buckets],
            )
            for metric in asked
        ],
    )
