"""What a script says, as data, and the errors it can have."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Position:
    """Where something stands. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class OalError(Exception):
    """A script that cannot be used.

    Attributes:
        position: where.
        reason: what is wrong and what to do.
        unsupported: whether the script is right, and only this program cannot do it yet.
    """

    def __init__(self, position: Position, reason: str, *, unsupported: bool = False) -> None:
        super().__init__(f"{position}: {reason}")
        self.position = position
        self.reason = reason
        self.unsupported = unsupported


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


Constant = bool | int | str | None | Enumeration
Literal = Constant | tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """An attribute, perhaps cast. `path` of `write.l4.duration` is ("write", "l4", "duration")."""

    path: tuple[str, ...]
    cast: str | None
    position: Position

    def __str__(self) -> str:
        return ".".join(self.path)


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


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about a name: the nearest known one, or all of them when none is near."""
    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(names)}"
