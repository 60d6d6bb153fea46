"""What a dashboard is, as its file and the console's JSON have it."""

from enum import StrEnum
from typing import Annotated

import msgspec

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Expression = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class Scope(StrEnum):
    """What a dashboard is about."""

    GLOBAL = "global"
    SERVICE = "service"
    INSTANCE = "instance"
    ENDPOINT = "endpoint"
    SERVICE_RELATION = "service relation"
    INSTANCE_RELATION = "instance relation"
    ENDPOINT_RELATION = "endpoint relation"


class Kind(StrEnum):
    """How a widget is drawn."""

    LINE = "line"
    AREA = "area"
    BAR = "bar"
    VALUE = "value"
    """One number for each expression."""
    TABLE = "table"
    """The entities that top_n() finds, with their values."""
    HEAT_MAP = "heat map"
    """A row for each expression or label, a column for each bucket of time."""
    STAGES = "stages"
    """Times that lie within each other, drawn as bars of which each is as long as its time."""


class Unit(StrEnum):
    """What the values of a widget count."""

    NUMBER = "number"
    PER_MINUTE = "per minute"
    PER_SECOND = "per second"
    BYTES = "bytes"
    BYTES_PER_SECOND = "bytes per second"
    NANOSECONDS = "ns"
    MILLISECONDS = "ms"
    PERCENT = "%"


class Per(StrEnum):
    """By what a bucket's total is divided to be a rate."""

    SECOND = "second"
    MINUTE = "minute"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One expression of a widget."""

    expression: Expression
    name: Title | None = None
    """How its values are called; without it they are called as the widget is."""
    within: Title | None = None
    """Of stages: the name of the line in whose time this one's lies."""


class Widget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One picture."""

    title: Title
    kind: Kind
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=24)]
    unit: Unit = Unit.NUMBER
    per: Per | None = None
    """For values that are totals of a bucket: they are divided by its length. Numbers that are per minute already, or
    means, need it not; a total divided by a number per minute is one too."""
    note: Annotated[str, msgspec.Meta(max_length=400)] = ""
    """A sentence for who sees it for the first time."""


class Tab(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Widgets that are shown together."""

    title: Title
    widgets: Annotated[tuple[Widget, ...], msgspec.Meta(min_length=1, max_length=60)]


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a file says."""

    title: Title
    scope: Scope
    tabs: Annotated[tuple[Tab, ...], msgspec.Meta(min_length=1, max_length=12)]


class Dashboard(msgspec.Struct, frozen=True):
    """A dashboard that can be shown."""

    name: str
    """The name of its file, without the ending; a file of the user replaces a standard one of the same name."""
    own: bool
    """Whether it is the user's."""
    content: Content


class DashboardError(Exception):
    """A file of a dashboard is wrong.

    Attributes:
        file: its name.
        line: where, counted from 1.
        reason: what is wrong and what to do.
    """

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason
