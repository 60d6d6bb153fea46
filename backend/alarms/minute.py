"""Checks rules for one minute."""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backend.alarms.evaluation import holds
from backend.alarms.known_entities import KnownEntities, Numbers
from backend.alarms.names import Named, named
from backend.alarms.readings import NO_ROW, Readings
from backend.alarms.records import Changes, Notice, Standing
from backend.alarms.rules import Rule
from backend.alarms.states import CALM, State, advance
from backend.query.catalog import Catalog
from backend.query.graphql.alarms import Alarm, AlarmedMetric
from backend.query.mqe.answer import shape
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.results import Result, ResultType, Series
from backend.storage.interface import Storage

MAXIMUM_ENTITIES = 20_000
"""Most entities for which one rule is checked in a minute."""
MAXIMUM_STANDING = 10_000
"""Most alarms that are not over."""
MAXIMUM_SERIES = 20
"""Most series of each metric that are kept of the time when an alarm began."""
_ALARMS = uuid.UUID("5b3b9a0e-2a5d-4c0f-9c39-0d8f6a1d7a35")
"""What the ids of alarms are made in (RFC 4122, version 5)."""


class Minute:
    """One minute, and what comes of it. For one thread.

    Args:
        changes: What it changes; empty so far.
        storage: Where metrics are.
        catalog: The metrics that there are.
        known: The entities that there were, by scope.
        standing: The alarms that are not over, by rule and entity.

    Attributes:
        changes: What it changed.
        notices: What is to be told.
        checked: How often a rule was checked for an entity.
        left_out: How often an entity was not checked or its alarm did not begin, by cause as Engine.left_out.
    """

    def __init__(
        self,
        minute: int,
        storage: Storage,
        catalog: Catalog,
        known: Mapping[str, KnownEntities],
        standing: Mapping[str, Mapping[str, Standing]],
    ) -> None:
        self.changes = Changes(minute)
        self.notices: list[Notice] = []
        self.checked = 0
        self.left_out: Counter[str] = Counter()
        self._minute = minute
        self._storage = storage
        self._catalog = catalog
        self._known = known
        self._standing = standing
        self._count = sum(map(len, standing.values()))
        self._known_layers: Mapping[str, str] | None = None

    @property
    def _now(self) -> int:
        """The end of the minute, in milliseconds since 1970-01-01 UTC."""
        return (self._minute + 1) * 60_000

    def check(self, rule: Rule) -> None:
        """Check a rule for every entity. Either all of it counts or, when this raises, nothing.

        Raises:
            MqeError: the expression of the rule does not fit what is there.
            ReadingError: a metric is not known.
            StorageError: metrics cannot be read.
        """
        window = Duration((self._minute - rule.period + 1) * 60, rule.period, Step.MINUTE)
        known = self._known[rule.scope]
        readings = Readings(self._storage, self._catalog, known)
        standing = self._standing.get(rule.name, {})
        left_out: Counter[str] = Counter()
        with_alarm, others = self._entities(rule, readings.entities(rule.metrics, window), standing, left_out)
        entities = np.concatenate([with_alarm, others])
        held = holds(rule.expression, readings, entities, window)
        self.left_out += left_out
        self.checked += len(held)
        still = set[str]()
        for number, holding in zip(with_alarm.tolist(), held[: len(with_alarm)].tolist(), strict=True):
            entity = known.text(number)
            still.add(entity)
            self._go_on(rule, entity, standing[entity], held=holding)
        for entity in sorted(map(known.text, others[held[len(with_alarm) :]].tolist())):
            self._begin(rule, named(rule.scope, entity), readings, window)
        for identity, ended in standing.items():
            if identity not in still:
                # The rule is no longer about it.
                self._end((rule.name, identity), ended, rule.hooks)

    def end_rules(self, rules: set[str]) -> None:
        """End the alarms of rules that are gone."""
        for rule in sorted(rules):
            for entity, standing in self._standing[rule].items():
                self.changes.ended[rule, entity] = Notice(standing.uuid, replace(standing.alarm, recovery=self._now))

    def _entities(
        self, rule: Rule, seen: Numbers, standing: Mapping[str, Standing], left_out: Counter[str]
    ) -> tuple[Numbers, Numbers]:
        """What a rule is checked for: first what has an alarm, then all others, by id when they are too many."""
        known = self._known[rule.scope]
        with_alarm = known.numbers(list(standing))
        found = []
        room = MAXIMUM_ENTITIES
        for numbers in (with_alarm, np.setdiff1d(seen, with_alarm, assume_unique=True)):
            left_out["unnamed"] += len(numbers) - int(known.with_names(numbers).sum())
            chosen = numbers[known.taken(rule.names, numbers)]
            left_out["entities"] += max(0, len(chosen) - room)
            if len(chosen) > room:
                if numbers is not with_alarm:
                    chosen = known.by_id(chosen)
                chosen = chosen[:room]
            room -= len(chosen)
            found.append(chosen)
        return found[0], found[1]

    def _begin(self, rule: Rule, entity: Named, readings: Readings, window: Duration) -> None:
        if self._count + len(self.changes.begun) - len(self.changes.ended) >= MAXIMUM_STANDING:
            self.left_out["standing"] += 1
            return
        source, destination = entity.ends
        alarm = Alarm(
            id=source,
            destination_id=destination,
            scope=entity.scope.title,
            name=entity.name,
            rule=rule.name,
            layer=self._layer(entity),
            message=rule.message_of(entity.name),
            start=self._now,
            tags=rule.tags,
            expression=rule.text,
        )
        identity = str(uuid.uuid5(_ALARMS, f"{rule.name}\n{entity.entity}\n{self._now}"))
        (number,) = self._known[rule.scope].numbers([entity.entity])
        metrics = [_snapshot(readings, name, number, window) for name in rule.metrics]
        self.changes.begun.append(Notice(identity, replace(alarm, metrics=metrics)))
        self.changes.standing[rule.name, entity.entity] = Standing(
            advance(CALM, rule.periods, held=True), identity, alarm
        )
        self.notices.append(Notice(identity, alarm, rule.hooks))

    def _go_on(self, rule: Rule, entity: str, before: Standing, *, held: bool) -> None:
        progress = advance(before.progress, rule.periods, held=held)
        if progress.state is State.RECOVERED:
            self._end((rule.name, entity), before, rule.hooks)
            return
        self.changes.standing[rule.name, entity] = replace(before, progress=progress)
        if progress.state is State.FIRING:
            self.notices.append(Notice(before.uuid, before.alarm, rule.hooks))

    def _end(self, key: tuple[str, str], standing: Standing, hooks: tuple[str, ...]) -> None:
        notice = Notice(standing.uuid, replace(standing.alarm, recovery=self._now), hooks)
        self.changes.ended[key] = notice
        self.notices.append(notice)

    def _layer(self, entity: Named) -> str:
        if self._known_layers is None:
            self._known_layers = {service.id: service.layer for service in self._storage.services()}
        known = self._known_layers
        return next((known[service] for service in entity.services if service in known), "")


def _snapshot(readings: Readings, metric: str, entity: int, window: Duration) -> AlarmedMetric:
    """A metric of an entity as it is in a window."""
    found = readings.of(metric, window)
    series = [
        Series(labels, found.values[row], window.buckets)
        for labels, row in zip(found.labels, found.rows(np.array([entity]))[:, 0], strict=True)
        if row != NO_ROW or not found.labelled
    ]
    return AlarmedMetric(metric, shape(Result(ResultType.TIME_SERIES_VALUES, tuple(series[:MAXIMUM_SERIES]))).results)
