"""Expressions under names."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[np.generic] | pl.Series]
"""Columns of one length, by name; an array has no null."""

_ANY = "any"
"""A column that nothing reads, so that there are rows."""


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


class Computed:
    """Columns that expressions make of other columns.

    Args:
        expressions: each has a name; of literals alone they make a row for each that there is.
    """

    def __init__(self, expressions: Iterable[pl.Expr]) -> None:
        self._expressions = list(expressions)
        self._roots = sorted({name for expression in self._expressions for name in expression.meta.root_names()})

    def of(self, columns: Columns, length: int) -> dict[str, pl.Series]:
        """Make them.

        Args:
            columns: those that are read, among others.
            length: of each.
        """
        if not self._expressions:
            return {}
        # Only what is read: most of what it costs is to take the columns over.
        read = {name: columns[name] for name in self._roots} or {_ANY: np.zeros(length, np.int64)}
        made = pl.DataFrame(read).with_columns(self._expressions)
        return {name: made[name] for name in (expression.meta.output_name() for expression in self._expressions)}


def as_text(expression: pl.Expr) -> str:
    """An expression as polars writes it, without the types of its numbers."""
    return re.sub(r"\(dyn (?:int|float): ([^)]*)\)", r"\1", str(expression))
