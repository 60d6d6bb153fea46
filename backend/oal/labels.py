"""How many labels a metric may have."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

import polars as pl

MAXIMUM_KEPT = 200_000
"""Labels that are remembered, of all metrics and entities."""
MAXIMUM_RECALLED = 10_000
"""Days of metrics that the store was asked for and that are remembered; with more, all are asked for again."""
MINUTES_OF_A_DAY = 1_440

Recall = Callable[[str, int], pl.DataFrame | None]
"""From a metric and a day since 1970-01-01 UTC to entity and label of all that is stored of it, each once; None when
that cannot be told now."""

_KEYS = ("entity", "label")
_NONE = pl.DataFrame(schema={"entity": pl.String, "label": pl.String})


class LabelLoss(StrEnum):
    """Why logs count for no label."""

    MAXIMUM = "maximum"
    """Their metric and entity has as many labels as the script allows."""
    MEMORY = "memory"
    """As many labels are remembered as can be."""


class Labels:
    """Remembers which labels the metrics of each entity have, so that each has at most as many in a day as it may.

    Labels that came first stay; of those that come together, the more frequent ones are taken. Before the first label
    of a metric in a day, those that are stored of it are recalled: they came first, to a process before this one. Safe
    for several threads. A store that several processes write to may hold as many labels for each of them.
    """

    def __init__(self, maximum_kept: int = MAXIMUM_KEPT, *, recall: Recall | None = None) -> None:
        """Set up.

        Args:
            maximum_kept: labels that are remembered.
            recall: what is stored; None when nothing is.
        """
        self._maximum_kept = maximum_kept
        self._recall = recall
        self._recalled: set[tuple[int, str]] = set()
        self._kept: dict[tuple[int, str], pl.DataFrame] = {}
        """By day and metric: entity and label."""
        self._refused: Counter[LabelLoss] = Counter()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    @property
    def refused(self) -> Mapping[LabelLoss, int]:
        """By cause: rows that count for no label; a row is the logs of a flush with one label, entity and minute."""
        with self._lock:
            return dict(self._refused)

    def admit(self, metric: str, rows: pl.DataFrame, maximum: int) -> pl.DataFrame:
        """The rows whose labels the metric may have.

        Args:
            metric: its name.
            rows: label, entity, minute and summation.
            maximum: most labels of an entity in a day.
        """
        if rows.is_empty():
            return rows
        dated = rows.with_columns((pl.col("minute") // MINUTES_OF_A_DAY).alias("day"))
        days = dated["day"].unique().sort().to_list()
        # Without the lock, as the store takes its time.
        recalled = {day: self._stored(day, metric) for day in days}
        with self._lock:
            admitted = []
            for day in days:
                self._keep(day, metric, recalled[day])
                admitted.append(self._admit_day(day, metric, dated.filter(pl.col("day") == day), maximum))
        return pl.concat(admitted).drop("day")

    def _stored(self, day: int, metric: str) -> pl.DataFrame:
        """What is stored of a day, when it was not asked for before."""
        if self._recall is None or (day, metric) in self._recalled:
            return _NONE
        found = self._recall(metric, day)
        if found is None:
            return _NONE
        if len(self._recalled) >= MAXIMUM_RECALLED:
            self._recalled.clear()
        self._recalled.add((day, metric))
        return found

    def _keep(self, day: int, metric: str, found: pl.DataFrame) -> None:
        """Remember labels that are stored, as many as there is room for."""
        kept = self._kept.get((day, metric), _NONE)
        new = found.join(kept, on=_KEYS, how="anti")
        if len(new):
            self._kept[day, metric] = pl.concat([kept, new.head(self._make_room(day, len(new))).select(_KEYS)])

    def _admit_day(self, day: int, metric: str, rows: pl.DataFrame, maximum: int) -> pl.DataFrame:
        kept = self._kept.get((day, metric), _NONE)
        known = rows.join(kept, on=_KEYS, how="semi")
        if len(known) == len(rows):
            return rows
        unknown = rows.join(kept, on=_KEYS, how="anti")
        counts = kept.group_by("entity").agg(pl.len().alias("known"))
        wanted = (
            unknown.group_by(_KEYS)
            .agg(pl.col("summation").sum())
            .join(counts, on="entity", how="left")
            .sort("entity", "summation", "label", descending=(False, True, False))
            .with_columns(pl.int_range(pl.len()).over("entity").alias("rank"))
            .filter(pl.col("rank") + pl.col("known").fill_null(0) < maximum)
        )
        room = self._make_room(day, len(wanted))
        taken = wanted.head(room).select(_KEYS)
        if len(taken):
            self._kept[day, metric] = pl.concat([kept, taken])
        for cause, refused in (
            (LabelLoss.MAXIMUM, unknown.join(wanted, on=_KEYS, how="anti")),
            (LabelLoss.MEMORY, unknown.join(wanted.slice(room), on=_KEYS, how="semi")),
        ):
            if len(refused):
                self._refused[cause] += len(refused)
        return pl.concat([known, unknown.join(taken, on=_KEYS, how="semi")])

    def _make_room(self, day: int, wanted: int) -> int:
        """How many labels of a day can be remembered; days before it are forgotten first."""
        while len(self) + wanted > self._maximum_kept and (oldest := min(self._kept, default=None)) is not None:
            if oldest[0] >= day:
                break
            del self._kept[oldest]
        return max(self._maximum_kept - len(self), 0)
