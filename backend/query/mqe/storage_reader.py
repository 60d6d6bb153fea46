"""Metrics from the store."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from backend.metrics import windows
from backend.metrics.percentiles import RANKS, percentiles
from backend.oal.functions import Function
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.entities import RANKED, entity_id, owner_of
from backend.query.mqe.reader import Entity, LabelledValues, ReadingError, Top, UnknownMetricReadingError
from backend.query.mqe.results import Owner
from backend.query.mqe.syntax import AttributeCondition, Labels, Order
from backend.storage.interface import Precision, Storage

RANK_LABEL = "p"
"""Label of percentiles."""
LAYER_ATTRIBUTE = "attr0"
"""The one attribute that is kept: a layer of the service."""
SLICE = 240
"""Rows of one entity that are asked of the store at a time for top_n(): a long span of many entities must not
be in memory as a whole."""

_PRECISIONS = {Step.MINUTE: Precision.MINUTE, Step.HOUR: Precision.HOUR, Step.DAY: Precision.DAY}
_STEPS = {Step.MINUTE: windows.Step.MINUTE, Step.HOUR: windows.Step.HOUR, Step.DAY: windows.Step.DAY}


class StorageReader:
    """Reads metrics of the entity asked about, and ranks those of its service, or of all when it names none.

    Besides ReadingError its methods raise StorageError.
    """

    def __init__(self, storage: Storage, catalog: Catalog, entity: Entity) -> None:
        self._storage = storage
        self._catalog = catalog
        self._entity = entity

    def check(self, metric: str) -> None:
        """Raise UnknownMetricReadingError when there is no such metric."""
        self._metric(metric)

    def read(self, metrics: Sequence[str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        """As MetricReader says."""
        asked = {name: self._metric(name) for name in dict.fromkeys(metrics)}
        entities = {name: entity_id(metric.scope, self._entity) for name, metric in asked.items()}
        # Metrics of several scopes are of several entities; no metric has rows for an entity of another scope.
        found = self._values(list(asked.values()), sorted(set(entities.values())), duration)
        places = (found["start"].to_numpy() - duration.first) // duration.step.value
        found = found.with_columns(pl.Series("place", places, pl.Int64))
        read: dict[str, dict[Labels, LabelledValues]] = {
            name: {labels: LabelledValues(labels, np.full(duration.points, math.nan)) for labels in _always(metric)}
            for name, metric in asked.items()
        }
        for (name, label), rows in found.group_by("metric", "label", maintain_order=True):
            metric = asked[str(name)]
            of_entity = rows.filter(pl.col("entity") == entities[metric.name])
            labels = _labels(metric, str(label))
            values = np.full(duration.points, math.nan)
            values[of_entity["place"].to_numpy()] = of_entity["value"].to_numpy()
            read[metric.name][labels] = LabelledValues(labels, values)
        return {name: list(series.values()) for name, series in read.items()}

    def top(self, asked: Top, duration: Duration) -> Sequence[tuple[Owner, float]]:
        """As MetricReader says."""
        metric = self._metric(asked.metric)
        if metric.scope not in RANKED:
            raise ReadingError(f"top_n() ranks services, instances and endpoints, not what {metric.name} is of")
        label = _chosen(metric, asked)
        layers = self._layers(asked.conditions)
        entities = self._candidates(metric.scope, duration)
        if entities is not None and not entities:
            return []
        sums = [
            self._values([metric], entities or [], part)
            .filter(pl.col("label") == label)
            .group_by("entity")
            .agg(pl.col("value").sum().alias("total"), pl.len().alias("buckets"))
            for part in slices(duration)
        ]
        means = (
            pl.concat(sums)
            .group_by("entity")
            .agg(pl.col("total").sum(), pl.col("buckets").sum())
            .with_columns((pl.col("total") / pl.col("buckets")).alias("mean"))
        )
        if layers is not None:
            means = means.filter(pl.col("entity").str.split("_").list.first().is_in(layers))
        order = [asked.order is Order.DESCENDING, False]
        ranked = means.sort("mean", "entity", descending=order).head(asked.limit)
        within = entities is not None
        return [
            (owner_of(metric.scope, entity, within_service=within), mean)
            for entity, mean in ranked.select("entity", "mean").iter_rows()
        ]

    def _metric(self, name: str) -> Metric:
        try:
            return self._catalog.metric(name)
        except QueryError as unknown:
            raise UnknownMetricReadingError(f"{unknown.error}: {unknown.hint}") from None

    def _values(self, metrics: Sequence[Metric], entities: Sequence[str], duration: Duration) -> pl.DataFrame:
        """What was stored, read at the duration's step.

        Returns:
            Columns metric, label (text, "" for none), entity, start (of the bucket, in seconds since 1970-01-01 UTC)
            and value.
        """
        precision = _PRECISIONS.get(duration.unit)
        if precision is None:
            raise ReadingError("metrics are kept by the minute: ask with the step MINUTE, HOUR or DAY")
        first, length = duration.first // 60, duration.points * duration.step.value // 60
        rows = self._storage.metrics(
            [metric.name for metric in metrics], entities, first, first + length - 1, precision
        )
        # Buckets are those of the zone: they are put together by its clocks, and told by those of UTC.
        rows = rows.with_columns(pl.col("minute") + duration.offset)
        step = _STEPS[duration.step]
        plain = windows.values(
            rows,
            {metric.name: metric.function for metric in metrics},
            step,
            units={metric.name: metric.divisor for metric in metrics},
        ).with_columns(pl.lit("").alias("label"))
        ranked = percentiles(
            rows, [metric.name for metric in metrics if metric.function is Function.PERCENTILE], step
        ).with_columns(pl.col("rank").cast(pl.String).alias("label"))
        columns = (
            "metric",
            "label",
            "entity",
            ((pl.col("minute").cast(pl.Int64) - duration.offset) * 60).alias("start"),
            pl.col("value").cast(pl.Float64),
        )
        return pl.concat([plain.select(columns), ranked.select(columns)])

    def _candidates(self, scope: str, duration: Duration) -> list[str] | None:
        """The entities of the service asked about; None for all."""
        if self._entity.service is None or scope == "K8SService":
            return None
        service = entity_id("K8SService", self._entity)
        first, last = duration.first // 60, (duration.buckets[-1] + duration.step.value) // 60 - 1
        if scope == "K8SEndpoint":
            return [endpoint.id for endpoint in self._storage.endpoints(service, first, last)]
        return [instance.id for instance in self._storage.instances(service, first, last)]

    def _layers(self, conditions: Sequence[AttributeCondition]) -> list[str] | None:
        """Ids of the services that fulfil conditions; None when there are none."""
        if not conditions:
            return None
        for condition in conditions:
            if condition.attribute != LAYER_ATTRIBUTE:
                raise ReadingError(
                    f"{condition.attribute} is not kept: only {LAYER_ATTRIBUTE} is, a layer of the service"
                )
        return [
            service.id
            for service in self._storage.services()
            if all(
                (condition.value in {service.layer, *service.more_layers}) is condition.equal
                for condition in conditions
            )
        ]


def _always(metric: Metric) -> list[Labels]:
    """The labels that a metric has whatever the data."""
    if metric.function is Function.PERCENTILE:
        return [((RANK_LABEL, str(rank)),) for rank in RANKS]
    return [()]


def _labels(metric: Metric, label: str) -> Labels:
    return ((RANK_LABEL, label),) if metric.function is Function.PERCENTILE else ()


def _chosen(metric: Metric, asked: Top) -> str:
    """The one label of a metric that is ranked, as text."""
    known = _always(metric)
    chosen = [
        labels
        for labels in known
        if all(dict(labels).get(condition.name) in condition.values for condition in asked.labels)
    ]
    if len(chosen) != 1:
        hint = f"choose one, as in {metric.name}{{{RANK_LABEL}='99'}}" if known != [()] else "write it without labels"
        raise ReadingError(f"top_n() ranks by one number of each entity, and this is {len(chosen)}: {hint}")
    return chosen[0][0][1] if chosen[0] else ""


def slices(duration: Duration) -> Iterator[Duration]:
    """A duration in parts of at most SLICE rows, if a bucket has no more."""
    most = max(1, SLICE * duration.unit.value // duration.step.value)
    for first in range(0, duration.points, most):
        start, points = duration.buckets[first], min(most, duration.points - first)
        yield Duration(start, points, duration.step, duration.offset)
