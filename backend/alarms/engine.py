"""Checks every rule for every entity, once for each minute."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from backend.alarms.known_entities import KnownEntities
from backend.alarms.minute import Minute
from backend.alarms.records import AlarmRecords, Changes, Notice, Standing
from backend.alarms.rules import NameFilter, Rule
from backend.alarms.states import OVER, State
from backend.query.catalog import Catalog
from backend.query.mqe.reader import ReadingError
from backend.query.mqe.syntax import MqeError
from backend.storage.interface import Storage

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
        self._known: dict[str, KnownEntities] = {}
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
        step = Minute(minute, self._storage, self._catalog(), self._known_to(rules), self._standing)
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

    def _known_to(self, rules: Sequence[Rule]) -> Mapping[str, KnownEntities]:
        """The entities of the scopes of rules. What is known of others is forgotten."""
        filters: dict[str, set[NameFilter]] = {}
        for rule in rules:
            filters.setdefault(rule.scope, set()).add(rule.names)
        self._known = {scope: self._known.get(scope, KnownEntities(scope)).renewed() for scope in filters}
        for scope, of_scope in self._known.items():
            of_scope.keep_filters(filters[scope])
        return self._known

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
