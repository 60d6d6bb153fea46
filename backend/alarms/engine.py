"""Checks every rule for every entity, once for each minute."""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from backend.alarms.names import Named, named
from backend.alarms.readings import EntityReader, Readings
from backend.alarms.records import AlarmRecords, Changes, Notice, Standing
from backend.alarms.rules import Rule
from backend.alarms.states import CALM, OVER, State, advance
from backend.query.catalog import Catalog
from backend.query.graphql.alarms import Alarm, AlarmedMetric
from backend.query.mqe.answer import shape
from backend.query.mqe.duration import Duration, Step
from backend.query.mqe.evaluator import evaluate
from backend.query.mqe.reader import ReadingError
from backend.query.mqe.results import Result, ResultType, Series
from backend.query.mqe.syntax import MqeError
from backend.storage.interface import Storage

MAXIMUM_ENTITIES = 20_000
"""Most entities for which one rule is checked in a minute."""
MAXIMUM_STANDING = 10_000
"""Most alarms that are not over."""
MAXIMUM_SERIES = 20
"""Most series of each metric that are kept of the time when an alarm began."""
_ALARMS = uuid.UUID("5b3b9a0e-2a5d-4c0f-9c39-0d8f6a1d7a35")
"""What the ids of alarms are made in (RFC 4122, version 5)."""

_logger = logging.getLogger(__name__)


class Engine:
    """Rules and the alarms that are not over. check() is for one thread at a time, use() for any.

    Args:
        storage: Where metrics are.
        catalog: The metrics that there are now.
        records: Where alarms are kept.
        rules: What is checked.

    Raises:
        StorageError: What is kept cannot be read.

    Attributes:
        minute: The minute that was checked last, since 1970-01-01 UTC; None when none was.
        standing: How many alarms are not over, by state.
        checked: How often a rule was checked for an entity.
        begun: How many alarms began.
        failed: How often a rule could not be checked, by its name.
        left_out: How often an entity was not checked or its alarm did not begin, by cause: `entities` for those above
            MAXIMUM_ENTITIES, `standing` for those above MAXIMUM_STANDING, `unnamed` for ids that name nothing.
    """

    def __init__(
        self, storage: Storage, catalog: Callable[[], Catalog], records: AlarmRecords, rules: Sequence[Rule] = ()
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._records = records
        self._rules = tuple(rules)
        self.resume()
        self.checked = 0
        self.begun = 0
        self.failed: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def resume(self) -> None:
        """Go on from what is kept: another may have written it. Not while a minute is checked. Raises StorageError."""
        saved = self._records.load()
        self.minute = saved.minute
        self._standing: dict[str, dict[str, Standing]] = {}
        for (rule, entity), standing in saved.standing.items():
            self._standing.setdefault(rule, {})[entity] = standing
        self.standing = self._by_state()

    def use(self, rules: Sequence[Rule]) -> None:
        """Check these from the next minute on. Alarms of rules that are no longer there end then, and nobody is told.

        An alarm of a rule that was changed goes on, by the rule as it is now.
        """
        self._rules = tuple(rules)

    def check(self, minute: int) -> list[Notice]:
        """Check every rule for a minute, and save what comes of it; what is to be told, by rule. Blocks.

        Args:
            minute: since 1970-01-01 UTC; after the one that was checked last.

        Raises:
            StorageError: metrics could not be read, or alarms not be saved. Nothing has changed: check it again.
        """
        rules = self._rules
        step = _Minute(minute, self._storage, self._catalog(), self._standing)
        for rule in rules:
            try:
                step.check(rule)
            except (MqeError, ReadingError) as error:
                # The metrics can be others than those that the rule was checked with.
                self.failed[rule.name] += 1
                _logger.warning("the alarm rule %s could not be checked: %s", rule.name, error)
        step.end_rules(self._standing.keys() - {rule.name for rule in rules})
        self._records.save(step.changes)
        self._apply(step.changes)
        self.checked += step.checked
        self.left_out += step.left_out
        return step.notices

    def _apply(self, changes: Changes) -> None:
        for (rule, entity), standing in changes.standing.items():
            self._standing.setdefault(rule, {})[entity] = standing
        for rule, entity in changes.ended:
            del self._standing[rule][entity]
            if not self._standing[rule]:
                del self._standing[rule]
        self.standing = self._by_state()
        self.begun += len(changes.begun)
        self.minute = changes.minute

    def _by_state(self) -> Mapping[str, int]:
        counts = Counter(one.progress.state for of_rule in self._standing.values() for one in of_rule.values())
        return {state.value: counts[state] for state in State if state not in OVER}


class _Minute:
    """One minute."""

    def __init__(
        self, minute: int, storage: Storage, catalog: Catalog, standing: Mapping[str, Mapping[str, Standing]]
    ) -> None:
        self.changes = Changes(minute)
        self.notices: list[Notice] = []
        self.checked = 0
        self.left_out: Counter[str] = Counter()
        self._minute = minute
        self._storage = storage
        self._catalog = catalog
        self._standing = standing
        self._count = sum(map(len, standing.values()))
        self._known_layers: Mapping[str, str] | None = None

    @property
    def _now(self) -> int:
        """The end of the minute, in milliseconds since 1970-01-01 UTC."""
        return (self._minute + 1) * 60_000

    def check(self, rule: Rule) -> None:
        """Check a rule for every entity. Either all of it counts or, when this raises, nothing."""
        window = Duration((self._minute - rule.period + 1) * 60, rule.period, Step.MINUTE)
        readings = Readings(self._storage, self._catalog)
        standing = self._standing.get(rule.name, {})
        held = {
            entity: self._holds(rule, EntityReader(readings, entity.entity), window)
            for entity in self._entities(rule, readings.entities(rule.metrics, window), standing)
        }
        self.checked += len(held)
        for entity, holds in held.items():
            before = standing.get(entity.entity)
            if before is not None:
                self._go_on(rule, entity, before, held=holds)
            elif holds:
                self._begin(rule, entity, readings, window)
        for identity in standing.keys() - {entity.entity for entity in held}:
            # The rule is no longer about it.
            self._end((rule.name, identity), standing[identity], rule.hooks)

    def end_rules(self, rules: set[str]) -> None:
        """End the alarms of rules that are gone."""
        for rule in sorted(rules):
            for entity, standing in self._standing[rule].items():
                self.changes.ended[rule, entity] = Notice(standing.uuid, replace(standing.alarm, recovery=self._now))

    def _entities(self, rule: Rule, seen: set[str], standing: Mapping[str, Standing]) -> Iterator[Named]:
        """What a rule is checked for: first what has an alarm."""
        room = MAXIMUM_ENTITIES
        for entity in (*standing, *sorted(seen - standing.keys())):
            try:
                found = named(rule.scope, entity)
            except ValueError:
                self.left_out["unnamed"] += 1
                continue
            if not rule.names.takes(found.name):
                continue
            if room:
                room -= 1
                yield found
            else:
                self.left_out["entities"] += 1

    @staticmethod
    def _holds(rule: Rule, reader: EntityReader, window: Duration) -> bool:
        result = evaluate(rule.expression, reader, window)
        return any(bool((series.values == 1).any()) for series in result.series)

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
        metrics = [_snapshot(readings, name, entity.entity, window) for name in rule.metrics]
        self.changes.begun.append(Notice(identity, replace(alarm, metrics=metrics)))
        self.changes.standing[rule.name, entity.entity] = Standing(
            advance(CALM, rule.periods, held=True), identity, alarm
        )
        self.notices.append(Notice(identity, alarm, rule.hooks))

    def _go_on(self, rule: Rule, entity: Named, before: Standing, *, held: bool) -> None:
        progress = advance(before.progress, rule.periods, held=held)
        if progress.state is State.RECOVERED:
            self._end((rule.name, entity.entity), before, rule.hooks)
            return
        self.changes.standing[rule.name, entity.entity] = replace(before, progress=progress)
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


def _snapshot(readings: Readings, metric: str, entity: str, window: Duration) -> AlarmedMetric:
    """A metric of an entity as it is in a window."""
    series = tuple(
        Series(one.labels, one.values, window.buckets) for one in readings.of(metric, entity, window)[:MAXIMUM_SERIES]
    )
    return AlarmedMetric(metric, shape(Result(ResultType.TIME_SERIES_VALUES, series)).results)
