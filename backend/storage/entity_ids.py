"""Ids of entities with numbers that hold from one flush to the next."""

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray


class EntityIds:
    """Ids by number, in the order in which they came. Ids are added and never taken away. For use from one thread.

    Who remembers something for each of them can do so by number, for as long as this object is there.
    """

    __slots__ = ("__weakref__", "_numbers", "_series", "_texts")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Number some ids, the first of which has 0."""
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._series = pl.Series(dtype=pl.String)
        for identity in ids:
            self.number(identity)

    def __len__(self) -> int:
        return len(self._texts)

    def number(self, identity: str) -> int:
        """The number of an id; one that was not there before has the next."""
        number = self._numbers.setdefault(identity, len(self._texts))
        if number == len(self._texts):
            self._texts.append(identity)
        return number

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """The ids of some numbers: the same objects each time, whose hashes are known."""
        return list(map(self._texts.__getitem__, numbers))

    def gather(self, numbers: NDArray[np.integer] | pl.Series) -> pl.Series:
        """The same as a column."""
        if len(self._series) < len(self._texts):
            more = pl.Series(self._texts[len(self._series) :], dtype=pl.String)
            self._series = pl.concat([self._series, more], rechunk=True)
        return self._series.gather(numbers)
