"""What stored buckets say: the values below which given shares of the calls are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.metrics.windows import Step
from backend.oal.buckets import BUCKETS, smallest_of

RANKS = (50, 75, 90, 95, 99)
"""Percentages, as Apache SkyWalking has them."""

PercentileSchema = {
    "metric": pl.String,
    "entity": pl.String,  # of the type that the points have it in
    "minute": pl.Int32,  # first minute of the step
    "rank": pl.Int64,
    "value": pl.Int64,
}
"""Columns of percentiles at a step."""
_LABELS = pl.Enum([str(bucket) for bucket in range(BUCKETS)])
"""How buckets are written; the place of each is its number."""
_SMALLEST = np.array([smallest_of(bucket) for bucket in range(BUCKETS)], np.int64)


def percentiles(points: pl.DataFrame, metrics: Sequence[str], step: Step = Step.MINUTE) -> pl.DataFrame:
    """The percentiles of metrics at a step: the smallest number of the bucket that has the call at that rank.

    Args:
        points: columns of MetricSchema, buckets as labels; any number of rows for one.
        metrics: names of the metrics; points of others are left out.
        step: the step to merge to.

    Returns:
        Columns of PercentileSchema; a row for each of RANKS per metric, entity and step that has data, in this order.
    """
    own = points.filter(pl.col("metric").is_in(list(metrics))).select(
        "metric",
        "entity",
        pl.col("minute") - pl.col("minute") % int(step),
        "label",
        pl.col("summation").alias("calls"),
    )
    own = own.with_columns(pl.Series("bucket", buckets_of_labels(own["label"])))
    own = own.filter(pl.col("bucket") >= 0)
    keys = [_Key.of(own[name]) for name in ("metric", "entity", "minute")]
    groups, values = at_ranks(_mixed(keys), own["bucket"].to_numpy(), own["calls"].to_numpy())
    places = np.repeat(groups, len(RANKS))
    columns = {}
    for key in reversed(keys):
        places, own_places = np.divmod(places, max(1, len(key.values)))
        columns[key.values.name] = key.values.gather(own_places)
    ranks = np.tile(np.array(RANKS, np.int64), len(groups))
    schema = PercentileSchema | {"entity": points.schema["entity"]}
    return pl.DataFrame({**columns, "rank": ranks, "value": values.reshape(-1)}).select(
        pl.col(name).cast(kind) for name, kind in schema.items()
    )


def buckets_of_labels(labels: pl.Series) -> NDArray[np.int64]:
    """The buckets that labels are of; -1 for what is none."""
    return labels.cast(_LABELS, strict=False).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()


def at_ranks(
    group: NDArray[np.int64], bucket: NDArray[np.int64], calls: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups that have calls, ascending, and for each the smallest numbers of its buckets at RANKS.

    Args:
        group: of each row, any number that is less than 2^63 / BUCKETS.
        bucket: of each row; several rows of a group and bucket add up.
        calls: in the bucket.
    """
    group, bucket, calls = _added(group, bucket, calls)
    begins = _begins(group)
    reached = np.cumsum(calls)
    before = reached[begins] - calls[begins]
    total = np.add.reduceat(calls, begins) if len(begins) else calls
    # The first bucket that reaches the share of its group; rounded up, as calls are whole.
    wanted = before[:, np.newaxis] + -(-total[:, np.newaxis] * np.array(RANKS) // 100)
    return group[begins], _SMALLEST[bucket[np.searchsorted(reached, wanted)]]


@dataclass(frozen=True, slots=True)
class _Key:
    """A column as places in what it has."""

    places: NDArray[np.int64]
    values: pl.Series
    """Each once, ascending."""

    @staticmethod
    def of(column: pl.Series) -> "_Key":
        values = column.unique().sort()
        if column.dtype == pl.String:
            places = column.cast(pl.Enum(values)).to_physical().to_numpy()
        else:
            places = np.searchsorted(values.to_numpy(), column.to_numpy())
        return _Key(places.astype(np.int64), values)


def _mixed(keys: Sequence[_Key]) -> NDArray[np.int64]:
    """One number for each row, in the order of the keys."""
    mixed = np.zeros(len(keys[0].places), np.int64)
    for key in keys:
        mixed = mixed * len(key.values) + key.places
    return mixed


def _added(
    group: NDArray[np.int64], bucket: NDArray[np.int64], calls: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Groups, buckets and their calls in order, each bucket of a group once, without those that have no calls."""
    order = np.argsort(group * BUCKETS + bucket)
    group, bucket, calls = group[order], bucket[order], calls[order]
    begins = _begins(group, bucket)
    if len(begins) < len(order):
        group, bucket, calls = group[begins], bucket[begins], np.add.reduceat(calls, begins)
    some = calls > 0
    return group[some], bucket[some], calls[some]


def _begins(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where a row differs from the one before."""
    changed = np.ones(len(columns[0]), np.bool_)
    changed[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(changed)
