"""One ClickHouse server, which only backends may reach."""

import hashlib
from pathlib import Path
from typing import Final

from deploy.manifests import backend
from deploy.manifests.nodes import Node, Noted, Value
from deploy.manifests.parts import claim, labels, metadata, unprivileged

NAME: Final = "clickhouse"
CONFIGURATION: Final = Path(__file__).resolve().parent.parent / "clickhouse"
_USER: Final = 101
"""Of the image of ClickHouse."""


def objects() -> list[Node]:
    """What is installed for it."""
    files = {path.name: path.read_text() for path in sorted(CONFIGURATION.glob("*.xml"))}
    configuration = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(NAME), "data": files}
    checksum = hashlib.sha256("".join(files.values()).encode()).hexdigest()
    return [_service(), configuration, _stateful_set(checksum), _policy()]


def _service() -> Node:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(NAME),
        "spec": {
            "clusterIP": "None",
            "selector": labels(NAME),
            "ports": [{"name": "native", "port": Value("clickhouse.port"), "targetPort": "native"}],
        },
    }


def _stateful_set(checksum: str) -> Node:
    pod_context, context = unprivileged(_USER)
    container = {
        "name": NAME,
        "image": Value("clickhouse.image"),
        "command": ["clickhouse-server", "--config-file=/configuration/config.xml"],
        "env": [
            {"name": "CLICKHOUSE_HOST", "value": "0.0.0.0"},  # noqa: S104 - its policy says who reaches it
            {"name": "CLICKHOUSE_PORT", "value": "9000"},
            {"name": "CLICKHOUSE_DATA", "value": "/data/"},
            {"name": "CLICKHOUSE_TEMPORARY", "value": "/data/temporary/"},
        ],
        "ports": [{"name": "native", "containerPort": 9000}],
        "startupProbe": {"tcpSocket": {"port": "native"}, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {"tcpSocket": {"port": "native"}},
        "livenessProbe": {"tcpSocket": {"port": "native"}},
        "securityContext": context,
        "resources": Value("clickhouse.resources"),
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/configuration"},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(NAME, labels=labels(NAME)),
        "spec": {
            "serviceName": NAME,
            "replicas": 1,
            "selector": {"matchLabels": labels(NAME)},
            "template": {
                "metadata": {
                    "labels": labels(NAME),
                    "annotations": Noted(
                        "So that it starts again with another configuration.", {"checksum/configuration": checksum}
                    ),
                },
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": pod_context,
                    "containers": [container],
                    "volumes": [{"name": "configuration", "configMap": {"name": NAME}}],
                },
            },
            "volumeClaimTemplates": [claim("clickhouse.volumeSize")],
        },
    }


def _policy() -> Node:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(NAME),
        "spec": {
            "podSelector": {"matchLabels": labels(NAME)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": labels(backend.NAME)}}],
                    "ports": [{"port": "native"}],
                }
            ],
        },
    }
