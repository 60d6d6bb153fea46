"""Who calls whom, as relations tell it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from backend.entities.ids import decode_endpoint_id, decode_instance_id, decode_service_id
from backend.query.components import protocols
from backend.query.graphql import shapes
from backend.storage.interface import Relation

CLIENT, SERVER = "client", "server"
UNDEFINED = ("UNDEFINED",)
"""Layers of a service of which nothing is known."""


def service_topology(
    relations: Sequence[Relation], layers: Callable[[str], Sequence[str]], of: frozenset[str] | None = None
) -> shapes.Topology:
    """Calls between services.

    Args:
        relations: all of a span, of services.
        layers: by service id; none when it is not known.
        of: ids of services; calls that neither begin nor end at one of them are left out. None for all.
    """
    # A service that only calls in this picture is still shown by what others reach it by.
    reached: dict[str, set[int]] = {}
    for relation in relations:
        if relation.side == SERVER:
            reached.setdefault(relation.destination_id, set()).add(relation.component)
    shown = [relation for relation in relations if of is None or not of.isdisjoint(_ends(relation))]

    def node(identity: str) -> shapes.Node:
        name = decode_service_id(identity)
        kinds = protocols(reached.get(identity, ()))
        return shapes.Node(
            identity, name.service, kinds[0] if kinds else None, name.normal, layers(identity) or UNDEFINED
        )

    return _topology(shown, node, with_components=True)


def instance_topology(relations: Iterable[Relation]) -> shapes.Topology:
    """Calls between instances."""

    def node(identity: str) -> shapes.MemberNode:
        name = decode_instance_id(identity)
        return _member(identity, name.instance, name.service.service, normal=name.service.normal)

    return _topology(relations, node)


def endpoint_topology(relations: Iterable[Relation]) -> shapes.Topology:
    """Calls between endpoints."""

    def node(identity: str) -> shapes.MemberNode:
        name = decode_endpoint_id(identity)
        return _member(identity, name.endpoint, name.service.service, normal=name.service.normal)

    return _topology(relations, node)


def endpoints_as_services(topology: shapes.Topology) -> shapes.Topology:
    """A topology of endpoints in the shape of one of services, as the older operation has it."""
    nodes = [shapes.Node(node.id, node.name, node.type, node.is_real, UNDEFINED) for node in topology.nodes]
    return shapes.Topology(nodes, topology.calls)


def _member(identity: str, name: str, service: str, *, normal: bool) -> shapes.MemberNode:
    return shapes.MemberNode(identity, name, identity.partition("_")[0], service, "", normal)


def _ends(relation: Relation) -> tuple[str, str]:
    return relation.source_id, relation.destination_id


def _topology(
    relations: Iterable[Relation],
    node: Callable[[str], shapes.Node | shapes.MemberNode],
    *,
    with_components: bool = False,
) -> shapes.Topology:
    by_id: dict[str, list[Relation]] = {}
    for relation in relations:
        by_id.setdefault(relation.id, []).append(relation)
    ends = {end for rows in by_id.values() for end in _ends(rows[0])}
    nodes = sorted((node(end) for end in ends), key=lambda node: (node.name, node.id))
    order = {node.id: place for place, node in enumerate(nodes)}
    calls = sorted(
        (_call(rows, with_components=with_components) for rows in by_id.values()),
        key=lambda call: (order[call.source], order[call.target]),
    )
    return shapes.Topology(nodes, calls)


def _call(rows: Sequence[Relation], *, with_components: bool) -> shapes.Call:
    told: Mapping[str, list[int]] = {
        side: [row.component for row in rows if row.side == side] for side in (CLIENT, SERVER)
    }
    source, target = ([], []) if not with_components else (protocols(told[CLIENT]), protocols(told[SERVER]))
    return shapes.Call(
        rows[0].id, *_ends(rows[0]), source, target, [side.upper() for side, components in told.items() if components]
    )
