"""A second opinion on what a minute of alarms gives: each rule for one entity after the other, in plain Python."""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from backend.alarms.names import named
from backend.alarms.records import Key, Notice, Standing
from backend.alarms.rules import Rule
from backend.alarms.states import CALM, State, advance
from backend.metrics.reading import LABEL_NAMES, value_of
from backend.oal.functions import EXTREMES
from backend.query.catalog import Catalog
from backend.query.errors import QueryError
from backend.query.graphql.alarms import Alarm, AlarmedMetric
from backend.query.mqe.answer import shape
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.reader import LabelledValues, ReadingError, Top, UnknownMetricReadingError
from backend.query.mqe.results import Result, ResultType, Series
from backend.query.mqe.syntax import Labels, MqeError
from backend.storage.interface import Storage

IDS = uuid.UUID("5b3b9a0e-2a5d-4c0f-9c39-0d8f6a1d7a35")


class OneReader:
    """Metrics of one entity, asked of the store each time."""

    def __init__(self, storage: Storage, catalog: Catalog, entity: str) -> None:
        self._storage = storage
        self._catalog = catalog
        self._entity = entity

    def check(self, metric: str) -> None:
        try:
            self._catalog.metric(metric)
        except QueryError as error:
            raise UnknownMetricReadingError(str(error)) from None

    def read(self, metrics: Sequence[str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        return {name: self._read(name, duration) for name in metrics}

    def top(self, asked: Top, _duration: Duration) -> NoReturn:
        raise AssertionError(asked)

    def _read(self, name: str, duration: Duration) -> Sequence[LabelledValues]:
        metric = self._catalog.metric(name)
        minutes = [bucket // 60 for bucket in duration.buckets]
        table = self._storage.measures if metric.function in EXTREMES else self._storage.metrics
        rows = table([name], [self._entity], minutes[0], minutes[-1])
        side: dict[str, Any] = {"measures" if metric.function in EXTREMES else "points": rows}
        found = value_of({name: metric.rule}, **side, compatibility=self._catalog.compatibility)
        label = LABEL_NAMES.get(metric.function)
        by_label: dict[Labels, dict[int, float]] = {} if label else {(): {}}
        for row in found.iter_rows(named=True):
            by_label.setdefault(((label, row["label"]),) if label else (), {})[row["minute"]] = row["value"]
        return [
            LabelledValues(labels, np.array([known.get(minute, np.nan) for minute in minutes]))
            for labels, known in by_label.items()
        ]


class ReferenceEngine:
    """What Engine is, without anything that is kept."""

    def __init__(self, storage: Storage, catalog: Callable[[], Catalog], entities: int, alarms: int) -> None:
        self.rules: Sequence[Rule] = ()
        self.standing: dict[Key, Standing] = {}
        self.alarms: dict[str, Alarm] = {}
        self.checked = 0
        self.failed: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self._storage = storage
        self._catalog = catalog
        self._most_entities = entities
        self._most_alarms = alarms

    def check(self, minute: int) -> list[Notice]:
        now = (minute + 1) * 60_000
        catalog = self._catalog()
        notices: list[Notice] = []
        for rule in self.rules:
            try:
                notices += self._check(rule, minute, now, catalog)
            except (MqeError, ReadingError):
                self.failed[rule.name] += 1
        for key in [key for key in self.standing if key[0] not in {rule.name for rule in self.rules}]:
            self._end(key, now, ())
        return notices

    def _check(self, rule: Rule, minute: int, now: int, catalog: Catalog) -> list[Notice]:
        window = Duration((minute - rule.period + 1) * 60, rule.period, Step.MINUTE)
        with_alarm = [entity for name, entity in self.standing if name == rule.name]
        left_out: Counter[str] = Counter()
        held: dict[str, bool] = {}
        seen = self._seen(rule, window, catalog)
        for entity in [*with_alarm, *sorted(seen - set(with_alarm))]:
            try:
                name = named(rule.scope, entity).name
            except ValueError:
                left_out["unnamed"] += 1
                continue
            if not rule.names.takes(name):
                continue
            if len(held) < self._most_entities:
                result = evaluate(rule.expression, OneReader(self._storage, catalog, entity), window)
                held[entity] = any(1 in series.values.tolist() for series in result.series)
            else:
                left_out["entities"] += 1
        self.left_out += left_out
        self.checked += len(held)
        notices: list[Notice] = []
        for entity, holding in held.items():
            key = (rule.name, entity)
            before = self.standing.get(key)
            if before is None:
                if holding:
                    notices += self._begin(rule, entity, window, now, catalog)
                continue
            progress = advance(before.progress, rule.periods, held=holding)
            if progress.state is State.RECOVERED:
                notices.append(self._end(key, now, rule.hooks))
                continue
            self.standing[key] = replace(before, progress=progress)
            if progress.state is State.FIRING:
                notices.append(Notice(before.uuid, before.alarm, rule.hooks))
        return notices + [
            self._end((rule.name, entity), now, rule.hooks) for entity in with_alarm if entity not in held
        ]

    def _seen(self, rule: Rule, window: Duration, catalog: Catalog) -> set[str]:
        """The entities that have a value of any of the metrics of a rule."""
        minutes = [bucket // 60 for bucket in window.buckets]
        seen: set[str] = set()
        for name in rule.metrics:
            try:
                metric = catalog.metric(name)
            except QueryError as error:
                raise UnknownMetricReadingError(str(error)) from None
            extreme = metric.function in EXTREMES
            rows = (self._storage.measures if extreme else self._storage.metrics)([name], [], minutes[0], minutes[-1])
            side: dict[str, Any] = {"measures" if extreme else "points": rows}
            found = value_of({name: metric.rule}, **side, compatibility=catalog.compatibility)
            seen.update(found["entity"].to_list())
        return seen

    def _begin(self, rule: Rule, entity: str, window: Duration, now: int, catalog: Catalog) -> list[Notice]:
        if len(self.standing) >= self._most_alarms:
            self.left_out["standing"] += 1
            return []
        found = named(rule.scope, entity)
        layers = {service.id: service.layer for service in self._storage.services()}
        source, _, destination = entity.partition("-")
        service = next((one for one in (source.split("_")[0], destination.split("_")[0]) if one in layers), "")
        alarm = Alarm(
            id=source,
            destination_id=destination,
            scope=found.scope.title,
            name=found.name,
            rule=rule.name,
            layer=layers.get(service, ""),
            message=rule.message_of(found.name),
            start=now,
            tags=rule.tags,
            expression=rule.text,
        )
        identity = str(uuid.uuid5(IDS, f"{rule.name}\n{entity}\n{now}"))
        reader = OneReader(self._storage, catalog, entity)
        metrics = []
        for name in rule.metrics:
            series = [Series(one.labels, one.values, window.buckets) for one in reader.read([name], window)[name][:20]]
            metrics.append(AlarmedMetric(name, shape(Result(ResultType.TIME_SERIES_VALUES, tuple(series))).results))
        self.alarms[identity] = replace(alarm, metrics=metrics)
        self.standing[rule.name, entity] = Standing(advance(CALM, rule.periods, held=True), identity, alarm)
        return [Notice(identity, alarm, rule.hooks)]

    def _end(self, key: Key, now: int, hooks: tuple[str, ...]) -> Notice:
        ended = self.standing.pop(key)
        self.alarms[ended.uuid] = replace(self.alarms[ended.uuid], recovery=now)
        return Notice(ended.uuid, replace(ended.alarm, recovery=now), hooks)
