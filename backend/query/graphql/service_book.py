"""Services as the store has them, read anew every few seconds: every page of a client asks for them several times."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.storage.interface import Service, Storage

LIFETIME = 10.0
"""Seconds for which what was read is used, as in Apache SkyWalking."""
MAXIMUM_SERVICES = 50_000
"""Most services that are kept: those that were seen last."""


def layers_of(service: Service) -> tuple[str, ...]:
    """All layers of a service, sorted."""
    return (service.layer, *service.more_layers)


@dataclass(frozen=True, slots=True)
class _Read:
    services: Sequence[Service]
    by_id: dict[str, Service]
    until: float


class ServiceBook:
    """Services by id and layer. Methods block, and raise StorageError. Safe for several threads.

    Args:
        storage: Where services are.
        lifetime: Seconds for which what was read is used.
        maximum: Most services that are kept.
        timer: Seconds that never go back.
    """

    def __init__(
        self,
        storage: Storage,
        lifetime: float = LIFETIME,
        maximum: int = MAXIMUM_SERVICES,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._lifetime = lifetime
        self._maximum = maximum
        self._timer = timer
        self._lock = threading.Lock()
        self._read = _Read((), {}, float("-inf"))
        self.left_out = 0
        """Services of the store that are not kept because they are too many, as of the last reading."""

    def all(self) -> Sequence[Service]:
        """Every service, by name."""
        return self._current().services

    def of_layer(self, layer: str) -> list[Service]:
        """Services of a layer, by name."""
        return [service for service in self.all() if layer in layers_of(service)]

    def get(self, service_id: str) -> Service | None:
        """The service of an id."""
        return self._current().by_id.get(service_id)

    def _current(self) -> _Read:
        # One thread reads while the others wait: what it finds is theirs too.
        with self._lock:
            now = self._timer()
            if now >= self._read.until:
                self._read = self._fresh(now)
            return self._read

    def _fresh(self, now: float) -> _Read:
        services = self._storage.services()
        self.left_out = max(0, len(services) - self._maximum)
        if self.left_out:
            services = sorted(services, key=lambda service: -service.last_minute)[: self._maximum]
            services.sort(key=lambda service: (service.name, service.id))
        return _Read(tuple(services), {service.id: service for service in services}, now + self._lifetime)
