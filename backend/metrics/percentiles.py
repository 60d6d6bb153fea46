"""What stored buckets say: the values below which given shares of the calls are."""

from collections.abc import Sequence

import polars as pl

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


def percentiles(points: pl.DataFrame, metrics: Sequence[str], step: Step = Step.MINUTE) -> pl.DataFrame:
    """The percentiles of metrics at a step: the smallest number of the bucket that has the call at that rank.

    Args:
        points: columns of MetricSchema, buckets as labels; any number of rows for one.
        metrics: names of the metrics; points of others are left out.
        step: the step to merge to.

    Returns:
        Columns of PercentileSchema; a row for each of RANKS per metric, entity and step that has data, in this order.
    """
    known = pl.DataFrame(
        {
            "label": [str(bucket) for bucket in range(BUCKETS)],
            "value": [smallest_of(bucket) for bucket in range(BUCKETS)],
        },
        schema={"label": pl.String, "value": pl.Int64},
    )
    keys = ("metric", "entity", "minute")
    counted = (
        points.filter(pl.col("metric").is_in(list(metrics)))
        .join(known, on="label")
        .with_columns(pl.col("minute") - pl.col("minute") % int(step))
        .group_by(*keys, "value")
        .agg(pl.col("summation").sum().alias("calls"))
        .filter(pl.col("calls") > 0)
        .sort(*keys, "value")
        .with_columns(
            pl.col("calls").cum_sum().over(keys).alias("reached"), pl.col("calls").sum().over(keys).alias("all")
        )
    )
    of_rank = [
        counted.filter(pl.col("reached") * 100 >= pl.col("all") * rank)
        .group_by(keys)
        .agg(pl.col("value").min())
        .with_columns(pl.lit(rank, pl.Int64).alias("rank"))
        for rank in RANKS
    ]
    schema = PercentileSchema | {"entity": points.schema["entity"]}
    return (
        pl.concat(of_rank)
        .select(pl.col(name).cast(kind) for name, kind in schema.items())
        .sort(*keys, "rank")
    )
