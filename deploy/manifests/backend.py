"""The backend: several of them with ClickHouse, or one with DuckDB."""

from typing import Final

from backend.entities.addresses.cluster import READS
from backend.server.settings import Settings
from deploy.manifests import secrets
from deploy.manifests.nodes import Node, Noted, Value, When, Words
from deploy.manifests.parts import (
    claim,
    configuration_of,
    image,
    labels,
    metadata,
    read_access,
    token_of,
    unprivileged,
)

NAME: Final = "pyrover-backend"
USER: Final = 10001
"""Of the image; a number, so that a cluster can see that it is not root."""

_DEFAULTS: Final = Settings()
_SHUTDOWN_SECONDS: Final = 30
_DATA: Final = "/data"


def shared_objects() -> list[Node]:
    """What both ways need: an address, and an account that may read what addresses are resolved with."""
    kinds: dict[str, list[str]] = {}
    for read in READS:
        kinds.setdefault(read.group, []).append(read.name)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(NAME),
        "spec": {
            "selector": labels(NAME),
            "ports": [
                {"name": "grpc", "port": _DEFAULTS.grpc_port, "targetPort": "grpc"},
                {"name": "http", "port": _DEFAULTS.http_port, "targetPort": "http"},
            ],
        },
    }
    return [service, *read_access(NAME, kinds)]


def with_clickhouse() -> list[Node]:
    """Any number of backends that keep nothing themselves."""
    variables = [
        {"name": "SW_STORAGE", "value": "clickhouse"},
        {"name": "PYROVER_BACKEND_STORE_CLICKHOUSE_HOST", "value": Value("clickhouse.host")},
        {"name": "PYROVER_BACKEND_STORE_CLICKHOUSE_PORT", "value": Words("{clickhouse.port}")},
    ]
    pod = _pod(variables)
    pod["volumes"] = [*pod["volumes"], {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(NAME, labels=labels(NAME)),
        "spec": {
            "replicas": Value("backend.replicas"),
            "selector": {"matchLabels": labels(NAME)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": _template(pod),
        },
    }
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(NAME),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(NAME)}},
    }
    return [deployment, budget]


def with_duckdb() -> list[Node]:
    """One backend with a volume. Another never starts before it has ended, so that a new version finds all data."""
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": metadata(NAME, labels=labels(NAME)),
            "spec": {
                "serviceName": NAME,
                "replicas": 1,
                "selector": {"matchLabels": labels(NAME)},
                "template": _template(_pod([{"name": "SW_STORAGE", "value": "duckdb"}])),
                "volumeClaimTemplates": [claim("backend.volumeSize")],
            },
        }
    ]


def _template(pod: Node) -> Node:
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(_DEFAULTS.prometheus.port)}
    return {
        "metadata": {
            "labels": labels(NAME),
            "annotations": Noted("What a backend counts is its own: each is asked.", scraped),
        },
        "spec": pod,
    }


def _pod(variables: list[Node]) -> Node:
    pod_context, context = unprivileged(USER)
    return {
        "serviceAccountName": NAME,
        "securityContext": pod_context,
        "terminationGracePeriodSeconds": Noted(
            f"Open calls get {_SHUTDOWN_SECONDS} seconds, and what was received is stored after that.",
            2 * _SHUTDOWN_SECONDS,
        ),
        "containers": [
            {
                "name": "backend",
                **image("backend"),
                "command": ["pyrover-backend", "serve"],
                "env": [
                    *variables,
                    {"name": "PYROVER_BACKEND_DATA", "value": _DATA},
                    {"name": "PYROVER_BACKEND_TIMES_SHUTDOWN_SECONDS", "value": str(_SHUTDOWN_SECONDS)},
                    {"name": "PYROVER_BACKEND_KUBERNETES_WATCH", "value": "always"},
                    {"name": "SW_TELEMETRY", "value": "prometheus"},
                    When(secrets.TOKEN_IS_A_VARIABLE, token_of(NAME, "SW_AUTHENTICATION")),
                    *secrets.of_the_backend(),
                ],
                "envFrom": configuration_of(NAME),
                "ports": [
                    {"name": "grpc", "containerPort": _DEFAULTS.grpc_port},
                    {"name": "http", "containerPort": _DEFAULTS.http_port},
                    {"name": "metrics", "containerPort": _DEFAULTS.prometheus.port},
                ],
                "startupProbe": Noted(
                    "A large store takes its time to open.",
                    {"tcpSocket": {"port": "http"}, "periodSeconds": 2, "failureThreshold": 150},
                ),
                "readinessProbe": {
                    "httpGet": {"path": "/healthcheck", "port": "http", "scheme": When(secrets.TLS, "HTTPS")},
                    "periodSeconds": 5,
                },
                "livenessProbe": Noted("Not ready is no reason to be started again.", {"tcpSocket": {"port": "http"}}),
                "securityContext": {**context, "readOnlyRootFilesystem": True},
                "resources": Value("backend.resources"),
                "volumeMounts": [
                    {"name": "data", "mountPath": _DATA},
                    {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108 - in a container of its own
                    *secrets.mounts("tokens", "tls"),
                ],
            }
        ],
        "volumes": [{"name": "temporary", "emptyDir": {"sizeLimit": "1Gi"}}, *secrets.volumes_of_the_backend()],
    }
