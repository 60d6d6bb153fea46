"""What a DuckDB file knows already of entities and relations, so that flushes do not write it again.

Every flush of a minute tells of the same services, instances, endpoints and relations, as rows of a register
(backend/storage/told.py). What is of no register is compared by what it says.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from backend.storage.interface import Flush, Instance
from backend.storage.told import Register, Told

SightingT = TypeVar("SightingT", bound=Hashable)

MAXIMUM_REMEMBERED = 524_288
"""Sightings that are remembered by what they say, at about 400 bytes each. Those of a register take a byte each."""


class Sightings:
    """What was written. For use by one writer at a time.

    What a transaction wrote is known when it is committed: call `keep` then, and `forget` when it is taken back or when
    entities were deleted.
    """

    def __init__(self, maximum: int = MAXIMUM_REMEMBERED) -> None:
        self._maximum = maximum
        self._known: set[tuple[str, Hashable]] = set()
        self._new: set[tuple[str, Hashable]] = set()
        self._registers: dict[str, WeakKeyDictionary[Register[Any], NDArray[np.bool_]]] = {}
        """By kind and register: which of its rows are known."""
        self._told: list[tuple[NDArray[np.bool_], NDArray[np.int64]]] = []
        """What is not known yet of registers: what knows it then, and rows."""

    def __len__(self) -> int:
        of_registers = (known for kind in self._registers.values() for known in kind.values())
        return len(self._known) + sum(int(known.sum()) for known in of_registers)

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
            self._known = set()
        if len(self._new) <= self._maximum:
            self._known |= self._new
        for known, numbers in self._told:
            known[numbers] = True
        self._new, self._told = set(), []

    def forget(self) -> None:
        """Remember nothing."""
        self._known, self._new, self._registers, self._told = set(), set(), {}, []

    def _unknown(self, kind: str, seen: Sequence[SightingT]) -> Sequence[SightingT]:
        if isinstance(seen, Told):
            return self._unknown_of_register(kind, seen)
        unknown = list[SightingT]()
        for sighting in seen:
            key = (kind, sighting)
            if isinstance(sighting, Instance) and sighting.properties:
                unknown.append(sighting)  # its hash leaves these out
            elif key not in self._known:
                self._new.add(key)
                unknown.append(sighting)
        return unknown

    def _unknown_of_register(self, kind: str, seen: Told[SightingT]) -> list[SightingT]:
        registers = self._registers.setdefault(kind, WeakKeyDictionary())
        known = registers.get(seen.register, np.empty(0, np.bool_))
        if len(known) < len(seen.register):
            known = np.concatenate([known, np.zeros(2 * len(seen.register) - len(known), np.bool_)])
            registers[seen.register] = known
        numbers = seen.numbers[~known[seen.numbers]]
        if len(numbers):
            self._told.append((known, numbers))
        return seen.register.rows(numbers)
