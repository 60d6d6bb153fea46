"""Which endpoints were called, how often, how fast, and with what success."""

from backend.entities.ids import decode_service_id
from backend.query import shapes
from backend.query.services import find_service, span
from backend.query.times import Window, format_minute
from backend.query.traffic import ENDPOINT, Sums, look, sum_metrics
from backend.storage.interface import Endpoint, Storage

MAXIMUM_ENDPOINTS = 1_000
"""Most endpoints of an answer: those that were called most."""

CALLS, SUCCESSES, TIME = "call_cpm", "call_successful_rate", "call_time"
SIZES = {
    "request_header_bytes": "http_avg_req_header_size",
    "request_body_bytes": "http_avg_req_body_size",
    "response_header_bytes": "http_avg_resp_header_size",
    "response_body_bytes": "http_avg_resp_body_size",
}
"""Metrics by the name that they are answered under."""
STATUSES = {f"status_{number}xx": f"http_status_{number}xx_cpm" for number in range(1, 6)}
"""The same."""


def endpoints(storage: Storage, service_id: str | None, window: Window) -> shapes.Endpoints:
    """Endpoints of a service, or of all, that were called in the window, those with most calls first. Blocks.

    Raises:
        QueryError: there is no such service.
    """
    services = storage.services()
    service = None if service_id is None else find_service(services, service_id).name
    found = storage.endpoints(service_id, window.first, window.last)
    seen = look(storage, window, services)
    # Asking for no entity at all means every entity, which is what is wanted of all services.
    entities = [] if service_id is None else [endpoint.id for endpoint in found] or [""]
    suffixes = (CALLS, SUCCESSES, TIME, *SIZES.values(), *STATUSES.values())
    sums = sum_metrics(storage, ENDPOINT, suffixes, window, entities=entities, seen=seen)
    found.sort(key=lambda endpoint: -(sums.total(endpoint.id, CALLS) or 0))
    return shapes.Endpoints(
        span=span(window, seen.length),
        service=service,
        known=len(found),
        endpoints=[_endpoint(endpoint, sums) for endpoint in found[:MAXIMUM_ENDPOINTS]],
    )


def _endpoint(endpoint: Endpoint, sums: Sums) -> shapes.Endpoint:
    calls = sums.total(endpoint.id, CALLS)
    failed = None if calls is None else calls - (sums.total(endpoint.id, SUCCESSES) or 0)
    statuses = {
        # Calls none of which had such a status are data: it is 0.
        name: None if calls is None else sums.total(endpoint.id, suffix) or 0
        for name, suffix in STATUSES.items()
    }
    return shapes.Endpoint(
        id=endpoint.id,
        name=endpoint.name,
        service=decode_service_id(endpoint.service_id).service,
        service_id=endpoint.service_id,
        first_seen=format_minute(endpoint.first_minute),
        last_seen=format_minute(endpoint.last_minute),
        totals=shapes.EndpointTotals(calls=calls, failed=failed, **statuses),
        means=shapes.EndpointMeans(
            time=sums.mean(endpoint.id, TIME),
            **{name: sums.mean(endpoint.id, suffix) for name, suffix in SIZES.items()},
        ),
        rates=shapes.EndpointRates(
            calls_per_minute=sums.per_minute(calls),
            success=None if not calls or failed is None else (calls - failed) / calls,
        ),
    )
