"""What is counted of questions in PromQL."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class Telemetry:
    """Counters, in the names under which Prometheus reads them.

    Attributes:
        seconds: how long answers took, from when their turn came.
        refused: questions that were not answered, by cause: the kind of the error.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.seconds = Histogram("pyrover_promql_seconds", "Time that an answer to PromQL takes", registry=registry)
        self.refused = Counter(
            "pyrover_promql_refused", "Questions of PromQL that were not answered", ["cause"], registry=registry
        )
