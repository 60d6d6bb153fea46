"""Which series a selector selects: tests of labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import promql_parser
import re2
from promql_parser import MatchOp, VectorSelector

from backend.query.promql.errors import wrong
from backend.query.promql.series import NAME, Labels, Samples

LONGEST_PATTERN = 4_096
"""Most characters of a regular expression."""
_MEMORY = 1 << 20
"""Bytes that a compiled regular expression may take."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """A test of one label. A label that is not there is empty."""

    label: str
    test: Callable[[str], bool]
    exact: str | None = None
    """The one value that fulfils it, if there is but one."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Tests that must all be fulfilled."""

    matchers: tuple[Matcher, ...]

    def exact(self, label: str) -> str | None:
        """The one value that a label can have, if there is but one."""
        return next(
            (matcher.exact for matcher in self.matchers if matcher.label == label and matcher.exact is not None), None
        )

    def accepts(self, labels: Mapping[str, str], *, names: Sequence[str] | None = None) -> bool:
        """Whether labels fulfil the tests.

        Args:
            labels: by name.
            names: labels that are tested; all by default.
        """
        return all(
            matcher.test(labels.get(matcher.label, ""))
            for matcher in self.matchers
            if names is None or matcher.label in names
        )


class Source(Protocol):
    """Where series are. Methods block."""

    def select(self, selector: Selector, first: int, last: int, spacing: int) -> Samples:
        """The series that a selector selects, with their samples from `first` to `last`.

        Args:
            selector: which series.
            first: milliseconds since 1970-01-01 UTC, as the next.
            last: inclusive.
            spacing: milliseconds between samples.

        Raises:
            PromqlError: there are too many.
            StorageError: the store does not answer.
        """
        ...


def selector_of(tree: VectorSelector) -> Selector:
    """The tests of a selector. Raises PromqlError."""
    if tree.matchers.or_matchers:
        raise wrong(
            "'or' between label matchers is not known here: write a regular expression, or 'or' between selectors"
        )
    matchers = [_matcher(each) for each in tree.matchers.matchers]
    if tree.name is not None:
        matchers.append(_equal(NAME, tree.name))
    return Selector(tuple(matchers))


def equalities(tree: VectorSelector) -> Labels:
    """The labels that a selector asks for by their values, but for the name: those that absent() has."""
    asked: dict[str, list[promql_parser.Matcher]] = {}
    for matcher in tree.matchers.matchers:
        asked.setdefault(matcher.name, []).append(matcher)
    return tuple(
        sorted(
            (name, matchers[0].value)
            for name, matchers in asked.items()
            if name != NAME and len(matchers) == 1 and matchers[0].op == MatchOp.Equal and matchers[0].value
        )
    )


def pattern(text: str) -> "re2._Regexp[str]":
    """A regular expression of RE2. Raises PromqlError."""
    if len(text) > LONGEST_PATTERN:
        raise wrong(f"a regular expression is longer than {LONGEST_PATTERN:,} characters: ask in several")
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.dot_nl = True
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise wrong(f"{text!r} is not a regular expression of RE2 that can be used here: {error}") from None


def _equal(label: str, value: str) -> Matcher:
    return Matcher(label, lambda found: found == value, value)


def matcher(label: str, operator: str, value: str) -> Matcher:
    """The test of a label by one of the operators =, !=, =~ and !~. Raises PromqlError."""
    if operator == "=":
        return _equal(label, value)
    if operator == "!=":
        return Matcher(label, lambda found: found != value)
    compiled = pattern(value)
    if operator == "=~":
        return Matcher(label, lambda found: compiled.fullmatch(found) is not None)
    return Matcher(label, lambda found: compiled.fullmatch(found) is None)


_OPERATORS = ((MatchOp.Equal, "="), (MatchOp.NotEqual, "!="), (MatchOp.Re, "=~"), (MatchOp.NotRe, "!~"))


def _matcher(tree: promql_parser.Matcher) -> Matcher:
    operator = next(written for operator, written in _OPERATORS if tree.op == operator)
    return matcher(tree.name, operator, tree.value)
