"""Many heads of HTTP/1 at a time: their lines as columns, a few steps of numpy for all of them.

Read are the heads that are written as nearly all are. What is not (a field that goes on in the next line, one that
comes twice, a method or a target that is seldom seen) is read one head at a time by `agent.protocols.http1_head`, which
says what is right: for any bytes both say the same.

Every place in the bytes that is looked at comes from a search in them and is taken by numpy's own indexing, which
refuses what is beyond their end; a line shorter than what is looked at in it is sorted out before.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.protocols.exchange import TraceContext, TraceProvider
from agent.protocols.http1_head import (
    CHUNKED,
    MAXIMUM_HOST,
    MAXIMUM_PATH,
    SWITCHING_PROTOCOLS,
    UNTIL_END,
    RequestHead,
    ResponseHead,
    read_trace,
    request_head,
    response_head,
)
from agent.protocols.trace_context import TRACE_FIELDS

_Places = NDArray[np.int64]
_Flags = NDArray[np.bool_]

_WORD: Final = 8
"""Bytes that are compared at once."""
_PADDING: Final = bytes(64)
"""Behind all heads: more than is taken at once from any place in them."""
AT_ONCE: Final = 1 << 19
"""Bytes whose lines and spaces are looked for at once: of each of them 24 bytes are kept meanwhile."""
_NEW_LINE, _RETURN, _SPACE, _TAB, _QUESTION, _SLASH = b"\n\r \t?/"
_ZERO, _NINE = b"09"
_CASE: Final = 0x20
"""The bit that tells small letters of ASCII from capital ones."""
_METHODS: Final = ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS")
_VERSION: Final = b" HTTP/1.1\r"
_STATUS_LINE: Final = b"HTTP/1.1 200\r"
_LENGTH_DIGITS: Final = _WORD
"""Of a Content-Length that is read here."""
_FIRST_STATUS: Final = 100


class _Name:
    """What the first bytes of a line are compared with: a text, of which letters may be small or capital."""

    def __init__(self, text: bytes) -> None:
        self.size = len(text)
        self.words: list[tuple[int, np.uint64, np.uint64]] = []
        """Distance from the line's beginning, which bits count, and what they are."""
        for at in range(0, len(text), _WORD):
            part = text[at : at + _WORD]
            mask = bytes(0xFF & ~_CASE if bytes((byte,)).isalpha() else 0xFF for byte in part)
            bits = int.from_bytes(mask, "little")
            self.words.append((at, np.uint64(bits), np.uint64(int.from_bytes(part, "little") & bits)))


def _exactly(text: bytes) -> tuple[np.uint64, np.uint64]:
    """Which bits of a word count, and what they are, where these bytes stand first."""
    return np.uint64((1 << 8 * len(text)) - 1), np.uint64(int.from_bytes(text, "little"))


_HOST, _CONTENT_LENGTH, _TRANSFER_ENCODING = _Name(b"host:"), _Name(b"content-length:"), _Name(b"transfer-encoding:")
_TRAILER, _EXPECT, _UPGRADE = _Name(b"trailer:"), _Name(b"expect:"), _Name(b"upgrade:")
_TRACES: Final = {name: _Name(name.encode() + b":") for name in sorted(TRACE_FIELDS)}
_TRACE_PARENT: Final = "traceparent"
_PLAIN_PARENT: Final = b"xx-" + b"x" * 32 + b"-" + b"x" * 16 + b"-xx"
"""Its dashes, and an x for each hexadecimal digit."""
_TRACE_ID, _TRACE_DIGITS = 3, 32
_SPAN_ID, _SPAN_DIGITS = 36, 16
_DIGITS: Final = bytes(ord("x") if byte in b"0123456789abcdef" else byte for byte in range(256))
"""Hexadecimal digits as an x."""
_VERSION_ZERO: Final = _exactly(b"00-")
_ZIPKIN: Final = TraceProvider.ZIPKIN  # see agent.protocols.exchange
_CODED: Final = _Name(b"chunked")
_METHOD_WORDS: Final = [_exactly(method.encode() + b" ") for method in _METHODS]
_VERSIONS: Final = [_exactly(b"TTP/1.%d\r" % digit)[1] for digit in (1, 0)]
_STATUS_WORDS: Final = [_exactly(b"HTTP/1.%d" % digit)[1] for digit in (1, 0)]
_POWERS: Final = 10 ** np.arange(_LENGTH_DIGITS - 1, -1, -1, dtype=np.int64)


class _Values(NamedTuple):
    """The values of one field, in the order of the heads that have it."""

    heads: _Places
    begins: _Places
    ends: _Places


class _Heads:
    """The lines of some heads, and which heads have something about them that is not read here."""

    def __init__(self, heads: Sequence[bytes]) -> None:
        self.joined = b"".join((*heads, _PADDING))
        self.bytes = np.frombuffer(self.joined, dtype=np.uint8)
        size = len(self.joined)
        self._words = np.ndarray((size - _WORD + 1,), "<u8", self.joined, strides=(1,))
        """That which begins at each byte."""
        self.sizes: _Places = np.fromiter(map(len, heads), dtype=np.int64, count=len(heads))
        self.begins: _Places = self.sizes.cumsum() - self.sizes
        self._line_ends: _Places = np.flatnonzero(self.bytes == _NEW_LINE)
        self._lines: _Places = np.concatenate((np.zeros(1, dtype=np.int64), self._line_ends[:-1] + 1))
        """Where lines begin. Nothing is asked of the last ones of heads, which are empty, nor of first ones by name:
        no field has a name that could begin one."""
        self._firsts = self._words[self._lines]
        self.first_ends: _Places = self._line_ends[np.searchsorted(self._line_ends, self.begins)]
        """Where the first lines of heads end, at their line feeds."""
        self.is_other: _Flags = np.zeros(len(heads), dtype=np.bool_)
        """Which heads are left to be read by themselves."""
        first = self._firsts.astype(np.uint8)
        self.leave(np.flatnonzero((first == _SPACE) | (first == _TAB)))

    def words(self, at: _Places) -> NDArray[np.uint64]:
        """The words at some places; those before the first byte are as those at it."""
        return self._words[np.maximum(at, 0)]

    def parts(self, at: _Places, size: int) -> NDArray[np.uint8]:
        """So many bytes from each of some places on."""
        return np.ndarray((len(self.joined) - size + 1, size), np.uint8, self.joined, strides=(1, 1))[at]

    def heads_of(self, lines: _Places) -> _Places:
        """The heads that lines belong to."""
        return np.searchsorted(self.begins, self._lines[lines], side="right") - 1

    def leave(self, lines: _Places) -> None:
        """Do not read the heads that these lines are of."""
        if len(lines):
            self.is_other[self.heads_of(lines)] = True

    def lines_of(self, name: _Name) -> _Places:
        """The lines that begin with a name."""
        (_, mask, expected), *more = name.words
        found = np.flatnonzero(self._firsts & mask == expected)
        for at, mask, expected in more:
            if len(found):
                found = found[self._words[self._lines[found] + at] & mask == expected]
        return found

    def values(self, name: _Name) -> _Values:
        """The values of a field. Heads that have it twice are left, and those that have more than a space around it."""
        lines = self.lines_of(name)
        heads, begins, ends = self.heads_of(lines), self._lines[lines] + name.size, self._line_ends[lines]
        if not len(lines):
            return _Values(heads, begins, ends)
        self.is_other[heads[1:][heads[1:] == heads[:-1]]] = True
        ends = ends - (self.bytes[ends - 1] == _RETURN)
        begins = begins + (self.bytes[begins] == _SPACE)
        is_odd = (begins >= ends) | (self.bytes[begins] <= _SPACE) | (self.bytes[ends - 1] <= _SPACE)
        self.is_other[heads[is_odd]] = True
        return _Values(heads, begins, ends)

    def lengths(self, otherwise: int) -> _Places:
        """The lengths of bodies, as in RequestHead and ResponseHead."""
        lengths = np.full(len(self.begins), otherwise, dtype=np.int64)
        counted = self.values(_CONTENT_LENGTH)
        if len(counted.heads):
            digits = self.bytes[counted.ends[:, None] + np.arange(-_LENGTH_DIGITS, 0)].astype(np.int64) - _ZERO
            sizes = counted.ends - counted.begins
            is_given = np.arange(_LENGTH_DIGITS, 0, -1) <= sizes[:, None]
            is_number = ((digits >= 0) & (digits <= _NINE - _ZERO) | ~is_given).all(axis=1) & (sizes <= _LENGTH_DIGITS)
            lengths[counted.heads] = np.where(is_given, digits, 0) @ _POWERS
            self.is_other[counted.heads[~is_number]] = True
        coded = self.values(_TRANSFER_ENCODING)
        if len(coded.heads):
            ((_, mask, expected),) = _CODED.words
            is_chunked = self._words[coded.begins] & mask == expected
            is_chunked &= coded.ends - coded.begins == _CODED.size
            lengths[coded.heads] = CHUNKED
            self.is_other[coded.heads[~is_chunked]] = True
            self.leave(self.lines_of(_TRAILER))
        return lengths


def _lots(heads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The same heads, of no more than AT_ONCE bytes at a time as far as these are several."""
    if sum(map(len, heads)) <= AT_ONCE or len(heads) == 1:
        yield heads
        return
    half = len(heads) // 2
    yield from _lots(heads[:half])
    yield from _lots(heads[half:])


def read_request_heads(heads: Sequence[bytes]) -> list[RequestHead | None]:
    """What some heads say, each of which ends with its empty line; None of those that are none."""
    return [head for lot in _lots(heads) for head in _read_requests(lot)]


def _read_requests(heads: Sequence[bytes]) -> list[RequestHead | None]:
    lines = _Heads(heads)
    methods, path_begins, path_ends = _targets(lines)
    lengths = lines.lengths(0)
    for name in (_EXPECT, _UPGRADE):
        lines.leave(lines.lines_of(name))
    text = lines.joined.decode("latin-1")
    hosts = [""] * len(heads)
    found = lines.values(_HOST)
    for head, begin, end in _rows(found.heads, found.begins, np.minimum(found.ends, found.begins + MAXIMUM_HOST)):
        hosts[head] = text[begin:end]
    traces = _traces(lines, text, heads)
    rows = _rows(methods, path_begins, path_ends, lengths, lines.sizes, lines.is_other)
    return [
        request_head(heads[number])
        if is_other
        else RequestHead(size, length, _METHODS[method], text[begin:end], hosts[number], traces.get(number))
        for number, (method, begin, end, length, size, is_other) in enumerate(rows)
    ]


def read_response_heads(heads: Sequence[bytes]) -> list[ResponseHead | None]:
    """What some heads say, each of which ends with its empty line; None of those that are none."""
    return [head for lot in _lots(heads) for head in _read_responses(lot)]


def _read_responses(heads: Sequence[bytes]) -> list[ResponseHead | None]:
    lines = _Heads(heads)
    statuses = _statuses(lines)
    lengths = lines.lengths(UNTIL_END)
    return [
        response_head(heads[number]) if is_other else ResponseHead(size, length, status)
        for number, (status, length, size, is_other) in enumerate(_rows(statuses, lengths, lines.sizes, lines.is_other))
    ]


def _rows(*columns: NDArray[np.generic]) -> Iterator[tuple[int, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


def _targets(lines: _Heads) -> tuple[_Places, _Places, _Places]:
    """The methods of requests, by their places in _METHODS, and where their paths begin and end."""
    begins, ends = lines.begins, lines.first_ends - len(_VERSION)
    first = lines.words(begins)
    methods = np.full(len(begins), -1, dtype=np.int64)
    paths = begins.copy()
    for number, (mask, expected) in enumerate(_METHOD_WORDS):
        found = np.flatnonzero(first & mask == expected)
        methods[found] = number
        paths[found] += len(_METHODS[number]) + 1
    last = lines.words(lines.first_ends - _WORD)
    is_plain = (methods >= 0) & (ends > paths) & ((last == _VERSIONS[0]) | (last == _VERSIONS[1]))
    spaces = np.flatnonzero(lines.bytes <= _SPACE)  # there is one behind each place: the padding
    is_plain &= (lines.bytes[paths] == _SLASH) & (spaces[np.searchsorted(spaces, paths)] == ends)
    behind = np.maximum(ends, 0)
    is_plain &= (lines.bytes[behind] == _SPACE) & (lines.bytes[behind + 1] == _VERSION[1])
    lines.is_other |= ~is_plain
    questions = np.append(np.flatnonzero(lines.bytes == _QUESTION), len(lines.bytes))
    ends = np.minimum(np.minimum(ends, paths + MAXIMUM_PATH), questions[np.searchsorted(questions, paths)])
    return methods, paths, ends


def _statuses(lines: _Heads) -> _Places:
    begins, ends = lines.begins, lines.first_ends
    version = lines.words(begins)
    is_plain = (ends - begins >= len(_STATUS_LINE)) & ((version == _STATUS_WORDS[0]) | (version == _STATUS_WORDS[1]))
    rest = np.where(is_plain, begins, 0)[:, None] + np.arange(_WORD, len(_STATUS_LINE))
    space, *digits, behind = lines.bytes[rest].T.astype(np.int64)
    returns = np.append(np.flatnonzero(lines.bytes == _RETURN), len(lines.bytes))
    line_end = returns[np.searchsorted(returns, begins)]
    is_plain &= (space == _SPACE) & (line_end == ends - 1) & ((behind == _SPACE) | (behind == _RETURN))
    statuses = np.zeros(len(begins), dtype=np.int64)
    for digit in digits:
        is_plain &= (digit >= _ZERO) & (digit <= _NINE)
        statuses = statuses * 10 + digit - _ZERO
    lines.is_other |= ~is_plain | (statuses < _FIRST_STATUS) | (statuses == SWITCHING_PROTOCOLS)
    return statuses


def _traces(lines: _Heads, text: str, heads: Sequence[bytes]) -> dict[int, TraceContext | None]:
    """The traces of requests that have one, by their numbers."""
    traces: dict[int, TraceContext | None] = {}
    found = {name: values for name, field in _TRACES.items() if len((values := lines.values(field)).heads)}
    parents = found.get(_TRACE_PARENT)
    if parents is not None and len(found) == 1:
        is_plain = _are_plain_parents(lines, parents)
        for head, begin in _rows(parents.heads[is_plain], parents.begins[is_plain]):
            at = begin + _TRACE_ID
            span = begin + _SPAN_ID
            traces[head] = TraceContext(_ZIPKIN, text[at : at + _TRACE_DIGITS], "", text[span : span + _SPAN_DIGITS])
        found[_TRACE_PARENT] = _Values(*(column[~is_plain] for column in parents))
    fields: dict[int, dict[str, str]] = {}
    for name, values in found.items():
        for head, begin, end in _rows(*values):
            fields.setdefault(head, {})[name] = text[begin:end]
    for head, named in fields.items():
        traces[head] = read_trace(named, len(heads[head]))
    return traces


def _are_plain_parents(lines: _Heads, parents: _Values) -> _Flags:
    """Which values of traceparent are of version 00 and name a trace, as agent.protocols.trace_context has it."""
    is_plain: _Flags = parents.ends - parents.begins == len(_PLAIN_PARENT)
    begins = np.where(is_plain, parents.begins, 0)
    signs = lines.parts(begins, len(_PLAIN_PARENT))
    mask, expected = _VERSION_ZERO
    is_plain &= lines.words(begins) & mask == expected
    shapes = np.frombuffer(signs.tobytes().translate(_DIGITS), dtype=f"S{len(_PLAIN_PARENT)}")
    is_plain &= shapes == np.bytes_(_PLAIN_PARENT)
    for at, size in ((_TRACE_ID, _TRACE_DIGITS), (_SPAN_ID, _SPAN_DIGITS)):
        is_plain &= (signs[:, at : at + size] != _ZERO).any(axis=1)
    return is_plain
