"""What is asked of whoever keeps alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.query.graphql.inputs import Page
from backend.query.mqe.answer import Values


@dataclass(frozen=True, slots=True)
class AlarmedMetric:
    """What a metric of a rule was when the alarm began."""

    name: str
    results: Sequence[Values]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A time in which a rule held for an entity."""

    id: str
    """Id of the entity; of a relation, that of its source."""
    destination_id: str
    """Of a relation, the id of its destination; else empty."""
    scope: str
    """Such as Service or ServiceRelation."""
    name: str
    """The entity's name, as rules write it: `instance of service`, `source to destination`."""
    rule: str
    layer: str
    message: str
    start: int
    """Milliseconds since 1970-01-01 UTC."""
    recovery: int | None = None
    """Milliseconds since 1970-01-01 UTC; None while it lasts."""
    tags: Mapping[str, str] = field(default_factory=dict)
    expression: str = ""
    metrics: Sequence[AlarmedMetric] = ()


@dataclass(frozen=True, slots=True)
class AlarmQuery:
    """Which alarms are asked for. Everything that is given must fit; of a set, any."""

    first: int
    """Milliseconds since 1970-01-01 UTC; alarms began at or after it."""
    last: int
    """They began at or before it."""
    page: Page
    scope: str | None = None
    layer: str | None = None
    rules: frozenset[str] = frozenset()
    keyword: str = ""
    """A part of the message."""
    tags: frozenset[tuple[str, str]] = frozenset()
    """Names and values."""
    entities: frozenset[str] = frozenset()
    """Ids; an alarm fits that is of one of them, or of a relation from or to it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of alarms, the latest first, and how many there are on all pages."""

    alarms: Sequence[Alarm] = ()
    total: int = 0


class AlarmBook(Protocol):
    """Keeps alarms. Methods block, and raise StorageError. Safe for several threads."""

    def find(self, asked: AlarmQuery) -> Found:
        """The alarms that fit."""
        ...

    def tag_names(self, first: int, last: int) -> Sequence[str]:
        """Names of the tags of alarms that began in the milliseconds given, both inclusive, sorted."""
        ...

    def tag_values(self, name: str, first: int, last: int) -> Sequence[str]:
        """Values of a tag of these, sorted."""
        ...


class NoAlarms:
    """The alarms of a backend that has no rules."""

    def find(self, asked: AlarmQuery) -> Found:
        """None."""
        del asked
        return Found()

    def tag_names(self, first: int, last: int) -> Sequence[str]:
        """None."""
        del first, last
        return ()

    def tag_values(self, name: str, first: int, last: int) -> Sequence[str]:
        """None."""
        del name, first, last
        return ()
