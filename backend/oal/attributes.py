"""What an attribute of a source is.

An attribute is one of three kinds: a type, which only chooses logs; a column of the logs of one event; or something
that all logs of a flow share.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import polars as pl

from backend.entities.resolution import Flow
from backend.ingest.batch import LogKind


class Kind(Enum):
    """What values an attribute has."""

    INTEGER = "a whole number"
    BOOLEAN = "true or false"
    STRING = "a string"
    ENUMERATION = "an enumeration"
    LIST = "a list of whole numbers"


COLUMN_TYPES: Mapping[Kind, pl.DataType] = {
    Kind.INTEGER: pl.Int64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.STRING: pl.String(),
    Kind.ENUMERATION: pl.String(),  # such as "DetectPoint.SERVER"
    Kind.LIST: pl.List(pl.Int64()),
}
"""How values are held in columns."""


@dataclass(frozen=True, slots=True)
class EventAttribute:
    """A column of the logs of one event."""

    kind: Kind
    event: str
    column: str
    """Wire path below the log; empty for the duration of the log."""
    stage: str = ""
    """Wire path of the sub-message it is in; empty for what every log of the event has."""
    only_with: str = ""
    """Wire path of the count that must not be 0 for the value to mean anything."""
    is_duration: bool = False
    labels: tuple[str, ...] = ()
    """Texts that the column's numbers stand for."""
    is_text: bool = False
    """Whether the column's numbers are indices of the logs' texts."""
    empty_is_null: bool = False
    """Whether an empty text says that there is none."""
    known: str = ""
    """The column that is not 0 where the value is known; empty when it always is."""
    unit: int = 1
    """How many of the column's units make one of the attribute's. Sums are kept in the column's."""


@dataclass(frozen=True, slots=True)
class FlowAttribute:
    """Something that all logs of a flow share. None where a flow has none."""

    kind: Kind
    of: Callable[[Flow], str | bool | list[int] | None]


@dataclass(frozen=True, slots=True)
class TypeAttribute:
    """What kind of log it is."""

    values: Mapping[str, LogKind]
    kind: Kind = Kind.STRING

    def name(self, kind: LogKind) -> str | None:
        """The value for logs of a kind; None for kinds without this attribute."""
        return next((name for name, named in self.values.items() if named is kind), None)


Attribute = EventAttribute | FlowAttribute | TypeAttribute
