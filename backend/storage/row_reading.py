"""Asking for metrics and for measures: the same question, about other tables."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import polars as pl

from backend.storage.interface import Precision
from backend.storage.numbered import NumberedRows

TablesT = TypeVar("TablesT")


class RowReading(ABC, Generic[TablesT]):
    """A store that reads rows of both kinds in one way."""

    def __init__(self, metrics: TablesT, measures: TablesT) -> None:
        """Set up.

        Args:
            metrics: where these are.
            measures: where these are.
        """
        self._metrics = metrics
        self._measures = measures

    @abstractmethod
    def _read(
        self,
        tables: TablesT,
        names: Sequence[str],
        entities: Sequence[str],
        minutes: tuple[int, int],
        precision: Precision,
    ) -> pl.DataFrame:
        """Merged values of some tables, of buckets that begin from the first minute to the last."""

    def metrics(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """Merged values; as Storage.metrics."""
        return self._read(self._metrics, names, entities, (first_minute, last_minute), precision)

    def numbered_metrics(self, names: Sequence[str], first_minute: int, last_minute: int) -> NumberedRows:
        """Merged values of every entity by the minute; as Storage.numbered_metrics."""
        return NumberedRows.of(self.metrics(names, [], first_minute, last_minute))

    def measures(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """Merged values; as Storage.measures."""
        return self._read(self._measures, names, entities, (first_minute, last_minute), precision)
