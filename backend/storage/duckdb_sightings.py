"""What a DuckDB file knows already of entities and relations, so that flushes do not write it again.

Every flush of a minute tells of the same services, instances, endpoints and relations.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

from backend.storage.interface import Flush, Instance

SightingT = TypeVar("SightingT", bound=Hashable)

MAXIMUM_REMEMBERED = 524_288
"""Sightings that are remembered, at about 400 bytes each."""


class Sightings:
    """What was written. For use by one writer at a time.

    What a transaction wrote is known when it is committed: call `keep` then, and `forget` when it is taken back or when
    entities were deleted.
    """

    def __init__(self, maximum: int = MAXIMUM_REMEMBERED) -> None:
        self._maximum = maximum
        self._known: set[tuple[str, Hashable]] = set()
        self._new: set[tuple[str, Hashable]] = set()
        self._same: dict[str, dict[int, Hashable]] = {}
        """What is known, by kind and identity; it is held here, so that no other object gets the same identity."""

    def __len__(self) -> int:
        return len(self._known)

    def unknown(self, flush: Flush) -> Flush:
        """A flush without what is known already."""
        return replace(
            flush,
            services=self._unknown("service", flush.services),
            instances=self._unknown("instance", flush.instances),
            endpoints=self._unknown("endpoint", flush.endpoints),
            service_relations=self._unknown("service relation", flush.service_relations),
            instance_relations=self._unknown("instance relation", flush.instance_relations),
            endpoint_relations=self._unknown("endpoint relation", flush.endpoint_relations),
        )

    def keep(self) -> None:
        """Remember what was unknown since the last time."""
        if len(self._known) + len(self._new) > self._maximum:
            self._known, self._same = set(), {}
        if len(self._new) <= self._maximum:
            self._known |= self._new
            for kind, sighting in self._new:
                self._hold(kind, sighting)
        self._new = set()

    def forget(self) -> None:
        """Remember nothing."""
        self._known, self._new, self._same = set(), set(), {}

    def _unknown(self, kind: str, seen: Sequence[SightingT]) -> list[SightingT]:
        # Flushes tell of the same by the same objects as a rule. To hash all of them would take longer than to write.
        same = self._same.setdefault(kind, {})
        unknown = list[SightingT]()
        for sighting in [each for each in seen if id(each) not in same]:
            key = (kind, sighting)
            if isinstance(sighting, Instance) and sighting.properties:
                unknown.append(sighting)  # its hash leaves these out
            elif key in self._known:
                self._hold(kind, sighting)
            else:
                self._new.add(key)
                unknown.append(sighting)
        return unknown

    def _hold(self, kind: str, sighting: Hashable) -> None:
        same = self._same.setdefault(kind, {})
        if len(same) >= self._maximum:
            same.clear()
        same[id(sighting)] = sighting
