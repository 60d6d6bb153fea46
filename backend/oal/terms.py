"""Expressions under names."""

import re

import polars as pl


class Terms:
    """Expressions, each under a name of its own, equal ones once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[object, str] = {}
        self.expressions: list[pl.Expr] = []

    def name(self, key: object, expression: pl.Expr) -> str:
        """The name of an expression; `key` is equal for equal ones."""
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"{self._prefix}{len(self._names)}"
            self.expressions.append(expression.alias(name))
        return name


def as_text(expression: pl.Expr) -> str:
    """An expression as polars writes it, without the types of its numbers."""
    return re.sub(r"\(dyn (?:int|float): ([^)]*)\)", r"\1", str(expression))
