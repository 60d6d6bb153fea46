"""Metrics from the store."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from backend.metrics.reading import LABEL_NAMES
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.mqe.duration import Duration
from backend.query.mqe.entities import RANKED, entity_id, is_named, owner_of
from backend.query.mqe.reader import Entity, LabelledValues, ReadingError, Top, UnknownMetricReadingError
from backend.query.mqe.results import Owner
from backend.query.mqe.shared_series import SharedSeries
from backend.query.mqe.stored_series import read_rows, read_values
from backend.query.mqe.syntax import AttributeCondition, LabelCondition, Order
from backend.query.stored import Rows
from backend.storage.interface import Storage

LAYER_ATTRIBUTE = "attr0"
"""The one attribute that is kept: a layer of the service."""
SLICE_ROWS = 1_000_000
"""About how many rows top_n() asks of the store at a time: a long span of many entities must not be in memory as a
whole."""
_FIRST_SLICE = 30
"""Rows of each entity in the first of these slices; the others are as long as the rows before them say."""
_GROWTH = 4


class StorageReader:
    """Reads metrics of the entity asked about, and ranks those of its service, or of all when it names none.

    Besides ReadingError its methods raise StorageError.

    Args:
        storage: What is asked.
        catalog: The metrics.
        entity: What is asked about.
        series: Reads for others too; this reads for itself when there is none.
    """

    def __init__(self, storage: Storage, catalog: Catalog, entity: Entity, series: SharedSeries | None = None) -> None:
        self._storage = storage
        self._catalog = catalog
        self._entity = entity
        self._series = series or SharedSeries(storage, catalog)

    def check(self, metric: str) -> None:
        """Raise UnknownMetricReadingError when there is no such metric."""
        self._metric(metric)

    def read(self, metrics: Sequence[str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        """As MetricReader says."""
        asked = {metric: entity_id(metric.scope, self._entity) for metric in map(self._metric, dict.fromkeys(metrics))}
        return self._series.read(asked, duration)

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
            found = read_values(rows, [metric], part, self._catalog).filter(pl.col("label") == label)
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

    def _slices(self, metric: Metric, entities: Sequence[str], duration: Duration) -> Iterator[tuple[Rows, Duration]]:
        """What is stored of a metric in a duration, and the part of it that it is of, one after the other."""
        first, points = 0, max(1, _FIRST_SLICE * duration.unit.value // duration.step.value)
        while first < duration.points:
            points = min(points, duration.points - first)
            part = Duration(duration.buckets[first], points, duration.step, duration.offset)
            rows = read_rows(self._storage, [metric], entities, part)
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
