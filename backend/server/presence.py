"""Services and instances whose agents say that they are there, whether they are called or not.

An agent says so every 20 seconds for each process that it follows. The store needs to hear it once a minute, so what
was said is kept until the next write, and what was already written in a minute is not written again.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import polars as pl
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.entities import ids
from backend.entities.names import NameLimits, namespace_of
from backend.metrics.streams import without
from backend.metrics.windows import minute_of
from backend.storage.interface import Flush, Instance, MetricSchema, Service, Storage, StorageError
from backend.storage.merging import Seen

_logger = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two writes."""
MAXIMUM_SEEN = 200_000
"""Most services and instances that are remembered together."""


class Present(NamedTuple):
    """A service, or an instance of one, as an agent names it."""

    service: str
    layer: str
    instance: str
    """Empty for the service as a whole."""


class Presence(Collector):
    """Takes what agents say, and writes it. Use from one event loop; start it first, stop it last.

    Args:
        storage: Where to write; closing it is its owner's.
        limits: Longest names.
        excluded_namespaces: Namespaces whose services are not wanted.
        disabled: Says which streams are switched off (backend/metrics/streams.py).
        interval: Seconds between two writes.
        maximum: Most services and instances that are remembered.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        storage: Storage,
        limits: NameLimits | None = None,
        excluded_namespaces: AbstractSet[str] = frozenset(),
        *,
        disabled: Callable[[], AbstractSet[str]] = frozenset,
        interval: float = INTERVAL,
        maximum: int = MAXIMUM_SEEN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or NameLimits()
        self.reported = 0
        """How often a process was said to be there."""
        self.lost: Counter[str] = Counter()
        """Of these, how many were left out, by cause: full, excluded; and storage, for entities that were seen and
        could not be written before the end."""
        self._storage = storage
        self._excluded_namespaces = frozenset(excluded_namespaces)
        self._disabled = disabled
        self._interval = interval
        self._maximum = maximum
        self._clock = clock
        self._seen: dict[Present, int] = {}
        """When each was seen last, in minutes since 1970; oldest first."""
        self._written: dict[Present, int] = {}
        """For those of `_seen`, the minute that the store has."""
        self._writer = f"{uuid.uuid4().hex}-"
        self._writes = 0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def see(self, entities: Iterable[Present]) -> None:
        """Take note of what an agent says; each of `entities` is an instance."""
        minute = minute_of(self._clock())
        for entity in entities:
            self.reported += 1
            if namespace_of(entity.service) in self._excluded_namespaces:
                self.lost["excluded"] += 1
                continue
            service = Present(entity.service[: self.limits.service], entity.layer, "")
            self._note(service, minute)
            if entity.instance:
                self._note(service._replace(instance=entity.instance[: self.limits.instance]), minute)

    async def start(self) -> None:
        """Begin to write."""
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name="presence")

    async def stop(self) -> None:
        """Write what is left, and end."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None
        if not await self.write():
            self.lost["storage"] += len(self._waiting())

    async def write(self) -> bool:
        """Write what the store does not have; whether it could be written. What could not is tried again next time."""
        waiting = self._waiting()
        if not waiting:
            return True
        self._writes += 1
        flush = without(_flush(f"{self._writer}{self._writes}", waiting), self._disabled())
        try:
            await asyncio.to_thread(lambda: self._storage.write(flush))
        except StorageError as error:
            _logger.warning("the services that agents report could not be stored: %s", error)
            return False
        self._written |= {entity: minute for entity, minute in waiting.items() if entity in self._seen}
        return True

    def collect(self) -> Iterator[Metric]:
        """What is counted, in the names under which Prometheus reads it."""
        yield CounterMetricFamily(
            "pyrover_backend_processes_reported", "Processes that agents said are there", value=self.reported
        )
        lost = CounterMetricFamily(
            "pyrover_backend_processes_lost", "Processes and entities of them that were left out", labels=["cause"]
        )
        for cause in ("full", "excluded", "storage"):
            lost.add_metric([cause], self.lost[cause])
        yield lost
        yield GaugeMetricFamily(
            "pyrover_backend_entities_present", "Services and instances that agents reported lately", value=len(self)
        )

    def _note(self, entity: Present, minute: int) -> None:
        self._seen.pop(entity, None)
        if len(self._seen) >= self._maximum:
            # Room is made by who was not heard of for the longest time, once the store knows of it.
            oldest = next(iter(self._seen))
            if self._seen[oldest] == minute or self._written.get(oldest) != self._seen[oldest]:
                self.lost["full"] += 1
                return
            del self._seen[oldest]
            del self._written[oldest]
        self._seen[entity] = minute

    def _waiting(self) -> dict[Present, int]:
        return {entity: minute for entity, minute in self._seen.items() if self._written.get(entity) != minute}

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._stopping.wait()
            await self.write()


def _flush(writer: str, seen: dict[Present, int]) -> Flush:
    services: dict[str, Service] = {}
    instances: dict[str, Instance] = {}
    for entity, minute in seen.items():
        service = ids.service_id(entity.service)
        if entity.instance:
            identity = ids.instance_id(service, entity.instance)
            # The same instance may come in several layers. What was seen last comes last.
            instances[identity] = Instance(identity, service, entity.instance, minute, minute)
        else:
            present = Service(service, entity.service, entity.layer, minute, minute)
            services[service] = Seen.of(services.get(service, present)).merge(Seen.of(present)).service()
    return Flush(writer, pl.DataFrame(schema=MetricSchema), list(services.values()), list(instances.values()))
