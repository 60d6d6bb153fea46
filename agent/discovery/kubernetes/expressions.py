"""The expressions of templates: fields, functions, brackets and pipes, read into functions of a subject."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.discovery.kubernetes.members import MEMBERS, ROOTS, Kind, Subject
from agent.discovery.kubernetes.template_tokens import TemplateError, Word, literal

DEEPEST: Final = 32
"""Brackets, or conditions, within each other."""

Evaluate = Callable[[Subject], Any]


@dataclass(frozen=True, slots=True)
class Value:
    """An expression: what it will be, and how to get that."""

    kind: Kind | None
    """None where that depends on values."""
    evaluate: Evaluate


def go_text(value: object) -> str:
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
    "print": (lambda *values: "".join(map(go_text, values)), Kind.TEXT, 1, 99),
}
"""By name: what it does, what it gives, how many arguments it takes."""


ROOT_KINDS: Final = frozenset(kind for kind, _ in ROOTS.values())


class Expression:
    """Reads the words of an action: commands with arguments, handed on by pipes."""

    def __init__(self, found: Sequence[Word]) -> None:
        self._words = found
        self._at = 0

    def value(self) -> Value:
        """The whole."""
        value = self._pipeline(0)
        if self._at < len(self._words):
            raise TemplateError(f"{self._words[self._at].text!r} where the expression should end")
        return value

    def _peek(self) -> str:
        return self._words[self._at].kind if self._at < len(self._words) else ""

    def _pipeline(self, depth: int) -> Value:
        if depth > DEEPEST:
            raise TemplateError("too many brackets within each other")
        value = self._command(depth, ())
        while self._peek() == "pipe":
            self._at += 1
            value = self._command(depth, (value,))
        return value

    def _command(self, depth: int, last: tuple[Value, ...]) -> Value:
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

    def _operand(self, depth: int) -> Value:
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


def _constant(kind: Kind, value: object) -> Value:
    return Value(kind, lambda _: value)


def _call(name: str, arguments: tuple[Value, ...]) -> Value:
    if name in {"true", "false"}:
        if arguments:
            raise TemplateError(f"{name} takes no arguments")
        return _constant(Kind.TRUTH, name == "true")
    if name not in FUNCTIONS:
        raise TemplateError(f"there is no function {name!r}; there are {', '.join(sorted(FUNCTIONS))}")
    function, kind, least, most = FUNCTIONS[name]
    _check_number(name, len(arguments), least, most)
    inner = [argument.evaluate for argument in arguments]
    return Value(kind, lambda subject: function(*(evaluate(subject) for evaluate in inner)))


def _chain(text: str, begin: Value | None, arguments: tuple[Value, ...]) -> Value:
    """Fields of fields; arguments belong to the last one."""
    names = text[1:].split(".")
    if begin is None:
        if names[0] not in ROOTS:
            raise TemplateError(f"there is no .{names[0]}; there are {', '.join(f'.{name}' for name in ROOTS)}")
        kind, root = ROOTS[names.pop(0)]
        begin = Value(kind, root)
    for at, name in enumerate(names, 1):
        begin = _member(begin, name, arguments if at == len(names) else ())
    if not names and arguments:
        raise TemplateError(f"{text} takes no arguments")
    return begin


def _member(value: Value, name: str, arguments: tuple[Value, ...]) -> Value:
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

    return Value(member.result, evaluate)


def _check_number(name: str, given: int, least: int, most: int) -> None:
    if not least <= given <= most:
        wanted = str(least) if least == most else f"at least {least}" if most > DEEPEST else f"{least} to {most}"
        raise TemplateError(f"{name} takes {wanted} arguments, not {given}")
