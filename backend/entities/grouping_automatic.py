"""Numbers, UUIDs, hashes and other ids in paths, replaced by what they are.

`/orders/4711` and `/orders/4712` are one endpoint of a program, `/orders/{number}`. Nobody has to say so: what looks
like an identifier is one. The rules look at one segment of a path at a time and remember nothing, so that every
process of a backend gives a path the same name, at any time.

    {number}   a segment of digits and what stands between digits in dates, times, versions and addresses, with at
               least two digits; within a word, three digits in a row or more
    {uuid}     8-4-4-4-12 hexadecimal digits
    {hash}     at least eight hexadecimal digits, letters and figures among them
    {id}       at least 16 letters, figures, "-" and "_" that change between figures and the rest five times or more,
               such as a ULID

A single digit stays: `/v1/ratings/5` has at most ten such neighbours. A word without a digit always stays.
"""

import re

LONGEST_PATH = 2_048
"""Characters; what is behind them is cut before anything is looked for."""
FEWEST_DIGITS = 2
"""Digits that make a segment a number."""
FEWEST_CHANGES = 5
"""Changes between figures and other characters that make a segment an id."""

# None of these repeats within a repetition, so each takes time in proportion to what it is matched with.
_DIGIT = re.compile(r"[0-9]")
_NUMBER = re.compile(r"[0-9+-][0-9+.,:_TZ-]*")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}=*")
_RUN = re.compile(r"[0-9]+")
_WORD = re.compile(r"[A-Za-z0-9]+")
_HASH = re.compile(r"[0-9A-Fa-f]{8,}")
_NUMBERED = re.compile(r"([A-Za-z]*)[0-9]{3,}")


def group_path(path: str) -> str:
    """The path with its identifiers replaced, such as "/orders/{number}" for "/orders/4711"."""
    path = path[:LONGEST_PATH]
    if _DIGIT.search(path) is None:
        return path
    return "/".join(_segment(segment) if _DIGIT.search(segment) else segment for segment in path.split("/"))


def _segment(segment: str) -> str:
    """A segment, which has a digit."""
    if _NUMBER.fullmatch(segment) and len(_DIGIT.findall(segment)) >= FEWEST_DIGITS:
        return "{number}"
    segment = _UUID.sub("{uuid}", segment)
    if _TOKEN.fullmatch(segment) and _word(segment) != "{hash}" and _changes(segment) >= FEWEST_CHANGES:
        return "{id}"
    return _WORD.sub(lambda word: _word(word.group()), segment)


def _word(word: str) -> str:
    if _HASH.fullmatch(word) and not word.isdecimal() and _DIGIT.search(word):
        return "{hash}"
    if numbered := _NUMBERED.fullmatch(word):
        return numbered[1] + "{number}"
    return word


def _changes(text: str) -> int:
    """How often figures and other characters follow each other."""
    runs = [run.span() for run in _RUN.finditer(text)]
    return sum((start > 0) + (end < len(text)) for start, end in runs)
