"""What is written beside metrics, in streams that scripts can switch off: `disable(service_relation_client_side)`.

Names are those of Apache SkyWalking's streams, which are also its tables.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from backend.storage.interface import Flush, Relation


def _but(side: str, relations: Sequence[Relation]) -> list[Relation]:
    return [relation for relation in relations if relation.side != side]


STREAMS: Mapping[str, Callable[[Flush], Flush]] = {
    "service_traffic": lambda flush: replace(flush, services=[]),
    "instance_traffic": lambda flush: replace(flush, instances=[]),
    "endpoint_traffic": lambda flush: replace(flush, endpoints=[]),
    "service_relation_client_side": lambda flush: replace(
        flush, service_relations=_but("client", flush.service_relations)
    ),
    "service_relation_server_side": lambda flush: replace(
        flush, service_relations=_but("server", flush.service_relations)
    ),
    "service_instance_relation_client_side": lambda flush: replace(
        flush, instance_relations=_but("client", flush.instance_relations)
    ),
    "service_instance_relation_server_side": lambda flush: replace(
        flush, instance_relations=_but("server", flush.instance_relations)
    ),
    # Clients tell of these here, and upstream has no other table of them.
    "endpoint_relation_server_side": lambda flush: replace(flush, endpoint_relations=[]),
}
"""By name: what leaves its rows out of a flush."""


def without(flush: Flush, disabled: AbstractSet[str]) -> Flush:
    """A flush without the rows of some streams.

    Args:
        flush: what is to be written.
        disabled: names; those of no stream are ignored.
    """
    for name, left_out in STREAMS.items():
        if name in disabled:
            flush = left_out(flush)
    return flush
