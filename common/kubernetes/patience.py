"""How long to wait before a server is asked again that did not answer as it should."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Waits that grow with each failure, each a random part of what it may be at most.

    The first failure may be waited for as little as nothing, but many programs that lose the same server do not come
    back at the same moment.

    Attributes:
        first: seconds, most after the first failure.
        most: seconds, most after any.
        random: a number from 0 to less than 1.
        failures: since the last success.
    """

    first: float
    most: float
    random: Callable[[], float]
    failures: int = 0

    def wait(self, asked: float | None = None) -> float:
        """Seconds to wait after one more failure, and at least what the server asked for, within the bound."""
        ceiling = min(self.most, self.first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return min(self.most, max(self.random() * ceiling, asked or 0.0))

    def succeeded(self) -> None:
        """The next failure is a first one."""
        self.failures = 0
