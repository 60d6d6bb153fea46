"""What tells the Prometheus operator where figures are to be had."""

from deploy.manifests import backend
from deploy.manifests.nodes import Node
from deploy.manifests.parts import labels, metadata


def objects() -> list[Node]:
    """Each backend has figures of its own, so pods are asked and not their Service."""
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": metadata(backend.NAME),
            "spec": {
                "selector": {"matchLabels": labels(backend.NAME)},
                "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics"}],
            },
        }
    ]
