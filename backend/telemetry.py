"""What the receiver tells about itself, collected when Prometheus asks."""

from bisect import bisect_left

BOUNDS = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Upper bounds of the latency's buckets, in seconds."""


class Latency:
    """A histogram that takes many equal observations at once: messages are decoded in blocks."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """Observations per bucket, not accumulated; the last is above every bound."""
        self.sum = 0.0
        """Seconds."""

    def observe(self, seconds: float, times: int) -> None:
        """Count `times` observations of `seconds` each."""
        self.counts[bisect_left(BOUNDS, seconds)] += times
        self.sum += seconds * times
