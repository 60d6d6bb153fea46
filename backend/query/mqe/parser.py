"""From the text of an expression to what it says."""

from functools import cache, lru_cache
from importlib.resources import files
from typing import NoReturn

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from backend.query.mqe.builder import build
from backend.query.mqe.syntax import Expression, MqeError, Position

MAXIMUM_LENGTH = 8_192
"""Characters of an expression."""
_KEPT = 512
"""Expressions that are kept parsed: dashboards and alarms ask the same ones again and again."""

_EXPECTED = {
    "NAME": "a name",
    "INTEGER": "a number",
    "DECIMAL": "a number",
    "STRING": "a quoted text",
    "LPAR": "'('",
    "RPAR": "')'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "COMMA": "','",
    "EQUAL": "'='",
    "LOGICAL": "an operator",
    "COMPARISON": "an operator",
    "SIGN": "an operator",
    "FACTOR": "an operator",
    "$END": "the end",
}


@cache
def _grammar() -> Lark:
    text = files("backend.query.mqe").joinpath("grammar.lark").read_text()
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=False)


@lru_cache(maxsize=_KEPT)
def parse(text: str) -> Expression:
    """What an expression says.

    Raises:
        MqeError: the text is not in the language; the error says where, and what could stand there.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise MqeError(
            Position(1, MAXIMUM_LENGTH + 1),
            f"the expression has {len(text):,} characters: cut it into several of at most {MAXIMUM_LENGTH:,}",
        )
    try:
        tree: Tree[Token] = _grammar().parse(text)
    except UnexpectedInput as error:
        _explain(error, text)
    return build(tree)


def _explain(error: UnexpectedInput, text: str) -> NoReturn:
    position = Position(error.line, error.column)
    if isinstance(error, UnexpectedCharacters):
        found = repr(error.char)
    elif isinstance(error, UnexpectedToken):
        found = repr(str(error.token))
        if error.token.type == "$END":
            lines = text.rstrip().split("\n")
            found, position = "the end", Position(len(lines), len(lines[-1]) + 1)
    else:  # the LALR parser raises no other
        raise error
    # What the error itself names could stand in some context, not in this one.
    expected: set[str] = error.interactive_parser.accepts()  # type: ignore[no-untyped-call] # of lark
    names = sorted({_EXPECTED.get(name, name) for name in expected})
    if "a name" in names:  # then a text can stand here for the grammar, but for no function
        names = [name for name in names if name != "a quoted text"]
    raise MqeError(position, f"{found} cannot stand here: expected {' or '.join(names)}") from None
