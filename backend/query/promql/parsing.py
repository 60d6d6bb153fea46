"""From the text of an expression to its tree.

The tree is that of promql-parser, which checks types too. It is written in a compiled language and recurses: what is
long or deep is refused before it sees it, for it takes time that grows with the square of the terms, and a stack that
overflows ends the process.
"""

import re
from collections.abc import Iterator, Sequence

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

from backend.query.promql.errors import PromqlError, wrong

MAXIMUM_LENGTH = 16_384
"""Longest expression, in characters."""
MAXIMUM_TOKENS = 1_000
"""Most words and signs of an expression."""
MAXIMUM_DEPTH = 64
"""Deepest nesting of brackets."""
MAXIMUM_LEVELS = 200
"""Most operators, functions and brackets within each other; `a + b + c` has three levels."""

_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(?P<comment>\#[^\n]*)|(?P<word>[\w:.]+)|(?P<sign>\S)""",
    re.VERBOSE | re.DOTALL,
)


def parse(text: str) -> Expr:
    """The tree of an expression. Raises PromqlError."""
    check_size(text)
    try:
        tree: Expr = promql_parser.parse(text)
    except ValueError as error:
        raise wrong(f"the expression cannot be read: {error}") from None
    if (levels := _levels(tree)) > MAXIMUM_LEVELS:
        raise _too_much(f"has {levels} operators and functions within each other, more than {MAXIMUM_LEVELS}")
    return tree


def _levels(tree: Expr) -> int:
    """How many expressions are within each other; each is an evaluation within that of another."""
    levels, level = 0, [tree]
    while level:
        levels += 1
        level = [part for each in level for part in parts(each)]
    return levels


def parse_selector(text: str) -> VectorSelector:
    """The selector of series that a text is. Raises PromqlError."""
    tree = parse(text)
    if not isinstance(tree, VectorSelector):
        raise wrong(f'{text!r} is not a selector of series: write it as name{{label="value"}}')
    return tree


def formatted(text: str) -> str:
    """The expression as it is usually written. Raises PromqlError."""
    return parse(text).prettify()


def check_size(text: str) -> None:
    """Raise PromqlError when an expression is more than the parser can take."""
    if len(text) > MAXIMUM_LENGTH:
        raise wrong(f"the expression is longer than {MAXIMUM_LENGTH:,} characters: ask in several")
    depth = deepest = tokens = 0
    for found in _TOKEN.finditer(text):
        if found.lastgroup == "comment":
            continue
        tokens += 1
        if found.lastgroup == "sign":
            depth += (found[0] in "([{") - (found[0] in ")]}")
            deepest = max(deepest, depth)
    if tokens > MAXIMUM_TOKENS:
        raise _too_much(f"has {tokens:,} words and signs, more than {MAXIMUM_TOKENS:,}")
    if deepest > MAXIMUM_DEPTH:
        raise _too_much(f"has brackets {deepest} deep, more than {MAXIMUM_DEPTH}")


def _too_much(what: str) -> PromqlError:
    return wrong(f"the expression {what}: ask in several")


def parts(tree: Expr) -> Sequence[Expr]:
    """The expressions that one is made of."""
    match tree:
        case ParenExpr() | UnaryExpr() | SubqueryExpr():
            return [tree.expr]
        case BinaryExpr():
            return [tree.lhs, tree.rhs]
        case AggregateExpr():
            return [tree.expr, *([tree.param] if isinstance(tree.param, Expr) else [])]
        case Call():
            return tree.args
        case MatrixSelector():
            return [tree.vector_selector]
        case _:
            return []


def walk(tree: Expr) -> Iterator[Expr]:
    """An expression, and all that it is made of."""
    yield tree
    for part in parts(tree):
        yield from walk(part)
