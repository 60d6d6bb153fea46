"""What stored metrics and measures mean, whatever their function."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from backend.metrics.percentiles import RANKS, percentiles
from backend.metrics.windows import Compatibility, Rule, Step, added, divided
from backend.oal.definitions import Definition
from backend.oal.functions import BUCKETED, EXTREMES, Function
from backend.storage.interface import MeasureSchema, MetricSchema

ReadingSchema = {
    "metric": pl.String,
    "label": pl.String,  # "" for metrics without labels
    "entity": pl.String,
    "minute": pl.Int32,  # first minute of the step
    "value": pl.Float64,
    "whole": pl.Int64,  # the same exactly, for functions whose value is a whole number; null for others
}
"""Columns of readings."""

LABEL_NAMES: Mapping[Function, str] = {
    Function.PERCENTILE: "p",
    Function.INDEXED_PERCENTILE: "_",
    Function.LABEL_COUNT: "n",
    Function.LABEL_AVG: "n",
    Function.HISTOGRAM: "bucket",
}
"""What the labels of functions are called in queries; others have none."""

_KEYS = ("metric", "label", "entity", "minute")
_STRICT = Compatibility()
_LEAST = (Function.MIN, Function.MIN_DOUBLE)
_CUT = (Function.MIN, Function.MAX)


def rules_of(definitions: Iterable[Definition]) -> dict[str, Rule]:
    """How to read metrics, by name."""
    return {
        definition.name: Rule(
            definition.function, definition.unit, definition.arguments.step, definition.arguments.steps
        )
        for definition in definitions
    }


def value_of(
    rules: Mapping[str, Rule],
    points: pl.DataFrame | None = None,
    measures: pl.DataFrame | None = None,
    step: Step = Step.MINUTE,
    compatibility: Compatibility = _STRICT,
) -> pl.DataFrame:
    """What stored rows mean at a step.

    Args:
        rules: by metric name; rows of other metrics are left out.
        points: columns of MetricSchema; any number of rows for one metric, label, entity and minute, of this or of any
            shorter precision. Entities may be numbers, then those of the measures and of what is returned are too.
        measures: columns of MeasureSchema, likewise.
        step: the step to merge to.
        compatibility: what to read as Apache SkyWalking does.

    Returns:
        Columns of ReadingSchema, one row per metric, label, entity and step that has a value, in this order. Labels
        are: of percentiles the rank ("50" to "99"), or for percentile() its place ("0" to "4"); of a histogram where
        each of its steps begins, those without calls too; of labelCount() and labelAvg() what the logs say.
    """
    points = pl.DataFrame(schema=MetricSchema) if points is None else points
    measures = pl.DataFrame(schema=MeasureSchema) if measures is None else measures
    return readings(rules, points.lazy(), measures.lazy(), step, compatibility).collect()


def readings(
    rules: Mapping[str, Rule],
    points: pl.LazyFrame,
    measures: pl.LazyFrame,
    step: Step = Step.MINUTE,
    compatibility: Compatibility = _STRICT,
) -> pl.LazyFrame:
    """What value_of() says, for who goes on with it: each time that something is collected takes its time."""
    # Rows are grouped and sorted by numbers of names, which takes half the time of doing it by names.
    numbered = pl.col("metric").cast(pl.Enum(sorted(rules)), strict=False)
    named = points
    points, measures = points.with_columns(numbered), measures.with_columns(numbered)
    simple = {name: rule for name, rule in rules.items() if rule.function not in BUCKETED | EXTREMES}
    histograms = {name: rule for name, rule in simple.items() if rule.function is Function.HISTOGRAM}
    parts = []
    if simple:
        plain = added(points, simple, step, compatibility)
        value = pl.coalesce(pl.col("whole").cast(pl.Float64), "decimal").alias("value")
        parts = [
            plain.select(*_KEYS, value, "whole"),
            *(_empty_steps(plain, name, rule) for name, rule in histograms.items()),
        ]
    if ranked := [name for name, rule in rules.items() if rule.function in BUCKETED]:
        parts.append(_ranked(named.collect(), rules, ranked, step).lazy().with_columns(numbered))
    if extremes := {name: rule for name, rule in rules.items() if rule.function in EXTREMES}:
        parts.append(_extremes(measures, extremes, step))
    if not parts:
        return pl.LazyFrame(schema=ReadingSchema)
    found = pl.concat(parts).filter(pl.col("value").is_not_null())
    if histograms:
        found = found.unique(_KEYS, keep="first", maintain_order=True)
    if simple or extremes:
        found = found.sort(_KEYS)
    return found.with_columns(pl.col("metric").cast(pl.String))


def _empty_steps(plain: pl.LazyFrame, name: str, rule: Rule) -> pl.LazyFrame:
    """Zeros for all steps of a histogram, wherever it has any."""
    labels = pl.LazyFrame({"label": [str(number * rule.step) for number in range(rule.steps + 1)]})
    seen = plain.filter(pl.col("metric") == name).select("metric", "entity", "minute").unique()
    zeros = pl.lit(0.0).alias("value"), pl.lit(0, pl.Int64).alias("whole")
    return seen.join(labels, how="cross").select(*_KEYS, *zeros)


def _ranked(points: pl.DataFrame, rules: Mapping[str, Rule], names: Sequence[str], step: Step) -> pl.DataFrame:
    """Percentiles as readings, in order."""
    indexed = [name for name in names if rules[name].function is Function.INDEXED_PERCENTILE]
    rank = pl.col("rank").cast(pl.String)
    place = pl.col("rank").replace_strict({of: str(number) for number, of in enumerate(RANKS)}, return_dtype=pl.String)
    label = pl.when(pl.col("metric").is_in(indexed)).then(place).otherwise(rank).alias("label")
    found = percentiles(points, names, step)
    metric = found["metric"].cast(pl.Enum(sorted(names))).to_physical().to_numpy()
    # Within a metric and rank they are in order already; texts of ranks and of their places are in the order of these.
    order = np.argsort(metric.astype(np.uint16) * len(RANKS) + np.searchsorted(RANKS, found["rank"]), kind="stable")
    return found[order].select(
        "metric",
        label,
        "entity",
        "minute",
        pl.col("value").cast(pl.Float64),
        pl.col("value").alias("whole"),
    )


def _extremes(measures: pl.LazyFrame, asked: Mapping[str, Rule], step: Step) -> pl.LazyFrame:
    least = [name for name, rule in asked.items() if rule.function in _LEAST]
    cut = [name for name, rule in asked.items() if rule.function in _CUT]
    units = {name: rule.unit for name, rule in asked.items()}
    merged = (
        measures.filter(pl.col("metric").is_in(list(asked)))
        .with_columns(pl.col("minute") - pl.col("minute") % int(step))
        .group_by(_KEYS)
        .agg(pl.col("least").min(), pl.col("greatest").max())
        .with_columns(
            pl.when(pl.col("metric").is_in(least)).then("least").otherwise("greatest").alias("extreme"),
            pl.col("metric").replace_strict(units, return_dtype=pl.Int64).alias("unit"),
        )
    )
    # Extremes are whole numbers below 2^53 in the unit in which they are held, and so exact.
    whole = pl.when(pl.col("metric").is_in(cut)).then(divided(pl.col("extreme").cast(pl.Int64), pl.col("unit")))
    value = pl.coalesce(whole.cast(pl.Float64), pl.col("extreme") / pl.col("unit"))
    return merged.select(*_KEYS, value.alias("value"), whole.alias("whole"))
