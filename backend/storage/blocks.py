"""Sums of many metrics side by side: one row for an entity and minute, where MetricSchema has one for each metric.

A flush has about a hundred metrics of each entity that it has seen, and most share their counts with others. Side by
side, an entity's id and its minute are there once, and what is shared as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.storage.entity_ids import EntityIds

NO_COUNT = -1
"""Place.counted of a metric that has none."""
KEYS = ("entity", "minute")
LABEL = "label"


class Place(NamedTuple):
    """Where the values of a metric are, as places of columns of values."""

    metric: str
    summation: int
    counted: int
    """Of what it was added up from (`count` in MetricSchema); NO_COUNT where that is 0 for all."""
    present: int
    """Of how many logs they are: there is no value where this is 0."""


@dataclass(frozen=True, slots=True)
class Block:
    """Sums of some metrics of entities of one kind."""

    places: tuple[Place, ...]
    entities: EntityIds
    """Those that have sums are among them."""
    sums: pl.DataFrame
    """One row per entity and minute. Columns: entity (pl.Int32, a number of `entities`), minute (pl.Int32), and
    values (pl.Int64, of any names). Where a metric has values by label, label (pl.Int64) is another one, whose decimal
    text is the label, and there is a row for each of an entity and minute."""

    @property
    def is_labelled(self) -> bool:
        """Whether there is a column of labels."""
        return LABEL in self.sums.columns

    @property
    def columns(self) -> list[str]:
        """The names of the columns of values."""
        return [name for name in self.sums.columns if name not in {*KEYS, LABEL}]

    def rows(self) -> pl.DataFrame:
        """The same as columns of MetricSchema."""
        found = expand(self.places, [self.sums[name].to_numpy() for name in self.columns])
        metrics = pl.Series([place.metric for place in self.places], dtype=pl.String).gather(found.place)
        labels = pl.repeat("", len(metrics), dtype=pl.String, eager=True)
        if self.is_labelled:
            labels = self.sums[LABEL].cast(pl.String).gather(found.row)
        return pl.DataFrame(
            {
                "metric": metrics,
                "label": labels,
                "entity": self.entities.gather(self.sums["entity"].gather(found.row)),
                "minute": self.sums["minute"].gather(found.row),
                "summation": found.summation,
                "count": found.count,
            }
        )


@dataclass(frozen=True, slots=True)
class Expanded:
    """Values of metrics one below the other, as columns of one length."""

    place: NDArray[np.int32]
    """Which metric, as an index into the places."""
    row: NDArray[np.int64]
    """Which row they are from."""
    summation: NDArray[np.int64]
    count: NDArray[np.int64]


def expand(places: Sequence[Place], values: Sequence[NDArray[np.int64]]) -> Expanded:
    """One row for each metric and row that has a value, by metric.

    Args:
        places: of the metrics.
        values: columns of values, of one length.
    """
    rows = [np.flatnonzero(values[place.present]) for place in places]
    lengths = [len(chosen) for chosen in rows]
    nothing = np.empty(0, np.int64)
    return Expanded(
        np.repeat(np.arange(len(places), dtype=np.int32), lengths),
        np.concatenate([nothing, *rows]),
        np.concatenate(
            [nothing, *(values[place.summation][chosen] for place, chosen in zip(places, rows, strict=True))]
        ),
        np.concatenate(
            [
                nothing,
                *(
                    np.zeros(len(chosen), np.int64) if place.counted == NO_COUNT else values[place.counted][chosen]
                    for place, chosen in zip(places, rows, strict=True)
                ),
            ]
        ),
    )
