"""What stored rows of one metric mean by the minute, as arrays: the same as backend/metrics/reading.py says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.alarms.known_entities import Numbers
from backend.metrics.percentiles import RANKS, at_ranks, buckets_of_labels
from backend.metrics.windows import Compatibility, Step, value_of_sums
from backend.oal.functions import BUCKETED, Function
from backend.query.catalog import Metric
from backend.query.mqe.results import Values
from backend.storage.numbered import NumberedRows

_MINUTES = 1 << 31
"""More than there are minutes."""


@dataclass(frozen=True, slots=True, eq=False)
class ValueRows:
    """Values of one metric, by the minute. Those of the same label and entity stand together."""

    labels: tuple[str, ...]
    """That values have, in their order; an empty text for those of a metric without labels."""
    label: NDArray[np.int64]
    """Of each value, a place in `labels`."""
    entity: Numbers
    minute: NDArray[np.int64]
    value: Values


def value_rows(metric: Metric, rows: NumberedRows, numbers: Numbers, compatibility: Compatibility) -> ValueRows:
    """What rows of a metric mean that has no steps and is no measure: those of a histogram have zeros between them.

    Args:
        metric: what they are of.
        rows: by the minute.
        numbers: of entities, by their place in the names of the rows.
        compatibility: what to read as Apache SkyWalking does.
    """
    columns = cast("dict[str, NDArray[Any]]", dict(rows.columns))
    entity, minute = numbers[columns["entity"]], columns["minute"].astype(np.int64)
    if metric.function in BUCKETED:
        return _ranked(metric, rows, entity, minute)
    sums = pl.DataFrame({name: columns[name] for name in ("summation", "count")})
    value = sums.select(value_of_sums(metric.name, metric.rule, Step.MINUTE, compatibility)).to_series().to_numpy()
    label = columns["label"]
    known = ~np.isnan(value)
    if not known.all():
        label, entity, minute, value = (column[known] for column in (label, entity, minute, value))
    places = np.unique(label)
    return ValueRows(tuple(rows.names.gather(places)), np.searchsorted(places, label), entity, minute, value)


def read_rows(found: pl.DataFrame, number: Callable[[list[str]], Numbers]) -> ValueRows:
    """What readings say of one metric.

    Args:
        found: columns of ReadingSchema, in order.
        number: the number of each entity.
    """
    texts, label = _factorized(found["label"])
    entities, entity = _factorized(found["entity"])
    minute, value = found["minute"].cast(pl.Int64).to_numpy(), found["value"].to_numpy()
    return ValueRows(tuple(texts), label, number(entities)[entity], minute, value)


def _ranked(metric: Metric, rows: NumberedRows, entity: Numbers, minute: NDArray[np.int64]) -> ValueRows:
    """Percentiles: each rank is a label."""
    names = rows.names
    label, calls = np.asarray(rows.columns["label"]), np.asarray(rows.columns["summation"], np.int64)
    places = np.unique(label)
    bucket = buckets_of_labels(names.gather(places))[np.searchsorted(places, label)]
    is_bucket = bucket >= 0
    if not is_bucket.all():
        entity, minute, bucket, calls = (column[is_bucket] for column in (entity, minute, bucket, calls))
    group, values = at_ranks(entity * _MINUTES + minute, bucket, calls)
    ranks = range(len(RANKS)) if metric.function is Function.INDEXED_PERCENTILE else RANKS
    return ValueRows(
        tuple(map(str, ranks)) if len(group) else (),
        np.repeat(np.arange(len(RANKS)), len(group)),
        np.tile(group // _MINUTES, len(RANKS)),
        np.tile(group % _MINUTES, len(RANKS)),
        values.T.reshape(-1).astype(np.float64),
    )


def _factorized(column: pl.Series) -> tuple[list[str], NDArray[np.int64]]:
    """The texts of a column, ascending, and for each row the place of its text."""
    texts = column.unique().sort()
    return texts.to_list(), column.cast(pl.Enum(texts)).to_physical().cast(pl.Int64).to_numpy()
