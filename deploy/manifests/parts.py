"""What several objects are made of."""

from typing import Any

from deploy.manifests.nodes import NAMESPACE, Node, Value, Words


def metadata(name: str, **more: Any) -> Node:  # noqa: ANN401 - any field
    """Of an object; kustomize sets the namespace, and Helm knows it."""
    return {"name": name, **more}


def labels(app: str) -> dict[str, str]:
    """By which the pods of a program are found."""
    return {"app": app}


def image(program: str) -> dict[str, Node]:
    """The image of one of our programs, as the user names it."""
    return {
        "image": Words(f"{{{program}.image.repository}}:{{{program}.image.tag}}"),
        "imagePullPolicy": Value(f"{program}.image.pullPolicy"),
    }


def token_of(secret: str, variable: str) -> Node:
    """A variable with the token that agents send, if there is a Secret with one."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": "token", "optional": True}}}


def configuration_of(program: str) -> Node:
    """Further variables, if there is a ConfigMap with some."""
    return [{"configMapRef": {"name": f"{program}-environment", "optional": True}}]


def read_access(name: str, rules: dict[str, list[str]]) -> list[Node]:
    """An account that may list and watch kinds of objects in all namespaces; their names by API group."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata(name),
            "rules": [
                {"apiGroups": [group], "resources": kinds, "verbs": ["list", "watch"]} for group, kinds in rules.items()
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata(name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": Value(NAMESPACE)}],
        },
    ]


def unprivileged(user: int) -> tuple[Node, Node]:
    """The security contexts of a pod and of its container, for a program that needs nothing of its node."""
    pod = {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return pod, {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def claim(size: str) -> Node:
    """A volume "data" of a StatefulSet, which stays when its pods go."""
    return {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": Value(size)}}},
    }
