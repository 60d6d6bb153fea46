"""Who was seen when: the services, instances, endpoints and relations that a flush tells of.

What a flow tells of is looked up once and has numbers from then on, so that a flush finds who was seen by work on
arrays. Rows that are the same as those of the flush before have the same numbers (backend/storage/told.py).
"""

from collections.abc import Callable
from itertools import chain, repeat
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.entities.resolution import LAYER, Flow, Related
from backend.ingest.batch import DetectPoint
from backend.ingest.distinct import distinct_pairs
from backend.storage.interface import Endpoint, Instance, Relation, Service
from backend.storage.told import Register, Told

T = TypeVar("T")

MAXIMUM_ROWS = 524_288
"""Rows of a kind after which all are forgotten; they are made again."""

_NONE = -1
_SLOTS = 3
"""Latest rows of each that are known. Those of a minute, of the next, and of both lie in different ones."""
_SIDES = {DetectPoint.SERVER: "server", DetectPoint.CLIENT: "client"}
_NEVER = 2**31 - 1


class Seen(NamedTuple):
    """Who was seen by whichever logs."""

    services: Told[Service]
    instances: Told[Instance]
    service_relations: Told[Relation]
    instance_relations: Told[Relation]


class Called(NamedTuple):
    """Who was seen by calls."""

    endpoints: Told[Endpoint]
    endpoint_relations: Told[Relation]


class Sightings:
    """What flows tell of. For use from one thread.

    Args:
        maximum_rows: rows of a kind after which all are forgotten.
    """

    def __init__(self, maximum_rows: int = MAXIMUM_ROWS) -> None:
        self._services = _Entities(_service, maximum_rows)
        self._instances = _Entities(_instance, maximum_rows)
        self._endpoints = _Entities(_endpoint, maximum_rows)
        self._service_relations = _Relations(maximum_rows)
        self._instance_relations = _Relations(maximum_rows)
        self._endpoint_relations = _Relations(maximum_rows)

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

    def __init__(self, length: int = 0) -> None:
        self._values = np.full(max(1_024, length), _NONE, np.int32)
        self._length = length

    def append(self, number: int) -> None:
        if self._length == len(self._values):
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._values[self._length] = number
        self._length += 1

    def of(self, flow: NDArray[np.int64]) -> NDArray[np.int32]:
        """Those of some flows."""
        return self._values[: self._length][flow]


class _Rows(Generic[T]):
    """The rows that were told of numbered things, each by its first and last minute.

    Of each thing the latest ones are known, so that each flush of a minute tells the same row, and those in which one
    minute passes into the next do as well.

    Args:
        make: the row of a thing, given its number, its first and its last minute.
        maximum: rows after which all are forgotten; they are made again.
    """

    def __init__(self, make: Callable[[int, int, int], T], maximum: int) -> None:
        self._make = make
        self._maximum = maximum
        self._forget()

    def told(self, number: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> Told[T]:
        """The rows of some things, each with its minutes once."""
        if len(self._register) > self._maximum:
            self._forget()
        self._make_room(int(number.max(initial=_NONE)) + 1)
        minutes = first << 32 | last
        slot = (first + last) % _SLOTS
        fresh = np.flatnonzero(self._minutes[slot, number] != minutes)
        rows = self._numbers[slot, number].astype(np.int64)
        if len(fresh):
            each = zip(number[fresh].tolist(), first[fresh].tolist(), last[fresh].tolist(), strict=True)
            rows[fresh] = [self._register.add(self._make(*of)) for of in each]
            self._minutes[slot, number], self._numbers[slot, number] = minutes, rows
        return Told(self._register, rows)

    def _forget(self) -> None:
        self._register = Register[T]()
        self._minutes = np.empty((_SLOTS, 0), np.int64)
        self._numbers = np.empty((_SLOTS, 0), np.int32)

    def _make_room(self, things: int) -> None:
        if (missing := things - self._minutes.shape[1]) > 0:
            more = np.full((_SLOTS, missing + things), _NONE)
            self._minutes = np.concatenate([self._minutes, more], axis=1)
            self._numbers = np.concatenate([self._numbers, more.astype(np.int32)], axis=1)


class _Entities(Generic[T]):
    """Entities of one kind.

    Args:
        make: an entity, of a flow that is of it, its first and its last minute.
        maximum: rows after which all are forgotten.
    """

    def __init__(self, make: Callable[[Flow, int, int], T], maximum: int) -> None:
        self._of_flows = _Numbers()
        self._numbers: dict[str, int] = {}
        self._flows: list[Flow] = []
        self._rows = _Rows(lambda number, first, last: make(self._flows[number], first, last), maximum)

    def take(self, flow: Flow, identity: str | None) -> None:
        if identity is None:
            self._of_flows.append(_NONE)
            return
        number = self._numbers.setdefault(identity, len(self._flows))
        if number == len(self._flows):
            self._flows.append(flow)
        self._of_flows.append(number)

    def seen(self, flow: NDArray[np.int64], minute: NDArray[np.int64]) -> Told[T]:
        number = self._of_flows.of(flow)
        minute, number = minute[number != _NONE], number[number != _NONE]
        first, last = np.full(len(self._flows), _NEVER), np.full(len(self._flows), -_NEVER)
        np.minimum.at(first, number, minute)
        np.maximum.at(last, number, minute)
        of = np.flatnonzero(first <= last)
        return self._rows.told(of, first[of], last[of])


class _Relations:
    """Relations of one kind."""

    def __init__(self, maximum: int) -> None:
        self._count = 0
        self._of_flows = [_Numbers()]
        """One for each component that a flow may have."""
        self._numbers: dict[tuple[Related, str, int], int] = {}
        self._known: list[tuple[Related, str, int]] = []
        self._rows = _Rows(self._make, maximum)

    def take(self, related: Related | None, side: str | None, components: tuple[int, ...]) -> None:
        numbers = list[int]()
        if related is not None and side is not None:
            numbers = [self._number((related, side, component)) for component in components]
        while len(self._of_flows) < len(numbers):
            self._of_flows.append(_Numbers(self._count))
        self._count += 1
        for of_flows, number in zip(self._of_flows, chain(numbers, repeat(_NONE)), strict=False):
            of_flows.append(number)

    def seen(self, flow: NDArray[np.int64], minute: NDArray[np.int64]) -> Told[Relation]:
        number = np.concatenate([of_flows.of(flow) for of_flows in self._of_flows])
        minute = np.tile(minute, len(self._of_flows))
        rows = number != _NONE
        of, at = distinct_pairs(number[rows], minute[rows], len(self._known))
        return self._rows.told(of, at, at)

    def _number(self, key: tuple[Related, str, int]) -> int:
        number = self._numbers.setdefault(key, len(self._known))
        if number == len(self._known):
            self._known.append(key)
        return number

    def _make(self, number: int, minute: int, _: int) -> Relation:
        of, side, component = self._known[number]
        return Relation(of.id, of.source, of.destination, side, component, minute)


def _service(flow: Flow, first: int, last: int) -> Service:
    return Service(flow.service or "", flow.local.service, LAYER, first, last)


def _instance(flow: Flow, first: int, last: int) -> Instance:
    return Instance(flow.instance or "", flow.service or "", flow.local.instance, first, last)


def _endpoint(flow: Flow, first: int, last: int) -> Endpoint:
    return Endpoint(flow.endpoint or "", flow.service or "", flow.endpoint_name or "", first, last)
