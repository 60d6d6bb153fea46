"""Windows over samples, which functions look at.

A window ends at the time asked about and does not hold its other end, as in Prometheus 3: a window of five minutes has
five samples that are a minute apart. All series and times are looked at together, one sample of each window after the
other, from the oldest to the newest; so the cost in Python is that of the window's length.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backend.query.promql.budget import Budget
from backend.query.promql.series import Flags, Numbers, Samples, Times


class Slice(NamedTuple):
    """One sample of each window, or none."""

    values: Numbers  # series x times
    present: Flags  # series x times
    at: Numbers  # times: when it was, in seconds before the end of the window; negative


@dataclass(frozen=True, slots=True)
class Window:
    """Windows over samples."""

    samples: Samples
    ends: Times
    """Milliseconds since 1970-01-01 UTC."""
    length: int
    """Milliseconds."""
    budget: Budget

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.length / 1000

    @property
    def slices(self) -> int:
        """Most samples in a window."""
        low, high = self._bounds()
        return int((high - low).max(initial=-1)) + 1

    def _bounds(self) -> tuple[Times, Times]:
        high = (self.ends - self.samples.first) // self.samples.spacing
        low = (self.ends - self.length - self.samples.first) // self.samples.spacing + 1
        return low, high

    def __iter__(self) -> Iterator[Slice]:
        samples, (low, high) = self.samples, self._bounds()
        known = samples.values.shape[1]
        for place in range(1 - self.slices, 1):
            self.budget.look(len(samples.labels) * len(self.ends))
            index = high + place
            valid = (index >= low) & (index >= 0) & (index < known)
            chosen = np.where(valid, index, 0)
            at = (samples.first + index * samples.spacing - self.ends) / 1000
            if known:
                yield Slice(samples.values[:, chosen], samples.present[:, chosen] & valid, at)

    def zeros(self) -> Numbers:
        """Series x times."""
        return np.zeros((len(self.samples.labels), len(self.ends)))


Result = tuple[Numbers, Flags]
Function = Callable[[Window], Result]
