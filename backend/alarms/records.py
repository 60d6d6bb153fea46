"""What is kept of alarms, so that it survives the backend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.alarms.states import Progress
from backend.query.graphql.alarms import Alarm, AlarmBook


@dataclass(frozen=True, slots=True)
class Notice:
    """An alarm that is told, or its end when the alarm has a recovery."""

    uuid: str
    """The same for every notice of an alarm, and for every backend that finds it in the same store."""
    alarm: Alarm
    hooks: tuple[str, ...] = ()
    """Names of those that are told."""

    @property
    def over(self) -> bool:
        """Whether the alarm has ended."""
        return self.alarm.recovery is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that is not over."""

    progress: Progress
    uuid: str
    alarm: Alarm
    """Without its metrics."""


Key = tuple[str, str]
"""Name of a rule and id of an entity."""


@dataclass(slots=True)
class Changes:
    """What a minute changes."""

    minute: int
    """The minute that was checked, since 1970-01-01 UTC."""
    standing: dict[Key, Standing] = field(default_factory=dict)
    """Alarms that began or went on."""
    begun: list[Notice] = field(default_factory=list)
    """Alarms that began, with their metrics."""
    ended: dict[Key, Notice] = field(default_factory=dict)
    """Alarms that are over."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a backend begins with."""

    minute: int | None = None
    """The minute that was checked last; None when none was."""
    standing: Mapping[Key, Standing] = field(default_factory=dict)


class AlarmRecords(AlarmBook, Protocol):
    """Keeps alarms, and where the engine was. Methods block, and raise StorageError. Safe for several threads."""

    def load(self) -> Saved:
        """What was saved last."""
        ...

    def save(self, changes: Changes) -> None:
        """Save a minute, as a whole or not at all: when this returns, it survives a crash."""
        ...

    def forget(self, oldest: int, most: int) -> Sequence[int]:
        """Forget alarms that are over and began before `oldest`, and the earliest of more than `most`.

        Args:
            oldest: milliseconds since 1970-01-01 UTC.
            most: alarms that are kept at most, those that are not over among them.

        Returns:
            How many were forgotten because they were old, and because there were too many.
        """
        ...

    def close(self) -> None:
        """Release what is held."""
        ...
