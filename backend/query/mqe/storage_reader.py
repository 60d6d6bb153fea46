"""Metrics from the store."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from backend.metrics import windows
from backend.metrics.percentiles import RANKS
from backend.metrics.reading import LABEL_NAMES, value_of
from backend.oal.functions import EXTREMES, Function
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.entities import RANKED, entity_id, is_named, owner_of
from backend.query.mqe.functions import natural
from backend.query.mqe.reader import Entity, LabelledValues, ReadingError, Top, UnknownMetricReadingError
from backend.query.mqe.results import Owner
from backend.query.mqe.syntax import AttributeCondition, LabelCondition, Labels, Order
from backend.storage.interface import MeasureSchema, MetricSchema, Precision, Storage

LAYER_ATTRIBUTE = "attr0"
"""The one attribute that is kept: a layer of the service."""
SLICE_ROWS = 1_000_000
"""About how many rows top_n() asks of the store at a time: a long span of many entities must not be in memory as a
whole."""
_FIRST_SLICE = 30
"""Rows of each entity in the first of these slices; the others are as long as the rows before them say."""
_GROWTH = 4


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is stored."""

    points: pl.DataFrame
    """Columns of MetricSchema."""
    measures: pl.DataFrame
    """Columns of MeasureSchema."""

    def __len__(self) -> int:
        return len(self.points) + len(self.measures)


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
        # Metrics of several scopes are of several entities, and each may have rows for another's.
        rows = self._rows(list(asked.values()), sorted(set(entities.values())), duration)
        found = self._values(rows, list(asked.values()), duration)
        places = (found["start"].to_numpy() - duration.first) // duration.step.value
        found = found.with_columns(pl.Series("place", places, pl.Int64))
        read: dict[str, dict[Labels, LabelledValues]] = {
            name: {labels: LabelledValues(labels, np.full(duration.points, math.nan)) for labels in _always(metric)}
            for name, metric in asked.items()
        }
        for (name, label), series in found.group_by("metric", "label", maintain_order=True):
            metric = asked[str(name)]
            of_entity = series.filter(pl.col("entity") == entities[metric.name])
            labels = _labels(metric, str(label))
            values = np.full(duration.points, math.nan)
            values[of_entity["place"].to_numpy()] = of_entity["value"].to_numpy()
            read[metric.name][labels] = LabelledValues(labels, values)
        return {name: sorted(by_label.values(), key=_order) for name, by_label in read.items()}

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
        sums = []
        for rows, part in self._slices(metric, entities or [], duration):
            found = self._values(rows, [metric], part).filter(pl.col("label") == label)
            sums.append(found.group_by("entity").agg(pl.col("value").sum().alias("total"), pl.len().alias("buckets")))
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

    def _rows(self, metrics: Sequence[Metric], entities: Sequence[str], duration: Duration) -> _Rows:
        """What is stored of metrics in a duration."""
        precision = _PRECISIONS.get(duration.unit)
        if precision is None:
            raise ReadingError("metrics are kept by the minute: ask with the step MINUTE, HOUR or DAY")
        first, length = duration.first // 60, duration.points * duration.step.value // 60
        span = (first, first + length - 1, precision)
        measured = [metric.name for metric in metrics if metric.function in EXTREMES]
        added = [metric.name for metric in metrics if metric.function not in EXTREMES]
        return _Rows(
            self._storage.metrics(added, entities, *span) if added else pl.DataFrame(schema=MetricSchema),
            self._storage.measures(measured, entities, *span) if measured else pl.DataFrame(schema=MeasureSchema),
        )

    def _values(self, rows: _Rows, metrics: Sequence[Metric], duration: Duration) -> pl.DataFrame:
        """What rows of the store mean at a duration's step.

        Returns:
            Columns metric, label (text, "" for none), entity, start (of the bucket, in seconds since 1970-01-01 UTC)
            and value.
        """
        # Buckets are those of the zone: they are put together by its clocks, and told by those of UTC.
        ahead = pl.col("minute") + duration.offset
        found = value_of(
            {metric.name: metric.rule for metric in metrics},
            rows.points.with_columns(ahead),
            rows.measures.with_columns(ahead),
            _STEPS[duration.step],
            self._catalog.compatibility,
        )
        start = (pl.col("minute").cast(pl.Int64) - duration.offset) * 60
        return found.select("metric", "label", "entity", start.alias("start"), "value")

    def _slices(self, metric: Metric, entities: Sequence[str], duration: Duration) -> Iterator[tuple[_Rows, Duration]]:
        """What is stored of a metric in a duration, and the part of it that it is of, one after the other."""
        first, points = 0, max(1, _FIRST_SLICE * duration.unit.value // duration.step.value)
        while first < duration.points:
            points = min(points, duration.points - first)
            part = Duration(duration.buckets[first], points, duration.step, duration.offset)
            rows = self._rows([metric], entities, part)
            yield rows, part
            first += points
            points = max(1, min(points * _GROWTH, points * SLICE_ROWS // max(1, len(rows))))

    def _candidates(self, scope: str, duration: Duration) -> list[str] | None:
        """The entities of the service asked about; None for all."""
        if not is_named(self._entity.service) or scope == "K8SService":
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
    match metric.function:
        case Function.PERCENTILE:
            return [_labels(metric, str(rank)) for rank in RANKS]
        case Function.INDEXED_PERCENTILE:
            return [_labels(metric, str(place)) for place in range(len(RANKS))]
        case _:
            return [] if metric.function in LABEL_NAMES else [()]


def _labels(metric: Metric, label: str) -> Labels:
    name = LABEL_NAMES.get(metric.function)
    return () if name is None else ((name, label),)


def _order(series: LabelledValues) -> tuple[object, ...]:
    return tuple(natural(value) for _, value in series.labels)


def _chosen(metric: Metric, asked: Top) -> str:
    """The one label of a metric that is ranked, as text; "" for a metric without labels."""
    name = LABEL_NAMES.get(metric.function)
    match asked.labels:
        case () if name is None:
            return ""
        case (LabelCondition(label, (value,)),) if label == name:
            return value
        case _:
            hint = "write it without labels" if name is None else f"choose it, as in {metric.name}{{{name}='...'}}"
            raise ReadingError(f"top_n() ranks by one number of each entity: {hint}")
