"""What stands in a template: plain text and actions, and the words of an action.

The syntax is that of Go's text/template (https://pkg.go.dev/text/template), as far as docs/discovery.md lists it.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

LONGEST_TEMPLATE: Final = 4096
"""Characters."""


class TemplateError(Exception):
    """A template that cannot be read, or that has no value for a process; the message says why."""


class Word(NamedTuple):
    """A word of an action."""

    kind: str
    """One of text, number, chain, name, open, close, pipe."""
    text: str
    is_attached: bool = False
    """Whether there is no space before it."""


_WORD: Final = re.compile(
    r"""(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>-?\d+(?![\w.]))|(?P<chain>(?:\.[A-Za-z_]\w*)+)"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<open>\()|(?P<close>\))|(?P<pipe>\|)"""
)
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_ESCAPE: Final = re.compile(
    r"""\\(?:(?P<sign>[abfnrtv\\'"])|x(?P<x>[0-9A-Fa-f]{2})|u(?P<u>[0-9A-Fa-f]{4})|U(?P<U>[0-9A-Fa-f]{8})|(?P<unknown>))"""
)
_SIGNS: Final = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))
_LAST_CHARACTER: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


class Action(NamedTuple):
    """What stands between braces."""

    words: tuple[Word, ...]


def split(template: str) -> Iterator[str | Action]:
    """The texts and actions of a template, in order; comments and what trim markers take away are left out.

    Raises:
        TemplateError: an action has no end, or cannot be read.
    """
    if len(template) > LONGEST_TEMPLATE:
        raise TemplateError(f"a template of {len(template)} characters; {LONGEST_TEMPLATE} are allowed")
    trims = False
    while template:
        text, braces, template = template.partition("{{")
        if trims:
            text = text.lstrip()
        if not braces:
            if text:
                yield text
            return
        action, template = _cut(template)
        if re.match(r"-\s", action):
            action, text = action[1:], text.rstrip()
        trims = re.search(r"\s-$", action) is not None
        action = action[:-1].strip() if trims else action.strip()
        if text:
            yield text
        if not _COMMENT.fullmatch(action):
            yield Action(words(action))


def words(action: str) -> tuple[Word, ...]:
    """The words of an action.

    Raises:
        TemplateError: there is something else in it, or nothing at all.
    """
    found: list[Word] = []
    at = 0
    while rest := action[at:].lstrip():
        is_attached = at == len(action) - len(rest)
        at = len(action) - len(rest)
        match = _WORD.match(action, at)
        if match is None or match.lastgroup is None:
            raise TemplateError(f"{rest!r}: neither a field such as .Pod.Name nor a text, number, function or bracket")
        found.append(Word(match.lastgroup, match[0], is_attached))
        at = match.end()
    if not found:
        raise TemplateError("an action with nothing in it")
    return tuple(found)


def literal(word: Word) -> str:
    """What a text in quotes stands for.

    Raises:
        TemplateError: it has an escape that does not exist.
    """
    inner = word.text[1:-1]
    if word.text[0] == "`":
        return inner
    return _ESCAPE.sub(_escaped, inner)


def _escaped(match: re.Match[str]) -> str:
    """The character that an escape stands for."""
    if match["sign"]:
        return _SIGNS[match["sign"]]
    digits = match["x"] or match["u"] or match["U"]
    number = int(digits, 16) if digits else -1
    if not 0 <= number <= _LAST_CHARACTER or number in _SURROGATES:
        raise TemplateError(f"{match.string!r} has an unknown escape; a text in backticks has none")
    return chr(number)


def _cut(rest: str) -> tuple[str, str]:
    """The action that a text begins with, and what comes after it. Braces within quotes are no end."""
    if match := re.match(r"(-?\s*/\*.*?\*/\s*-?)\}\}", rest, re.DOTALL):
        return match[1], rest[match.end() :]
    at = 0
    while at < len(rest):
        if rest.startswith("}}", at):
            return rest[:at], rest[at + 2 :]
        quoted = _WORD.match(rest, at) if rest[at] in '"`' else None
        if quoted is None and rest[at] in '"`':
            raise TemplateError(f"a text without an end: {rest[at:]!r}")
        at = quoted.end() if quoted is not None else at + 1
    raise TemplateError(f"an action without its end: write }}}} after {rest.strip()!r}")
