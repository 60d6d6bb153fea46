"""What a double of the API server knows of its objects, and what it says when it refuses."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of objects that the server has."""

    name: str
    path: str
    version: str
    namespaced: bool
    fields: frozenset[str]
    """What a fieldSelector may name."""


_EVERYWHERE: Final = frozenset(("metadata.name", "metadata.namespace"))
KINDS: Final = {
    "pods": Kind(
        "Pod",
        "/api/v1/pods",
        "v1",
        namespaced=True,
        fields=_EVERYWHERE
        | {"spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP"},
    ),
    "services": Kind("Service", "/api/v1/services", "v1", namespaced=True, fields=_EVERYWHERE),
    "endpointslices": Kind(
        "EndpointSlice",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "discovery.k8s.io/v1",
        namespaced=True,
        fields=_EVERYWHERE,
    ),
    "nodes": Kind("Node", "/api/v1/nodes", "v1", namespaced=False, fields=frozenset(("metadata.name",))),
}
PATHS: Final = {kind.path: name for name, kind in KINDS.items()}


class Refusal(Exception):  # noqa: N818 - what the server does
    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        violation: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.violation, self.headers = code, reason, violation, headers or {}

    def body(self) -> bytes:
        return json_line(status(self.code, self.reason, str(self)))


def selector(kind: str, text: str) -> Callable[[Object], bool]:
    terms: list[tuple[str, str, bool]] = []
    for term in text.split(",") if text else ():
        operator = "!=" if "!=" in term else "="
        name, found, value = term.partition(operator)
        if not found or name not in KINDS[kind].fields:
            raise bad_request(f"field label not supported: {name}")
        terms.append((name, value.removeprefix("="), operator == "="))
    return lambda each: all((_field(each, name) == value) is equal for name, value, equal in terms)


def _field(each: Object, name: str) -> str:
    value: Any = each
    for part in name.split("."):
        value = (value or {}).get(part)
    return value or ""


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message, violation=True)


def status(code: int, reason: str, message: str) -> Object:
    said = {"status": "Failure", "message": message, "reason": reason, "code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, **said}


def json_line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def line(kind: str, subject: Object) -> bytes:
    return json_line({"type": kind, "object": subject})
