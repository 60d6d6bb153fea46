"""Who was seen when: the services, instances, endpoints and relations that a flush tells of.

What a flow tells of is looked up once and has numbers from then on, so that a flush finds who was seen by work on
arrays. Rows that are the same as those of the flush before are the same objects.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.entities.resolution import LAYER, Flow, Related
from backend.ingest.batch import DetectPoint
from backend.ingest.distinct import distinct_pairs
from backend.storage.interface import Endpoint, Instance, Relation, Service

T = TypeVar("T")

MAXIMUM_RELATIONS = 524_288
"""Rows of relations after which all are forgotten; they are made again."""

_NONE = -1
_SIDES = {DetectPoint.SERVER: "server", DetectPoint.CLIENT: "client"}
_NEVER = np.iinfo(np.int32).max


class Seen(NamedTuple):
    """Who was seen by whichever logs."""

    services: list[Service]
    instances: list[Instance]
    service_relations: list[Relation]
    instance_relations: list[Relation]


class Called(NamedTuple):
    """Who was seen by calls."""

    endpoints: list[Endpoint]
    endpoint_relations: list[Relation]


class Sightings:
    """What flows tell of. For use from one thread.

    Args:
        maximum_relations: rows of relations after which all are forgotten.
    """

    def __init__(self, maximum_relations: int = MAXIMUM_RELATIONS) -> None:
        self._services = _Entities(_service)
        self._instances = _Entities(_instance)
        self._endpoints = _Entities(_endpoint)
        self._service_relations = _Relations(maximum_relations)
        self._instance_relations = _Relations(maximum_relations)
        self._endpoint_relations = _Relations(maximum_relations)

    def take(self, flow: Flow) -> None:
        """Take a flow; flows are numbered in the order in which they are taken."""
        self._services.take(flow, flow.service)
        self._instances.take(flow, flow.instance)
        self._endpoints.take(flow, flow.endpoint)
        side = _SIDES.get(flow.role)
        self._service_relations.take(flow.relation, side, flow.components)
        self._instance_relations.take(flow.instance_relation, side, (0,))
        # Clients alone tell of these.
        self._endpoint_relations.take(flow.endpoint_relation, _SIDES[DetectPoint.CLIENT], (0,))

    def seen(self, flow: NDArray[np.int64], minute: NDArray[np.int64]) -> Seen:
        """Who was seen by logs of these flows and minutes."""
        return Seen(
            self._services.seen(flow, minute),
            self._instances.seen(flow, minute),
            self._service_relations.seen(flow, minute),
            self._instance_relations.seen(flow, minute),
        )

    def called(self, flow: NDArray[np.int64], minute: NDArray[np.int64]) -> Called:
        """Who was seen by calls of these flows and minutes."""
        return Called(self._endpoints.seen(flow, minute), self._endpoint_relations.seen(flow, minute))


class _Numbers:
    """A number for each flow, as an array that grows."""

    def __init__(self) -> None:
        self._values = np.empty(1_024, np.int32)
        self._length = 0

    def append(self, number: int) -> None:
        if self._length == len(self._values):
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._values[self._length] = number
        self._length += 1

    def of(self, flow: NDArray[np.int64]) -> NDArray[np.int32]:
        """Those of some flows."""
        return self._values[: self._length][flow]


class _Entities(Generic[T]):
    """Entities of one kind.

    Args:
        make: an entity, of a flow that is of it, its first and its last minute.
    """

    def __init__(self, make: Callable[[Flow, int, int], T]) -> None:
        self._make = make
        self._of_flows = _Numbers()
        self._numbers: dict[str, int] = {}
        self._flows: list[Flow] = []
        self._made: list[T | None] = []
        self._first = np.empty(0, np.int32)
        self._last = np.empty(0, np.int32)

    def take(self, flow: Flow, identity: str | None) -> None:
        if identity is None:
            self._of_flows.append(_NONE)
            return
        number = self._numbers.setdefault(identity, len(self._flows))
        if number == len(self._flows):
            self._flows.append(flow)
            self._made.append(None)
        self._of_flows.append(number)

    def seen(self, flow: NDArray[np.int64], minute: NDArray[np.int64]) -> list[T]:
        number = self._of_flows.of(flow)
        minute, number = minute[number != _NONE], number[number != _NONE]
        first, last = np.full(len(self._flows), _NEVER, np.int32), np.full(len(self._flows), -_NEVER, np.int32)
        np.minimum.at(first, number, minute.astype(np.int32))
        np.maximum.at(last, number, minute.astype(np.int32))
        is_seen = first <= last
        more = len(self._flows) - len(self._first)
        made_first = np.concatenate([self._first, np.full(more, _NEVER, np.int32)])
        made_last = np.concatenate([self._last, np.full(more, _NEVER, np.int32)])
        for of in np.flatnonzero(is_seen & ((first != made_first) | (last != made_last))).tolist():
            self._made[of] = self._make(self._flows[of], int(first[of]), int(last[of]))
        self._first, self._last = np.where(is_seen, first, made_first), np.where(is_seen, last, made_last)
        return [made for made in map(self._made.__getitem__, np.flatnonzero(is_seen).tolist()) if made is not None]


class _Relations:
    """Relations of one kind."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._of_flows = _Numbers()
        self._numbers: dict[tuple[Related, str, Sequence[int]], int] = {}
        self._known: list[tuple[Related, str, Sequence[int]]] = []
        self._made: dict[int, tuple[Relation, ...]] = {}
        self._is_each_once = True
        """Whether none has several components, so that no two have a row in common."""

    def take(self, related: Related | None, side: str | None, components: tuple[int, ...]) -> None:
        if related is None or side is None:
            self._of_flows.append(_NONE)
            return
        key = (related, side, components)
        number = self._numbers.setdefault(key, len(self._known))
        if number == len(self._known):
            self._known.append(key)
            self._is_each_once &= len(components) == 1
        self._of_flows.append(number)

    def seen(self, flow: NDArray[np.int64], minute: NDArray[np.int64]) -> list[Relation]:
        number = self._of_flows.of(flow)
        rows = number != _NONE
        of, at = distinct_pairs(number[rows], minute[rows], len(self._known))
        keys = (of * (1 << 32) + at).tolist()
        if len(self._made) > self._maximum:
            self._made = {}
        found = list(map(self._made.get, keys))
        if None in found:
            for place in [place for place, made in enumerate(found) if made is None]:
                found[place] = self._made[keys[place]] = self._rows(int(of[place]), int(at[place]))
        all_rows = chain.from_iterable(made for made in found if made is not None)
        return list(all_rows) if self._is_each_once else list(dict.fromkeys(all_rows))

    def _rows(self, number: int, minute: int) -> tuple[Relation, ...]:
        of, side, components = self._known[number]
        return tuple(Relation(of.id, of.source, of.destination, side, each, minute) for each in components)


def _service(flow: Flow, first: int, last: int) -> Service:
    return Service(flow.service or "", flow.local.service, LAYER, first, last)


def _instance(flow: Flow, first: int, last: int) -> Instance:
    return Instance(flow.instance or "", flow.service or "", flow.local.instance, first, last)


def _endpoint(flow: Flow, first: int, last: int) -> Endpoint:
    return Endpoint(flow.endpoint or "", flow.service or "", flow.endpoint_name or "", first, last)
