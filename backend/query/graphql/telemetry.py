"""What is counted of requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Telemetry:
    """Counters of GraphQL, in the names under which Prometheus reads them.

    Attributes:
        seconds: how long requests took, from when their turn came.
        errors: requests with an error, by its code.
        joined: requests that had the answer of an equal one that waited.
        refused: requests that were not answered, by cause: busy, method, type, size, form.
        services_left_out: services that are not shown because they are too many.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.seconds = Histogram("pyrover_graphql_seconds", "Time that a request of GraphQL takes", registry=registry)
        self.errors = Counter(
            "pyrover_graphql_errors", "Requests of GraphQL with an error", ["code"], registry=registry
        )
        self.refused = Counter(
            "pyrover_graphql_refused", "Requests of GraphQL that were not answered", ["cause"], registry=registry
        )
        self.joined = Counter(
            "pyrover_graphql_joined", "Requests that had the answer of an equal one that waited", registry=registry
        )
        self.services_left_out = Gauge(
            "pyrover_graphql_services_left_out", "Services not shown because they are too many", registry=registry
        )
