"""The agents: one on each node."""

from typing import Final

from agent.kernel.privileges import CAPABILITIES
from deploy.manifests import secrets
from deploy.manifests.nodes import Node, Noted, Value, When
from deploy.manifests.parts import configuration_of, image, labels, metadata, read_access, token_of

NAME: Final = "pyrover-agent"

TELEMETRY_PORT: Final = 11801
"""Of the node, where an agent tells of itself."""

STATE: Final = "/var/lib/pyrover-agent"
"""Where an agent keeps what the next one is to have."""

READS: Final = {"": ["pods", "services"]}
"""By which the processes of pods are named: kinds of objects by API group."""


def objects() -> list[Node]:
    """What is installed for them."""
    return [*read_access(NAME, READS), _daemon_set()]


def _daemon_set() -> Node:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(NAME, labels=labels(NAME)),
        "spec": {
            "selector": {"matchLabels": labels(NAME)},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}},
            "template": {
                "metadata": {
                    "labels": labels(NAME),
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": str(TELEMETRY_PORT)},
                },
                "spec": _pod(),
            },
        },
    }


def _pod() -> Node:
    return {
        "serviceAccountName": NAME,
        "hostPID": Noted(
            "The kernel names processes by their ids on the node; this also makes /proc that of the node, so that it"
            " need not be mounted.",
            node=True,
        ),
        "hostNetwork": Noted("Interfaces and translated connections are those of the node.", node=True),
        "dnsPolicy": "ClusterFirstWithHostNet",
        "terminationGracePeriodSeconds": Noted("The last logs get five seconds to be delivered.", 30),
        "nodeSelector": Value("agent.nodeSelector"),
        "tolerations": Value("agent.tolerations"),
        "containers": [_container()],
        "volumes": [
            Noted(
                "The kernel's list of tracepoints. It is written to for the return probes of kernels without fentry.",
                {"name": "tracefs", "hostPath": {"path": "/sys/kernel/tracing", "type": "Directory"}},
            ),
            Noted(
                "Compiled programs, for the next start of the container.",
                {"name": "objects", "emptyDir": {"sizeLimit": "64Mi"}},
            ),
            Noted(
                "Logs that no backend has taken yet, for the agent after one that was killed (docs/delivery.md).",
                {"name": "spool", "emptyDir": {"sizeLimit": "384Mi"}},
            ),
            Noted(
                "What the compiler works with.",
                {"name": "temporary", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            ),
            *secrets.volumes_of_the_agent(),
        ],
    }


def _container() -> Node:
    return {
        "name": "agent",
        **image("agent"),
        "command": ["pyrover-agent", "run"],
        "env": [
            {"name": "ROVER_BACKEND_ADDR", "value": Value("agent.backendAddress")},
            {"name": "ROVER_CORE_CLUSTER_NAME", "value": Value("agent.clusterName")},
            {"name": "ROVER_PROCESS_DISCOVERY_KUBERNETES_ACTIVE", "value": "true"},
            {
                "name": "ROVER_PROCESS_DISCOVERY_KUBERNETES_NODE_NAME",
                "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
            },
            When(secrets.TOKEN_IS_A_VARIABLE, token_of("pyrover-backend", "ROVER_BACKEND_AUTHENTICATION")),
            *secrets.of_the_agent(),
            {"name": "ROVER_SPOOL_FOLDER", "value": f"{STATE}/spool"},
            {
                "name": "ROVER_TELEMETRY_ADDRESS",
                "value": Noted("Figures and probes (docs/agent-metrics.md).", f":{TELEMETRY_PORT}"),
            },
        ],
        "envFrom": configuration_of(NAME),
        "ports": [{"name": "telemetry", "containerPort": TELEMETRY_PORT}],
        "readinessProbe": Noted(
            "Attached, taking events and delivering; the answer says what is not.",
            {"httpGet": {"path": "/healthz", "port": "telemetry"}, "periodSeconds": 10, "timeoutSeconds": 5},
        ),
        "livenessProbe": Noted(
            "A backend that is away is no reason to be started again, nor is loading programs that takes its time.",
            {
                "httpGet": {"path": "/livez", "port": "telemetry"},
                "initialDelaySeconds": 10,
                "periodSeconds": 20,
                "timeoutSeconds": 10,
            },
        ),
        "securityContext": {
            "runAsUser": 0,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "seccompProfile": Value("agent.seccompProfile"),
            "appArmorProfile": Noted(
                "The usual profile of container engines forbids reading other pods' processes and writing to tracefs.",
                {"type": "Unconfined"},
            ),
            "capabilities": {
                "drop": ["ALL"],
                "add": [
                    Noted(f"To {capability.use}.", capability.name.removeprefix("CAP_")) for capability in CAPABILITIES
                ],
            },
        },
        "resources": Value("agent.resources"),
        "volumeMounts": [
            {"name": "tracefs", "mountPath": "/sys/kernel/tracing"},
            {"name": "objects", "mountPath": "/var/cache/pyrover"},
            {"name": "spool", "mountPath": STATE},
            {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108 - in a container of its own
            *secrets.mounts("tokens", "authorities"),
        ],
    }
