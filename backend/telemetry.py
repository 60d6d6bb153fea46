"""A histogram that takes many equal observations at once, as messages are decoded in blocks."""

from bisect import bisect_left
from itertools import accumulate

BOUNDS = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Upper bounds of the buckets, in seconds."""


class Latency:
    """Durations, counted in buckets."""

    def __init__(self) -> None:
        self.sum = 0.0
        """Seconds."""
        self._counts = [0] * (len(BOUNDS) + 1)

    def observe(self, seconds: float, times: int) -> None:
        """Count `times` observations of `seconds` each."""
        self._counts[bisect_left(BOUNDS, seconds)] += times
        self.sum += seconds * times

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and the number of observations up to it, as Prometheus writes them."""
        names = [*map(str, BOUNDS), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))
