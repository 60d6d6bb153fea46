"""A reader over Python dicts."""

from collections.abc import Mapping, Sequence

import numpy as np

from backend.query.mqe.duration import Duration
from backend.query.mqe.reader import LabelledValues, Top, UnknownMetricReadingError
from backend.query.mqe.results import Owner
from tests.backend.query.mqe.reference import Data, Tops


class DictReader:
    """Metrics of one entity, and metrics of several for top_n(). Counts how often it is asked."""

    def __init__(self, data: Data, tops: Tops | None = None) -> None:
        self._data = data
        self._tops = tops or {}
        self.reads: list[tuple[list[str], Duration]] = []

    def check(self, metric: str) -> None:
        if metric not in self._data and metric not in self._tops:
            raise UnknownMetricReadingError(f"there is no metric {metric!r}")

    def read(self, metrics: Sequence[str], duration: Duration) -> Mapping[str, Sequence[LabelledValues]]:
        self.reads.append((list(metrics), duration))
        return {
            metric: [
                LabelledValues(labels, np.array([known.get(bucket, np.nan) for bucket in duration.buckets]))
                for labels, known in self._data[metric].items()
            ]
            for metric in metrics
        }

    def top(self, asked: Top, duration: Duration) -> Sequence[tuple[Owner, float]]:
        means = []
        for entity, known in self._tops[asked.metric].items():
            present = [known[bucket] for bucket in duration.buckets if bucket in known]
            if present:
                means.append((entity, sum(present) / len(present)))
        means.sort(key=lambda pair: (pair[1] if asked.order == "asc" else -pair[1], pair[0]))
        return [(owner(entity), mean) for entity, mean in means[: asked.limit]]


def owner(entity: str) -> Owner:
    return Owner(entity, "Service", entity, entity, normal=True, name=entity)
