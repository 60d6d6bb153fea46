"""HPACK (RFC 7541) for a reader that needs few of the fields and may not have seen all blocks: one direction's state.

A reader that joined in the middle, or missed a block, does not know what the encoder's dynamic table holds. Entries are
counted from the newest, so those added since then are at their places whatever lies behind them: an index beyond them
is an unknown field. For the same reason it does no harm to keep an entry for longer than the encoder does, which never
refers to what it has evicted. So values of fields that nobody asks for are neither decoded nor kept, and count for
eviction with the least size they can have.

The static table, the Huffman code and errors are those of the library hpack. Its decoder is not used: it knows no
unknown entries and decodes every value, and takes several times as long (bench/http2_parser.py).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hpack import HPACKDecodingError
from hpack.table import HeaderTable

from agent.protocols.http2_fields import RequestFields, ResponseFields, request_fields, response_fields
from agent.protocols.huffman import decode_huffman
from agent.protocols.trace_context import TRACE_FIELDS

NEEDED = TRACE_FIELDS | {":method", ":path", ":authority", ":status", ":protocol", "host", "grpc-status"}
"""Names of the fields that are decoded."""
MAXIMUM_TABLE = 65_536
"""Most of a dynamic table that is kept, in the sizes of RFC 7541 4.1; what browsers allow servers to use."""
DEFAULT_TABLE = 4_096
"""RFC 9113 6.5.2: the table's size before anything was said about it."""

_CACHED_BLOCKS = 32
_CACHED_BLOCK = 128  # bytes
_LONGEST_CODE = 30  # bits, of RFC 7541 appendix B
_OVERHEAD = 32  # bytes of an entry beside its strings: RFC 7541 4.1
_INTEGER_BYTES = 5  # enough for 32 bits

# First bytes of representations, and prefixes of integers: RFC 7541 6.
_INDEXED, _INCREMENTAL, _TABLE_SIZE, _HUFFMAN, _MORE = 0x80, 0x40, 0x20, 0x80, 0x80
_SEVEN_BITS, _SIX_BITS, _FIVE_BITS, _FOUR_BITS = 0x7F, 0x3F, 0x1F, 0x0F

_Entry = tuple[str | None, str, int]
# Name, value, least bytes of the name. A field that nobody needs has the name "", an unknown one None.
_UNKNOWN: _Entry = (None, "", 0)


def _static_entry(name: bytes, value: bytes) -> _Entry:
    text = name.decode()
    return (text, value.decode(), len(name)) if text in NEEDED else ("", "", len(name))


_STATIC = (_UNKNOWN, *(_static_entry(name, value) for name, value in HeaderTable.STATIC_TABLE))
_STATIC_SIZE = len(_STATIC)  # also the index of the newest dynamic entry


class Block:
    """What is known of a header block. What it says is kept with it: the same block often comes again."""

    __slots__ = ("fields", "has_unknown", "request", "response")

    def __init__(self, fields: Mapping[str, str], *, has_unknown: bool) -> None:
        self.fields = fields
        """Values of the needed fields by lower-case name."""
        self.has_unknown = has_unknown
        """Whether there were fields whose name or value is not known."""
        self.request: RequestFields | None = None
        """What `read_request` has said."""
        self.response: ResponseFields | None = None
        """What `read_response` has said."""

    def read_request(self) -> RequestFields:
        """What it says as the head of a request."""
        self.request = request_fields(self.fields, has_unknown=self.has_unknown)
        return self.request

    def read_response(self) -> ResponseFields:
        """What it says as the head or the trailers of a response."""
        self.response = response_fields(self.fields, has_unknown=self.has_unknown)
        return self.response


UNKNOWN_BLOCK = Block(MappingProxyType({}), has_unknown=True)
"""A block of which nothing is known."""


class HeaderBlocks:
    """Decodes the header blocks of one direction of a connection, in their order."""

    __slots__ = ("_cache", "_entries", "_maximum", "_size", "known")

    def __init__(self, *, is_complete: bool) -> None:
        """`is_complete` when the direction's first block will be the first that `decode` gets."""
        self._entries: list[tuple[_Entry, int]] = []  # the newest last, each with its least size
        self._size = 0
        self._maximum = DEFAULT_TABLE if is_complete else MAXIMUM_TABLE
        self._cache: dict[bytes, Block] = {}  # of blocks that leave the table as it is, until it changes
        self.known: Callable[[bytes | None], Block | None] = self._cache.get  # type: ignore[assignment] # None is no key
        """What `decode` would say of a block that is the same as one since the table last changed; else None."""

    @property
    def table_size(self) -> int:
        """Least size of the known dynamic entries, in the sense of RFC 7541 4.1."""
        return self._size

    def allow(self, size: int) -> None:
        """The decoder at the other end allows a table of this size (SETTINGS_HEADER_TABLE_SIZE).

        A smaller one is in force when the encoder says so, with the next block after it has read the setting.
        """
        self._maximum = max(self._maximum, min(size, MAXIMUM_TABLE))

    def allow_any(self) -> None:
        """The other end may have allowed anything."""
        self._maximum = MAXIMUM_TABLE

    def forget(self) -> None:
        """A block was not seen."""
        self._entries.clear()
        self._cache.clear()
        self._size = 0
        self._maximum = MAXIMUM_TABLE

    def decode(self, block: bytes) -> Block | None:
        """The needed fields of the next block; None when it is malformed, and then the table is forgotten."""
        known = self._cache.get(block)
        if known is not None:
            return known
        try:
            return self._decode(block)
        except (HPACKDecodingError, IndexError):  # an index error: the block ends within a field
            self.forget()
            return None

    def _decode(self, block: bytes) -> Block:
        fields: dict[str, str] = {}
        has_unknown = False
        changed = False
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            if first & _INDEXED:
                index, at = _integer(block, at, _SEVEN_BITS)
                name, value, _ = self._entry(index)
            elif first & _INCREMENTAL:
                name, value, at = self._literal(block, at, _SIX_BITS)
                changed = True
            elif first & _TABLE_SIZE:
                size, at = _integer(block, at, _FIVE_BITS)
                self._maximum = min(size, MAXIMUM_TABLE)
                self._evict()
                changed = True
                continue
            else:
                name, value, at = self._literal(block, at, _FOUR_BITS)
            if name:
                fields[name] = value
            elif name is None:
                has_unknown = True
        decoded = Block(fields, has_unknown=has_unknown)
        if changed:
            self._cache.clear()
        elif end <= _CACHED_BLOCK:
            if len(self._cache) >= _CACHED_BLOCKS:
                self._cache.clear()
            self._cache[block] = decoded
        return decoded

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[str | None, str, int]:
        """Name, value and end of a literal whose first byte has the name's index in the bits of the mask."""
        index, at = _integer(block, at, mask)
        if index:
            name, _, name_size = self._entry(index)
        else:
            text, at, name_size = _string(block, at)
            name = text if text in NEEDED else ""
        if name:
            value, at, value_size = _string(block, at)
        else:
            value, (at, value_size) = "", _skipped(block, at)
        if mask == _SIX_BITS:
            size = _OVERHEAD + name_size + value_size
            self._entries.append(((name, value, name_size), size))
            self._size += size
            self._evict()
        return name, value, at

    def _entry(self, index: int) -> _Entry:
        if index < _STATIC_SIZE:
            if not index:
                raise HPACKDecodingError("index 0")
            return _STATIC[index]
        place = index - _STATIC_SIZE + 1  # from the end
        return self._entries[-place][0] if place <= len(self._entries) else _UNKNOWN

    def _evict(self) -> None:
        if self._size <= self._maximum:
            return
        gone = 0
        while self._size > self._maximum:
            self._size -= self._entries[gone][1]
            gone += 1
        del self._entries[:gone]


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """An integer (RFC 7541 5.1) with a prefix of the mask's bits, and where it ends."""
    number = block[at] & mask
    at += 1
    if number < mask:
        return number, at
    for shift in range(0, 7 * _INTEGER_BYTES, 7):
        byte = block[at]
        at += 1
        number += (byte & _SEVEN_BITS) << shift
        if byte < _MORE:
            return number, at
    raise HPACKDecodingError("an integer of too many bytes")


def _string(block: bytes, at: int) -> tuple[str, int, int]:
    """A string (RFC 7541 5.2), where it ends, and its bytes."""
    is_huffman = block[at] & _HUFFMAN
    length, at = _integer(block, at, _SEVEN_BITS)
    end = at + length
    if end > len(block):
        raise HPACKDecodingError("a string beyond its block")
    raw = block[at:end]
    if not is_huffman:
        return raw.decode("latin-1"), end, length
    text = decode_huffman(raw)
    return text, end, len(text)


def _skipped(block: bytes, at: int) -> tuple[int, int]:
    """Where a string ends, and the least bytes that it can have."""
    is_huffman = block[at] & _HUFFMAN
    length, at = _integer(block, at, _SEVEN_BITS)
    end = at + length
    if end > len(block):
        raise HPACKDecodingError("a string beyond its block")
    return end, length * 8 // _LONGEST_CODE if is_huffman else length
