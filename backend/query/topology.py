"""Who calls whom."""

from collections.abc import Callable, Iterable

from backend.entities.ids import decode_instance_id, decode_service_id
from backend.query import shapes
from backend.query.components import protocols
from backend.query.errors import QueryError
from backend.query.services import span
from backend.query.times import Window
from backend.query.traffic import (
    INSTANCE_RELATION,
    RELATION_SUFFIXES,
    SERVICE_RELATION,
    Sums,
    call_rates,
    call_totals,
    look,
    sum_metrics,
)
from backend.storage.interface import Relation, Service, Storage

MANY = 1_000
"""Relations that are not asked for one by one."""


def topology(storage: Storage, window: Window) -> shapes.Topology:
    """Services that call or are called in the window, and their calls. Blocks."""
    relations = storage.service_relations(window.first, window.last)
    services = storage.services()
    reported = {service.id for service in services}

    def node(identity: str) -> shapes.Node:
        name = decode_service_id(identity).service
        return shapes.Node(id=identity, name=name, service=name, observed=identity in reported)

    sums = _sums(storage, SERVICE_RELATION, relations, window, services)
    return _topology(relations, node, sums, window)


def instance_topology(storage: Storage, source: str, destination: str, window: Window) -> shapes.Topology:
    """Instances of two services that call each other in the window, in both directions. Blocks.

    Raises:
        QueryError: an id is not the id of a service.
    """
    reported: set[str] = set()
    for service in (source, destination):
        try:
            decode_service_id(service)
        except ValueError as error:
            raise QueryError(str(error), "GET /api/services lists ids; percent-encode them") from None
        reported.update(instance.id for instance in storage.instances(service, window.first, window.last))
    relations = storage.instance_relations(source, destination, window.first, window.last)
    if source != destination:
        relations += storage.instance_relations(destination, source, window.first, window.last)

    def node(identity: str) -> shapes.Node:
        names = decode_instance_id(identity)
        return shapes.Node(
            id=identity, name=names.instance, service=names.service.service, observed=identity in reported
        )

    sums = _sums(storage, INSTANCE_RELATION, relations, window, storage.services())
    return _topology(relations, node, sums, window)


def _sums(
    storage: Storage, prefix: str, relations: Iterable[Relation], window: Window, services: Iterable[Service]
) -> Sums:
    """What went over relations in the window."""
    ids = list({relation.id: None for relation in relations})
    # Asking for no entity at all means every entity, which many are found by more quickly than by their names.
    entities = () if len(ids) > MANY else ids or [""]
    return sum_metrics(
        storage, prefix, RELATION_SUFFIXES, window, entities=entities, seen=look(storage, window, services)
    )


def _topology(
    relations: Iterable[Relation], node: Callable[[str], shapes.Node], sums: Sums, window: Window
) -> shapes.Topology:
    by_id: dict[str, list[Relation]] = {}
    for relation in relations:
        by_id.setdefault(relation.id, []).append(relation)
    ends = {end for rows in by_id.values() for end in (rows[0].source_id, rows[0].destination_id)}
    nodes = sorted((node(end) for end in ends), key=lambda node: (node.name, node.id))
    order = {node.id: place for place, node in enumerate(nodes)}
    calls = sorted(
        (_call(rows, sums) for rows in by_id.values()), key=lambda call: (order[call.source], order[call.target])
    )
    return shapes.Topology(span=span(window, sums.minutes), nodes=nodes, calls=calls)


def _call(rows: list[Relation], sums: Sums) -> shapes.Call:
    relation = rows[0]
    client, server = (call_totals(sums, relation.id, side) for side in ("client", "server"))
    return shapes.Call(
        id=relation.id,
        source=relation.source_id,
        target=relation.destination_id,
        detect_points=sorted({row.side for row in rows}),
        # Relations of instances carry no component; theirs is always 0.
        protocols=protocols(row.component for row in rows) if sums.prefix == SERVICE_RELATION else [],
        connects=sums.total(relation.id, "connect_cpm"),
        connects_failed=sums.connects_failed(relation.id),
        accepts=sums.total(relation.id, "accept_cpm"),
        closes=sums.total(relation.id, "close_cpm"),
        client=client,
        server=server,
        rates=call_rates(sums, relation.id, (client, server)),
    )
