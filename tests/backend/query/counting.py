"""A store that remembers what it was asked for."""

from collections.abc import Sequence

import polars as pl

from backend.storage.interface import Precision
from backend.storage.memory import MemoryStorage


class Counting(MemoryStorage):
    """Remembers each question for metrics and measures: names, entities, first and last minute, precision."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[tuple[frozenset[str], tuple[str, ...], int, int, Precision]] = []

    def pairs(self) -> list[tuple[set[str], list[str]]]:
        """Names and entities of each question."""
        return [(set(names), list(entities)) for names, entities, *_ in self.questions]

    def metrics(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        self.questions.append((frozenset(names), tuple(entities), first_minute, last_minute, precision))
        return super().metrics(names, entities, first_minute, last_minute, precision)

    def measures(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        self.questions.append((frozenset(names), tuple(entities), first_minute, last_minute, precision))
        return super().measures(names, entities, first_minute, last_minute, precision)
