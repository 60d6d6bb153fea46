"""How much one question may take."""

import time
from collections.abc import Callable

from backend.query.promql.errors import Kind, PromqlError, impossible

MAXIMUM_SECONDS = 30.0
"""Longest time that an answer may take."""
MAXIMUM_POINTS = 11_000
"""Most times of a range, as in Prometheus."""
MAXIMUM_SERIES = 20_000
"""Most series of a selector."""
MAXIMUM_SAMPLES = 5_000_000
"""Most samples of a selector, and most values of any part of an expression; what is missing between them counts."""
MAXIMUM_STEPS = 300_000_000
"""Most samples that the functions of a question look at."""


class Budget:
    """What is left for one question. For one thread.

    Args:
        seconds: How long the answer may take; never more than MAXIMUM_SECONDS.
        timer: Seconds that never go back.
    """

    def __init__(self, seconds: float = MAXIMUM_SECONDS, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._seconds = min(seconds, MAXIMUM_SECONDS)
        self._deadline = timer() + self._seconds
        self._steps = 0

    def check(self) -> None:
        """Raise PromqlError when the time is over."""
        if self._timer() > self._deadline:
            raise PromqlError(
                Kind.TIMEOUT,
                f"the answer takes longer than {self._seconds:g} seconds: ask for fewer series, a shorter range or a"
                " longer step",
            )

    def hold(self, series: int, times: int) -> None:
        """Make room for values. Raises PromqlError when they are too many."""
        self.check()
        if series > MAXIMUM_SERIES:
            raise impossible(
                f"the question is about {series:,} series, more than {MAXIMUM_SERIES:,}: select by service or by a"
                " part of its name"
            )
        if series * times > MAXIMUM_SAMPLES:
            raise impossible(
                f"the question has {series:,} series of {times:,} samples, together more than {MAXIMUM_SAMPLES:,}: ask"
                " for fewer series or a shorter range, or for a step of an hour or a day"
            )

    def look(self, samples: int) -> None:
        """Look at samples. Raises PromqlError when they are too many."""
        self.check()
        self._steps += samples
        if self._steps > MAXIMUM_STEPS:
            raise impossible(
                f"the functions of the question look at more than {MAXIMUM_STEPS:,} samples: ask for fewer series, a"
                " shorter window or a longer step"
            )
