"""Which services and instances were seen, and what they did."""

from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from backend.query import shapes
from backend.query.errors import QueryError
from backend.query.observed import SERVICE
from backend.query.times import Window, format_minute
from backend.query.traffic import INSTANCE, TIMES, TOTALS, look, sum_metrics, traffic
from backend.storage.interface import Service, Storage


def span(window: Window, minutes: float) -> shapes.Span:
    """The window as it is answered."""
    return shapes.Span(start=format_minute(window.first), end=format_minute(window.last), observed_minutes=minutes)


def services(storage: Storage, window: Window) -> shapes.Services:
    """Every service seen in the window, with its traffic. Blocks."""
    known = storage.services()
    sums = sum_metrics(storage, SERVICE, (*TOTALS, *TIMES), window, entities=(), seen=look(storage, window, known))
    instances = Counter(found.service_id for found in storage.instances(None, window.first, window.last))
    seen = [
        shapes.Service(
            id=service.id,
            name=service.name,
            layer=service.layer,
            first_seen=format_minute(service.first_minute),
            last_seen=format_minute(service.last_minute),
            instances=instances[service.id],
            traffic=traffic(sums, service.id),
        )
        for service in known
        if service.first_minute <= window.last and service.last_minute >= window.first
    ]
    return shapes.Services(span=span(window, sums.minutes), known=len(known), services=seen)


def find_service(services: Iterable[Service], service_id: str) -> Service:
    """The service of an id.

    Raises:
        QueryError: there is no such service.
    """
    service = next((service for service in services if service.id == service_id), None)
    if service is None:
        raise QueryError(
            f"there is no service with the id {service_id!r}",
            "GET /api/services lists ids; the id must be percent-encoded in the path",
            HTTPStatus.NOT_FOUND,
        )
    return service


def instances(storage: Storage, service_id: str, window: Window) -> shapes.Instances:
    """Instances of a service seen in the window, with their traffic. Blocks.

    Raises:
        QueryError: there is no such service.
    """
    known = storage.services()
    service = find_service(known, service_id)
    found = storage.instances(service_id, window.first, window.last)
    seen = look(storage, window, known)
    entities = [instance.id for instance in found]
    # Asking for no entity at all would mean every entity.
    sums = sum_metrics(storage, INSTANCE, (*TOTALS, *TIMES), window, entities=entities or [""], seen=seen)
    return shapes.Instances(
        span=span(window, seen.length),
        service=service.name,
        instances=[
            shapes.Instance(
                id=instance.id,
                name=instance.name,
                first_seen=format_minute(instance.first_minute),
                last_seen=format_minute(instance.last_minute),
                traffic=traffic(sums, instance.id),
            )
            for instance in found
        ],
    )
