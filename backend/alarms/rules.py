"""What a rule says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import re2

from backend.alarms.errors import AlarmError
from backend.alarms.states import Periods
from backend.query.mqe.syntax import Expression

NAME = "{name}"
"""Stands in messages for the name of the entity."""
DEFAULT_MESSAGE = "Alarm caused by the rule {rule} of {name}"

_PLACEHOLDER = re.compile(r"\{[a-z_]*\}")


class Pattern:
    """A regular expression of RE2 that must fit whole names. Raises AlarmError when it is none."""

    def __init__(self, text: str) -> None:
        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled = re2.compile(text, options)
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
            raise AlarmError(
                f"{text!r} is no pattern of RE2 ({reason}): see https://github.com/google/re2/wiki/Syntax"
            ) from None

    def fits(self, name: str) -> bool:
        """Whether the whole name fits."""
        return self._compiled.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class NameFilter:
    """Which entities a rule is about. All that is given must fit."""

    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    included_pattern: Pattern | None = None
    excluded_pattern: Pattern | None = None

    def takes(self, name: str) -> bool:
        """Whether the rule is about an entity of this name."""
        return (
            (not self.included or name in self.included)
            and name not in self.excluded
            and (self.included_pattern is None or self.included_pattern.fits(name))
            and (self.excluded_pattern is None or not self.excluded_pattern.fits(name))
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was checked."""

    name: str
    text: str
    """The expression as it was written."""
    expression: Expression
    metrics: tuple[str, ...]
    """The metrics that the expression names."""
    scope: str
    """The scope that these are of."""
    period: int
    """Minutes that the expression is about."""
    periods: Periods
    names: NameFilter
    message: str
    tags: Mapping[str, str] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    """Names of the hooks that are told, such as webhook.default."""

    def message_of(self, name: str) -> str:
        """What is told of an entity."""
        return self.message.replace(NAME, name)


def check_message(message: str) -> None:
    """Raise AlarmError when a message has a placeholder that nothing is filled in for."""
    for found in _PLACEHOLDER.findall(message):
        if found != NAME:
            raise AlarmError(f"nothing is filled in for {found}: only {NAME} is, the name of the entity")
