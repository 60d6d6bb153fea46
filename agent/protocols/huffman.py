"""Huffman-coded strings of HPACK (RFC 7541 5.2 and appendix B), a byte at a time.

The library hpack goes through its table by halves of bytes. Here two of its steps are put together, state by state when
one is first reached: that takes a third of the time (bench/http2_parser.py), and 2.6 MB once all 256 were reached.
"""

import sys
from functools import lru_cache

from hpack import HPACKDecodingError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE

_CACHED = 2_048
_CACHED_BYTES = 128  # longer strings are rarely the same again

_Steps = tuple[bytes, tuple[str | None, ...]]
# By byte: the next state, and the characters that the byte completes, None where it can be no part of a string.

_HALF = 16
# Where a string may end: between characters, or within a padding of less than a byte.
_FINAL = frozenset(state for state, flags, _ in HUFFMAN_TABLE if flags & HUFFMAN_COMPLETE)
_STEPS: list[_Steps | None] = [None] * (len(HUFFMAN_TABLE) // _HALF)


def decode_huffman(encoded: bytes) -> str:
    """The string, its bytes as the characters of the same numbers (latin-1).

    Raises:
        HPACKDecodingError: It is no Huffman-coded string.
    """
    if len(encoded) <= _CACHED_BYTES:
        return _decode_cached(encoded)
    return _decode(encoded)


def _decode(encoded: bytes) -> str:
    state = 0
    parts = []
    for byte in encoded:
        following, characters = _STEPS[state] or _steps(state)
        parts.append(characters[byte])
        state = following[byte]
    if encoded and (state not in _FINAL or None in parts):
        raise HPACKDecodingError("invalid or incomplete Huffman string")
    return "".join(parts)  # type: ignore[arg-type] # no part is None


@lru_cache(_CACHED)
def _decode_cached(encoded: bytes) -> str:
    """Names, paths and hosts come again and again."""
    return _decode(encoded)


def _steps(state: int) -> _Steps:
    both = [_two_halves(state, byte) for byte in range(256)]
    steps = bytes(following for following, _ in both), tuple(characters for _, characters in both)
    _STEPS[state] = steps
    return steps


def _two_halves(state: int, byte: int) -> tuple[int, str | None]:
    characters = ""
    for half in (byte >> 4, byte & 0xF):
        state, flags, symbol = HUFFMAN_TABLE[state * _HALF + half]
        if flags & HUFFMAN_FAIL:
            return 0, None
        if flags & HUFFMAN_EMIT_SYMBOL:
            characters += chr(symbol)
    return state, sys.intern(characters)
