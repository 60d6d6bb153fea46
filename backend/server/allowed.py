"""What a setting may be: text is turned into the value, or refused with what would have been taken."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import yaml

from backend.query.mqe.duration import DurationError, parse_offset

Number = TypeVar("Number", int, float)

_SIZE = re.compile("[1-9][0-9]{0,9}(MB|GB)")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
LARGEST_PORT = 65_535


class Allowed(Protocol):
    """One kind of value."""

    @property
    def text(self) -> str:
        """What is allowed, to come after "it must be"."""
        ...

    def read(self, value: object) -> object:
        """The value of what was written; ValueError when it is not allowed."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """Any text."""

    text: str = "text"

    def read(self, value: object) -> object:
        """The text. What YAML took for a number or a truth value is refused: it may have been changed by that."""
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ValueError(value)  # noqa: TRY004 - one kind of error for whatever is not allowed
        return value


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that is sent in a header."""

    text: str = 'printable ASCII without spaces at its ends (a number in quotes, such as "123")'

    def read(self, value: object) -> object:
        """The secret. One that no header can hold as it is would let nobody pass, and is refused."""
        if value is None:
            return ""
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError(value)
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words."""

    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words."""
        return " or ".join(self.words)

    def read(self, value: object) -> object:
        """The word."""
        if value not in self.words:
            raise ValueError(value)
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """Yes or no."""

    text: str = "true or false"

    def read(self, value: object) -> object:
        """Whether it is yes."""
        if isinstance(value, bool):
            return value
        word = str(value).lower()
        if word not in _TRUE | _FALSE:
            raise ValueError(value)
        return word in _TRUE


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, both included."""

    least: int
    most: int | None = None

    @property
    def text(self) -> str:
        """The bounds."""
        if self.most is None:
            return f"a whole number of at least {self.least}"
        return f"a whole number from {self.least} to {self.most}"

    def read(self, value: object) -> object:
        """The number."""
        number = _number(value, int)
        if number < self.least or (self.most is not None and number > self.most):
            raise ValueError(value)
        return number


PORT = Whole(0, LARGEST_PORT)


@dataclass(frozen=True, slots=True)
class Positive:
    """A number above 0, whole or not."""

    most: int

    @property
    def text(self) -> str:
        """The bounds."""
        return f"a number above 0 and at most {self.most:,}"

    def read(self, value: object) -> object:
        """The number."""
        number = _number(value, float)
        if not 0 < number <= self.most:
            raise ValueError(value)
        return number


@dataclass(frozen=True, slots=True)
class Words:
    """Several words."""

    text: str = "words with commas between them, or a list"

    def read(self, value: object) -> object:
        """The words, without those that are empty."""
        if value is None:
            return ()
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
            raise ValueError(value)
        return tuple(word.strip() for word in value if word.strip())


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of memory."""

    text: str = "a number and MB or GB, such as 512MB"

    def read(self, value: object) -> object:
        """The text."""
        if not isinstance(value, str) or not _SIZE.fullmatch(value):
            raise ValueError(value)
        return value


@dataclass(frozen=True, slots=True)
class Offset:
    """How far clocks are from UTC."""

    text: str = 'an offset from UTC of at most 18 hours, in quotes, such as "+0800"'

    def read(self, value: object) -> object:
        """The text."""
        if not isinstance(value, str):
            raise ValueError(value)  # noqa: TRY004 - one kind of error for whatever is not allowed
        try:
            parse_offset(value)
        except DurationError as error:
            raise ValueError(value) from error
        return value


def _number(value: object, kind: Callable[[Any], Number]) -> Number:
    if isinstance(value, bool) or (isinstance(value, float) and kind is int):
        raise ValueError(value)  # True is 1, and 1.5 is 1, only for Python
    try:
        return kind(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(value) from error


def unquoted(text: str) -> str:
    """Text as YAML would read it when it stands in quotes, else as it is: a token `012` stays what it is."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        try:
            return str(yaml.safe_load(text))
        except yaml.YAMLError:
            return text
    return text
