"""What the endpoints of a service are called, and how many it may have.

Paths come from whoever calls a service, so there is no end to them. A service has at most so many endpoints at a time;
what comes beyond counts for the endpoint `_abandoned`, as in Apache SkyWalking. Names that are no longer used make
room for others.
"""

import time
from collections.abc import Callable

ABANDONED = "_abandoned"
"""The endpoint of what is called beyond a service's number of endpoints. No method has a name like it."""

MAXIMUM_ENDPOINTS = 3_000
"""Most endpoints of a service, as in Apache SkyWalking."""
MAXIMUM_NAMES = 200_000
"""Most endpoints of all services together."""
LIFETIME = 600.0
"""Seconds; a name that was not used for as long, or up to twice as long, makes room."""


def endpoint_name(method: str, path: str) -> str:
    """The name of an endpoint, such as "GET:/orders": without query and fragment, and of any length."""
    return f"{method.upper()}:{path.partition('?')[0].partition('#')[0]}"


class EndpointNames:
    """Which endpoints each service has. For use from one thread.

    Args:
        maximum: Most endpoints of a service.
        maximum_names: Most endpoints of all services together.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        maximum: int = MAXIMUM_ENDPOINTS,
        maximum_names: int = MAXIMUM_NAMES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maximum = maximum
        self._maximum_names = maximum_names
        self._clock = clock
        self._turned = clock()
        # What was used since the last turn, and what was used before it and not since. No name is in both.
        self._young: dict[str, set[str]] = {}
        self._old: dict[str, set[str]] = {}
        self._names = 0

    def __len__(self) -> int:
        return self._names

    def admit(self, service: str, name: str) -> str:
        """The endpoint that a name counts for: itself, or ABANDONED when its service has too many."""
        self._turn()
        young = self._young.get(service, set())
        if name in young:
            return name
        old = self._old.get(service, set())
        if name in old:
            old.remove(name)
        elif len(young) + len(old) >= self._maximum or self._names >= self._maximum_names:
            return ABANDONED
        else:
            self._names += 1
        young.add(name)
        self._young[service] = young
        return name

    def _turn(self) -> None:
        now = self._clock()
        if now - self._turned < LIFETIME:
            return
        self._turned = now
        self._names -= sum(map(len, self._old.values()))
        self._old, self._young = self._young, {}
