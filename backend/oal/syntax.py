"""What a script says, as data, and the errors it can have."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Self

_SHOWN_BEFORE, _SHOWN_AFTER = 100, 60
"""Characters of an offending line that an error shows at most, before and after the place."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where something stands. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class OalError(Exception):
    """A script that cannot be used. Its text has the offending line too, once that is known.

    Attributes:
        position: where.
        reason: what is wrong and what to do.
        unsupported: whether the script is right, and only nothing here feeds what it asks for.
        line: the offending line; empty until someone who has the script calls quote().
    """

    def __init__(self, position: Position, reason: str, *, unsupported: bool = False) -> None:
        super().__init__(f"{position}: {reason}")
        self.position = position
        self.reason = reason
        self.unsupported = unsupported
        self.line = ""

    def quote(self, text: str) -> Self:
        """This error, with the offending line of the script's text."""
        lines = text.split("\n")
        self.line = lines[self.position.line - 1] if self.position.line <= len(lines) else ""
        return self

    def __str__(self) -> str:
        message = f"{self.position}: {self.reason}"
        if not self.line.strip():
            return message
        # A long line is shown around the place; tabs stay, so that the caret is below it.
        before = self.line[: self.position.column - 1][-_SHOWN_BEFORE:]
        after = self.line[self.position.column - 1 :][:_SHOWN_AFTER]
        margin = f"{self.position.line:>5} | "
        caret = "".join("\t" if character == "\t" else " " for character in before)
        return f"{message}\n{margin}{before}{after}\n{' ' * (len(margin) - 2)}| {caret}^"


class Operator(Enum):
    """Comparison in a filter."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER = ">"
    LESS = "<"
    AT_LEAST = ">="
    AT_MOST = "<="
    LIKE = "like"
    IN = "in"
    CONTAIN = "contain"
    NOT_CONTAIN = "not contain"


@dataclass(frozen=True, slots=True)
class Enumeration:
    """A named constant, such as DetectPoint.SERVER."""

    type: str
    member: str

    def __str__(self) -> str:
        return f"{self.type}.{self.member}"


Constant = bool | int | float | str | None | Enumeration
Literal = Constant | tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """An attribute, perhaps cast.

    `path` of `write.l4.duration` is ("write", "l4", "duration"); of `tag["a.b"]` it is ("tag", '["a.b"]').
    """

    path: tuple[str, ...]
    cast: str | None
    position: Position

    def __str__(self) -> str:
        return "".join(part if part.startswith("[") else f".{part}" for part in self.path)[1:]


@dataclass(frozen=True, slots=True)
class Comparison:
    """An attribute compared with a literal."""

    operand: Operand
    operator: Operator
    literal: Literal
    position: Position


@dataclass(frozen=True, slots=True)
class Plain:
    """A literal as an argument."""

    value: Constant
    position: Position


Argument = Comparison | Operand | Plain


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments."""

    name: str
    arguments: tuple[Argument, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class MetricStatement:
    """`name = from(source.value).filter(...)....function(...)`."""

    name: str
    source: str
    value: Operand | None
    """What is aggregated; None for `*`."""
    filters: tuple[Comparison, ...]
    function: Call
    decorator: str | None
    position: Position


@dataclass(frozen=True, slots=True)
class DisableStatement:
    """`disable(name)`."""

    name: str
    position: Position


_LISTED = 40
"""Most names that an error lists."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about a name: the nearest known one, or all of them when none is near and they are few."""
    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {close[0]!r}?"
    if len(names) > _LISTED:
        return f"none of the {len(names)} known ones is like it"
    return f"known are {', '.join(names)}"
