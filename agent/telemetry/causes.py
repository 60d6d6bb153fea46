"""Bounds how many causes a figure has: some contain what the system said, and each would be a series for ever."""

from collections.abc import Mapping
from typing import Final

CAUSES: Final = 64
"""Of one figure and part."""
OTHER: Final = "other"
"""Stands for all further ones."""


class Causes:
    """Remembers the causes that were met first, so that no figure ever falls."""

    def __init__(self, capacity: int = CAUSES) -> None:
        """Tell `capacity` of them apart for each part."""
        self._capacity = capacity
        self._known: dict[str, set[str]] = {}

    def bounded(self, part: str, counts: Mapping[str, int]) -> dict[str, int]:
        """The counts by cause, those beyond the bound as one."""
        known = self._known.setdefault(part, set())
        bounded: dict[str, int] = {}
        for cause, count in counts.items():
            if cause not in known and len(known) < self._capacity:
                known.add(cause)
            name = cause if cause in known else OTHER
            bounded[name] = bounded.get(name, 0) + count
        return bounded
