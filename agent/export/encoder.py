"""Writes many protobuf messages at once: columns in, bytes out, driven by the message's descriptor.

Every row has the same fields. Each field becomes a block of bytes as wide as its longest value, with a mask that says
which of them belong to the message: first the lengths are known (the masks' sums), then one selection through the masks
brings all rows to bytes. Wire format: https://protobuf.dev/programming-guides/encoding/.
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

    def lengths(self) -> NDArray[np.int64]:
        """Bytes per row."""
        lengths: NDArray[np.int64] = self.present.sum(axis=1, dtype=np.int64)
        return lengths


@dataclass(frozen=True, slots=True)
class _Leaf:
    tag: bytes
    path: str


@dataclass(frozen=True, slots=True)
class _Node:
    tag: bytes
    children: tuple["_Node | _Leaf", ...]


class MessageEncoder:
    """Encodes rows of one message type that all set the same fields."""

    def __init__(self, message: type[Message], field_name: str, paths: Iterable[str]) -> None:
        """Rows are elements of the field `field_name` of `message`: each is written with its tag and length.

        `paths` name integer fields below it, such as "write.l4Metrics.totalPackageSize".

        A message on the way to a path is always present, as if it had been set without content. A field that is 0 is
        left out, as proto3 does for fields without presence.

        Raises:
            ValueError: the field holds no message, or a path does not name a singular integer field.
        """
        self.paths = tuple(paths)
        # The C implementation's descriptors have the same interface; only the type stubs tell them apart.
        field = cast("Descriptor", message.DESCRIPTOR).fields_by_name.get(field_name)
        if field is None or field.message_type is None:
            raise ValueError(f"{message.DESCRIPTOR.full_name} has no field {field_name!r} that holds messages")
        children = _children(field.message_type, [tuple(path.split(".")) for path in self.paths], ())
        self._root = _Node(_tag(field, _LENGTH_DELIMITED), children)

    def encode(self, columns: Mapping[str, NDArray[np.generic]]) -> Block:
        """Bytes of every row. `columns` holds a column for each path; negative numbers are written as proto3 does."""
        return _encode_node(self._root, columns)


def _children(
    message: Descriptor, paths: Sequence[tuple[str, ...]], prefix: tuple[str, ...]
) -> tuple[_Node | _Leaf, ...]:
    by_field: dict[str, list[tuple[str, ...]]] = {}
    for names in paths:
        by_field.setdefault(names[0], []).append(names[1:])
    nodes: list[tuple[int, _Node | _Leaf]] = []
    for name, below in by_field.items():
        field = message.fields_by_name.get(name)
        path = ".".join((*prefix, name))
        if field is None or field.is_repeated:
            raise ValueError(f"{message.full_name} has no singular field for the path {path!r}")
        if field.message_type is not None and all(below):
            children = _children(field.message_type, below, (*prefix, name))
            nodes.append((field.number, _Node(_tag(field, _LENGTH_DELIMITED), children)))
        elif field.type in _INTEGERS and below == [()]:
            nodes.append((field.number, _Leaf(_tag(field, _VARINT), path)))
        else:
            raise ValueError(f"the path {path!r} does not end at an integer field")
    return tuple(node for _, node in sorted(nodes, key=lambda entry: entry[0]))


def _encode_node(node: _Node, columns: Mapping[str, NDArray[np.generic]]) -> Block:
    blocks = [
        _encode_leaf(child, columns[child.path]) if isinstance(child, _Leaf) else _encode_node(child, columns)
        for child in node.children
    ]
    lengths = np.sum([block.lengths() for block in blocks], axis=0).astype(np.uint64)
    return beside([_constant(node.tag, len(lengths)), varints(lengths), *blocks])


def _encode_leaf(leaf: _Leaf, values: NDArray[np.generic]) -> Block:
    numbers = values.astype(np.int64).view(np.uint64) if values.dtype.kind == "i" else values.astype(np.uint64)
    block = beside([_constant(leaf.tag, len(numbers)), varints(numbers)])
    block.present[numbers == 0] = False
    return block


def varints(values: NDArray[np.uint64]) -> Block:
    """Each value as a base-128 varint of its own length."""
    largest = int(values.max(initial=0))
    shifts = np.arange(0, max(largest.bit_length(), 1), 7, dtype=np.uint64)
    shifted = values[:, None] >> shifts
    present = shifted != 0
    present[:, 0] = True
    data = (shifted & np.uint64(0x7F)).astype(np.uint8)
    data[:, :-1] |= present[:, 1:].astype(np.uint8) << 7
    return Block(data, present)


def beside(blocks: Sequence[Block]) -> Block:
    """Blocks of the same rows, one after the other in each row."""
    return Block(
        np.concatenate([block.data for block in blocks], axis=1),
        np.concatenate([block.present for block in blocks], axis=1),
    )


def _constant(value: bytes, count: int) -> Block:
    data = np.broadcast_to(np.frombuffer(value, np.uint8), (count, len(value)))
    return Block(data, np.ones_like(data, dtype=np.bool_))


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
