"""Metrics over time."""

from collections.abc import Sequence

from backend.metrics.percentiles import RANKS
from backend.metrics.reading import LABEL_NAMES, value_of
from backend.metrics.windows import Step
from backend.oal.functions import Function
from backend.query import shapes
from backend.query.catalog import Catalog, Metric
from backend.query.stored import read_stored
from backend.query.times import Window, format_minute
from backend.storage.interface import Precision, Storage

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
    found = read_stored(storage, asked, [entity], (buckets[0], buckets[-1] + step - 1, Precision(int(step))))
    rules = {metric.name: metric.rule for metric in asked}
    values = value_of(rules, found.points, found.measures, step, catalog.compatibility)
    read: _Read = {
        (metric, label, minute): value if whole is None else whole
        for metric, label, _, minute, value, whole in values.iter_rows()
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
                points=[
                    shapes.Point(format_minute(minute), read.get((metric.name, label, minute))) for minute in buckets
                ],
                label=_shown(metric, label),
            )
            for metric in asked
            for label in _labels(metric, read)
        ],
    )


_Read = dict[tuple[str, str, int], int | float]
"""Values by metric, label ("" for none) and first minute of the bucket."""


def _labels(metric: Metric, read: _Read) -> list[str]:
    """The labels of a metric's series: of percentiles always the same, of others those that have values."""
    if metric.function not in LABEL_NAMES:
        return [""]
    if metric.function is Function.PERCENTILE:
        return [str(rank) for rank in RANKS]
    return sorted({label for name, label, _ in read if name == metric.name}, key=lambda label: (len(label), label))


def _shown(metric: Metric, label: str) -> str | None:
    """A label for people: "p99" of percentiles; None where there is only one series."""
    if not label:
        return None
    return f"p{label}" if metric.function is Function.PERCENTILE else label
