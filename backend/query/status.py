"""How the backend is doing, from the counters that it shows to Prometheus."""

from collections import Counter
from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from backend.query import shapes

LOGS_RECEIVED = "pyrover_backend_logs_received_total"
LOGS_STORED = "pyrover_backend_logs_stored_total"
LOGS_DROPPED = ("pyrover_backend_logs_dropped_total", "pyrover_analysis_logs_dropped_total")
LOGS_REFUSED = ("pyrover_backend_logs_refused_total",)
MESSAGES_RECEIVED = "pyrover_backend_messages_received_total"
MESSAGES_DROPPED = ("pyrover_backend_messages_dropped_total",)


def status(registry: CollectorRegistry, started: float, now: float) -> shapes.Status:
    """What was received and lost since the backend was started at `started`; times in Unix seconds."""
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return shapes.Status(
        uptime_seconds=max(0, int(now - started)),
        logs=shapes.Logs(
            received=_total(samples, LOGS_RECEIVED),
            stored=_total(samples, LOGS_STORED),
            dropped=_by_cause(samples, LOGS_DROPPED),
            refused=_by_cause(samples, LOGS_REFUSED),
        ),
        messages=shapes.Messages(
            received=_total(samples, MESSAGES_RECEIVED), dropped=_by_cause(samples, MESSAGES_DROPPED)
        ),
    )


def _total(samples: Sequence[Sample], name: str) -> int | None:
    values = [sample.value for sample in samples if sample.name == name]
    return int(sum(values)) if values else None


def _by_cause(samples: Sequence[Sample], names: Sequence[str]) -> dict[str, int]:
    causes: Counter[str] = Counter()
    for sample in samples:
        if sample.name in names and sample.value:
            causes[sample.labels["cause"]] += int(sample.value)
    return dict(sorted(causes.items()))
