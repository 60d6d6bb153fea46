"""From what is stored of metrics to numbers by the bucket of a duration."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from backend.metrics import windows
from backend.metrics.percentiles import RANKS
from backend.metrics.reading import LABEL_NAMES, readings
from backend.oal.functions import Function
from backend.query.catalog import Catalog, Metric
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.functions import natural
from backend.query.mqe.reader import LabelledValues, ReadingError
from backend.query.mqe.syntax import Labels
from backend.query.stored import Rows, read_stored
from backend.storage.interface import Precision, Storage

_PRECISIONS = {Step.MINUTE: Precision.MINUTE, Step.HOUR: Precision.HOUR, Step.DAY: Precision.DAY}
_STEPS = {Step.MINUTE: windows.Step.MINUTE, Step.HOUR: windows.Step.HOUR, Step.DAY: windows.Step.DAY}
_SERIES = ("metric", "label", "entity")

SeriesByName = dict[tuple[str, str], list[LabelledValues]]
"""Series by metric and entity."""


def read_series(
    storage: Storage, catalog: Catalog, asked: Mapping[Metric, Collection[str]], duration: Duration
) -> SeriesByName:
    """Series of metrics for entities, with one question to the store. Blocks.

    Args:
        storage: what is asked.
        catalog: how values are read.
        asked: by metric, ids of entities; every metric is read for the entities of all.
        duration: the buckets.

    Returns:
        What MetricReader.read says, for each metric and each of its entities.

    Raises:
        ReadingError: metrics are not kept by the step.
        StorageError: the store cannot be asked.
    """
    entities = sorted({entity for of_metric in asked.values() for entity in of_metric})
    found = read_values(read_rows(storage, list(asked), entities, duration), list(asked), duration, catalog)
    # Rows come by series and time: where the series changes a new one begins.
    begins = pl.any_horizontal(*(pl.col(name) != pl.col(name).shift() for name in _SERIES)).fill_null(value=True)
    found = found.with_columns(begins.alias("begins"))
    row = np.cumsum(found["begins"].to_numpy()) - 1
    place = (found["start"].to_numpy() - duration.first) // duration.step.value
    names = found.lazy().filter("begins").select(*_SERIES).collect().rows()
    values = np.full((len(names), duration.points), math.nan)
    values[row, place] = found["value"].to_numpy()
    metrics = {metric.name: metric for metric in asked}
    read: dict[tuple[str, str], dict[Labels, LabelledValues]] = {
        (metric.name, entity): _without_data(metric, duration.points)
        for metric, of_metric in asked.items()
        for entity in of_metric
    }
    for number, (name, label, entity) in enumerate(names):
        # Metrics of several scopes are of several entities, and each may have rows for another's.
        if (by_label := read.get((name, entity))) is not None:
            labels = labels_of(metrics[name], label)
            by_label[labels] = LabelledValues(labels, values[number])
    return {key: sorted(by_label.values(), key=_order) for key, by_label in read.items()}


def read_rows(storage: Storage, metrics: Sequence[Metric], entities: Sequence[str], duration: Duration) -> Rows:
    """What is stored of metrics in a duration, for entities or for all. Blocks. Raises ReadingError, StorageError."""
    precision = _PRECISIONS.get(duration.unit)
    if precision is None:
        raise ReadingError("metrics are kept by the minute: ask with the step MINUTE, HOUR or DAY")
    first, length = duration.first // 60, duration.points * duration.step.value // 60
    return read_stored(storage, metrics, entities, (first, first + length - 1, precision))


def read_values(rows: Rows, metrics: Sequence[Metric], duration: Duration, catalog: Catalog) -> pl.DataFrame:
    """What rows of the store mean at a duration's step.

    Returns:
        Columns metric, label (text, "" for none), entity, start (of the bucket, in seconds since 1970-01-01 UTC)
        and value, by metric, label, entity and start.
    """
    # Buckets are those of the zone: they are put together by its clocks, and told by those of UTC.
    ahead = pl.col("minute") + duration.offset
    found = readings(
        {metric.name: metric.rule for metric in metrics},
        rows.points.lazy().with_columns(ahead),
        rows.measures.lazy().with_columns(ahead),
        _STEPS[duration.step],
        catalog.compatibility,
    )
    start = (pl.col("minute").cast(pl.Int64) - duration.offset) * 60
    return found.select(*_SERIES, start.alias("start"), "value").collect()


def labels_of(metric: Metric, label: str) -> Labels:
    """The labels of a series, by the text that the store has for them."""
    name = LABEL_NAMES.get(metric.function)
    return () if name is None else ((name, label),)


def _without_data(metric: Metric, points: int) -> dict[Labels, LabelledValues]:
    """The series that a metric has whatever the data."""
    match metric.function:
        case Function.PERCENTILE:
            always = [labels_of(metric, str(rank)) for rank in RANKS]
        case Function.INDEXED_PERCENTILE:
            always = [labels_of(metric, str(place)) for place in range(len(RANKS))]
        case _:
            always = [] if metric.function in LABEL_NAMES else [()]
    return {labels: LabelledValues(labels, np.full(points, math.nan)) for labels in always}


def _order(series: LabelledValues) -> tuple[object, ...]:
    return tuple(natural(value) for _, value in series.labels)
