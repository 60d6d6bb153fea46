"""Templates for names and filters: the part of Go's text/template that is of use for them, checked before it is used.

Which part: docs/discovery.md. A template is read once, into functions. What it may ask is known beforehand
(agent/discovery/kubernetes/members.py), so that a mistake is told when the configuration is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.discovery.kubernetes.members import MEMBERS, ROOTS, Kind, Subject
from agent.discovery.kubernetes.template_tokens import Action, TemplateError, Word, literal, split, words

_DEEPEST: Final = 32
"""Brackets and conditions within each other."""
_LONGEST_RESULT: Final = 1024
"""Characters of a name."""

Evaluate = Callable[[Subject], Any]


@dataclass(frozen=True, slots=True)
class _Value:
    """An expression: what it will be, and how to get that."""

    kind: Kind | None
    """None where that depends on values."""
    evaluate: Evaluate


def _text(value: object) -> str:
    """A value as Go prints it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _equal(first: object, *others: object) -> bool:
    return any(type(first) is type(other) and first == other for other in others)


def _and(*values: object) -> object:
    return next((value for value in values if not value), values[-1])


def _or(*values: object) -> object:
    return next((value for value in values if value), values[-1])


def _length(value: object) -> int:
    if not isinstance(value, str):
        raise TemplateError("len is of a text")
    return len(value.encode())


FUNCTIONS: Final[dict[str, tuple[Callable[..., Any], Kind | None, int, int]]] = {
    "and": (_and, None, 1, 99),
    "or": (_or, None, 1, 99),
    "not": (lambda value: not value, Kind.TRUTH, 1, 1),
    "eq": (_equal, Kind.TRUTH, 2, 99),
    "ne": (lambda first, other: not _equal(first, other), Kind.TRUTH, 2, 2),
    "len": (_length, Kind.NUMBER, 1, 1),
    "print": (lambda *values: "".join(map(_text, values)), Kind.TEXT, 1, 99),
}
"""By name: what it does, what it gives, how many arguments it takes."""
_UNSUPPORTED: Final = frozenset(("range", "with", "define", "template", "block", "break", "continue"))


class Template:
    """Makes a text of a subject."""

    def __init__(self, text: str) -> None:
        """Read a template.

        Raises:
            TemplateError: it cannot be read.
        """
        self.text = text
        self._parts = _Reader(split(text)).parts()

    def render(self, subject: Subject) -> str:
        """The text.

        Raises:
            TemplateError: there is none for this subject.
        """
        rendered = "".join(_rendered(part, subject) for part in self._parts)
        if len(rendered) > _LONGEST_RESULT:
            raise TemplateError(f"{self.text!r} comes out {len(rendered)} characters long; {_LONGEST_RESULT} may be")
        return rendered


class Filter:
    """Says whether something holds of a subject: an expression, with or without braces around it."""

    def __init__(self, text: str) -> None:
        """Read a filter.

        Raises:
            TemplateError: it cannot be read, or never is true or false.
        """
        self.text = text
        if "{{" in text:
            self._template: Template | None = Template(text)
            return
        self._template = None
        value = _Expression(words(text)).value()
        if value.kind not in {Kind.TRUTH, None}:
            raise TemplateError(f"{text!r} is {value.kind.value}; a filter must be true or false")
        self._evaluate = value.evaluate

    def holds(self, subject: Subject) -> bool:
        """Whether it does.

        Raises:
            TemplateError: it is neither true nor false for this subject.
        """
        if self._template is not None:
            value: object = {"true": True, "false": False}.get(self._template.render(subject).strip())
        else:
            value = self._evaluate(subject)
        if not isinstance(value, bool):
            raise TemplateError(f"the filter {self.text!r} is neither true nor false")
        return value


@dataclass(slots=True)
class _Choice:
    """An if: conditions with what they lead to, the last one perhaps without a condition."""

    branches: list[tuple[Evaluate | None, "list[_Part]"]]


_Part = str | Evaluate | _Choice


def _rendered(part: _Part, subject: Subject) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, _Choice):
        return _text(part(subject))
    for condition, parts in part.branches:
        if condition is None or condition(subject):
            return "".join(_rendered(inner, subject) for inner in parts)
    return ""


class _Reader:
    """Puts the pieces of a template in order."""

    def __init__(self, pieces: Any) -> None:  # noqa: ANN401 - an iterator of str | Action
        self._pieces = iter(pieces)

    def parts(self) -> list[_Part]:
        """Everything."""
        parts, end = self._until_end(0)
        if end is not None:
            raise TemplateError(f"{{{{{end[0].text}}}}} without an if before it")
        return parts

    def _until_end(self, depth: int) -> tuple[list[_Part], tuple[Word, ...] | None]:
        """The parts up to an else or end, and that one; None for the end of the template."""
        if depth > _DEEPEST:
            raise TemplateError("too many conditions within each other")
        parts: list[_Part] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                parts.append(piece)
                continue
            found = piece.words
            keyword = found[0].text if found[0].kind == "name" else ""
            if keyword in {"else", "end"}:
                return parts, found
            if keyword in _UNSUPPORTED:
                raise TemplateError(f"{keyword} is not supported; if, else and end are")
            parts.append(self._choice(found[1:], depth) if keyword == "if" else _printed(found))
        return parts, None

    def _choice(self, condition: tuple[Word, ...], depth: int) -> _Choice:
        branches: list[tuple[Evaluate | None, list[_Part]]] = []
        evaluate: Evaluate | None = _Expression(condition).value().evaluate
        while True:
            parts, end = self._until_end(depth + 1)
            branches.append((evaluate, parts))
            if end is None:
                raise TemplateError("an if without its {{end}}")
            if [word.text for word in end] == ["end"]:
                return _Choice(branches)
            if end[0].text == "end" or evaluate is None:
                raise TemplateError(f"{' '.join(word.text for word in end)!r} where only {{{{end}}}} may be")
            if len(end) == 1:
                evaluate = None
            elif end[1].text == "if":
                evaluate = _Expression(end[2:]).value().evaluate
            else:
                raise TemplateError("after else only an if may be")


def _printed(found: tuple[Word, ...]) -> Evaluate:
    value = _Expression(found).value()
    if value.kind in ROOT_KINDS:
        raise TemplateError(f"{found[-1].text} as a whole is no text; ask for a field of it")
    return value.evaluate


ROOT_KINDS: Final = frozenset(kind for kind, _ in ROOTS.values())


class _Expression:
    """Reads the words of an action: commands with arguments, handed on by pipes."""

    def __init__(self, found: Sequence[Word]) -> None:
        self._words = found
        self._at = 0

    def value(self) -> _Value:
        """The whole."""
        value = self._pipeline(0)
        if self._at < len(self._words):
            raise TemplateError(f"{self._words[self._at].text!r} where the expression should end")
        return value

    def _peek(self) -> str:
        return self._words[self._at].kind if self._at < len(self._words) else ""

    def _pipeline(self, depth: int) -> _Value:
        if depth > _DEEPEST:
            raise TemplateError("too many brackets within each other")
        value = self._command(depth, ())
        while self._peek() == "pipe":
            self._at += 1
            value = self._command(depth, (value,))
        return value

    def _command(self, depth: int, last: tuple[_Value, ...]) -> _Value:
        """A command; what comes through a pipe is its last argument."""
        kind = self._peek()
        if kind not in {"name", "chain"}:
            value = self._operand(depth)
            if last or self._peek() not in {"", "close", "pipe"}:
                raise TemplateError("only fields and functions take arguments")
            return value
        word = self._words[self._at]
        self._at += 1
        arguments = []
        while self._peek() not in {"", "close", "pipe"}:
            arguments.append(self._operand(depth))
        if kind == "chain":
            return _chain(word.text, None, (*arguments, *last))
        return _call(word.text, (*arguments, *last))

    def _operand(self, depth: int) -> _Value:
        if self._at >= len(self._words):
            raise TemplateError("an expression without an end")
        word = self._words[self._at]
        self._at += 1
        if word.kind == "text":
            return _constant(Kind.TEXT, literal(word))
        if word.kind == "number":
            return _constant(Kind.NUMBER, int(word.text))
        if word.kind == "chain":
            return _chain(word.text, None, ())
        if word.kind == "name":
            return _call(word.text, ())
        if word.kind != "open":
            raise TemplateError(f"{word.text!r} where a value should be")
        value = self._pipeline(depth + 1)
        if self._peek() != "close":
            raise TemplateError("a bracket that is not closed")
        self._at += 1
        if self._peek() == "chain" and self._words[self._at].is_attached:
            value = _chain(self._words[self._at].text, value, ())
            self._at += 1
        return value


def _constant(kind: Kind, value: object) -> _Value:
    return _Value(kind, lambda _: value)


def _call(name: str, arguments: tuple[_Value, ...]) -> _Value:
    if name in {"true", "false"}:
        if arguments:
            raise TemplateError(f"{name} takes no arguments")
        return _constant(Kind.TRUTH, name == "true")
    if name not in FUNCTIONS:
        raise TemplateError(f"there is no function {name!r}; there are {', '.join(sorted(FUNCTIONS))}")
    function, kind, least, most = FUNCTIONS[name]
    _check_number(name, len(arguments), least, most)
    inner = [argument.evaluate for argument in arguments]
    return _Value(kind, lambda subject: function(*(evaluate(subject) for evaluate in inner)))


def _chain(text: str, begin: _Value | None, arguments: tuple[_Value, ...]) -> _Value:
    """Fields of fields; arguments belong to the last one."""
    names = text[1:].split(".")
    if begin is None:
        if names[0] not in ROOTS:
            raise TemplateError(f"there is no .{names[0]}; there are {', '.join(f'.{name}' for name in ROOTS)}")
        kind, root = ROOTS[names.pop(0)]
        begin = _Value(kind, root)
    for at, name in enumerate(names, 1):
        begin = _member(begin, name, arguments if at == len(names) else ())
    if not names and arguments:
        raise TemplateError(f"{text} takes no arguments")
    return begin


def _member(value: _Value, name: str, arguments: tuple[_Value, ...]) -> _Value:
    members = MEMBERS.get(value.kind, {}) if value.kind is not None else {}
    member = members.get(name)
    if value.kind is None or member is None:
        known = f"it has {', '.join(members)}" if members else "it has none"
        raise TemplateError(f"{value.kind.value if value.kind else 'this'} has no field {name!r}; {known}")
    _check_number(f".{name}", len(arguments), member.least, member.most)
    if any(argument.kind not in {Kind.TEXT, None} for argument in arguments):
        raise TemplateError(f".{name} takes texts")
    call = member.call
    of, inner = value.evaluate, [argument.evaluate for argument in arguments]

    def evaluate(subject: Subject) -> object:
        owner, given = of(subject), [each(subject) for each in inner]
        if owner is None:
            raise TemplateError(f"there is nothing of which .{name} could be asked")
        if not all(isinstance(each, str) for each in given):
            raise TemplateError(f".{name} takes texts")
        try:
            return call(subject, owner, *given)
        except ValueError as error:
            raise TemplateError(str(error)) from error

    return _Value(member.result, evaluate)


def _check_number(name: str, given: int, least: int, most: int) -> None:
    if not least <= given <= most:
        wanted = str(least) if least == most else f"at least {least}" if most > _DEEPEST else f"{least} to {most}"
        raise TemplateError(f"{name} takes {wanted} arguments, not {given}")


__all__ = ["Action", "Filter", "Template", "TemplateError"]
