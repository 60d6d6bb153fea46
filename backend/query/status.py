"""How the backend is doing, from the counters that it shows to Prometheus."""

from prometheus_client import CollectorRegistry

from backend.query import shapes

RECEIVED = "pyrover_backend_logs_received_total"
DROPPED = "pyrover_backend_logs_dropped_total"


def status(registry: CollectorRegistry, started: float, now: float) -> shapes.Status:
    """What was received and what was dropped since the backend was started at `started` (Unix seconds)."""
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    received = [sample.value for sample in samples if sample.name == RECEIVED]
    dropped: dict[str, int] = {}
    for sample in samples:
        if sample.name == DROPPED and sample.value:
            cause = sample.labels.get("cause", "unknown")
            dropped[cause] = dropped.get(cause, 0) + int(sample.value)
    return shapes.Status(
        uptime_seconds=int(now - started),
        logs=shapes.Logs(received=int(sum(received)) if received else None, dropped=dropped),
    )
