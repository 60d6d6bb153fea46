"""What tells the Prometheus operator where figures are to be had."""

from deploy.manifests import agent, backend
from deploy.manifests.nodes import Node
from deploy.manifests.parts import labels, metadata


def objects() -> list[Node]:
    """Each backend and each agent has figures of its own, so pods are asked and not a Service."""
    return [_monitor(backend.NAME, "metrics"), _monitor(agent.NAME, "telemetry")]


def _monitor(name: str, port: str) -> Node:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(name),
        "spec": {
            "selector": {"matchLabels": labels(name)},
            "podMetricsEndpoints": [{"port": port, "path": "/metrics"}],
        },
    }
