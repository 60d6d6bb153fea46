"""From the names that people type to the ids of entities."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from backend.entities.ids import decode_instance_id, instance_relation_id, service_relation_id
from backend.query import shapes
from backend.query.client import AskingError, Client

Span = Mapping[str, str]
"""The parameters start and end."""


class NoDataError(Exception):
    """Nothing at all was seen in the span; the message says so."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a question is about, by names."""

    service: str | None
    instance: str | None
    to: str | None
    to_instance: str | None
    endpoint: str | None = None


class Lookup:
    """Finds ids in what a backend saw in a span."""

    def __init__(self, client: Client, span: Span) -> None:
        self._client = client
        self._span = span

    def service(self, name: str) -> str:
        """Id of the service of a name, or of an id. Raises AskingError and NoDataError."""
        answer = self._client.get(shapes.Services, "/api/services", self._span)
        known = {service.name: service.id for service in answer.services}
        if name not in known:
            # Services that only others report appear in calls alone.
            nodes = self._client.get(shapes.Topology, "/api/topology", self._span).nodes
            known |= {node.name: node.id for node in nodes}
        if not known:
            raise NoDataError(no_services(answer))
        return _pick("service", name, known)

    def instance(self, service: str, name: str) -> str:
        """Id of an instance of the service with the id `service`. Raises AskingError."""
        path = f"/api/services/{quote(service, safe='')}/instances"
        answer = self._client.get(shapes.Instances, path, self._span)
        return _pick("instance", name, {instance.name: instance.id for instance in answer.instances})

    def endpoint(self, service: str, name: str) -> str:
        """Id of an endpoint of the service with the id `service`. Raises AskingError."""
        answer = self._client.get(shapes.Endpoints, f"/api/services/{quote(service, safe='')}/endpoints", self._span)
        return _pick("endpoint", name, {endpoint.name: endpoint.id for endpoint in answer.endpoints})

    def entity(self, scope: str, subject: Subject) -> str:
        """Id of the entity of a scope. Raises AskingError and NoDataError."""
        if scope == "K8SServiceInstanceRelation":
            return self._instance_relation(subject)
        service = self.service(_given(subject.service, "--service", scope))
        match scope:
            case "K8SService":
                return service
            case "K8SServiceInstance":
                return self.instance(service, _given(subject.instance, "--instance", scope))
            case "K8SEndpoint":
                return self.endpoint(service, _given(subject.endpoint, "--endpoint", scope))
            case "K8SServiceRelation":
                return service_relation_id(service, self.service(_given(subject.to, "--to", scope)))
            case _:
                raise AskingError(f"metrics of {scope} cannot be asked for by name yet", "use the API with an id")

    def _instance_relation(self, subject: Subject) -> str:
        scope = "K8SServiceInstanceRelation"
        source = self.service(_given(subject.service, "--service", scope))
        target = self.service(_given(subject.to, "--to", scope))
        parameters = {"source": source, "target": target, **self._span}
        nodes = self._client.get(shapes.Topology, "/api/instance-topology", parameters).nodes
        ends = [
            _pick("instance", _given(name, option, scope), {node.name: node.id for node in nodes if _of(node, service)})
            for name, option, service in (
                (subject.instance, "--instance", source),
                (subject.to_instance, "--to-instance", target),
            )
        ]
        return instance_relation_id(*ends)


def no_services(answer: shapes.Services) -> str:
    """Why there is nothing to show, and what to do."""
    if answer.known:
        return (
            f"Nothing was seen from {answer.span.start} to {answer.span.end}; "
            f"{answer.known} services are known from earlier: try a longer --last."
        )
    return "There is no data yet: start an agent with 'pyrover-agent run', and make some traffic."


def _of(node: shapes.Node, service: str) -> bool:
    return node.id.startswith(f"{service}_") and bool(decode_instance_id(node.id))


def _given(value: str | None, option: str, scope: str) -> str:
    if value is None:
        raise AskingError(f"this is a metric of the scope {scope}", f"say of which: add {option} NAME")
    return value


def _pick(kind: str, name: str, known: Mapping[str, str]) -> str:
    if name in known:
        return known[name]
    if name in known.values():
        return name
    raise AskingError(f"no {kind} {name!r} was seen in this time", _near(name, known))


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=3, cutoff=0.4):
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:10]) or "none"
    return f"there are {shown}{' and more' if len(names) > 10 else ''}; a longer --last shows more"  # noqa: PLR2004 - enough
