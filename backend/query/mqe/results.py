"""What an expression gives: series of numbers, each number of a bucket or of an entity."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from backend.query.mqe.rows import agreed
from backend.query.mqe.syntax import Labels

Values = NDArray[np.float64]
"""Numbers; NaN is no value. No other number in it is infinite or NaN. Of several entities at once there is a row for
each (rows.py), unless all have the same."""


class ResultType(StrEnum):
    """Shape of a result, by the name that Apache SkyWalking gives it."""

    SINGLE_VALUE = "SINGLE_VALUE"
    """Each series is one number."""
    TIME_SERIES_VALUES = "TIME_SERIES_VALUES"
    """Each series is one number per bucket."""
    SORTED_LIST = "SORTED_LIST"
    """One series, a number per entity, sorted."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An entity that a number is of."""

    id: str
    scope: str
    """Name of the scope in Apache SkyWalking: Service, ServiceInstance or Endpoint."""
    service_id: str
    service_name: str
    normal: bool
    instance_name: str | None = None
    endpoint_name: str | None = None
    name: str = ""
    """What it is called in a list: with its service, when the list is of several services."""


Point = int | Owner | None
"""What a number is of: the start of a bucket (seconds since 1970-01-01 UTC), an entity, or nothing in particular."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Numbers with the same labels, and what each is of."""

    labels: Labels
    values: Values
    points: Sequence[Point]
    """As many as values, or as there are in a row of them."""

    @property
    def by_time(self) -> bool:
        """Whether there is a number for each bucket of the duration, in the order of time."""
        return isinstance(self.points, range)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What an expression gives. A metric with labels and no data gives no series at all."""

    type: ResultType
    series: tuple[Series, ...]
    truth: bool = False
    """Whether the numbers say true (1) and false (0), as those of comparisons do."""

    @property
    def labelled(self) -> bool:
        """Whether its series are told apart by labels."""
        return not self.series or any(series.labels for series in self.series)

    @property
    def has_values(self) -> bool:
        """Whether there is any number. Raises MixedError where some entities have one and some have not."""
        if not self.series:
            return False
        of_series = [np.isfinite(series.values).any(axis=-1) for series in self.series]
        return bool(agreed(np.logical_or.reduce(of_series)[np.newaxis])[0])


def single(value: float, *, truth: bool = False) -> Result:
    """One number."""
    return Result(ResultType.SINGLE_VALUE, (Series((), np.array([value]), (None,)),), truth)


def finite(values: Values) -> Values:
    """The numbers with those that are infinite taken for no value: there is none, or it is too large."""
    return np.where(np.isfinite(values), values, np.nan)
