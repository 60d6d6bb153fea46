"""Comparisons as expressions over columns."""

import polars as pl

from backend.oal.syntax import Constant, Enumeration, Literal, Operator


def matches(column: pl.Expr, operator: Operator, literal: Literal) -> pl.Expr:
    """Whether a column's values compare as asked; false, never null, for what is missing.

    Args:
        column: numbers, booleans or strings; enumerations as text such as "DetectPoint.SERVER".
        operator: the comparison.
        literal: what to compare with.
    """
    if isinstance(literal, tuple):
        return column.is_in([_plain(member) for member in literal]).fill_null(value=False)
    if literal is None:
        return column.is_null() if operator is Operator.EQUAL else column.is_not_null()
    value = _plain(literal)
    match operator:
        case Operator.EQUAL:
            return column.eq_missing(pl.lit(value))
        case Operator.NOT_EQUAL:
            return column.ne_missing(pl.lit(value))
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
            raise ValueError(f"{operator.value!r} compares lists, and no attribute is one")
    return result.fill_null(value=False)


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


def _plain(literal: Constant) -> bool | int | str | None:
    return str(literal) if isinstance(literal, Enumeration) else literal
