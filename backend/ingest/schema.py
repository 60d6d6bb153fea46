"""Decode tables: what to do with each field of each message type, worked out from the descriptors.

No field of the wire is named by hand except the few that carry the structure of an access log, and the extensions that
are kept. A schema that holds something the decoder has no rule for is refused when the tables are built, not misread
later.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from numpy.typing import NDArray

from backend.ingest.compiled import Integer, compiled

KNOWN_FIELDS = 16
"""Field numbers below this have the slot of their number in a message type's table."""
EXTENSIONS = 1000
"""Field numbers from here on are extensions of the wire (docs/wire-extensions.md): checked like others, and kept only
where `build` is told so."""
KNOWN_EXTENSIONS = 20
"""So many of them have slots, behind those of the others. All other fields are unknown, and skipped."""
SLOTS = KNOWN_FIELDS + KNOWN_EXTENSIONS
MAXIMUM_DEPTH = 16
"""Deepest nesting of known messages."""

UNKNOWN, INTEGER, STRING, MESSAGE = range(4)
"""Actions."""
INT64, UINT64, INT32, UINT32, BOOL = range(5)
"""How the 64 bits of a varint become a value, as protobuf does it."""
ACTION, FORM, COLUMN, TYPE, PRESENCE, RANGE, LOG, OPERATION = range(8)
"""Slots of a table entry. COLUMN, PRESENCE and RANGE are -1 where there is none. OPERATION is the kind of log that the
operation makes it, 0 where the field is no operation."""
ENTRY = 8

_INTEGER_FORMS = {
    FieldDescriptor.TYPE_INT64: INT64,
    FieldDescriptor.TYPE_UINT64: UINT64,
    FieldDescriptor.TYPE_INT32: INT32,
    FieldDescriptor.TYPE_ENUM: INT32,
    FieldDescriptor.TYPE_UINT32: UINT32,
    FieldDescriptor.TYPE_BOOL: BOOL,
}


@compiled
def slot_of(number: Integer) -> Integer:
    """The slot of a field number, or -1 when it has none."""
    if 0 <= number < KNOWN_FIELDS:
        return number
    if EXTENSIONS <= number < EXTENSIONS + KNOWN_EXTENSIONS:
        return number - EXTENSIONS + KNOWN_FIELDS
    return -1


@compiled
def pack(start: Integer, size: Integer) -> Integer:
    """Where a text lies, as one number. Buffers and texts are shorter than 2^31 bytes."""
    return (start << 32) | size


class SchemaError(Exception):
    """The schema holds what the decoder has no rule for."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables for one root message type."""

    table: NDArray[np.int32]
    """[message type, slot of a field, slot of its entry]; type 0 is the root."""
    columns: Mapping[str, int]
    """The column of each value, by its wire path below the log. A log has one operation, so columns of different
    operations are the same ones: what a column holds depends on the kind of the log."""
    texts: Mapping[int, tuple[int, ...]]
    """By kind of log, the columns that are text: where it lies in the buffer, as `pack` has it; 0 for none."""
    start: int
    """The column of a log's start time; its end, and whether each is present, are in the three columns behind."""
    range_names: tuple[str, ...]
    """Fields of the root that are given as byte ranges."""

    @property
    def width(self) -> int:
        """Columns of a log, including the four of its times."""
        return self.start + 4


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a field stands."""

    depth: int
    """0 for fields of the root, 1 for fields of a log or of what else the root holds."""
    kind: int
    """The kind of the log that it is in; for its operations, what is added to their numbers to make it."""
    path: str | None
    """Wire path below a log; None where fields are checked but not kept."""


@dataclass
class _Builder:
    logs: Mapping[str, int]
    ranges: tuple[str, ...]
    start: str
    end: str
    extensions: Collection[str]
    unkept: Collection[str]
    table: list[NDArray[np.int32]] = field(default_factory=list)
    columns: dict[str, int] = field(default_factory=dict)
    texts: dict[int, list[int]] = field(default_factory=dict)
    used: int = 0
    """Columns of the operation that is being visited."""
    width: int = 0
    """Most columns of an operation."""
    times: list[tuple[NDArray[np.int32], int, int]] = field(default_factory=list)
    """Table entries to fill once the number of columns is known: entry, slot, which of the four."""

    def visit(self, message: Descriptor, path: str | None, depth: int, kind: int = 0) -> int:
        """Add the table of a message type as it is used at one place; its index."""
        if depth >= MAXIMUM_DEPTH:
            raise SchemaError(f"{message.full_name} nests deeper than {MAXIMUM_DEPTH}")
        index = len(self.table)
        entries = np.zeros((SLOTS, ENTRY), np.int32)
        entries[:, [COLUMN, PRESENCE, RANGE]] = -1
        self.table.append(entries)
        for item in message.fields:
            slot = slot_of(item.number)
            if slot < 0:
                raise SchemaError(f"{item.full_name} has number {item.number}, for which the tables have no slot")
            place = _Place(depth, kind, self.kept_path(item, path))
            if item.message_type is not None:
                self.add_message(entries[slot], item, item.message_type, place)
            elif item.type == FieldDescriptor.TYPE_STRING:
                self.add_string(entries[slot], item, place)
            else:
                self.add_integer(entries[slot], item, place)
        return index

    def kept_path(self, item: FieldDescriptor, path: str | None) -> str | None:
        """The wire path of a field, None if it is not kept."""
        if path is None or item.is_repeated:
            return None
        own = f"{path}{item.name}"
        if item.number >= EXTENSIONS:
            return own if own in self.extensions else None
        return None if own in self.unkept else own

    def add_message(self, entry: NDArray[np.int32], item: FieldDescriptor, message: Descriptor, place: _Place) -> None:
        path, kind = place.path, place.kind
        if place.depth == 0:
            path = "" if item.name in self.logs else None
            kind = self.logs.get(item.name, 0)
            entry[LOG] = path is not None
            entry[RANGE] = self.ranges.index(item.name) if item.name in self.ranges else -1
        elif path is not None:
            self._check_oneof(item, place)
            if place.depth == 1:
                kind += item.number
                entry[OPERATION], self.used = kind, 0
            for column, name in ((2, self.start), (3, self.end)):
                if path.endswith("." + name.rpartition(".")[0]):
                    self.times.append((entry, PRESENCE, column))
        entry[ACTION] = MESSAGE
        inner = f"{path}." if path else path
        entry[TYPE] = self.visit(message, inner, place.depth + 1, kind)

    def add_string(self, entry: NDArray[np.int32], item: FieldDescriptor, place: _Place) -> None:
        if place.depth == 0:
            raise SchemaError(f"{item.full_name} is a value of the stream's message itself")
        entry[ACTION] = STRING
        if place.path is not None:
            entry[COLUMN] = self.add_column(place.path)
            self.texts.setdefault(place.kind, []).append(self.columns[place.path])

    def add_integer(self, entry: NDArray[np.int32], item: FieldDescriptor, place: _Place) -> None:
        if item.type not in _INTEGER_FORMS or item.is_repeated:
            raise SchemaError(f"{item.full_name} is of a type the decoder has no rule for")
        if place.depth == 0:
            raise SchemaError(f"{item.full_name} is a value of the stream's message itself")
        entry[ACTION], entry[FORM] = INTEGER, _INTEGER_FORMS[item.type]
        if place.path is None:
            return
        for column, name in ((0, self.start), (1, self.end)):
            if place.path.endswith("." + name):
                self.times.append((entry, COLUMN, column))
                return
        entry[COLUMN] = self.add_column(place.path)

    def add_column(self, path: str) -> int:
        """Give a value the next column of its operation."""
        self.columns[path] = self.used
        self.used += 1
        self.width = max(self.width, self.used)
        return self.columns[path]

    @staticmethod
    def _check_oneof(item: FieldDescriptor, place: _Place) -> None:
        alternatives = 0 if item.containing_oneof is None else len(item.containing_oneof.fields)
        if place.depth == 1 and not alternatives:
            raise SchemaError(f"{item.full_name} is not in a oneof; a log has one operation")
        if place.depth > 1 and alternatives > 1:
            raise SchemaError(f"{item.full_name} is one of several below an operation")


def build(
    root: Descriptor,
    *,
    logs: Mapping[str, int],
    ranges: tuple[str, ...],
    start: str,
    end: str,
    extensions: Collection[str] = (),
    unkept: Collection[str] = (),
) -> Schema:
    """Work out the tables.

    Args:
        root: The message type of the stream.
        logs: Its fields of logs; each log holds one operation, a oneof of messages. The kind of a log is the number
            given here plus the number of its operation.
        ranges: Its fields that are given as byte ranges, to be looked up by content. A field of logs that is not
            repeated must be one, so that a message that sends it twice is noticed.
        start: Path of the start time below an operation.
        end: Path of the end time below an operation.
        extensions: Paths of extensions below a log that are kept.
        unkept: Paths below a log of what is checked and not kept, with what it holds.

    Raises:
        SchemaError: For anything the decoder could misread.
    """
    for item in root.fields:
        if item.name in logs and not item.is_repeated and item.name not in ranges:
            raise SchemaError(f"{item.full_name} is one log, and must be a range")
    builder = _Builder(logs, ranges, start, end, extensions, unkept)
    builder.visit(root, "", 0)
    first = builder.width
    for entry, slot, column in builder.times:
        entry[slot] = first + column
    if missing := {*extensions} - {*builder.columns}:
        raise SchemaError(f"there is no {', '.join(sorted(missing))} to keep")
    texts = {kind: tuple(columns) for kind, columns in builder.texts.items()}
    return Schema(np.stack(builder.table), builder.columns, texts, first, ranges)
