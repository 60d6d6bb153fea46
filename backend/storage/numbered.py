"""Rows of metrics and measures with numbers in place of names, for who works on arrays.

A text in each of some hundred thousand rows takes longer than all that is done with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

NAMED = ("metric", "label", "entity")
"""Columns of rows of metrics and of measures that have names."""


@dataclass(frozen=True, slots=True, eq=False)
class NumberedRows:
    """Rows, each key once, by metric, label, entity and minute."""

    names: pl.Series
    """The names that rows have, ascending, each once; there may be more."""
    columns: Mapping[str, NDArray[np.generic]]
    """Those of MetricSchema or MeasureSchema, in this order; those of NAMED are places in `names`, of 32 bits."""

    @staticmethod
    def of(rows: pl.DataFrame) -> "NumberedRows":
        """What rows with names say; they are in order."""
        names = pl.concat([rows[name].unique() for name in NAMED]).unique().sort()
        numbered = {name: rows[name].cast(pl.Enum(names)).to_physical().cast(pl.Int32) for name in NAMED}
        return NumberedRows(names, {name: numbered.get(name, rows[name]).to_numpy() for name in rows.columns})

    def __len__(self) -> int:
        """How many rows."""
        return len(self.columns["minute"])

    def of_metric(self, name: str) -> "NumberedRows":
        """The rows of a metric."""
        place = self.names.search_sorted(name)
        # A name that is not there stands where another one is, or at the end.
        is_there = place < len(self.names) and self.names[place] == name
        metrics = self.columns["metric"]
        begin, end = np.searchsorted(metrics, [place, place + is_there])
        return NumberedRows(self.names, {name: column[begin:end] for name, column in self.columns.items()})

    def told(self) -> pl.DataFrame:
        """The rows with names."""
        names = pl.lit(self.names)
        return pl.DataFrame(self.columns).with_columns(names.gather(pl.col(name)).alias(name) for name in NAMED)
