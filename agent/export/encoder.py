"""Writes many protobuf messages at once: columns in, bytes out, driven by the message's descriptor.

Every row may have the same fields. Each field becomes a block of bytes as wide as its longest value, with a mask that
says which of them belong to the message; one selection through the masks brings all rows to bytes. A field that is 0 in
every row costs a look at its column. Wire format: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

_VARINT, _LENGTH_DELIMITED = 0, 2
_INTEGERS = frozenset(
    (
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_ENUM,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
    )
)


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes of n rows, side by side, with those that count marked."""

    data: NDArray[np.uint8]
    """(n, width)."""
    present: NDArray[np.bool_]
    """(n, width)."""
    lengths: NDArray[np.int64]
    """Bytes that count, per row."""


Column = NDArray[np.generic] | Block
"""Numbers, or what is given serialised: a field with its tag, all elements of a repeated one, or nothing."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    tag: bytes
    path: str


@dataclass(frozen=True, slots=True)
class _Given:
    path: str


@dataclass(frozen=True, slots=True)
class _Node:
    tag: bytes
    children: tuple["_Node | _Leaf | _Given", ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """Blocks to stand one after the other in each row; nothing of them is copied until all are there."""

    blocks: list[Block]
    lengths: NDArray[np.int64]


class MessageEncoder:
    """Encodes rows of one message type that set the same fields."""

    def __init__(
        self,
        message: type[Message],
        field_name: str,
        paths: Iterable[str],
        *,
        optional: Iterable[str] = (),
        given: Iterable[str] = (),
    ) -> None:
        """Rows are elements of the field `field_name` of `message`: each is written with its tag and length.

        `paths` name integer fields below it, such as "write.l4Metrics.totalPackageSize", or fields that are given
        serialised: repeated ones of messages, and those of any kind that are named by `given`.

        A message on the way to a path is always present, as if it had been set without content; those named by
        `optional` only in rows where something below them is. A number that is 0 is left out, as proto3 does for
        fields without presence.

        Raises:
            ValueError: the field holds no message, or a path names neither a singular integer field nor one that is
                given serialised.
        """
        self.paths = tuple(paths)
        # The C implementation's descriptors have the same interface; only the type stubs tell them apart.
        field = cast("Descriptor", message.DESCRIPTOR).fields_by_name.get(field_name)
        if field is None or field.message_type is None:
            raise ValueError(f"{message.DESCRIPTOR.full_name} has no field {field_name!r} that holds messages")
        split = [tuple(path.split(".")) for path in self.paths]
        children = _children(field.message_type, split, (), _Ways(frozenset(optional), frozenset(given)))
        self._root = _Node(_tag(field, _LENGTH_DELIMITED), children, optional=False)

    def encode(self, columns: Mapping[str, Column], rows: int) -> Block:
        """Bytes of every row. `columns` holds a column for each path; negative numbers are written as proto3 does."""
        part = _encode_node(self._root, columns, rows)
        return beside(part.blocks if part else [], rows)


@dataclass(frozen=True, slots=True)
class _Ways:
    """Which paths are not written as others are."""

    optional: frozenset[str]
    given: frozenset[str]


def _children(
    message: Descriptor, paths: Sequence[tuple[str, ...]], prefix: tuple[str, ...], ways: _Ways
) -> tuple[_Node | _Leaf | _Given, ...]:
    by_field: dict[str, list[tuple[str, ...]]] = {}
    for names in paths:
        by_field.setdefault(names[0], []).append(names[1:])
    nodes: list[tuple[int, _Node | _Leaf | _Given]] = []
    for name, below in by_field.items():
        field = message.fields_by_name.get(name)
        path = ".".join((*prefix, name))
        if field is None:
            raise ValueError(f"{message.full_name} has no field for the path {path!r}")
        is_given = path in ways.given or (field.message_type is not None and field.is_repeated)
        if is_given and below == [()]:
            nodes.append((field.number, _Given(path)))
        elif field.message_type is not None and not field.is_repeated and all(below):
            children = _children(field.message_type, below, (*prefix, name), ways)
            nodes.append((field.number, _Node(_tag(field, _LENGTH_DELIMITED), children, path in ways.optional)))
        elif field.type in _INTEGERS and not field.is_repeated and below == [()]:
            nodes.append((field.number, _Leaf(_tag(field, _VARINT), path)))
        else:
            raise ValueError(f"the path {path!r} does not end at an integer field or one that is given")
    return tuple(node for _, node in sorted(nodes, key=lambda entry: entry[0]))


def _encode(node: _Node | _Leaf | _Given, columns: Mapping[str, Column], rows: int) -> _Part | None:
    """None for what is in no row."""
    if isinstance(node, _Node):
        return _encode_node(node, columns, rows)
    column = columns[node.path]
    if isinstance(column, Block):
        return _Part([column], column.lengths)
    return _encode_numbers(node.tag, column) if isinstance(node, _Leaf) and column.any() else None


def _encode_node(node: _Node, columns: Mapping[str, Column], rows: int) -> _Part | None:
    parts = [part for child in node.children if (part := _encode(child, columns, rows)) is not None]
    if not parts and node.optional:
        return None
    inside = sum((part.lengths for part in parts), start=np.zeros(rows, dtype=np.int64))
    length = varints(inside.astype(np.uint64))
    tag = _constant(node.tag, rows)
    if node.optional:
        tag, length = (_where(block, inside > 0) for block in (tag, length))
    blocks = [tag, length, *(block for part in parts for block in part.blocks)]
    return _Part(blocks, tag.lengths + length.lengths + inside)


def _encode_numbers(tag: bytes, values: NDArray[np.generic]) -> _Part:
    numbers = values.astype(np.int64).view(np.uint64) if values.dtype.kind == "i" else values.astype(np.uint64)
    given = numbers != 0
    blocks = [_where(block, given) for block in (_constant(tag, len(numbers)), varints(numbers))]
    return _Part(blocks, blocks[0].lengths + blocks[1].lengths)


def _where(block: Block, given: NDArray[np.bool_]) -> Block:
    """A block in the rows that are given."""
    return Block(block.data, block.present & given[:, None], block.lengths * given)


def varints(values: NDArray[np.uint64]) -> Block:
    """Each value as a base-128 varint of its own length."""
    width = max(-(-int(values.max(initial=0)).bit_length() // 7), 1)
    data = np.empty((len(values), width), dtype=np.uint8)
    present = np.empty((len(values), width), dtype=np.bool_)
    present[:, 0] = True
    lengths = np.ones(len(values), dtype=np.int64)
    rest = values
    for at in range(width):
        if at + 1 == width:
            data[:, at] = rest
            break
        more = rest > np.uint64(0x7F)
        data[:, at] = rest.astype(np.uint8) & np.uint8(0x7F) | more.view(np.uint8) << np.uint8(7)
        present[:, at + 1] = more
        lengths += more
        rest = rest >> np.uint64(7)
    return Block(data, present, lengths)


def beside(blocks: Sequence[Block], rows: int) -> Block:
    """Blocks of the same rows, one after the other in each row."""
    width = sum(block.data.shape[1] for block in blocks)
    data = np.empty((rows, width), dtype=np.uint8)
    present = np.empty((rows, width), dtype=np.bool_)
    at = 0
    for block in blocks:
        end = at + block.data.shape[1]
        data[:, at:end], present[:, at:end] = block.data, block.present
        at = end
    return Block(data, present, sum((block.lengths for block in blocks), start=np.zeros(rows, dtype=np.int64)))


def _constant(value: bytes, count: int) -> Block:
    data = np.broadcast_to(np.frombuffer(value, np.uint8), (count, len(value)))
    return Block(data, np.ones(data.shape, dtype=np.bool_), np.full(count, len(value), dtype=np.int64))


def nothing(rows: int) -> Block:
    """No bytes in any row."""
    return beside([], rows)


def packed(values: Sequence[bytes]) -> Block:
    """Given bytes, one value for each row."""
    lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    present = np.arange(lengths.max(initial=0)) < lengths[:, None]
    data = np.zeros(present.shape, dtype=np.uint8)
    data[present] = np.frombuffer(b"".join(values), dtype=np.uint8)
    return Block(data, present, lengths)


def _tag(field: FieldDescriptor, wire_type: int) -> bytes:
    return encode_varint(field.number << 3 | wire_type)


def encode_varint(value: int) -> bytes:
    """One non-negative number as a base-128 varint."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
