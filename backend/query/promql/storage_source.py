"""Series from the store: stored metrics, and the entities themselves."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from backend.metrics.reading import LABEL_NAMES, ReadingSchema, value_of
from backend.metrics.windows import Step
from backend.query.catalog import Catalog, Metric
from backend.query.errors import QueryError
from backend.query.promql import traffic
from backend.query.promql.budget import MAXIMUM_SAMPLES, Budget
from backend.query.promql.entity_labels import UNSUPPORTED, EntityLabels, candidates
from backend.query.promql.errors import impossible, wrong
from backend.query.promql.matching import Selector
from backend.query.promql.series import NAME, Labels, Samples, labels_of
from backend.query.stored import read_stored
from backend.storage.interface import Precision, Storage

SETTLING = 15
"""Seconds after its end from which a minute is shown: until then, some of its logs are still on their way."""
FIRST_ROWS = 300_000
"""About how many rows are asked for first, at FIRST_ENTITIES for each metric."""
FIRST_ENTITIES = 1_000
_GROWTH = 4
_MINUTE = 60_000
_PRECISIONS = {int(precision) * _MINUTE: precision for precision in Precision}

Columns = ("metric", "label", "entity")


@dataclass(frozen=True, slots=True)
class StorageSource:
    """The Source of the series of a store, for one question.

    A sample stands at the beginning of the minute, hour or day that it is of, as everywhere in this backend.

    Attributes:
        storage: where rows are.
        catalog: the metrics that there are.
        labels: what entities are called.
        budget: of the question.
        clock: seconds since 1970-01-01 UTC.
        settled: whether minutes, hours and days that are not over are left out.
    """

    storage: Storage
    catalog: Catalog
    labels: EntityLabels
    budget: Budget
    clock: Callable[[], float] = time.time
    settled: bool = True

    def select(self, selector: Selector, first: int, last: int, spacing: int) -> Samples:
        """As Source says."""
        for matcher in selector.matchers:
            if matcher.label in UNSUPPORTED:
                raise wrong(f"{matcher.label} is not a label here: {UNSUPPORTED[matcher.label]}")
        if self.settled:
            last = min(last, int((self.clock() - SETTLING) * 1000) - spacing)
        first = -(-first // spacing) * spacing
        count = max(0, (last - first) // spacing + 1)
        grid = Samples([], np.zeros((0, count)), np.zeros((0, count), np.bool_), first, spacing)
        if not count:
            return grid
        entities = traffic.samples(selector, grid, self.storage, self.labels, self.budget)
        return _joined([entities, self._metrics(selector, grid)], grid)

    def _metrics(self, selector: Selector, grid: Samples) -> Samples:
        by_scope: dict[str, list[Metric]] = {}
        for metric in self._named(selector):
            by_scope.setdefault(metric.scope, []).append(metric)
        return _joined([self._of_scope(scope, selector, metrics, grid) for scope, metrics in by_scope.items()], grid)

    def _named(self, selector: Selector) -> list[Metric]:
        if (name := selector.exact(NAME)) is not None:
            try:
                found = [self.catalog.metric(name)]
            except QueryError:
                return []
        else:
            found = [self.catalog.metric(metric.name) for metric in self.catalog.names()]
        return [metric for metric in found if selector.accepts({NAME: metric.name}, names=(NAME,))]

    def _of_scope(self, scope: str, selector: Selector, metrics: Sequence[Metric], grid: Samples) -> Samples:
        minutes = grid.first // _MINUTE, (grid.first + (grid.values.shape[1] - 1) * grid.spacing) // _MINUTE
        length = grid.spacing // _MINUTE
        entities = candidates(scope, selector, self.storage, minutes[0], minutes[1] + length - 1)
        if entities is not None and not entities:
            return grid
        known: dict[str, Mapping[str, str]] = {}
        by_name = {metric.name: metric for metric in metrics}
        places: dict[Labels, int] = {}
        pieces: list[pl.DataFrame] = []
        for rows in self._slices(metrics, entities or [], minutes, _PRECISIONS[grid.spacing]):
            series = rows.select(Columns).unique(maintain_order=True)
            chosen: list[int | None] = []
            for name, label, entity in series.iter_rows():
                if entity not in known:
                    known[entity] = self._labels(scope, entity)
                labels = _labelled(by_name[name], label, known[entity])
                accepted = bool(known[entity]) and selector.accepts(labels)
                chosen.append(places.setdefault(labels_of(labels), len(places)) if accepted else None)
            placed = series.with_columns(pl.Series("series", chosen, pl.Int64)).drop_nulls("series")
            pieces.append(rows.join(placed, on=Columns).select("series", "minute", "value"))
            self.budget.hold(len(places), grid.values.shape[1])
        return _dense(list(places), pieces, grid)

    def _labels(self, scope: str, entity: str) -> Mapping[str, str]:
        try:
            return self.labels.of(scope, entity)
        except ValueError:
            return {}  # an id that is none: a row of another scope that has the metric's name

    def _slices(
        self, metrics: Sequence[Metric], entities: Sequence[str], minutes: tuple[int, int], precision: Precision
    ) -> Iterator[pl.DataFrame]:
        """What is stored, a part of the time after the other, so that what is too much is known before it is read."""
        first, last = minutes
        steps = max(1, FIRST_ROWS // (len(metrics) * (len(entities) or FIRST_ENTITIES)))
        read = 0
        while first <= last:
            self.budget.check()
            end = min(last, first + (steps - 1) * precision)
            rows = self._read(metrics, entities, first, end, precision)
            yield rows
            read += len(rows)
            if read > MAXIMUM_SAMPLES:
                raise impossible(
                    f"more than {MAXIMUM_SAMPLES:,} stored values are needed: select by service, ask for a shorter"
                    " range, or for a step of an hour or a day"
                )
            first = end + precision
            steps = max(1, min(steps * _GROWTH, steps * FIRST_ROWS * _GROWTH // max(1, len(rows))))

    def _read(
        self, metrics: Sequence[Metric], entities: Sequence[str], first: int, last: int, precision: Precision
    ) -> pl.DataFrame:
        found = read_stored(self.storage, metrics, entities, (first, last, precision))
        return value_of(
            {metric.name: metric.rule for metric in metrics},
            found.points,
            found.measures,
            Step(int(precision)),
            self.catalog.compatibility,
        ).select(name for name in ReadingSchema if name != "whole")


def _labelled(metric: Metric, label: str, of_entity: Mapping[str, str]) -> dict[str, str]:
    own = LABEL_NAMES.get(metric.function)
    return {**of_entity, **({} if own is None else {own: label}), NAME: metric.name}


def _dense(labels: Sequence[Labels], pieces: Sequence[pl.DataFrame], grid: Samples) -> Samples:
    values = np.zeros((len(labels), grid.values.shape[1]))
    present = np.zeros(values.shape, np.bool_)
    for rows in pieces:
        series = rows["series"].to_numpy()
        place = (rows["minute"].to_numpy().astype(np.int64) * _MINUTE - grid.first) // grid.spacing
        values[series, place] = rows["value"].to_numpy()
        present[series, place] = True
    return Samples(labels, values, present, grid.first, grid.spacing)


def _joined(parts: Sequence[Samples], grid: Samples) -> Samples:
    """Series of one grid together."""
    return Samples(
        [labels for part in parts for labels in part.labels],
        np.concatenate([grid.values, *(part.values for part in parts)]),
        np.concatenate([grid.present, *(part.present for part in parts)]),
        grid.first,
        grid.spacing,
    )
