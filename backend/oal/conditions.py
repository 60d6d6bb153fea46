"""Comparisons as expressions over columns."""

import polars as pl

from backend.oal.syntax import Constant, Enumeration, Literal, Operator


def matches(column: pl.Expr, operator: Operator, literal: Literal) -> pl.Expr:
    """Whether a column's values compare as asked; false, never null, for what is missing.

    What is missing is equal to null alone, and so differs from any other literal.

    Args:
        column: numbers, booleans, strings or lists of numbers; enumerations as text such as "DetectPoint.SERVER".
        operator: the comparison.
        literal: what to compare with.
    """
    if isinstance(literal, tuple):
        return _is_in(column, literal)
    if literal is None:
        return column.is_null() if operator is Operator.EQUAL else column.is_not_null()
    value = _plain(literal)
    if operator in {Operator.EQUAL, Operator.NOT_EQUAL}:
        equal = column.eq_missing(pl.lit(value))
        return equal if operator is Operator.EQUAL else ~equal
    match operator:
        case Operator.GREATER:
            result = column > value
        case Operator.LESS:
            result = column < value
        case Operator.AT_LEAST:
            result = column >= value
        case Operator.AT_MOST:
            result = column <= value
        case Operator.LIKE:
            result = _like(column, str(value))
        case _:
            contained = column.list.contains(value)
            result = contained if operator is Operator.CONTAIN else ~contained
    return result.fill_null(value=False)


def _is_in(column: pl.Expr, literals: tuple[Constant, ...]) -> pl.Expr:
    members = [_plain(literal) for literal in literals]
    if any(isinstance(member, float) for member in members):
        column, members = column.cast(pl.Float64), [float(member) for member in members if member is not None]
    return column.is_in(members).fill_null(value=False)


def _like(column: pl.Expr, pattern: str) -> pl.Expr:
    match pattern.startswith("%"), pattern.endswith("%"):
        case True, True:
            return column.str.contains(pattern[1:-1], literal=True)
        case True, False:
            return column.str.ends_with(pattern[1:])
        case False, True:
            return column.str.starts_with(pattern[:-1])
        case _:
            # A pattern without a wildcard matches nothing, as in Apache SkyWalking.
            return pl.lit(value=False)


def _plain(literal: Constant) -> bool | float | str | None:
    return str(literal) if isinstance(literal, Enumeration) else literal
