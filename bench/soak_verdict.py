"""Whether a figure that was sampled for a while stays flat: the verdict of bench/soak.py, apart from processes.

The time is cut into ten, and of each part only the least sample counts: tables that fill and are emptied show by it
what stays, and peaks do not show at all. The slope is the median of the slopes between all pairs of these (Theil 1950,
Sen 1968), which the step of one fault does not move. What it grows by over the measured time is compared with what the
figure may move by without being a leak.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

PARTS: Final = 10
"""Of the measured time."""
FEWEST_SAMPLES: Final = 10
"""With fewer there is no verdict."""


@dataclass(frozen=True)
class Allowance:
    """How far a figure may move over the measured time; the larger one of both counts."""

    share: float
    """Of its median."""
    least: float
    """In the figure's own unit."""
    period: float = 0.0
    """Seconds after which what is no longer used is given back; there is no verdict over less than two of these."""
    beside: str = ""
    """Another figure of the same program that this one may grow by."""


@dataclass(frozen=True)
class Trend:
    """What became of a figure after warm-up."""

    name: str
    samples: int
    first: float
    """Median of the first tenth of the samples."""
    last: float
    """Of the last tenth."""
    most: float
    growth: float
    """By the slope, from the first sample to the last; without what another figure grows by that it may follow."""
    hourly: float
    """The slope of the figure itself, in its unit an hour."""
    allowed: float
    """Growth that is no finding."""
    is_long: bool
    """Whether the time was long enough for a verdict."""

    @property
    def verdict(self) -> str:
        """In a word: flat, grows, too short, or that it is only told."""
        if self.allowed == math.inf:
            return "told"
        if not self.is_long:
            return "too short"
        return "grows" if self.growth > self.allowed else "flat"


def find_trend(
    name: str,
    seconds: Sequence[float],
    values: Sequence[float],
    allowance: Allowance,
    beside: Sequence[float] | None = None,
) -> Trend:
    """The trend of a figure.

    Args:
        name: Of the figure.
        seconds: When each sample was taken, in any order.
        values: The samples.
        allowance: What it may move by.
        beside: Samples, taken with the others, of what it may grow by besides.

    Raises:
        ValueError: There are no samples, or not as many times as values.
    """
    if not len(values) or len(values) != len(seconds):
        raise ValueError(f"{name}: {len(values)} samples of {len(seconds)} times")
    order = np.argsort(np.asarray(seconds, dtype=np.float64), kind="stable")
    times = np.asarray(seconds, dtype=np.float64)[order]
    figures = np.asarray(values, dtype=np.float64)[order]
    own = figures if beside is None else figures - np.asarray(beside, dtype=np.float64)[order]
    tenth = max(1, len(figures) // 10)
    return Trend(
        name=name,
        samples=len(figures),
        first=float(np.median(figures[:tenth])),
        last=float(np.median(figures[-tenth:])),
        most=float(figures.max()),
        growth=_slope(times, own) * float(times[-1] - times[0]),
        hourly=_slope(times, figures) * 3600.0,
        is_long=len(figures) >= FEWEST_SAMPLES and times[-1] - times[0] >= 2 * allowance.period,
        allowed=max(allowance.least, allowance.share * float(np.median(figures))),
    )


def _slope(times: Samples, values: Samples) -> float:
    """The slope between the least samples of the parts, in the unit of the values a second."""
    parts = [int(part[values[part].argmin()]) for part in np.array_split(np.arange(len(times)), min(len(times), PARTS))]
    times, values = times[parts], values[parts]
    later, earlier = np.tril_indices(len(times), -1)
    apart = times[later] - times[earlier]
    told = apart > 0
    if not told.any():
        return 0.0
    return float(np.median((values[later] - values[earlier])[told] / apart[told]))
