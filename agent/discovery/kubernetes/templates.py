"""Templates for names and filters: the part of Go's text/template that is of use for them, checked before it is used.

Which part: docs/discovery.md. A template is read once, into functions. What it may ask is known beforehand
(agent/discovery/kubernetes/members.py), so that a mistake is told when the configuration is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agent.discovery.kubernetes.expressions import DEEPEST, ROOT_KINDS, Evaluate, Expression, go_text
from agent.discovery.kubernetes.members import Kind, Subject
from agent.discovery.kubernetes.template_tokens import Action, TemplateError, Word, split, words

_LONGEST_RESULT: Final = 1024
"""Characters of a name."""
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
        value = Expression(words(text)).value()
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
        return go_text(part(subject))
    for condition, parts in part.branches:
        if condition is None or condition(subject):
            return "".join(_rendered(inner, subject) for inner in parts)
    return ""


class _Reader:
    """Puts the pieces of a template in order."""

    def __init__(self, pieces: Iterable[str | Action]) -> None:
        self._pieces = iter(pieces)

    def parts(self) -> list[_Part]:
        """Everything."""
        parts, end = self._until_end(0)
        if end is not None:
            raise TemplateError(f"{{{{{end[0].text}}}}} without an if before it")
        return parts

    def _until_end(self, depth: int) -> tuple[list[_Part], tuple[Word, ...] | None]:
        """The parts up to an else or end, and that one; None for the end of the template."""
        if depth > DEEPEST:
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
        evaluate: Evaluate | None = Expression(condition).value().evaluate
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
                evaluate = Expression(end[2:]).value().evaluate
            else:
                raise TemplateError("after else only an if may be")


def _printed(found: tuple[Word, ...]) -> Evaluate:
    value = Expression(found).value()
    if value.kind in ROOT_KINDS:
        raise TemplateError(f"{found[-1].text} as a whole is no text; ask for a field of it")
    return value.evaluate


__all__ = ["Filter", "Template", "TemplateError"]
