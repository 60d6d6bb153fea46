"""The flows of logs as numbers, from one flush to the next: a flow that was seen before costs a look-up of a number."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.entities.endpoints import ABANDONED
from backend.entities.resolution import MAXIMUM_CONNECTIONS, Flow, Resolver, Unusable
from backend.ingest.batch import Connection
from backend.ingest.distinct import numbered
from backend.metrics.sightings import Sightings
from backend.oal.compiler import Program
from backend.oal.flows import DescribedFlows, FlowDescriber
from common.memory import sized

MAXIMUM_FLOWS = sized(1_024, 16, 262_144, 1_048_576)
"""Flows after which all are forgotten: a sixteenth of the memory, at about 1 kB each. An instance that is called has at
least two of them: its own, and one for each of its endpoints."""
MAXIMUM_SERVED = MAXIMUM_FLOWS
"""Flows and calls whose flows are remembered, at about 0.1 kB each."""
ASKED_AGAIN = 60.0
"""Seconds after which the flow of a call is asked for again, which keeps the names of endpoints in use
(backend/entities/endpoints.py forgets what was not used for ten times as long)."""

_CODES = {cause: -number for number, cause in enumerate(Unusable, 1)}
CAUSES = {code: cause.value for cause, code in _CODES.items()}
"""Why a connection has no flow, by the number that it has instead of a flow's."""


class KnownFlows:
    """The flows that a resolver gave, numbered in the order in which they came. For use from one thread.

    What is remembered may be forgotten between two flushes; it is then found again, as the same entities.

    Attributes:
        sightings: says who was seen.
        forgotten: how many flows were forgotten because there were too many.
    """

    sightings: Sightings
    _flows: list[Flow]
    _numbers: dict[Flow, int]
    _connections: dict[Connection, int]
    _abandoned: set[int]
    _described: tuple[Program, FlowDescriber] | None
    _calls: dict[tuple[str, str, str], int]
    _served: dict[int, int]

    def __init__(
        self,
        resolver: Resolver,
        *,
        maximum_flows: int = MAXIMUM_FLOWS,
        maximum_connections: int = MAXIMUM_CONNECTIONS,
        maximum_served: int = MAXIMUM_SERVED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up.

        Args:
            resolver: says what a connection or a call counts for.
            maximum_flows: flows after which all are forgotten.
            maximum_connections: connections whose flows are remembered.
            maximum_served: flows and calls whose flows are remembered.
            clock: seconds that never go back.
        """
        self.forgotten = 0
        self._resolver = resolver
        self._maximum_flows = maximum_flows
        self._maximum_connections = maximum_connections
        self._maximum_served = maximum_served
        self._clock = clock
        self._forget()
        self._forget_calls()

    def __len__(self) -> int:
        return len(self._flows)

    def begin(self) -> None:
        """A flush begins: numbers of flushes before mean nothing from now on."""
        if len(self._flows) > self._maximum_flows:
            self.forgotten += len(self._flows)
            self._forget()
            self._forget_calls()
        if len(self._connections) > self._maximum_connections:
            self._connections = {}
        is_full = len(self._served) > self._maximum_served or len(self._calls) > self._maximum_served
        is_old = self._clock() - self._asked >= ASKED_AGAIN or self._resolver.naming_version != self._version
        if is_full or is_old:
            self._forget_calls()

    def of_connections(self, connections: Sequence[Connection], minute: int) -> NDArray[np.int32]:
        """Per connection, the number of the flow of its logs of a minute; one of CAUSES where it has none."""
        found = list(map(self._connections.get, connections))
        numbers = [
            self.of_connection(connection, minute) if number is None else number
            for connection, number in zip(connections, found, strict=True)
        ]
        return np.array(numbers, np.int32)

    def of_connection(self, connection: Connection, minute: int) -> int:
        """The same for one connection."""
        flow = self._resolver.resolve(connection, minute)
        number = _CODES[flow] if isinstance(flow, Unusable) else self._number(flow)
        if connection.is_between_processes:
            self._connections[connection] = number
        return number

    def of_calls(
        self,
        flow: NDArray[np.int32],
        call: NDArray[np.intp],
        calls: Sequence[tuple[str, str, str]],
    ) -> tuple[NDArray[np.int32], int]:
        """The flows of calls, and how many of the calls count for no endpoint of their own.

        Args:
            flow: per call, the number of its connection's flow.
            call: per call, which of `calls` it is.
            calls: method, path and caller, as Resolver.serve() takes them.
        """
        known = np.array([self._calls.setdefault(each, len(self._calls)) for each in calls], np.int64)
        keys, place = numbered(flow.astype(np.int64) * len(calls) + call, len(self._flows) * len(calls))
        flows, which = keys // len(calls), keys % len(calls)
        remembered = (flows << 32 | known[which]).tolist()
        served = list(map(self._served.get, remembered))
        if None in served:
            for at in [at for at, number in enumerate(served) if number is None]:
                number = self._number(self._resolver.serve(self._flows[flows[at]], *calls[which[at]]))
                served[at] = self._served[remembered[at]] = number
        found = np.array(served, np.int32)
        abandoned = 0
        if self._abandoned:
            abandoned = int(np.bincount(place)[np.isin(found, list(self._abandoned))].sum())
        return found[place], abandoned

    def described(self, numbers: NDArray[np.int64], program: Program) -> DescribedFlows:
        """The flows of these numbers, for a program."""
        if self._described is None or self._described[0] is not program:
            self._described = program, program.describer()
        describer = self._described[1]
        describer.take(self._flows[len(describer) :])
        return describer.describe(numbers)

    def _number(self, flow: Flow) -> int:
        number = self._numbers.setdefault(flow, len(self._flows))
        if number == len(self._flows):
            self._flows.append(flow)
            self.sightings.take(flow)
            if ABANDONED in {flow.endpoint_name, flow.source_endpoint_name, flow.destination_endpoint_name}:
                self._abandoned.add(number)
        return number

    def _forget(self) -> None:
        self._flows = []
        self._numbers = {}
        self._connections = {}
        self._abandoned = set()
        self._described = None
        self.sightings = Sightings()

    def _forget_calls(self) -> None:
        self._version = self._resolver.naming_version
        self._asked = self._clock()
        self._calls = {}
        self._served = {}
