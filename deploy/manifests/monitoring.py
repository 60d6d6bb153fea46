"""What tells the Prometheus operator where figures are to be had."""

from deploy.manifests import agent, backend, secrets
from deploy.manifests.nodes import Node, When
from deploy.manifests.parts import labels, metadata


def objects() -> list[Node]:
    """Each backend and each agent has figures of its own, so pods are asked and not a Service."""
    token = {"type": "Bearer", "credentials": {"name": secrets.TOKENS, "key": "metrics-token"}}
    return [
        _monitor(backend.NAME, {"port": "metrics", "authorization": When(secrets.TOKENS_ARE_FILES, token)}),
        _monitor(agent.NAME, {"port": "telemetry"}),
    ]


def _monitor(name: str, endpoint: Node) -> Node:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(name),
        "spec": {
            "selector": {"matchLabels": labels(name)},
            "podMetricsEndpoints": [{**endpoint, "path": "/metrics"}],
        },
    }
